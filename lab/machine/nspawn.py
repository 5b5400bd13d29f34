# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an instance becomes a process: systemd-nspawn, started inside the instance's network namespace."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lab.machine.processes import children
from lab.machine.shell import MachineError
from lab.machine.trees import remove_tree

# nspawn's exit status when the container asked for a reboot and --keep-unit leaves that to whoever started it.
REBOOT_STATUS = 133
RUNTIME = Path("/run/systemd/nspawn")


def command(instance_id: str, root: Path, netns: Path, hostname: str, binds: Sequence[tuple[Path, str]]) -> list[str]:
    """Return the command that boots *root*; *binds* are (path of the host, path in the instance).

    nspawn is started inside the namespace as well as told of it, so that the sysfs it mounts shows the instance's
    interfaces. The names given must not contain a colon (LabConfig sees to that).
    """
    return [
        "nsenter",
        f"--net={netns}",
        "systemd-nspawn",
        "--quiet",
        "--keep-unit",
        "--register=no",
        f"--network-namespace-path={netns}",
        "--capability=all",
        "--console=read-only",
        "--settings=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        f"--machine={instance_id}",
        f"--hostname={hostname}",
        *(f"--bind={source}:{target}" for source, target in binds),
        f"--directory={root}",
        "--boot",
    ]


def environment() -> dict[str, str]:
    """Return nspawn's environment: nothing of the caller's but PATH, and /proc/sys/net writable in the instance."""
    return {
        "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
    }


def leader_of(nspawn_pid: int) -> int | None:
    """Return the pid, as the host counts, of the process that is PID 1 in the container; None while there is none."""
    for child in children(nspawn_pid):
        if _is_container_init(child):
            return child
        for grandchild in children(child):
            if _is_container_init(grandchild):
                return grandchild
    return None


def _is_container_init(pid: int) -> bool:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                pids = line.split()[1:]
                return len(pids) > 1 and pids[-1] == "1"
    except (FileNotFoundError, ProcessLookupError):
        return False
    return False


def is_booting(leader: int) -> bool:
    """Return whether the leader has become the container's systemd: from then on its root and /dev are its own."""
    try:
        return Path(f"/proc/{leader}/comm").read_text().strip() == "systemd"
    except (FileNotFoundError, ProcessLookupError):
        return False


def sweep(instance_id: str, device: int, inode: int) -> None:
    """Remove what nspawn leaves in /run/systemd when it is killed; *device* and *inode* are of the instance's root."""
    if "/" in instance_id or not instance_id.startswith("i-"):
        raise MachineError(f"{instance_id!r} is not an instance id")
    remove_tree(RUNTIME / "propagate" / instance_id)
    (RUNTIME / "locks" / f"inode-{device}:{inode}").unlink(missing_ok=True)
