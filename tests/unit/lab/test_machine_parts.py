# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the machine that need neither root nor namespaces."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from lab.ledger import Ledger
from lab.machine import devices, filesystems, nspawn, processes, seed, trees
from lab.machine.fake import FakeMachine
from lab.machine.protocol import InstanceSpec, Nic, VolumeAttachment
from lab.machine.shell import CommandError, MachineError, run
from lab.machine.volumes import LoopDevice, VolumeStore

NIC = Nic("eni-0123456789abcdef0", "02:00:00:00:00:01", "10.77.1.100", 24, "10.77.1.1", "subnet-a", 0)
SPEC = InstanceSpec("i-0123456789abcdef0", "ami-1", "t3.small", "eu-central-1a", (NIC,))


def disk(number, volume="vol-0123456789abcdef0", filesystem=None):
    loop = LoopDevice(Path("/dev/loop9"), 7, 9, Path("/x"), "entry")
    return devices.Disk(VolumeAttachment(volume, "/dev/sdf"), number, loop, filesystem)


def test_file_systems_are_recognised():
    identity = uuid.uuid4()
    ext = bytearray(4096)
    ext[1080:1082], ext[1128:1144] = b"\x53\xef", identity.bytes
    assert filesystems.recognise(bytes(ext)) == filesystems.Filesystem("ext", str(identity))
    xfs = bytearray(4096)
    xfs[:4], xfs[32:48] = b"XFSB", identity.bytes
    assert filesystems.recognise(bytes(xfs)) == filesystems.Filesystem("xfs", str(identity))
    btrfs = bytearray(4096)
    btrfs[64:72], btrfs[32:48] = b"_BHRfS_M", identity.bytes
    assert filesystems.recognise(b"", bytes(btrfs)) == filesystems.Filesystem("btrfs", str(identity))
    assert filesystems.recognise(bytes(4096)) is None
    assert filesystems.recognise(b"XFSB") is None


def test_links_follow_the_disks(tmp_path):
    identity = str(uuid.uuid4())
    devices.write_links(tmp_path, [disk(1, filesystem=filesystems.Filesystem("xfs", identity))])
    link = tmp_path / "by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0"
    assert str(link.readlink()) == "../../nvme1n1"
    assert str((tmp_path / "by-uuid" / identity).readlink()) == "../../nvme1n1"
    devices.write_links(tmp_path, [disk(2)])
    assert str(link.readlink()) == "../../nvme2n1"
    assert list((tmp_path / "by-uuid").iterdir()) == []
    devices.write_links(tmp_path, [])
    assert list((tmp_path / "by-id").iterdir()) == []


def test_the_lowest_free_nvme_number():
    assert devices.free_number([]) == 1
    assert devices.free_number([disk(1), disk(3)]) == 2
    with pytest.raises(MachineError, match="26 volumes already"):
        devices.free_number([disk(number) for number in range(1, 27)])


def test_the_seed_names_the_instance_and_its_address(tmp_path):
    seed.seed(tmp_path, SPEC)
    assert (tmp_path / "etc/hostname").read_text() == "ip-10-77-1-100\n"
    network = (tmp_path / seed.NETWORK_FILE).read_text()
    assert "MACAddress=02:00:00:00:00:01" in network
    assert "Address=10.77.1.100/24\nGateway=10.77.1.1" in network
    assert len((tmp_path / "etc/machine-id").read_text().strip()) == 32


def test_the_seed_does_not_follow_an_images_links_out_of_its_tree(tmp_path):
    outside, root = tmp_path / "outside", tmp_path / "root"
    (outside / "network").mkdir(parents=True)
    (root / "etc/systemd").mkdir(parents=True)
    (root / "etc/hostname").symlink_to(outside / "hostname")
    seed_files = [path for path in seed.files(SPEC) if path != seed.NETWORK_FILE]
    assert seed_files
    (root / "etc/systemd/network").symlink_to(outside / "network")
    with pytest.raises(MachineError, match="leads out of its tree"):
        seed.seed(root, SPEC)
    assert not (outside / "hostname").exists()
    assert list((outside / "network").iterdir()) == []


def test_nspawn_is_told_of_the_namespace_it_is_started_in():
    command = nspawn.command("i-1", Path("/r"), Path("/run/netns/n"), "h", [(Path("/dev/loop1"), "/dev/nvme1n1")])
    assert command[:3] == ["nsenter", "--net=/run/netns/n", "systemd-nspawn"]
    assert "--network-namespace-path=/run/netns/n" in command
    assert "--bind=/dev/loop1:/dev/nvme1n1" in command


