# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control groups of the instances: one per instance in every mounted hierarchy, version 1, 2 or both.

They keep the instances' systemds apart from each other, and they are the handle by which an instance is frozen.
"""

from __future__ import annotations

import contextlib
import errno
import time
from pathlib import Path

from lab.machine.shell import MachineError
from lab.machine.trees import mounts

# Hierarchies that refuse a process before they are configured, or that say nothing here.
_SKIPPED_CONTROLLERS = {"cpuset", "devices", "net_cls", "net_prio", "perf_event", "hugetlb", "rdma", "misc"}
_V2_CONTROLLERS = ("cpu", "io", "memory", "pids")


def hierarchies() -> list[Path]:
    """Return the mount points of the hierarchies that an instance gets a group in."""
    found = []
    for mount in mounts():
        if mount.fstype == "cgroup2" or (
            mount.fstype == "cgroup" and not _SKIPPED_CONTROLLERS & set(mount.target.name.split(","))
        ):
            found.append(mount.target)
    return found


def create(relative: str) -> list[Path]:
    """Make the group *relative* in every hierarchy, parents included, and return the directories."""
    made = []
    for root in hierarchies():
        path = root
        for part in Path(relative).parts:
            _delegate(path)
            path = path / part
            path.mkdir(exist_ok=True)
        made.append(path)
    if not made:
        raise MachineError("no control group hierarchy is mounted below /sys/fs/cgroup")
    return made


def _delegate(path: Path) -> None:
    """Let a version 2 group's children have controllers; the root of a machine without them stays as it is."""
    available = path / "cgroup.controllers"
    if not available.is_file():
        return
    offered = set(available.read_text().split())
    enabled = set((path / "cgroup.subtree_control").read_text().split())
    for controller in _V2_CONTROLLERS:
        if controller in offered and controller not in enabled:
            # A group that holds processes itself cannot pass controllers on: then the instance goes without.
            with contextlib.suppress(OSError):
                (path / "cgroup.subtree_control").write_text(f"+{controller}")


def exists(relative: str) -> bool:
    """Return whether the group is there, in any hierarchy."""
    return any((root / relative).is_dir() for root in hierarchies())


def processes(relative: str) -> set[int]:
    """Return the processes in the group and below it."""
    found: set[int] = set()
    for root in hierarchies():
        for listing in (root / relative).glob("**/cgroup.procs"):
            try:
                found.update(int(line) for line in listing.read_text().split())
            except OSError as error:
                if error.errno not in (errno.ENODEV, errno.ENOENT, errno.EOPNOTSUPP):
                    raise
    found.discard(0)
    return found


def freeze(relative: str, frozen: bool, timeout: float = 30.0) -> None:
    """Freeze or thaw every process of the group; version 2 first, because a frozen process can be killed there.

    A process that waits for its disk is frozen when it has done so. MachineError when that takes too long; what did not
    freeze whole goes on.
    """
    groups = [root / relative for root in hierarchies()]
    for switch, words, shown, told in (
        ("cgroup.freeze", ("0", "1"), "cgroup.events", ("frozen 0", "frozen 1")),
        ("freezer.state", ("THAWED", "FROZEN"), "freezer.state", ("THAWED", "FROZEN")),
    ):
        for group in groups:
            if not (group / switch).is_file():
                continue
            (group / switch).write_text(words[frozen])
            try:
                _wait_for(group / shown, told[frozen], timeout)
            except MachineError:
                (group / switch).write_text(words[False])
                raise
            return
    raise MachineError(f"the group {relative} is not there, or this kernel cannot freeze it")


def _wait_for(path: Path, line: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while line not in path.read_text().splitlines():
        if time.monotonic() > deadline:
            raise MachineError(f"{path} did not come to say {line!r} within {timeout:.0f} s")
        time.sleep(0.02)


def remove(relative: str) -> list[Path]:
    """Remove the group and those below it in every hierarchy; return what is still there (because a process is)."""
    left = []
    for root in hierarchies():
        top = root / relative
        if not top.is_dir():
            continue
        for path in sorted((path for path in top.glob("**/") if path.is_dir()), reverse=True):
            with contextlib.suppress(FileNotFoundError):
                try:
                    path.rmdir()
                except OSError as error:
                    if error.errno != errno.EBUSY:
                        raise
        if top.is_dir():
            left.append(top)
    return left
