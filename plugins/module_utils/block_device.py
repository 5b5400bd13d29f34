# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to a block device and to what is mounted from it. Nothing here writes to a device."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.holdfast.kafka.plugins.module_utils.volume_content import (
    DATA_DIRECTORY,
    Content,
    leftover,
    relevant,
)

#: run(argv) -> (return code, stdout, stderr), as AnsibleModule.run_command
Run = Callable[[list[str]], "tuple[int, str, str]"]

#: Bytes at the start and at the end of a device that must be zero before it counts as never used.
BLANK_PROBE_BYTES = 1024 * 1024
#: Between them: where ext4 keeps its second superblock (1 KiB and 4 KiB blocks), and this many samples of this size.
BACKUP_SUPERBLOCKS = (8193 * 1024, 32768 * 4096)
SAMPLES, SAMPLE_BYTES = 64, 64 * 1024
#: blkid's return codes for "nothing found" and for "several things found" when probing low-level.
_BLKID_NOTHING, _BLKID_AMBIVALENT = 2, 8
#: What the kernel answers when a filesystem's own structure is damaged; ext4 says the second for a wrong checksum.
_DAMAGED = (errno.EUCLEAN, errno.EBADMSG)
#: Mount options that read a filesystem without replaying its journal, so that a refused volume is left untouched.
READ_ONLY_OPTIONS = {"ext4": "ro,noload", "xfs": "ro,norecovery,nouuid"}
#: Mount options that replay the journal first: what was written right before a crash is only there.
REPLAY_OPTIONS = {"ext4": "rw,noatime,nodev,nosuid,noexec", "xfs": "rw,noatime,nodev,nosuid,noexec,nouuid"}
#: Where ext4 keeps its superblock, its magic number, its state and the flag INCOMPAT_RECOVER; offsets in bytes.
_EXT4_SUPERBLOCK, _EXT4_MAGIC, _EXT4_STATE, _EXT4_INCOMPAT = 1024, 0x38, 0x3A, 0x60
_EXT4_HAS_ERRORS, _EXT4_RECOVER = 0x2, 0x4


class DeviceError(Exception):
    """A device that cannot be used; C(reason) is for plays, the text for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo that matters here."""

    source: str
    path: str
    filesystem: str
    read_only: bool


@dataclass(frozen=True)
class Probe:
    """What the device's first bytes say. All empty and C(zeroed) means never used."""

    filesystem: str = ""
    uuid: str = ""
    partition_table: str = ""
    zeroed: bool = False

    @property
    def blank(self) -> bool:
        return not self.filesystem and not self.partition_table and self.zeroed


def parse_blkid(text: str) -> Probe:
    """Read C(blkid -p -o export) output (without the zero probe)."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    kind = values.get("TYPE", "")
    if not kind and values.get("USAGE"):
        kind = values["USAGE"]
    return Probe(filesystem=kind, uuid=values.get("UUID", ""), partition_table=values.get("PTTYPE", ""))


def _unescape(text: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text


def parse_mountinfo(text: str) -> list[Mount]:
    """Read /proc/self/mountinfo. A mount is read-only when its own or its filesystem's options say so."""
    mounts = []
    for line in text.splitlines():
        left, sep, right = line.partition(" - ")
        before, after = left.split(), right.split()
        if not sep or len(before) < 6 or len(after) < 2:
            continue
        options = before[5].split(",") + (after[2].split(",") if len(after) > 2 else [])
        mounts.append(Mount(_unescape(after[1]), _unescape(before[4]), after[0], "ro" in options))
    return mounts


def mounts() -> list[Mount]:
    return parse_mountinfo(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))


def mounted_at(path: str) -> Mount | None:
    """The topmost mount whose mount point is exactly C(path)."""
    real = os.path.realpath(path)
    found = [mount for mount in mounts() if mount.path == real]
    return found[-1] if found else None


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn the kernel's refusal to read into C(read_failed), for a damaged filesystem into C(corrupt_filesystem)."""
    try:
        yield
    except OSError as error:
        reason = "corrupt_filesystem" if error.errno in _DAMAGED else "read_failed"
        raise DeviceError(reason, f"{what} cannot be read: {error.strerror or error}") from error


