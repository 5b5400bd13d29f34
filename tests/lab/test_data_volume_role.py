# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role data_volume on real disks, with a mount table and an fstab of its own, without an instance."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.lab
ROOT = Path(__file__).resolve().parents[2]
#: Ansible's namespace for the filter to_uuid, from which a filesystem's UUID follows.
NAMESPACE = uuid.UUID("361E6D51-FAEC-444A-9079-341386DA8E2E")
SIZE = 128 << 20
#: A private mount table, in which fstab and udev's links are the test's own.
ENTER = """set -e
mount --make-rprivate /
mount --bind "$1" /etc/fstab
mkdir -p /dev/disk
mount -t tmpfs none /dev/disk
mkdir /dev/disk/by-uuid
shift
while [ "$1" != -- ]; do ln -s "$2" "/dev/disk/by-uuid/$1"; shift 2; done
shift
exec "$@"
"""


def must(*argv: str) -> str:
    """Run a command that has to succeed; return what it printed."""
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


class Host:
    """Two disks, and what a node would do with them; each run begins with nothing mounted, as after a reboot."""

    def __init__(self, directory: Path, devices: list[str]) -> None:
        self.directory = directory
        self.volumes: list[dict[str, Any]] = [
            {"index": index, "id": f"vol-{index}", "device_path": device} for index, device in enumerate(devices)
        ]
        self.fstab = directory / "fstab"
        self.fstab.touch()

    def play(self, *runs: dict[str, Any], also: list[dict[str, Any]] | None = None) -> tuple[int, str]:
        """Run the role once for each of ``runs``, then ``also``, in one private mount table."""
        given = {
            "data_volume_role": "kafka",
            "data_volume_node_id": 3,
            "data_volume_volumes": self.volumes,
            "data_volume_mount_root": str(self.directory / "kafka"),
            "data_volume_owner": "root",
            "data_volume_group": "root",
            "data_volume_zookeeper_hosts": [],
            "data_volume_filesystem_options": ["-N", "4096"],
        }
        role = {"name": "holdfast.kafka.data_volume"}
        tasks = [{"ansible.builtin.include_role": role, "vars": {**given, **run}} for run in runs]
        variables = {"ansible_python_interpreter": sys.executable}
        body = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables}
        links = [part for item in self.volumes for part in (self._uuid(item["id"]), item["device_path"])]
        ansible = str(Path(sys.executable).with_name("ansible-playbook"))
        command = ["unshare", "--mount", "sh", "-c", ENTER, "sh", str(self.fstab), *map(str, links), "--"]
        done = subprocess.run(
            [*command, ansible, "/dev/stdin", "-i", "localhost,"],
            check=False,
            input=json.dumps([{**body, "tasks": [*tasks, *(also or [])]}]),
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            timeout=240,
        )
        return done.returncode, done.stdout + done.stderr

    @staticmethod
    def _uuid(volume_id: str) -> str:
        return str(uuid.uuid5(NAMESPACE, volume_id))

    def format(self) -> None:
        """Make the filesystems, as the role would have made them."""
        for item in self.volumes:
            must("mkfs.ext4", "-q", "-N", "4096", "-U", self._uuid(item["id"]), item["device_path"])

    def write(self, index: int, owner: int = 0, broker: int = 3) -> None:
        """Leave what a broker leaves on one of the volumes."""
        point = self.directory / f"by-hand-{index}"
        point.mkdir()
        must("mount", str(self.volumes[index]["device_path"]), str(point))
        try:
            (point / "data").mkdir()
            (point / "data" / "meta.properties").write_text(f"version=0\nbroker.id={broker}\ncluster.id=abc\n")
            for path in (point / "data", point / "data" / "meta.properties"):
                os.chown(path, owner, owner)
        finally:
            must("umount", str(point))
            point.rmdir()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host with two blank disks."""
    devices = []
    try:
        for index in range(2):
            image = tmp_path / f"{index}.img"
            with image.open("wb") as stream:
                stream.truncate(SIZE)
            devices.append(must("losetup", "--find", "--show", str(image)))
        yield Host(tmp_path, devices)
    finally:
        for device in devices:
            must("losetup", "--detach", device)


def test_two_volumes_from_blank_to_mounted_and_a_second_run_that_changes_nothing(host: Host) -> None:
    root = host.directory / "kafka"
    mounted = [
        {"ansible.builtin.command": f"findmnt --noheadings --output SOURCE --mountpoint {root}/{item['index']}"}
        for item in host.volumes
    ]
    code, printed = host.play({}, also=mounted)
    assert code == 0, printed
    lines = [line.split() for line in host.fstab.read_text().splitlines()]
    assert [line[1] for line in lines] == [f"{root}/0", f"{root}/1"]
    assert len({line[0] for line in lines}) == 2
    # Nothing is mounted any more: the private mount table ended with the run, as a reboot would end it.
    code, printed = host.play({}, {}, also=mounted)
    assert code == 0, printed
    assert host.fstab.read_text().count("UUID=") == 2


def test_data_beside_an_empty_volume_are_refused_until_a_refill_is_allowed(host: Host) -> None:
    host.format()
    host.write(0)
    code, printed = host.play({})
    assert code != 0
    assert "reason: partly_blank" in printed
    assert "vol-0 carry its data, and vol-1 carry none" in " ".join(printed.split())
    code, printed = host.play({"data_volume_refill_allowed": True})
    assert code == 0, printed


def test_the_second_volume_of_another_broker_stops_it_before_anything_is_mounted(host: Host) -> None:
    host.format()
    host.write(0)
    host.write(1, broker=7)
    code, printed = host.play({})
    assert code != 0
    assert "broker.id=7, the claim says 3" in printed
    assert "Mount the volume, now and at each boot" not in printed


def test_data_of_another_uid_are_handed_over_only_when_told(host: Host) -> None:
    host.format()
    host.write(0, owner=4711)
    host.write(1)
    code, printed = host.play({})
    assert code != 0
    assert "belongs to uid 4711, and the service runs as root (uid 0)" in " ".join(printed.split())
    assert host.play({"data_volume_owner_repair": True})[0] == 0
    code, printed = host.play({})
    assert code == 0, printed


def test_a_copy_beside_a_blank_or_a_full_volume_stops_the_node_before_anything_is_written(host: Host) -> None:
    """The second disk carries the first one's filesystem, as a copy that was made from a snapshot of it does."""
    first, second = host.volumes
    must("mkfs.ext4", "-q", "-N", "4096", "-U", host._uuid(first["id"]), second["device_path"])
    for _state in ("blank", "formatted"):
        code, printed = host.play({"data_volume_volumes": [first]})
        assert code != 0
        assert "the same filesystem UUID" in " ".join(printed.split())
        assert host.fstab.read_text() == ""
        must("mkfs.ext4", "-q", "-F", "-N", "4096", "-U", host._uuid(first["id"]), first["device_path"])


def test_a_mount_of_nothing_is_noticed(host: Host) -> None:
    """With nofail a mount of a UUID that is not there ends well."""
    fake = {"name": "holdfast.kafka.data_volume", "tasks_from": "mount"}
    must("mkfs.ext4", "-q", "-N", "4096", host.volumes[0]["device_path"])
    pair = [host.volumes[0], {"state": "owned", "uuid": "00000000-dead-dead-dead-000000000000"}]
    variables = {"data_volume_role": "kafka", "data_volume_node_id": 3, "__data_volume_pair": pair}
    root = str(host.directory / "kafka")
    task = {"ansible.builtin.include_role": fake, "vars": {**variables, "data_volume_mount_root": root}}
    code, printed = host.play(also=[task])
    assert code != 0
    assert "is not mounted at" in " ".join(printed.split())
