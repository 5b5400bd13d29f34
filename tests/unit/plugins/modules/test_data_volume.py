# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""data_volume_check and data_volume_format: every refusal, and that nothing is written before it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.kafka.plugins.module_utils import block_device, volume_refusals
from ansible_collections.holdfast.kafka.plugins.module_utils.block_device import DeviceError, Mount, Probe
from ansible_collections.holdfast.kafka.plugins.module_utils.volume_content import DATA_DIRECTORY, Content
from ansible_collections.holdfast.kafka.plugins.modules import data_volume_check, data_volume_format

from tests.unit.plugins.modules.in_process import run_module

DEVICE, PATH, UUID = "/dev/nvme1n1", "/var/lib/kafka/0", "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
CHECK = {"device_path": DEVICE, "mount_path": PATH, "role": "kafka", "node_id": 1}
FORMAT = {"device_path": DEVICE, "uuid": UUID}
ROOM: dict[str, Any] = {"free_bytes": 10**9, "free_inodes": 10**5}
OURS = Content(kafka_meta={"data": "broker.id=1\ncluster.id=abc\n"}, owners={0: "data"}, **ROOM)


class Host:
    """A host with one device: what is on it, where it is mounted, which commands were run."""

    def __init__(self) -> None:
        self.probe: Probe | DeviceError = Probe("ext4", UUID)
        self.content: Content | DeviceError = OURS
        self.unreplayed: Content | DeviceError | None = None
        self.dirty = False
        self.copies: set[str] = set()
        self.options: list[str] = []
        self.device_mount: Mount | None = None
        self.path_mount: Mount | None = None
        self.answers = {"blockdev": (0, "0\n", ""), "mount": (0, "", ""), "umount": (0, "", "")}
        self.ran: list[str] = []

    def look(self, _device: str, _run: Any) -> Probe:
        """Answer as blkid."""
        if isinstance(self.probe, DeviceError):
            raise self.probe
        return self.probe

    def single(self, uuid: str, device: str, _run: Any) -> None:
        """Answer as a scan of all devices."""
        if uuid in self.copies:
            raise DeviceError("duplicate_uuid", f"{device} and /dev/copy have the same UUID")

    def read(self, _root: str, _data_directory: str) -> Content:
        """Answer as a mounted filesystem."""
        early = self.unreplayed is not None and not self.options[-1].startswith("rw")
        content = self.unreplayed if early and self.unreplayed is not None else self.content
        if isinstance(content, DeviceError):
            raise content
        return content

    def run(self, argv: list[str], **_options: Any) -> tuple[int, str, str]:
        """Answer as a command."""
        self.ran.append(argv[0])
        if argv[0] == "mount":
            self.options.append(argv[4])
        return self.answers.get(argv[0], (0, "", ""))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """Put the host in the place of this machine."""
    found = Host()
    monkeypatch.setattr(block_device, "probe", found.look)
    monkeypatch.setattr(block_device, "read_content", found.read)
    monkeypatch.setattr(block_device, "require_single", found.single)
    monkeypatch.setattr(block_device, "mount_of_device", lambda _device: found.device_mount)
    monkeypatch.setattr(block_device, "mounted_at", lambda _path: found.path_mount)
    monkeypatch.setattr(block_device, "needs_replay", lambda _device, _filesystem, _run: found.dirty)
    monkeypatch.setattr(block_device, "wait_for_uuid_link", lambda _uuid, _seconds: None)
    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.run_command", found.run)
    return found


def test_the_brokers_own_volume_is_owned(host: Host) -> None:
    result = run_module(data_volume_check, CHECK)
    assert (result["changed"], result["state"], result["uuid"], result["mounted"]) == (False, "owned", UUID, False)
    assert result["cluster_ids"] == ["abc"]
    assert host.ran == ["blockdev", "blockdev", "mount", "umount", "blockdev"]


