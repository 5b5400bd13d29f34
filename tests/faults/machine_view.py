# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances as the machine that plays EC2 sees them: processes, mounts, files, whatever their network does."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from lab.config import LabConfig
from lab.logs import console_lines
from lab.machine import cgroups

PROC = Path("/proc")
CHUNK_BYTES = 1 << 16
# The service's main class, and the file of the instance in which its process reads who it is.
SERVICES = {
    "kafka.Kafka": ("kafka", "etc/kafka/server.properties", r"^(?:broker|node)\.id=(\d+)$"),
    "org.apache.zookeeper.server.quorum.QuorumPeerMain": ("zookeeper", "var/lib/zookeeper/0/data/myid", r"^(\d+)$"),
}


@dataclass(frozen=True)
class ServiceProcess:
    """A Kafka or ZooKeeper process in an instance, and which identity it runs as (`kafka-2`)."""

    identity: str
    instance_id: str
    pid: int


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def instance_of(pid: int, group: str) -> str | None:
    """The instance in whose control group the process is; None for any other process."""
    found = re.search(rf"/{re.escape(group)}/(i-[0-9a-f]+)", _read(PROC / str(pid) / "cgroup"))
    return found[1] if found else None


def service_processes(config: LabConfig) -> list[ServiceProcess]:
    """Every service process of this lab's instances, by the id that its own files say."""
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        arguments = _read(entry / "cmdline").split("\0")
        service = next((SERVICES[word] for word in arguments if word in SERVICES), None)
        instance = instance_of(int(entry.name), config.cgroup) if service else None
        if service is None or instance is None:
            continue
        role, path, pattern = service
        number = re.search(pattern, _read(entry / "root" / path), re.MULTILINE)
        if number:
            found.append(ServiceProcess(f"{role}-{number[1]}", instance, int(entry.name)))
    return found


def leader(config: LabConfig, instance_id: str) -> int | None:
    """The process that is PID 1 in the instance, by its number here; None when it does not run."""
    with contextlib.suppress(OSError):
        for pid in sorted(cgroups.processes(f"{config.cgroup}/{instance_id}")):
            inside = re.search(r"^NSpid:\s+(.*)$", _read(PROC / str(pid) / "status"), re.MULTILINE)
            if inside and inside[1].split()[-1] == "1" and len(inside[1].split()) > 1:
                return pid
    return None


def boot_phases(pid: int) -> set[str]:
    """The phases that the boot of the instance with this leader has recorded."""
    text = _read(PROC / str(pid) / "root" / "var/lib/holdfast/boot.json")
    try:
        return set(json.loads(text).get("phases", {})) if text else set()
    except json.JSONDecodeError:
        return set()


def mounted(pid: int, path: str) -> bool:
    """Whether something is mounted at this path in the instance with this leader."""
    return any(line.split()[4] == path for line in _read(PROC / str(pid) / "mountinfo").splitlines())


def tcp_table(pid: int) -> list[list[str]]:
    """The IPv4 connections of the network that this process is in, as /proc/net/tcp has them, split by column."""
    return [line.split() for line in _read(PROC / str(pid) / "net/tcp").splitlines()[1:]]


def freeze(config: LabConfig, instance_id: str, frozen: bool) -> None:
    """Stop or continue every process of the instance where it stands."""
    cgroups.freeze(f"{config.cgroup}/{instance_id}", frozen)


def cut_power(config: LabConfig, instance_id: str) -> None:
    """Kill the instance's PID 1, and so all of it, without a word to anybody; also while it is frozen."""
    pid = leader(config, instance_id)
    if pid is None:
        raise OSError(f"{instance_id} does not run")
    os.kill(pid, signal.SIGKILL)
    freeze(config, instance_id, False)


def console(config: LabConfig, instance_id: str) -> str:
    """Everything the instance printed so far, also after its termination; empty when it printed nothing yet."""
    for path in (config.state_dir / "instances" / instance_id / "console.log", config.kept_console(instance_id)):
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(console_lines(path))
    return ""


def data_digest(config: LabConfig, volume_id: str) -> str:
    """A checksum over all of a volume that is not zero, wherever its sparse file has holes; '' without such a volume.

    Which zeroes are holes is the host's file system's affair, and changes when it writes them out.
    """
    path = config.state_dir / "volumes" / f"{volume_id}.img"
    if not path.is_file():
        return ""
    digest = hashlib.sha256()
    with path.open("rb") as volume:
        place, end = 0, volume.seek(0, os.SEEK_END)
        while place < end:
            try:
                place = max(place, os.lseek(volume.fileno(), place, os.SEEK_DATA) // CHUNK_BYTES * CHUNK_BYTES)
            except OSError:  # no more data behind this place
                break
            chunk = os.pread(volume.fileno(), CHUNK_BYTES, place)
            if chunk.strip(b"\0"):
                digest.update(f"{place}:".encode() + chunk)
            place += CHUNK_BYTES
    return digest.hexdigest()
