# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What blkid and mountinfo say, and what a tree of files says about its owner."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import block_device
from ansible_collections.holdfast.kafka.plugins.module_utils.block_device import DeviceError, Probe


def test_a_filesystem_is_read_from_blkid():
    found = block_device.parse_blkid("DEVNAME=/dev/x\nUUID=abc\nTYPE=ext4\nUSAGE=filesystem\n")
    assert (found.filesystem, found.uuid, found.partition_table, found.blank) == ("ext4", "abc", "", False)


def test_a_partition_table_is_not_blank():
    assert not block_device.parse_blkid("PTUUID=1\nPTTYPE=gpt\n").blank


def test_only_zeroes_are_blank():
    assert Probe(zeroed=True).blank
    assert not Probe(zeroed=False).blank


def test_mountinfo_tells_what_is_read_only():
    text = (
        "36 35 98:0 / /var/lib/kafka/0 rw,noatime shared:1 - ext4 /dev/nvme1n1 rw\n"
        "37 35 98:1 / /mnt/with\\040space rw - ext4 /dev/nvme2n1 ro,errors=remount-ro\n"
    )
    first, second = block_device.parse_mountinfo(text)
    assert (first.source, first.path, first.read_only) == ("/dev/nvme1n1", "/var/lib/kafka/0", False)
    assert (second.path, second.read_only) == ("/mnt/with space", True)


@pytest.mark.parametrize(
    "offset",
    [
        0,
        700_000,
        199_999_999,
        199_100_000,
        *block_device.BACKUP_SUPERBLOCKS,
        *(200_000_000 * n // block_device.SAMPLES for n in (1, 40)),
    ],
)
def test_a_wiped_start_makes_no_disk_unused(tmp_path, offset):
    path = tmp_path / "device"
    with path.open("wb") as stream:
        stream.truncate(200_000_000)
    assert block_device.is_zeroed(str(path))
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"x")
    assert not block_device.is_zeroed(str(path))


def test_a_small_disk_is_read_to_its_end(tmp_path):
    path = tmp_path / "device"
    path.write_bytes(b"\0" * 200_000)
    assert block_device.is_zeroed(str(path))
    path.write_bytes(b"\0" * 199_999 + b"x")
    assert not block_device.is_zeroed(str(path))


def test_a_missing_device_and_a_plain_file_are_refused(tmp_path):
    with pytest.raises(DeviceError) as missing:
        block_device.require_block_device(str(tmp_path / "none"))
    assert missing.value.reason == "device_missing"
    (tmp_path / "file").touch()
    with pytest.raises(DeviceError) as plain:
        block_device.require_block_device(str(tmp_path / "file"))
    assert plain.value.reason == "not_a_block_device"


def test_a_link_that_never_comes_is_a_reason():
    with pytest.raises(DeviceError) as error:
        block_device.wait_for_uuid_link("00000000-dead-dead-dead-000000000000", 0)
    assert error.value.reason == "uuid_link_missing"


@pytest.mark.parametrize(("code", "reason"), [(4, "probe_failed"), (8, "unknown_content")])
def test_a_device_that_blkid_cannot_tell_is_refused(monkeypatch, code, reason):
    monkeypatch.setattr(block_device, "require_block_device", lambda _device: None)
    with pytest.raises(DeviceError) as error:
        block_device.probe("/dev/x", lambda _argv: (code, "", ""))
    assert error.value.reason == reason


def test_nothing_found_asks_the_bytes(monkeypatch):
    monkeypatch.setattr(block_device, "require_block_device", lambda _device: None)
    monkeypatch.setattr(block_device, "is_zeroed", lambda _device: False)
    found = block_device.probe("/dev/x", lambda _argv: (2, "", ""))
    assert (found.filesystem, found.blank) == ("", False)


def test_content_is_found_in_directories(tmp_path):
    (tmp_path / "lost+found").mkdir()
    data = tmp_path / "data"
    data.mkdir()
    assert block_device.read_content(str(tmp_path)).blank
    (data / "meta.properties").write_text("broker.id=3\n")
    assert block_device.read_content(str(tmp_path)).kafka_meta == {"data": "broker.id=3\n"}