def test_the_mount_table_with_its_escapes():
    text = (
        "36 35 98:0 /mnt1 /mnt/with\\040space rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
        "37 35 0:5 net:[4026531] /run/netns/x rw shared:2 - nsfs nsfs rw\nnot a line\n"
    )
    first, second = trees.parse_mountinfo(text)
    assert (first.target, first.fstype, first.source) == (Path("/mnt/with space"), "ext3", "/dev/root")
    assert trees.at_or_below([first, second], Path("/run/netns")) == [second]
    assert trees.at_or_below([first, second], Path("/run/net")) == []


def test_a_tree_with_a_mount_in_it_is_not_removed(tmp_path, monkeypatch):
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/file").touch()
    mount = trees.Mount(1, "0:1", "/", tmp_path / "tree/sub", "tmpfs", "x")
    monkeypatch.setattr(trees, "mounts", lambda: [mount])
    with pytest.raises(MachineError, match="is mounted"):
        trees.remove_tree(tmp_path / "tree")
    assert (tmp_path / "tree/sub/file").exists()
    monkeypatch.setattr(trees, "mounts", list)
    (tmp_path / "tree/link").symlink_to(tmp_path)
    trees.remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []
    trees.remove_tree(tmp_path / "tree")


def test_a_volume_is_sparse_and_its_id_is_no_path(tmp_path):
    store = VolumeStore(tmp_path, Ledger(tmp_path / "ledger"))
    store.create("vol-0123456789abcdef0", 8 << 30)
    info = store.path("vol-0123456789abcdef0").stat()
    assert (info.st_size, info.st_blocks) == (8 << 30, 0)
    with pytest.raises(FileExistsError):
        store.create("vol-0123456789abcdef0", 1)
    store.delete("vol-0123456789abcdef0")
    with pytest.raises(MachineError, match="has no content"):
        store.connect("vol-0123456789abcdef0")
    with pytest.raises(MachineError, match="not a volume id"):
        store.path("../../etc/passwd")


def test_a_tools_failure_is_one_sentence():
    with pytest.raises(CommandError, match="`sh -c echo no >&2; exit 3` ended with status 3: no"):
        run(["sh", "-c", "echo no >&2; exit 3"])
    with pytest.raises(MachineError, match="no-such-program is not installed"):
        run(["no-such-program"])
    with pytest.raises(MachineError, match="did not end within"):
        run(["sleep", "5"], timeout=0.1)


def test_a_process_starts_only_when_the_journal_knows_it(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.create("lab")
    with (tmp_path / "out").open("wb") as output:
        process, entry = processes.spawn(["sh", "-c", "cat; echo done"], ledger, what="test", output=output)
    assert process.wait(10) == 0
    assert (tmp_path / "out").read_text() == "done\n"
    (known,) = ledger.entries("process")
    assert known.entry_id == entry
    assert known.facts["pid"] == process.pid


def test_a_process_whose_starter_dies_before_the_journal_never_starts(tmp_path):
    marker = tmp_path / "started"
    read_end, write_end = os.pipe()
    process = subprocess.Popen(["/bin/sh", "-c", processes._GATE, "sh", "touch", str(marker)], stdin=read_end)
    os.close(read_end)
    os.close(write_end)
    assert process.wait(10) == 125
    assert not marker.exists()


def test_a_pid_alone_is_not_a_process():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    started = processes.start_time(process.pid)
    assert started is not None
    processes.kill(process.pid, started + 1)
    assert process.poll() is None
    assert not processes.is_same(process.pid, started + 1)
    assert processes.wait_gone(process.pid, started, 0.05) is False
    assert processes.end(process.pid, started, 5.0)
    process.wait()
    assert processes.start_time(process.pid) is None
    assert os.getppid() in processes.ancestors(os.getpid())


def test_the_fake_machine_records_and_fails_as_told():
    machine = FakeMachine()
    machine.instance_start(SPEC)
    machine.failures["volume_attach"] = MachineError("no")
    with pytest.raises(MachineError):
        machine.volume_attach(SPEC.instance_id, VolumeAttachment("vol-1", "/dev/sdf"))
    assert machine.verbs(SPEC.instance_id) == ["instance_start", "volume_attach"]
    assert machine.verbs("i-other") == []