def test_a_mounted_volume_is_read_where_it_is(host: Host) -> None:
    host.device_mount = Mount(DEVICE, PATH, "ext4", read_only=False)
    assert run_module(data_volume_check, CHECK)["mounted"]
    assert host.ran == ["blockdev"]


def test_blank_and_empty_are_told_apart(host: Host) -> None:
    host.content = Content()
    assert run_module(data_volume_check, CHECK)["state"] == "empty"
    host.probe = Probe(zeroed=True)
    assert run_module(data_volume_check, CHECK)["state"] == "blank"


@pytest.mark.parametrize(
    ("situation", "reason"),
    [
        ({"probe": Probe(partition_table="gpt")}, "partition_table"),
        ({"probe": Probe("xfs", UUID)}, "foreign_filesystem"),
        ({"probe": Probe()}, "unknown_content"),
        ({"probe": DeviceError("device_missing", "gone")}, "device_missing"),
        ({"answers": {"blockdev": (0, "1\n", "")}}, "read_only"),
        ({"answers": {"blockdev": (0, "0\n", ""), "mount": (32, "", "bad superblock")}}, "mount_failed"),
        ({"answers": {"blockdev": (0, "0\n", ""), "umount": (32, "", "busy")}}, "unmount_failed"),
        ({"device_mount": Mount(DEVICE, "/mnt", "ext4", read_only=False)}, "mounted_elsewhere"),
        ({"device_mount": Mount(DEVICE, PATH, "ext4", read_only=True)}, "read_only"),
        ({"path_mount": Mount("/dev/other", PATH, "ext4", read_only=False)}, "mount_path_taken"),
        ({"content": Content(kafka_meta={"data": "broker.id=2\n"})}, "id_mismatch"),
        ({"content": Content(zookeeper_myid={"data": "1"})}, "wrong_role"),
        ({"content": Content(kafka_meta={"kafka-logs": "broker.id=1\n"}, **ROOM)}, "data_elsewhere"),
        ({"content": Content(strangers=("mysql",), **ROOM)}, "unknown_content"),
        ({"copies": {UUID}}, "duplicate_uuid"),
        ({"content": DeviceError("read_failed", "Input/output error")}, "read_failed"),
        ({"content": DeviceError("corrupt_filesystem", "Structure needs cleaning")}, "corrupt_filesystem"),
        ({"content": Content(links=("data -> /srv",), **ROOM)}, "symlink"),
        ({"content": replace(OURS, owners={0: "data", 1001: "data/orders-0"})}, "wrong_owner"),
        ({"content": replace(OURS, free_bytes=99)}, "volume_full"),
        ({"content": replace(OURS, free_inodes=9)}, "volume_full"),
    ],
)
def test_each_refusal(host: Host, situation: dict[str, Any], reason: str) -> None:
    vars(host).update(situation)
    result = run_module(data_volume_check, {**CHECK, "owner": "root", "free_min_bytes": 100, "free_min_inodes": 10})
    assert (result["failed"], result["reason"]) == (True, reason)
    assert "Nothing was changed" in result["msg"]
    assert volume_refusals.advice(reason) in result["msg"]
    # Only what the volume carries is the same for the next instance.
    assert result.get("give_up") is (False if reason in volume_refusals.KEPT else None)


def test_nobody_is_compared_unless_asked(host: Host) -> None:
    host.content = replace(OURS, owners={1001: "data"}, free_bytes=0, free_inodes=0)
    assert run_module(data_volume_check, CHECK)["state"] == "owned"
    assert run_module(data_volume_check, {**CHECK, "owner": "nobody-of-this-host"})["reason"] == "bad_parameter"


@pytest.mark.parametrize(("module", "arguments"), [(data_volume_check, CHECK), (data_volume_format, FORMAT)])
def test_an_endless_wait_is_refused_before_anything_is_done(
    host: Host, module: ModuleType, arguments: dict[str, Any]
) -> None:
    host.probe = Probe(zeroed=True)
    result = run_module(module, {**arguments, "uuid_timeout_seconds": "nan"})
    assert (result["failed"], result.get("reason"), host.ran) == (True, "bad_parameter", [])


