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


def test_zeroes_are_looked_for_to_the_end(tmp_path):
    path = tmp_path / "device"
    path.write_bytes(b"\0" * 200_000)
    assert block_device.starts_with_zeroes(str(path))
    path.write_bytes(b"\0" * 199_999 + b"x")
    assert not block_device.starts_with_zeroes(str(path))


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


@pytest.mark.parametrize(("code", "reason"), [(4, "probe_failed"), (8, "probe_failed")])
def test_an_ambivalent_device_is_refused(monkeypatch, code, reason):
    monkeypatch.setattr(block_device, "require_block_device", lambda _device: None)
    with pytest.raises(DeviceError) as error:
        block_device.probe("/dev/x", lambda _argv: (code, "", ""))
    assert error.value.reason == reason


def test_nothing_found_asks_the_first_bytes(monkeypatch):
    monkeypatch.setattr(block_device, "require_block_device", lambda _device: None)
    monkeypatch.setattr(block_device, "starts_with_zeroes", lambda _device: False)
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
    for look in (block_device.read_content, block_device.mount_of_device, block_device.starts_with_zeroes):
        with pytest.raises(DeviceError) as error:
            look(str(tmp_path / "none"))
        assert error.value.reason == "read_failed"


def superblock(tmp_path, magic: int, incompat: int) -> str:
    block = bytearray(4096)
    block[1024 + 0x38 : 1024 + 0x3A] = magic.to_bytes(2, "little")
    block[1024 + 0x60 : 1024 + 0x64] = incompat.to_bytes(4, "little")
    path = tmp_path / "device"
    path.write_bytes(block)
    return str(path)


@pytest.mark.parametrize(("incompat", "needed"), [(0x2C2, False), (0x2C6, True)])
def test_ext4_says_whether_its_journal_is_due(tmp_path, incompat, needed):
    assert block_device.needs_replay(superblock(tmp_path, 0xEF53, incompat), "ext4") is needed


def test_xfs_is_always_asked_to_replay():
    assert block_device.needs_replay("/dev/none", "xfs")


def test_a_superblock_that_is_none_is_refused(tmp_path):
    with pytest.raises(DeviceError) as error:
        block_device.needs_replay(superblock(tmp_path, 0, 0), "ext4")
    assert error.value.reason == "probe_failed"
