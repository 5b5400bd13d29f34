# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(data_volume_check) on real loop devices: each refusal as blkid and the kernel bring it about."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import block_device, volume_refusals
from ansible_collections.holdfast.kafka.plugins.module_utils.block_device import DeviceError
from ansible_collections.holdfast.kafka.plugins.modules import data_volume_check

pytestmark = pytest.mark.lab
SIZE = 64 << 20
LIMITS = {
    "owner": None,
    "free_min_bytes": 0,
    "free_min_inodes": 0,
    "uuid_timeout_seconds": 0,
    "data_directory": "data",
    "mount_required": False,
}


def run(argv: list[str]) -> tuple[int, str, str]:
    """Run a command as AnsibleModule.run_command does."""
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def must(*argv: str) -> str:
    """Run a command that has to succeed; return what it printed."""
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A blank disk."""
    path = tmp_path / "volume.img"
    with path.open("wb") as stream:
        stream.truncate(SIZE)
    return path


@contextmanager
def loop(image: Path, *options: str) -> Iterator[str]:
    """The disk as a block device."""
    device = must("losetup", "--find", "--show", *options, str(image))
    try:
        yield device
    finally:
        must("losetup", "--detach", device)


@contextmanager
def mounted(image: Path, at: Path) -> Iterator[Path]:
    """The disk's filesystem at a directory."""
    at.mkdir(exist_ok=True)
    with loop(image) as device:
        must("mount", device, str(at))
        try:
            yield at
        finally:
            must("umount", str(at))


def look(device: str, tmp_path: Path, *, check_mode: bool = False, **params: Any) -> dict[str, Any]:
    """Look at a device for broker 1, without udev's links."""
    wanted = {"mount_path": str(tmp_path / "target"), "role": "kafka", "node_id": 1, "filesystem": "ext4"}
    notes = data_volume_check.Notes()
    everything = {**LIMITS, **wanted, **params}
    result = data_volume_check.check_device(device, everything, run, notes, check_mode=check_mode)
    return {**result, "journal_replayed": notes.journal_replayed}


@pytest.fixture(autouse=True)
def _without_udev(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_device, "wait_for_uuid_link", lambda _uuid, _seconds: None)


def digest(device: str) -> str:
    """What is on a device, past the page cache of its filesystem."""
    must("sync")
    with Path(device).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sectors_written(device: str) -> int:
    """How many sectors the kernel has written to a device since it was made."""
    return int((Path("/sys/block") / Path(device).name / "stat").read_text().split()[6])


def refusal(device: str, tmp_path: Path, **params: Any) -> str:
    """The reason for which a device is refused; nothing was written to it, not even the same bytes again."""
    before, written = digest(device), sectors_written(device)
    with pytest.raises(DeviceError) as error:
        look(device, tmp_path, **params)
    assert (digest(device), sectors_written(device)) == (before, written), (
        f"{error.value.reason}: the device was written to"
    )
    assert error.value.reason in volume_refusals.BY_REASON
    return error.value.reason


def write_meta(root: Path, broker: int) -> None:
    """Leave what a broker leaves."""
    (root / "data").mkdir()
    (root / "data" / "meta.properties").write_text(f"version=0\nbroker.id={broker}\ncluster.id=abc\n")
    os.sync()


def crashed(image: Path, tmp_path: Path, broker: int) -> Path:
    """A disk whose node died right after its broker had written its id: the disk as it was while still mounted."""
    must("mkfs.ext4", "-q", str(image))
    copy = tmp_path / "crashed.img"
    with mounted(image, tmp_path / "mnt") as root:
        (root / "data").mkdir()
        path = root / "data" / "meta.properties"
        with path.open("w") as stream:
            stream.write(f"version=0\nbroker.id={broker}\ncluster.id=abc\n")
            stream.flush()
            os.fsync(stream.fileno())
        shutil.copyfile(image, copy)
    return copy


def test_an_unused_disk_is_blank(image: Path, tmp_path: Path) -> None:
    with loop(image) as device:
        assert look(device, tmp_path)["state"] == "blank"