def test_an_empty_volume_belongs_to_nobody_yet(host: Host) -> None:
    host.content = Content(owners={1001: "notes"}, **ROOM)
    assert run_module(data_volume_check, {**CHECK, "owner": "root"})["state"] == "empty"


def test_a_mount_point_must_be_an_empty_directory(host: Host, tmp_path: Path) -> None:
    point = tmp_path / "0"
    point.mkdir()
    (point / "data").mkdir()
    assert run_module(data_volume_check, {**CHECK, "mount_path": str(point)})["reason"] == "mount_path_not_empty"
    (tmp_path / "link").symlink_to(point)
    assert run_module(data_volume_check, {**CHECK, "mount_path": str(tmp_path / "link")})["reason"] == "symlink"
    assert "mount" not in host.ran
    (point / "data").rmdir()
    assert run_module(data_volume_check, {**CHECK, "mount_path": str(point)})["state"] == "owned"


def test_every_reason_has_its_line_in_the_role() -> None:
    """To write it again: python -c 'print("\\n".join(volume_refusals.table()))' with the collection on the path."""
    text = (Path(__file__).parents[4] / "roles" / "data_volume" / "README.md").read_text(encoding="utf-8")
    first = text.index("| reason | what is wrong | what to do |")
    assert text[first : text.index("\n\n", first)].splitlines() == volume_refusals.table()
    documented = set(
        re.findall(r"V\(([a-z_]+)\)", data_volume_check.RETURN[data_volume_check.RETURN.index("reason:") :])
    )
    assert set(volume_refusals.BY_REASON) - documented == set()


def test_a_journal_is_replayed_before_its_filesystem_is_judged(host: Host) -> None:
    run_module(data_volume_check, CHECK)
    host.dirty = True
    result = run_module(data_volume_check, CHECK)
    assert (result["changed"], result["journal_replayed"], result["state"]) == (True, True, "owned")
    assert [options.split(",")[0] for options in host.options] == ["ro", "ro", "rw"]
    assert not run_module(data_volume_check, CHECK, check=True)["changed"]
    assert host.options[3] == "ro,noload"


@pytest.mark.parametrize("early", [Content(), DeviceError("corrupt_filesystem", "half a change"), OURS])
def test_what_only_the_journal_tells_is_refused_after_the_replay(host: Host, early: Content | DeviceError) -> None:
    host.dirty, host.unreplayed, host.content = True, early, Content(kafka_meta={"data": "broker.id=2\n"})
    result = run_module(data_volume_check, CHECK)
    assert (result["reason"], result["journal_replayed"]) == ("id_mismatch", True)
    assert "Its journal was replayed, no file was changed" in result["msg"]


def test_what_names_another_owner_without_its_journal_is_refused_unreplayed(host: Host) -> None:
    host.dirty, host.content = True, Content(kafka_meta={"data": "broker.id=2\n"})
    result = run_module(data_volume_check, CHECK)
    assert (result["reason"], result["journal_replayed"]) == ("id_mismatch", False)
    assert host.options == ["ro,noload"]


def test_no_journal_is_replayed_on_a_refused_device(host: Host) -> None:
    host.dirty, host.probe = True, Probe("xfs", UUID)
    assert run_module(data_volume_check, CHECK)["journal_replayed"] is False
    assert host.ran == []