def needs_replay(device: str, filesystem: str, run: Run) -> bool:
    """Whether the filesystem was not unmounted in order, so that its newest files are only in its journal.

    ext4 says so in its superblock, which also tells recorded errors: DeviceError C(corrupt_filesystem). xfs has no such
    place: C(xfs_logprint) looks, and what it cannot tell counts as yes.
    """
    if filesystem != "ext4":
        code, out, _err = run(["xfs_logprint", "-t", device])
        return code != 0 or "state: <CLEAN>" not in out
    with reading(device), Path(device).open("rb", buffering=0) as handle:
        handle.seek(_EXT4_SUPERBLOCK)
        block = handle.read(1024)
    if int.from_bytes(block[_EXT4_MAGIC : _EXT4_MAGIC + 2], "little") != 0xEF53:
        raise DeviceError("probe_failed", f"{device} has no ext4 superblock where blkid found one")
    if int.from_bytes(block[_EXT4_STATE : _EXT4_STATE + 2], "little") & _EXT4_HAS_ERRORS:
        raise DeviceError("corrupt_filesystem", f"the kernel has recorded errors in the filesystem of {device}")
    return bool(int.from_bytes(block[_EXT4_INCOMPAT : _EXT4_INCOMPAT + 4], "little") & _EXT4_RECOVER)


def mount_of_device(device: str) -> Mount | None:
    """Where a device is mounted, judged by its real path and by its device number."""
    with reading(device):
        number = Path(device).stat().st_rdev
    for mount in mounts():
        if not mount.source.startswith("/"):
            continue
        if os.path.realpath(mount.source) == os.path.realpath(device):
            return mount
        if Path(mount.path).is_dir() and Path(mount.path).stat().st_dev == number:
            return mount
    return None


def require_block_device(device: str) -> None:
    """Fail unless C(device) is there and is a block device."""
    try:
        mode = Path(device).stat().st_mode
    except OSError as error:
        raise DeviceError("device_missing", f"{device} is not there: {error.strerror}") from error
    if not stat.S_ISBLK(mode):
        raise DeviceError("not_a_block_device", f"{device} is not a block device")