def test_a_partition_table_is_refused(image: Path, tmp_path: Path) -> None:
    with image.open("r+b") as stream:
        stream.seek(446)
        stream.write(
            bytes([0, 0x20, 0x21, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little") + (65536).to_bytes(4, "little")
        )
        stream.seek(510)
        stream.write(b"\x55\xaa")
    with loop(image) as device:
        assert refusal(device, tmp_path) == "partition_table"


@pytest.mark.parametrize(("command", "wanted"), [("mkfs.ext4", "xfs"), ("mkfs.ext2", "ext4"), ("mkfs.ext3", "ext4")])
def test_a_foreign_filesystem_is_refused(image: Path, tmp_path: Path, command: str, wanted: str) -> None:
    must(command, "-q", str(image))
    with loop(image) as device:
        assert refusal(device, tmp_path, filesystem=wanted) == "foreign_filesystem"


def test_bytes_without_a_meaning_are_refused(image: Path, tmp_path: Path) -> None:
    with image.open("r+b") as stream:
        stream.seek(700_000)
        stream.write(b"something")
    with loop(image) as device:
        assert refusal(device, tmp_path) == "unknown_content"


def test_a_read_only_device_is_refused(image: Path, tmp_path: Path) -> None:
    must("mkfs.ext4", "-q", str(image))
    with loop(image, "--read-only") as device:
        assert refusal(device, tmp_path) == "read_only"


def test_a_read_only_mount_is_refused(image: Path, tmp_path: Path) -> None:
    must("mkfs.ext4", "-q", str(image))
    with mounted(image, tmp_path / "target") as target:
        must("mount", "-o", "remount,ro", str(target))
        params = {"mount_path": str(target), "role": "kafka", "node_id": 1, "owner": None}
        with pytest.raises(DeviceError) as error:
            data_volume_check.check_mount(params)
    assert error.value.reason == "read_only"


@pytest.mark.parametrize(("role", "reason"), [("kafka", "id_mismatch"), ("zookeeper", "wrong_role")])
def test_another_owners_data_are_refused(image: Path, tmp_path: Path, role: str, reason: str) -> None:
    must("mkfs.ext4", "-q", str(image))
    with mounted(image, tmp_path / "mnt") as root:
        write_meta(root, 7)
    with loop(image) as device:
        assert refusal(device, tmp_path, role=role) == reason


def test_a_file_that_is_only_in_the_journal_is_found(image: Path, tmp_path: Path) -> None:
    copy = crashed(image, tmp_path, 1)
    with loop(copy) as device:
        assert block_device.needs_replay(device, "ext4", run)
        # What the journal hides: without it the volume looks empty.
        assert look(device, tmp_path, check_mode=True)["state"] == "empty"
        found = look(device, tmp_path)
        assert (found["state"], found["cluster_ids"], found["journal_replayed"]) == ("owned", ["abc"], True)
        again = look(device, tmp_path)
        assert (again["state"], again["journal_replayed"]) == ("owned", False)
        assert block_device.mount_of_device(device) is None


def test_a_journal_that_names_another_owner_is_refused(image: Path, tmp_path: Path) -> None:
    """The one refusal with a write: the name stands in the journal alone, and whoever reads it has to replay it."""
    with loop(crashed(image, tmp_path, 7)) as device:
        notes = data_volume_check.Notes()
        params = {"mount_path": str(tmp_path / "target"), "role": "kafka", "node_id": 1, "filesystem": "ext4"}
        with pytest.raises(DeviceError) as error:
            data_volume_check.check_device(device, {**LIMITS, **params}, run, notes)
        assert (error.value.reason, notes.journal_replayed) == ("id_mismatch", True)


def dirty(image: Path, tmp_path: Path, broker: int) -> Path:
    """A disk whose node died long after its broker had written its id: the journal holds other things."""
    must(f"mkfs.{'xfs' if image.stat().st_size > SIZE else 'ext4'}", "-q", str(image))
    copy = tmp_path / "dirty.img"
    with mounted(image, tmp_path / "mnt") as root:
        write_meta(root, broker)
        must("fsfreeze", "--freeze", str(root))
        must("fsfreeze", "--unfreeze", str(root))
        (root / "data" / "newer").write_text("x")
        os.sync()
        shutil.copyfile(image, copy)
    return copy


def test_a_dirty_disk_of_another_broker_is_refused_without_a_replay(image: Path, tmp_path: Path) -> None:
    with loop(dirty(image, tmp_path, 7)) as device:
        assert block_device.needs_replay(device, "ext4", run)
        assert refusal(device, tmp_path) == "id_mismatch"


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A blank disk that is large enough for xfs."""
    path = tmp_path / "large.img"
    with path.open("wb") as stream:
        stream.truncate(320 << 20)
    return path


def test_xfs_is_looked_at_and_replayed_only_when_it_has_to_be(large: Path, tmp_path: Path) -> None:
    must("mkfs.xfs", "-q", str(large))
    with mounted(large, tmp_path / "mnt") as root:
        write_meta(root, 1)
    with loop(large) as device:
        before = digest(device)
        found = look(device, tmp_path, filesystem="xfs")
        assert (found["state"], found["journal_replayed"], digest(device)) == ("owned", False, before)
        assert refusal(device, tmp_path, filesystem="xfs", node_id=2) == "id_mismatch"
        assert refusal(device, tmp_path, filesystem="ext4") == "foreign_filesystem"


def test_a_dirty_xfs_is_replayed_for_its_owner_and_left_alone_for_others(large: Path, tmp_path: Path) -> None:
    copy = dirty(large, tmp_path, 1)
    with loop(copy) as device:
        assert refusal(device, tmp_path, filesystem="xfs", node_id=2) == "id_mismatch"
        assert look(device, tmp_path, filesystem="xfs")["journal_replayed"]
        assert not look(device, tmp_path, filesystem="xfs")["journal_replayed"]


def lvm() -> tuple[int, bytes]:
    """The label of a LVM physical volume, with the checksum that makes it one."""
    body = (32).to_bytes(4, "little") + b"LVM2 001" + b"A" * 32 + (SIZE).to_bytes(8, "little") + b"\0" * 16
    body = body.ljust(512 - 20, b"\0")
    crc = 0xF597A6CF
    for byte in body:
        crc ^= byte
        for _bit in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    return 512, b"LABELONE" + (1).to_bytes(8, "little") + crc.to_bytes(4, "little") + body


def raid() -> tuple[int, bytes]:
    """The superblock of a Linux RAID member, version 1.2."""
    block = bytearray(4096)
    block[0:8] = (0xA92B4EFC).to_bytes(4, "little") + (1).to_bytes(4, "little")
    block[16:32] = bytes(range(16))
    block[144:152] = (8).to_bytes(8, "little")
    return 4096, bytes(block)


def luks() -> tuple[int, bytes]:
    """The header of a LUKS volume, version 1."""
    header = b"LUKS\xba\xbe" + (1).to_bytes(2, "big") + b"aes".ljust(32, b"\0") + b"xts-plain64".ljust(32, b"\0")
    return 0, header.ljust(168, b"\0") + b"01234567-89ab-cdef-0123-456789abcdef".ljust(40, b"\0")


@pytest.mark.parametrize("signature", [lvm, raid, luks])
def test_a_part_of_something_larger_is_refused(
    image: Path, tmp_path: Path, signature: Callable[[], tuple[int, bytes]]
) -> None:
    offset, content = signature()
    with image.open("r+b") as stream:
        stream.seek(offset)
        stream.write(content)
    with loop(image) as device:
        assert refusal(device, tmp_path) == "foreign_filesystem"


def test_two_things_at_once_are_refused(image: Path, tmp_path: Path) -> None:
    must("mkfs.ext4", "-q", str(image))
    offset, content = luks()
    with image.open("r+b") as stream:
        stream.seek(offset)
        stream.write(content)
    with loop(image) as device:
        assert refusal(device, tmp_path) in ("unknown_content", "foreign_filesystem")


def test_a_filesystem_whose_start_was_wiped_is_not_blank(large: Path, tmp_path: Path) -> None:
    must("mkfs.ext4", "-q", "-F", str(large))
    with large.open("r+b") as stream:
        stream.write(b"\0" * (1 << 20))
    with loop(large) as device:
        assert refusal(device, tmp_path) == "unknown_content"


def test_recorded_errors_are_a_reason(image: Path, tmp_path: Path) -> None:
    must("mkfs.ext4", "-q", str(image))
    must("debugfs", "-w", "-R", "ssv state 3", str(image))
    with loop(image) as device:
        assert refusal(device, tmp_path) == "corrupt_filesystem"


def test_a_link_among_the_data_is_refused(image: Path, tmp_path: Path) -> None:
    must("mkfs.ext4", "-q", str(image))
    with mounted(image, tmp_path / "mnt") as root:
        (root / "data").symlink_to("/srv/kafka")
    with loop(image) as device:
        assert refusal(device, tmp_path) == "symlink"


def test_data_of_another_uid_are_refused(image: Path, tmp_path: Path) -> None:
    must("mkfs.ext4", "-q", str(image))
    with mounted(image, tmp_path / "mnt") as root:
        write_meta(root, 1)
        (root / "notes").touch()
        os.chown(root / "notes", 4712, 4712)
    with loop(image) as device:
        assert look(device, tmp_path, owner="root")["state"] == "owned", "what is beside the data does not count"
    with mounted(image, tmp_path / "mnt") as root:
        os.chown(root / "data" / "meta.properties", 4711, 4711)
    with loop(image) as device:
        assert look(device, tmp_path)["state"] == "owned"
        assert refusal(device, tmp_path, owner="root") == "wrong_owner"


@pytest.mark.parametrize("full_of", ["bytes", "inodes"])
def test_a_full_disk_is_refused(image: Path, tmp_path: Path, full_of: str) -> None:
    must("mkfs.ext4", "-q", "-N", "64", str(image))
    with mounted(image, tmp_path / "mnt") as root:
        write_meta(root, 1)
        if full_of == "bytes":
            left = os.statvfs(root)
            (root / "data" / "large").write_bytes(b"x" * (left.f_bavail * left.f_frsize - (1 << 20)))
        else:
            for number in range(os.statvfs(root).f_favail - 2):
                (root / "data" / f"small-{number}").touch()
    with loop(image) as device:
        assert refusal(device, tmp_path, free_min_bytes=4 << 20, free_min_inodes=8) == "volume_full"
        assert look(device, tmp_path)["state"] == "owned"


def test_another_disk_at_the_mount_point_is_refused(image: Path, tmp_path: Path) -> None:
    must("mkfs.ext4", "-q", str(image))
    other = tmp_path / "other.img"
    shutil.copyfile(image, other)
    must("tune2fs", "-U", "random", str(other))
    with mounted(other, tmp_path / "target"), loop(image) as device:
        assert refusal(device, tmp_path) == "mount_path_taken"
    with mounted(image, tmp_path / "elsewhere"):
        device = must("losetup", "--associated", str(image), "--output", "NAME", "--noheadings")
        assert refusal(device, tmp_path) == "mounted_elsewhere"


def test_files_that_the_mount_would_hide_are_a_reason(image: Path, tmp_path: Path) -> None:
    must("mkfs.ext4", "-q", str(image))
    (tmp_path / "target" / "data").mkdir(parents=True)
    with loop(image) as device:
        assert refusal(device, tmp_path) == "mount_path_not_empty"


def test_a_journal_is_left_alone_on_a_device_that_is_refused(image: Path, tmp_path: Path) -> None:
    copy = crashed(image, tmp_path, 1)
    before = copy.read_bytes()
    with loop(copy) as device:
        assert refusal(device, tmp_path, filesystem="xfs") == "foreign_filesystem"
    assert copy.read_bytes() == before


def test_a_damaged_directory_is_a_reason(image: Path, tmp_path: Path) -> None:
    must("mkfs.ext4", "-q", "-b", "4096", str(image))
    with mounted(image, tmp_path / "mnt") as root:
        write_meta(root, 1)
    block = int(must("debugfs", "-R", "blocks /data", str(image)).split()[0])
    with image.open("r+b") as stream:
        stream.seek(block * 4096)
        stream.write(b"\xff" * 4096)
    with loop(image) as device:
        assert refusal(device, tmp_path) == "corrupt_filesystem"


def test_a_filesystem_that_cannot_be_mounted_is_a_reason(image: Path, tmp_path: Path) -> None:
    must("mkfs.ext4", "-q", str(image))
    must("debugfs", "-w", "-R", "clri <2>", str(image))
    with loop(image) as device:
        assert refusal(device, tmp_path) == "mount_failed"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("mysql/ibdata1", "unknown_content"),
        ("meta.properties", "data_elsewhere"),
        ("kafka/logs/meta.properties", "data_elsewhere"),
    ],
)
def test_data_that_the_service_would_not_find_are_refused(image: Path, tmp_path: Path, path: str, reason: str) -> None:
    must("mkfs.ext4", "-q", str(image))
    with mounted(image, tmp_path / "mnt") as root:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("broker.id=1\ncluster.id=abc\n")
    with loop(image) as device:
        assert refusal(device, tmp_path) == reason


def test_a_boot_that_stopped_before_the_first_start_left_an_empty_volume(image: Path, tmp_path: Path) -> None:
    must("mkfs.ext4", "-q", str(image))
    with loop(image) as device:
        assert look(device, tmp_path)["state"] == "empty"
    with mounted(image, tmp_path / "mnt") as root:
        (root / "data").mkdir()
        (root / "data" / ".lock").touch()
    with loop(image) as device:
        assert look(device, tmp_path)["state"] == "empty"


def test_a_copy_beside_its_original_is_refused(image: Path, tmp_path: Path) -> None:
    must("mkfs.ext4", "-q", str(image))
    copy = tmp_path / "copy.img"
    shutil.copyfile(image, copy)
    with loop(image) as device:
        with loop(copy) as other:
            assert {refusal(device, tmp_path), refusal(other, tmp_path)} == {"duplicate_uuid"}
        assert look(device, tmp_path)["state"] == "empty"