def test_what_lies_below_a_mount_that_stays_is_not_deleted(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    private = tmp_path / "private"

    def mkdtemp(**_options: Any) -> str:
        private.mkdir()
        (private / "data").mkdir()
        return str(private)

    monkeypatch.setattr(data_volume_check.tempfile, "mkdtemp", mkdtemp)
    host.dirty, host.answers = True, {"blockdev": (0, "0\n", ""), "umount": (32, "", "busy")}
    assert run_module(data_volume_check, CHECK)["reason"] == "unmount_failed"
    assert (private / "data").is_dir()


def test_without_a_device_the_mount_is_judged(host: Host) -> None:
    arguments = {key: value for key, value in CHECK.items() if key != "device_path"}
    assert run_module(data_volume_check, arguments)["reason"] == "not_mounted"
    host.path_mount = Mount(DEVICE, PATH, "ext4", read_only=True)
    assert run_module(data_volume_check, arguments)["reason"] == "read_only"
    host.path_mount = Mount(DEVICE, PATH, "ext4", read_only=False)
    assert run_module(data_volume_check, arguments)["state"] == "owned"


def test_after_the_mount_it_is_this_device_that_is_mounted(host: Host) -> None:
    arguments = {**CHECK, "mount_required": True}
    assert run_module(data_volume_check, arguments)["reason"] == "not_mounted"
    host.path_mount = Mount("/dev/copy", PATH, "ext4", read_only=False)
    assert run_module(data_volume_check, arguments)["reason"] == "mount_path_taken"
    host.path_mount = host.device_mount = Mount(DEVICE, PATH, "ext4", read_only=False)
    assert run_module(data_volume_check, arguments)["mounted"]


def test_a_database_counts_only_where_the_server_looks_for_it(host: Host) -> None:
    server = {**CHECK, "role": "zookeeper"}
    for place, told in (("data", True), ("data/old", False)):
        host.content = Content(zookeeper_myid={"data": "1"}, zookeeper_databases=(place,))
        assert run_module(data_volume_check, server)["zookeeper_database"] is told


def test_the_services_use_the_directory_that_is_looked_at() -> None:
    roles = Path(__file__).parents[4] / "roles"
    named = {
        "kafka": "__kafka_data_directory",
        "zookeeper": "__zookeeper_volume_directory",
        "data_volume": "__data_volume_data_directory",
    }
    for role, variable in named.items():
        variables = yaml.safe_load((roles / role / "vars" / "main.yml").read_text(encoding="utf-8"))
        assert variables[variable] == DATA_DIRECTORY


def test_a_blank_device_gets_a_filesystem(host: Host) -> None:
    host.probe = Probe(zeroed=True)
    result = run_module(data_volume_format, FORMAT)
    assert result["changed"]
    assert host.ran == ["mkfs.ext4"]
    run_module(data_volume_format, {**FORMAT, "filesystem": "xfs"})
    assert host.ran == ["mkfs.ext4", "mkfs.xfs"]


def test_check_mode_formats_nothing(host: Host) -> None:
    host.probe = Probe(zeroed=True)
    result = run_module(data_volume_format, FORMAT, check=True, diff=True)
    assert result["changed"]
    assert UUID in result["diff"]["after"]
    assert host.ran == []


def test_a_second_format_changes_nothing(host: Host) -> None:
    assert not run_module(data_volume_format, FORMAT)["changed"]
    assert host.ran == []


@pytest.mark.parametrize(
    ("situation", "reason"),
    [
        ({"probe": Probe("ext4", "another")}, "not_blank"),
        ({"probe": Probe(partition_table="gpt")}, "not_blank"),
        ({"probe": Probe()}, "not_blank"),
        ({"probe": DeviceError("probe_failed", "?")}, "probe_failed"),
        ({"probe": Probe(zeroed=True), "copies": {UUID}}, "duplicate_uuid"),
        ({"probe": Probe(zeroed=True), "answers": {"mkfs.ext4": (1, "", "no space")}}, "mkfs_failed"),
    ],
)
def test_each_refusal_to_format(host: Host, situation: dict[str, Any], reason: str) -> None:
    vars(host).update(situation)
    result = run_module(data_volume_format, FORMAT)
    assert (result["failed"], result["reason"]) == (True, reason)