def test_data_without_an_owner_are_orphans(tmp_path):
    partition = tmp_path / "data" / "orders-0"
    partition.mkdir(parents=True)
    (partition / "00000000000000000000.log").touch()
    version = tmp_path / "zk" / "version-2"
    version.mkdir(parents=True)
    (version / "log.1").touch()
    content = block_device.read_content(str(tmp_path))
    assert content.kafka_orphans == ("data/orders-0",)
    assert content.zookeeper_orphans == ("zk/version-2",)
    assert not content.blank


def test_a_database_is_told_from_an_empty_data_directory(tmp_path):
    version = tmp_path / "data" / "version-2"
    version.mkdir(parents=True)
    (tmp_path / "data" / "myid").write_text("1\n")
    (version / "currentEpoch").write_text("0")
    assert block_device.read_content(str(tmp_path)).zookeeper_databases == ()
    (version / "snapshot.0").touch()
    assert block_device.read_content(str(tmp_path)).zookeeper_databases == ("data",)


def test_what_the_kernel_cannot_read_is_a_reason(tmp_path):
    for look in (block_device.read_content, block_device.mount_of_device, block_device.is_zeroed):
        with pytest.raises(DeviceError) as error:
            look(str(tmp_path / "none"))
        assert error.value.reason == "read_failed"


@pytest.mark.parametrize(
    ("number", "reason"), [(5, "read_failed"), (117, "corrupt_filesystem"), (74, "corrupt_filesystem")]
)
def test_a_damaged_filesystem_is_told_from_a_failing_device(number, reason):
    with pytest.raises(DeviceError) as error, block_device.reading("/dev/x"):
        raise OSError(number, "what the kernel says")
    assert error.value.reason == reason


def test_links_and_owners_are_seen_and_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "meta.properties").write_text("broker.id=3\n")
    volume = tmp_path / "volume"
    (volume / "data" / "orders-0").mkdir(parents=True)
    (volume / "data" / "meta.properties").symlink_to(outside / "meta.properties")
    (volume / "more").symlink_to(outside)
    content = block_device.read_content(str(volume))
    assert content.links == (f"data/meta.properties -> {outside}/meta.properties", f"more -> {outside}")
    assert (content.kafka_meta, content.owners) == ({}, {})
    assert content.free_bytes > 0


def test_only_the_data_have_an_owner_that_counts(tmp_path):
    (tmp_path / "data" / "orders-0").mkdir(parents=True)
    (tmp_path / "data" / "meta.properties").write_text("broker.id=3\n")
    (tmp_path / "notes").touch()
    assert block_device.read_content(str(tmp_path)).owners == {tmp_path.stat().st_uid: "data"}
    (tmp_path / "data" / "meta.properties").unlink()
    assert block_device.read_content(str(tmp_path)).owners == {}


def nothing_run(_argv):
    raise AssertionError("no command is needed")


def superblock(tmp_path, magic: int, incompat: int, state: int = 1) -> str:
    block = bytearray(4096)
    block[1024 + 0x38 : 1024 + 0x3A] = magic.to_bytes(2, "little")
    block[1024 + 0x3A : 1024 + 0x3C] = state.to_bytes(2, "little")
    block[1024 + 0x60 : 1024 + 0x64] = incompat.to_bytes(4, "little")
    path = tmp_path / "device"
    path.write_bytes(block)
    return str(path)


@pytest.mark.parametrize(("incompat", "needed"), [(0x2C2, False), (0x2C6, True)])
def test_ext4_says_whether_its_journal_is_due(tmp_path, incompat, needed):
    assert block_device.needs_replay(superblock(tmp_path, 0xEF53, incompat), "ext4", nothing_run) is needed


