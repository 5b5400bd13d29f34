# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(data_volume_check) on real loop devices: each refusal as blkid and the kernel bring it about."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import block_device
from ansible_collections.holdfast.kafka.plugins.module_utils.block_device import DeviceError
from ansible_collections.holdfast.kafka.plugins.modules import data_volume_check

pytestmark = pytest.mark.lab
SIZE = 64 << 20


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
    everything = {**wanted, "uuid_timeout_seconds": 0, **params}
    result = data_volume_check.check_device(device, everything, run, notes, check_mode=check_mode)
    return {**result, "journal_replayed": notes.journal_replayed}


@pytest.fixture(autouse=True)
def _without_udev(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_device, "wait_for_uuid_link", lambda _uuid, _seconds: None)


def refusal(device: str, tmp_path: Path, **params: Any) -> str:
    """The reason for which a device is refused."""
    with pytest.raises(DeviceError) as error:
        look(device, tmp_path, **params)
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
        params = {"mount_path": str(target), "role": "kafka", "node_id": 1}
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
        assert block_device.needs_replay(device, "ext4")
        # What the journal hides: without it the volume looks empty.
        assert look(device, tmp_path, check_mode=True)["state"] == "empty"
        found = look(device, tmp_path)
        assert (found["state"], found["cluster_ids"], found["journal_replayed"]) == ("owned", ["abc"], True)
        again = look(device, tmp_path)
        assert (again["state"], again["journal_replayed"]) == ("owned", False)
        assert block_device.mount_of_device(device) is None


def test_a_journal_that_names_another_owner_is_refused(image: Path, tmp_path: Path) -> None:
    with loop(crashed(image, tmp_path, 7)) as device:
        assert refusal(device, tmp_path) == "id_mismatch"


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
        assert refusal(device, tmp_path) == "read_failed"


def test_a_filesystem_that_cannot_be_mounted_is_a_reason(image: Path, tmp_path: Path) -> None:
    must("mkfs.ext4", "-q", str(image))
    must("debugfs", "-w", "-R", "clri <2>", str(image))
    with loop(image) as device:
        assert refusal(device, tmp_path) == "mount_failed"