def _spots(size: int) -> list[tuple[int, int]]:
    """Return where to look for bytes on a device, as (offset, length)."""
    spots = [(0, BLANK_PROBE_BYTES), (max(0, size - BLANK_PROBE_BYTES), BLANK_PROBE_BYTES)]
    spots += [(offset, SAMPLE_BYTES) for offset in BACKUP_SUPERBLOCKS]
    spots += [(size * number // SAMPLES, SAMPLE_BYTES) for number in range(1, SAMPLES)]
    return [(offset, length) for offset, length in spots if offset < size]


def is_zeroed(device: str) -> bool:
    """Whether start, end and samples of a device are zero: a wiped start alone does not make a disk unused."""
    with reading(device), Path(device).open("rb", buffering=0) as handle:
        size = handle.seek(0, os.SEEK_END)
        for offset, length in _spots(size):
            handle.seek(offset)
            left = min(length, size - offset)
            while left > 0:
                block = handle.read(min(65536, left))
                if block.strip(b"\0"):
                    return False
                if not block:
                    break
                left -= len(block)
    return True


def probe(device: str, run: Run) -> Probe:
    """Ask blkid (low-level, past its cache) and samples of the device's bytes."""
    require_block_device(device)
    code, out, err = run(["blkid", "-p", "-o", "export", device])
    if code == 0:
        return parse_blkid(out)
    if code == _BLKID_AMBIVALENT:
        raise DeviceError("unknown_content", f"{device} carries the signatures of several things at once")
    if code != _BLKID_NOTHING:
        raise DeviceError("probe_failed", f"blkid cannot read {device} (rc {code}): {err.strip()}")
    return Probe(zeroed=is_zeroed(device))


def wait_for_uuid_link(uuid: str, timeout_seconds: float) -> None:
    """Wait until /dev/disk/by-uuid names the filesystem, as fstab and the next boot need it."""
    link = Path(f"/dev/disk/by-uuid/{uuid}")
    deadline = time.monotonic() + timeout_seconds
    while not link.exists():
        if time.monotonic() >= deadline:
            raise DeviceError("uuid_link_missing", f"{link} did not appear within {timeout_seconds:g} s")
        time.sleep(0.2)


def require_single(uuid: str, device: str, run: Run) -> None:
    """Refuse a UUID that another device on this host carries as well: a mount by UUID would take either."""
    code, out, err = run(["blkid", "-c", "/dev/null", "-o", "device", "-t", f"UUID={uuid}"])
    if code not in (0, _BLKID_NOTHING):
        raise DeviceError("probe_failed", f"blkid cannot look for the UUID {uuid} (rc {code}): {err.strip()}")
    if not out.split():
        return
    with reading(device):
        number = Path(device).stat().st_rdev
        others = [other for other in out.split() if Path(other).stat().st_rdev != number]
    if others:
        raise DeviceError("duplicate_uuid", f"{device} and {', '.join(others)} have the same filesystem UUID {uuid}")


def read_content(root: str, data_directory: str = DATA_DIRECTORY) -> Content:
    """Look at most two directories deep below C(root) for what identifies a node's data."""
    with reading(root):
        return _read_content(root, data_directory)


def _read_content(root: str, data_directory: str) -> Content:
    meta: dict[str, str] = {}
    myid: dict[str, str] = {}
    kafka_orphans: list[str] = []
    zookeeper_orphans: list[str] = []
    databases: list[str] = []
    links: list[str] = []
    owners: dict[int, str] = {}
    top = Path(root)
    near = [top, *_subdirectories(top)]
    for directory in near:
        links += [f"{each.relative_to(top)} -> {each.readlink()}" for each in _entries(directory) if each.is_symlink()]
    for directory in [*near, *_second_level(near[1:])]:
        name = str(directory.relative_to(top))
        if _is_file(directory / "meta.properties"):
            meta[name] = _text(directory / "meta.properties")
        elif orphan := _partition_directory(directory):
            kafka_orphans.append(str(orphan.relative_to(top)))
        if _is_file(directory / "myid"):
            myid[name] = _text(directory / "myid")
        elif (directory / "version-2").is_dir() and any((directory / "version-2").iterdir()):
            zookeeper_orphans.append(str((directory / "version-2").relative_to(top)))
        if any(path.name.startswith(("snapshot.", "log.")) for path in (directory / "version-2").glob("*.*")):
            databases.append(name)
        if name in meta or name in myid:
            _note_owners(directory, top, owners)
    left = os.statvfs(root)
    return Content(
        meta,
        myid,
        tuple(kafka_orphans),
        tuple(zookeeper_orphans),
        tuple(databases),
        _strangers(top, data_directory),
        tuple(sorted(links)),
        owners,
        left.f_bavail * left.f_frsize,
        left.f_favail,
    )


def _second_level(first: list[Path]) -> list[Path]:
    """Return the directories two deep, without the partitions and databases in what is a data directory itself."""
    known = ("meta.properties", "myid")
    return [
        each
        for directory in first
        if not any((directory / name).exists() for name in known) and not _partition_directory(directory)
        for each in _subdirectories(directory)
        if each.name != "version-2"
    ]


def _strangers(top: Path, data_directory: str) -> tuple[str, ...]:
    """What is on a volume besides the data directory and what a start without data may leave in it.

    Files in lost+found were files of a damaged filesystem, and may have been data.
    """
    data, lost = top / data_directory, top / "lost+found"
    found = [path for path in _entries(top) if path != data or not _is_directory(data)]
    found += sorted(lost.iterdir()) if _is_directory(lost) else []
    for path in _entries(data) if _is_directory(data) else []:
        empty = path.name == "version-2" and _is_directory(path) and next(path.iterdir(), None) is None
        if not empty and not (_is_file(path) and leftover(path.name)):
            found.append(path)
    return tuple(str(path.relative_to(top)) for path in found)


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _note_owners(directory: Path, top: Path, owners: dict[int, str]) -> None:
    """Note who owns a data directory, its entries and, as one for all, the first file of each directory in it.

    What else lies on the volume is nobody's business: the service does not touch it.
    """
    if directory != top:
        owners.setdefault(directory.lstat().st_uid, str(directory.relative_to(top)))
    for entry in _entries(directory):
        inside = entry.is_dir() and not entry.is_symlink()
        first = next(entry.iterdir(), None) if inside else None
        for path in (entry, first):
            if path is not None:
                owners.setdefault(path.lstat().st_uid, str(path.relative_to(top)))


def _entries(path: Path) -> list[Path]:
    names = set(relevant([entry.name for entry in path.iterdir()]))
    return sorted(entry for entry in path.iterdir() if entry.name in names)


def _subdirectories(path: Path) -> list[Path]:
    return [entry for entry in _entries(path) if _is_directory(entry)]


def _is_file(path: Path) -> bool:
    """Whether it is a file of the volume; a link is not followed off it."""
    return path.is_file() and not path.is_symlink()


def _partition_directory(directory: Path) -> Path | None:
    """The first C(topic-N) directory with a log segment in it."""
    for path in _subdirectories(directory):
        if path.name.rpartition("-")[2].isdigit() and any(path.glob("*.log")):
            return path
    return None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")[:65536]
