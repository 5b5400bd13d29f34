# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of an instance that lives: cut off, frozen, without power, with a process dead or a disk in trouble."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from lab.machine.devices import Disk
from lab.machine.instances import Instance
from lab.machine.protocol import NothingThereError
from lab.machine.shell import CommandError, MachineError, run
from lab.machine.volumes import limit_size

BOOT_RECORD = Path("var/lib/holdfast/boot.json")
FILLER = ".holdfast-lab-fill"
INSIDE_TIMEOUT = 30.0
_UNIT = re.compile(r"[A-Za-z0-9@_.:\\-]+\.(service|timer|socket|scope)")


class FaultVerbs:
    """The machine's verbs for faults; each raises ``MachineError`` with a sentence when it cannot be done."""

    def _get(self, instance_id: str) -> Instance:
        raise NotImplementedError

    def _all(self) -> list[Instance]:
        raise NotImplementedError

    def partition(self, instance_id: str, device_index: int | None, cut: bool) -> None:
        """Let the instance's interfaces (or the one with this index) carry nothing, or again what they carried."""
        self._get(instance_id).partition(device_index, cut)

    def freeze(self, instance_id: str, frozen: bool) -> None:
        """Stop every process of the instance where it stands, or let them go on."""
        self._get(instance_id).freeze(frozen)

    def crash(self, instance_id: str) -> None:
        """Take the power away: every process is killed at once, and nobody is told."""
        self._get(instance_id).crash()

    def unit_signal(self, instance_id: str, unit: str, signal: str) -> None:
        """Send a signal to every process of a unit; raise ``NothingThereError`` unless it is active."""
        if not _UNIT.fullmatch(unit):
            unit += ".service"
        instance = self._get(instance_id)
        try:
            state = _inside(instance, ["systemctl", "is-active", unit]).strip()
        except CommandError as error:
            state = error.output.strip()
        if state not in ("active", "activating", "deactivating", "reloading"):
            raise NothingThereError(f"{unit} is {state or 'unknown'} in {instance_id}, so it has no process")
        _inside(instance, ["systemctl", "kill", "--kill-who=all", f"--signal={signal}", unit])

    # -- disks --------------------------------------------------------------------------------------------------

    def disk_at(self, instance_id: str, mount: str) -> str:
        """Return the id of the volume that is mounted there; raise if none is."""
        return _disk_at(self._get(instance_id), mount)[0].attachment.volume_id

    def disk_fill(self, instance_id: str, mount: str, leave_bytes: int) -> int:
        """Let one file take the file system's free space but for ``leave_bytes``; return its size."""
        instance = self._get(instance_id)
        _disk_at(instance, mount)
        return fill(_root(instance) / mount.lstrip("/"), leave_bytes)

    def disk_unfill(self, volume_id: str) -> None:
        """Remove that file from wherever the volume is mounted now."""
        for instance in self._all():
            for target, (disk, _) in _mounted(instance).items():
                if disk.attachment.volume_id == volume_id:
                    (_root(instance) / target.lstrip("/") / FILLER).unlink(missing_ok=True)
                    return
        raise MachineError(f"{volume_id} is mounted in no instance now: clear the fault when it is")

    def disk_readonly(self, instance_id: str, mount: str) -> None:
        """Let the file system go read-only as after an error of its journal; only a new mount writes again."""
        instance = self._get(instance_id)
        fstype = _disk_at(instance, mount)[1].fstype
        if fstype != "ext4":
            raise MachineError(f"{mount} of {instance_id} is {fstype}, and only ext4 can be made to fail like that")
        _inside(instance, ["mount", "-o", "remount,abort", mount])

    def disk_dead(self, instance_id: str, mount: str) -> str:
        """Let every read and write of the device fail; return the volume's id."""
        disk, _ = _disk_at(self._get(instance_id), mount)
        limit_size(disk.loop, 512)
        return disk.attachment.volume_id

    def disk_revive(self, volume_id: str) -> None:
        """Let the device work again; a file system that has given up needs a new mount."""
        for instance in self._all():
            for disk in instance.disks:
                if disk.attachment.volume_id == volume_id:
                    limit_size(disk.loop, 0)

    # -- boots --------------------------------------------------------------------------------------------------

    def boot_phases(self, instance_id: str) -> frozenset[str]:
        """Return the phases that this boot has recorded, and ``mounted`` when a volume is."""
        instance = self._get(instance_id)
        found = set(_recorded(instance))
        with contextlib.suppress(MachineError, OSError):
            if _mounted(instance):
                found.add("mounted")
        return frozenset(found)


def _root(instance: Instance) -> Path:
    if instance.leader is None:
        raise MachineError(f"{instance.instance_id} does not run")
    return Path(f"/proc/{instance.leader}/root")


def _inside(instance: Instance, command: list[str]) -> str:
    """Run a command in the instance and return what it printed."""
    _root(instance)
    nsenter = ["nsenter", f"--target={instance.leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
    return run([*nsenter, *command], timeout=INSIDE_TIMEOUT)


@dataclass(frozen=True)
class Mount:
    """A line of a mountinfo file, as far as it matters here."""

    target: str
    device: tuple[int, int]
    fstype: str


def mounts_of(mountinfo: str) -> list[Mount]:
    """Read a mountinfo file; pure."""
    found = []
    for line in mountinfo.splitlines():
        fields, _, source = line.partition(" - ")
        words = fields.split()
        major, _, minor = words[2].partition(":")
        target = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), words[4])
        found.append(Mount(target, (int(major), int(minor)), source.split()[0]))
    return found


def _mounted(instance: Instance) -> dict[str, tuple[Disk, Mount]]:
    """The volumes that the instance has mounted, by mount point."""
    if instance.leader is None:
        return {}
    text = Path(f"/proc/{instance.leader}/mountinfo").read_text()
    disks = {(disk.loop.major, disk.loop.minor): disk for disk in instance.disks}
    return {mount.target: (disks[mount.device], mount) for mount in mounts_of(text) if mount.device in disks}


def _disk_at(instance: Instance, target: str) -> tuple[Disk, Mount]:
    _root(instance)
    mounted = _mounted(instance)
    if target not in mounted:
        known = ", ".join(sorted(mounted)) or "none"
        raise MachineError(f"no volume is mounted at {target} in {instance.instance_id} (mounted are: {known})")
    return mounted[target]


def fill(directory: Path, leave_bytes: int) -> int:
    """Reserve all space of a file system for one file, then give ``leave_bytes`` back; return the file's size.

    What counts as free differs between file systems (some is theirs alone), so it is taken until there is no more.
    """
    handle = os.open(directory / FILLER, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        size = os.fstat(handle).st_size
        state = os.fstatvfs(handle)
        step = state.f_bfree * state.f_frsize
        while step >= state.f_frsize:
            try:
                os.posix_fallocate(handle, size, step)
                size += step
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                step //= 2
        size = max(0, size - leave_bytes)
        os.ftruncate(handle, size)
        return size
    finally:
        os.close(handle)


def _recorded(instance: Instance) -> list[str]:
    try:
        handle = os.open(instance.root / BOOT_RECORD, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(handle) as record:
            found = json.load(record)
    except (OSError, ValueError):
        return []  # not begun yet, or being replaced: the next look sees it
    boot, phases = (found.get("boot_id"), found.get("phases")) if isinstance(found, dict) else (None, None)
    return [f"{phase}@{boot}" for phase in phases] if isinstance(phases, dict) else []