@pytest.mark.parametrize(
    ("code", "said", "needed"),
    [
        (0, "log tail: 14 head: 14 state: <CLEAN>", False),
        (0, "log tail: 2 head: 8 state: <DIRTY>", True),
        (0, "", True),
        (2, "No such file or directory", True),
    ],
)
def test_xfs_that_does_not_say_clean_is_replayed(code, said, needed):
    assert block_device.needs_replay("/dev/none", "xfs", lambda _argv: (code, said, "")) is needed


@pytest.mark.parametrize(
    ("magic", "state", "reason"),
    [(0, 1, "probe_failed"), (0xEF53, 2, "corrupt_filesystem"), (0xEF53, 3, "corrupt_filesystem")],
)
def test_a_superblock_that_is_none_or_tells_errors_is_refused(tmp_path, magic, state, reason):
    with pytest.raises(DeviceError) as error:
        block_device.needs_replay(superblock(tmp_path, magic, 0, state), "ext4", nothing_run)
    assert error.value.reason == reason


def fill(root, *paths: str) -> None:
    """Make files, and directories where the path ends with a slash."""
    for path in paths:
        if path.endswith("/"):
            (root / path).mkdir(parents=True, exist_ok=True)
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text("x")


@pytest.mark.parametrize(
    "paths",
    [
        (),
        ("lost+found/",),
        ("lost+found/", "data/"),
        ("data/version-2/",),
        ("data/.ansible_tmpx1myid",),
        ("data/.lock", "data/recovery-point-offset-checkpoint", "data/log-start-offset-checkpoint.tmp"),
        ("data/.lock", "data/cleaner-offset-checkpoint", "data/.kafka_cleanshutdown", "data/meta.properties.tmp"),
    ],
)
def test_what_a_start_without_data_leaves_is_no_stranger(tmp_path, paths):
    fill(tmp_path, *paths)
    content = block_device.read_content(str(tmp_path))
    assert (content.blank, content.strangers) == (True, ())


@pytest.mark.parametrize(
    ("path", "stranger"),
    [
        ("mysql/ibdata1", "mysql"),
        ("home.tar", "home.tar"),
        ("mysql/", "mysql"),
        ("a/b/c/data/meta.properties", "a"),
        ("data", "data"),
        ("data/ibdata1", "data/ibdata1"),
        ("data/orders-0/", "data/orders-0"),
        ("data/.lock/", "data/.lock"),
        ("lost+found/#12", "lost+found/#12"),
    ],
)
def test_everything_else_is_a_stranger(tmp_path, path, stranger):
    fill(tmp_path, path)
    content = block_device.read_content(str(tmp_path))
    assert (content.blank, content.strangers) == (True, (stranger,))


def test_data_two_deep_are_found_and_the_service_is_not_begun_beside_them(tmp_path):
    fill(tmp_path, "kafka/logs/meta.properties", "zk/1/myid", "old/zk/version-2/log.1", "more/logs/orders-0/0.log")
    content = block_device.read_content(str(tmp_path))
    assert (list(content.kafka_meta), list(content.zookeeper_myid)) == (["kafka/logs"], ["zk/1"])
    assert content.zookeeper_orphans == ("old/zk/version-2",)
    assert content.kafka_orphans == ("more/logs/orders-0",)


def test_a_brokers_partitions_are_not_looked_into(tmp_path):
    fill(tmp_path, "data/meta.properties", "data/orders-0/meta.properties")
    assert list(block_device.read_content(str(tmp_path)).kafka_meta) == ["data"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((2, "", ""), None),
        ((0, "/dev/null\n", ""), None),
        ((0, "/dev/null\n/dev/zero\n", ""), "duplicate_uuid"),
        ((0, "/dev/zero\n", ""), "duplicate_uuid"),
        ((4, "", "usage"), "probe_failed"),
    ],
)
def test_a_uuid_of_two_devices_is_refused(answer, reason):
    if reason is None:
        block_device.require_single("abc", "/dev/null", lambda _argv: answer)
        return
    with pytest.raises(DeviceError) as error:
        block_device.require_single("abc", "/dev/null", lambda _argv: answer)
    assert error.value.reason == reason
