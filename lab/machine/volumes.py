# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""EBS volumes: sparse files, and loop devices while they are attached."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from lab.ledger import Ledger
from lab.machine.filesystems import BTRFS_OFFSET, HEAD_BYTES, Filesystem, recognise
from lab.machine.shell import CommandError, MachineError, run

_VOLUME_ID = re.compile(r"vol-[0-9a-f]{8,17}")
_SYS_BLOCK = Path("/sys/block")
# linux/loop.h: struct loop_info64 and its calls
_LOOP_SET_STATUS64, _LOOP_GET_STATUS64 = 0x4C04, 0x4C05
_LOOP_INFO64_BYTES, _LOOP_SIZELIMIT_OFFSET = 232, 32


@dataclass(frozen=True)
class LoopDevice:
    """A loop device and what makes it the lab's: its backing file."""

    path: Path
    major: int
    minor: int
    backing: Path
    ledger_entry: str


class VolumeStore:
    """The volumes of one lab; its methods may be called from several threads."""

    def __init__(self, directory: Path, ledger: Ledger) -> None:
        """Keep the files in *directory*."""
        self.directory = directory
        self._ledger = ledger
        self._setup = threading.Lock()

    def path(self, volume_id: str) -> Path:
        """Return the file of a volume; raise for what is no volume id."""
        if not _VOLUME_ID.fullmatch(volume_id):
            raise MachineError(f"{volume_id!r} is not a volume id")
        return self.directory / f"{volume_id}.img"

    def create(self, volume_id: str, size_bytes: int) -> None:
        """Reserve a volume; nothing is written, so its size costs no disk yet."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.path(volume_id).open("xb") as handle:
            handle.truncate(size_bytes)

    def delete(self, volume_id: str) -> None:
        """Forget a volume's content."""
        self.path(volume_id).unlink(missing_ok=True)

    def connect(self, volume_id: str) -> LoopDevice:
        """Put the volume on a free loop device."""
        backing = self.path(volume_id)
        if not backing.is_file():
            raise MachineError(f"{volume_id} has no content on this machine")
        with self._setup:
            entry = self._ledger.intend("loop", backing=str(backing))
            path = Path(run(["losetup", "--find", "--show", str(backing)]).strip())
            self._ledger.learn(entry, device=str(path))
        number = path.stat().st_rdev
        return LoopDevice(path, os.major(number), os.minor(number), backing, entry)

    def disconnect(self, device: LoopDevice, timeout: float = 20.0) -> None:
        """Free the loop device; the kernel may still be writing a file system out that has just lost its last mount."""
        deadline = time.monotonic() + timeout
        while in_use(device.path):
            if time.monotonic() > deadline:
                raise MachineError(f"{device.path} ({device.backing.name}) is still in use after {timeout:.0f} s")
            time.sleep(0.05)
        release(device.path, device.backing, deadline)
        self._ledger.forget(device.ledger_entry)


def release(path: Path, backing: Path, deadline: float) -> None:
    """Detach the loop device from *backing* and wait until it is; do nothing if it is not backed by it."""
    if backing_of(path) != backing:
        return
    try:
        run(["losetup", "--detach", str(path)])
    except CommandError as error:
        if "No such device" not in error.output:
            raise
    while backing_of(path) == backing:
        if time.monotonic() > deadline:
            raise MachineError(f"{path} was detached from {backing} but something still holds it open")
        time.sleep(0.02)


def limit_size(device: LoopDevice, size_bytes: int) -> None:
    """Let a loop device end after so many bytes (0: where its file does); what lies beyond fails with EIO."""
    with device.path.open("rb") as handle:
        status = bytearray(_LOOP_INFO64_BYTES)
        fcntl.ioctl(handle, _LOOP_GET_STATUS64, status)
        struct.pack_into("=Q", status, _LOOP_SIZELIMIT_OFFSET, size_bytes)
        fcntl.ioctl(handle, _LOOP_SET_STATUS64, bytes(status))


def in_use(device: Path) -> bool:
    """Return whether the device is mounted, in any namespace, or held exclusively."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        if error.errno in (errno.ENXIO, errno.ENOENT):
            return False
        raise
    return False


def backing_of(device: Path) -> Path | None:
    """Return the file behind a loop device, None if it is free."""
    try:
        text = (_SYS_BLOCK / device.name / "loop/backing_file").read_text()
    except (FileNotFoundError, OSError):
        return None
    return Path(text.rstrip("\n").removesuffix(" (deleted)"))


def devices_behind(backing: Path) -> list[Path]:
    """Return the loop devices that *backing* is on."""
    return [Path("/dev") / block.name for block in _SYS_BLOCK.glob("loop*") if backing_of(block) == backing]


def filesystem_on(device: Path) -> Filesystem | None:
    """Read what file system the device carries (through its page cache, so a finished mkfs is seen at once)."""
    try:
        handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT):
            return None
        raise
    try:
        head = os.pread(handle, HEAD_BYTES, 0)
        return recognise(head) or recognise(b"", os.pread(handle, HEAD_BYTES, BTRFS_OFFSET))
    except OSError as error:
        if error.errno == errno.EIO:
            return None
        raise
    finally:
        os.close(handle)
