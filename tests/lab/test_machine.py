# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's verbs have their consequences, in a real instance."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lab.machine import cgroups, netns, volumes
from lab.machine.processes import start_time
from lab.machine.protocol import VolumeAttachment
from lab.machine.shell import MachineError
from lab.machine.trees import at_or_below, mounts
from tests.lab.conftest import Bench, eventually

pytestmark = pytest.mark.lab

BY_ID = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_"


def test_an_interface_comes_bare_and_down_with_its_mac_and_goes_again(bench: Bench) -> None:
    spec = bench.spec()
    bench.machine.instance_start(spec)
    bench.booted(spec.instance_id)
    assert f"inet {spec.nics[0].private_ip}/24" in bench.run(spec.instance_id, "ip -o address show eth0")
    nic = bench.nic(1, 1)
    bench.machine.nic_attach(spec.instance_id, nic)
    line = bench.run(spec.instance_id, "ip -o link show eth1; ip -o address show eth1")
    assert nic.mac in line
    assert "state DOWN" in line
    assert "inet" not in line
    assert bench.run(spec.instance_id, "cat /sys/class/net/eth1/address") == nic.mac
    bench.machine.nic_detach(spec.instance_id, nic)
    assert "eth1" not in bench.run(spec.instance_id, "ip -o link")
    bench.machine.instance_terminate(spec.instance_id)


def test_the_same_interface_works_in_the_next_instance(bench: Bench) -> None:
    first, second = bench.spec(), bench.spec()
    nic = bench.nic(1, 2)
    for spec in (first, second):
        bench.machine.instance_start(spec)
        bench.booted(spec.instance_id)
    for spec in (first, second):
        bench.machine.nic_attach(spec.instance_id, nic)
        bench.run(spec.instance_id, f"ip link set eth1 up; ip address add {nic.private_ip}/24 dev eth1")
        reach = f"import socket; socket.create_connection(('{nic.private_ip}', 22), 5)"
        command = ["nsenter", f"--net=/run/netns/{bench.config.vpc_netns}", sys.executable, "-c", reach]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        bench.machine.instance_terminate(spec.instance_id)


def test_a_disk_is_found_by_its_volume_id_and_by_its_file_system(bench: Bench) -> None:
    spec = bench.spec()
    attachment = bench.volume(1)
    bench.machine.instance_start(spec)
    bench.booted(spec.instance_id)
    bench.machine.volume_attach(spec.instance_id, attachment)
    link = BY_ID + attachment.volume_id.replace("-", "")
    assert bench.run(spec.instance_id, f"readlink -f {link}") == "/dev/nvme1n1"
    assert bench.run(spec.instance_id, "blockdev --getsize64 /dev/nvme1n1") == str(64 << 20)
    bench.run(spec.instance_id, f"mkfs.ext4 -q {link}; mkdir -p /data")
    identity = bench.run(spec.instance_id, f"blkid -o value -s UUID {link}")
    eventually(lambda: identity in bench.run(spec.instance_id, "ls /dev/disk/by-uuid"), "the new UUID has its link", 5)
    bench.run(spec.instance_id, f"mount UUID={identity} /data; echo kept > /data/file")
    with pytest.raises(MachineError, match="in use"):
        bench.machine.volume_detach(spec.instance_id, attachment)
    bench.run(spec.instance_id, "umount /data")
    bench.machine.volume_detach(spec.instance_id, attachment)
    assert bench.run(spec.instance_id, "ls /dev/disk/by-id /dev/disk/by-uuid; ls /dev | grep nvme || true").split() == [
        "/dev/disk/by-id:",
        "/dev/disk/by-uuid:",
    ]
    assert volumes.devices_behind(bench.machine.volumes.path(attachment.volume_id)) == []
    bench.machine.instance_terminate(spec.instance_id)
    bench.machine.volume_delete(attachment.volume_id)


def test_a_reboot_keeps_interfaces_and_disks_and_mounts_what_fstab_lists(bench: Bench) -> None:
    spec = bench.spec()
    attachment = bench.volume(2)
    bench.machine.instance_start(spec)
    bench.booted(spec.instance_id)
    bench.machine.nic_attach(spec.instance_id, bench.nic(1, 3))
    bench.machine.volume_attach(spec.instance_id, attachment)
    bench.run(spec.instance_id, "mkfs.xfs -q /dev/nvme1n1 || mkfs.ext4 -q /dev/nvme1n1; mkdir /data")
    bench.run(
        spec.instance_id,
        "echo UUID=$(blkid -o value -s UUID /dev/nvme1n1) /data auto nofail 0 2 > /etc/fstab; "
        "mount /dev/nvme1n1 /data; echo kept > /data/file; cat /proc/sys/kernel/random/boot_id > /boot-before",
    )
    bench.machine.instance_reboot(spec.instance_id)
    bench.booted(spec.instance_id)
    assert bench.run(spec.instance_id, "cat /data/file") == "kept"
    assert bench.run(spec.instance_id, "cat /sys/class/net/eth1/address") == bench.nic(1, 3).mac
    before, after = bench.run(spec.instance_id, "cat /boot-before /proc/sys/kernel/random/boot_id").split()
    assert before != after
    bench.run(spec.instance_id, "umount /data")
    bench.machine.volume_detach(spec.instance_id, attachment)
    assert "nvme" not in bench.run(spec.instance_id, "ls /dev")
    bench.machine.instance_terminate(spec.instance_id)


def test_terminate_leaves_nothing_even_of_a_mounted_disk_and_its_content_moves_on(bench: Bench) -> None:
    first, second = bench.spec(), bench.spec()
    attachment = bench.volume(3)
    bench.machine.instance_start(first)
    bench.booted(first.instance_id)
    bench.machine.volume_attach(first.instance_id, attachment)
    bench.run(first.instance_id, "mkfs.ext4 -q /dev/nvme1n1; mkdir /data; mount /dev/nvme1n1 /data; echo x > /data/f")
    bench.run(
        first.instance_id, "systemd-run --quiet --unit=busy sh -c 'while :; do date > /data/now; sleep 0.1; done'"
    )
    leader, root = bench.machine.instance_paths(first.instance_id)
    assert leader is not None
    bench.machine.instance_terminate(first.instance_id)
    assert start_time(leader) is None
    assert volumes.devices_behind(bench.machine.volumes.path(attachment.volume_id)) == []
    assert netns.inode_of(bench.config.instance_netns(first.instance_id)) is None
    assert at_or_below(mounts(), root.parent) == []
    assert not root.parent.exists()
    assert not cgroups.exists(f"{bench.config.cgroup}/{first.instance_id}")
    bench.machine.instance_terminate(first.instance_id)
    bench.machine.instance_start(
        second.__class__(**{**second.__dict__, "volumes": (VolumeAttachment(attachment.volume_id, "/dev/sdg"),)})
    )
    bench.booted(second.instance_id)
    assert bench.run(second.instance_id, "mkdir /data; mount /dev/nvme1n1 /data; cat /data/f") == "x"
    bench.machine.instance_terminate(second.instance_id)


def test_a_frozen_instance_can_be_terminated(bench: Bench) -> None:
    spec = bench.spec()
    bench.machine.instance_start(spec)
    bench.booted(spec.instance_id)
    cgroups.freeze(f"{bench.config.cgroup}/{spec.instance_id}", True)
    leader, _ = bench.machine.instance_paths(spec.instance_id)
    assert leader is not None
    bench.machine.instance_terminate(spec.instance_id)
    assert start_time(leader) is None


def test_an_image_keeps_the_tree_and_not_the_identity(bench: Bench) -> None:
    first = bench.spec()
    bench.machine.instance_start(first)
    bench.booted(first.instance_id)
    bench.run(first.instance_id, "echo baked > /etc/baked; rm /etc/debian_version; mkdir -p /opt/x; touch /opt/x/y")
    bench.run(first.instance_id, "touch /etc/ssh/ssh_host_test_key; mkdir -p /var/lib/cloud/instance; sync")
    bench.machine.image_create(first.instance_id, "ami-0baked")
    assert bench.run(first.instance_id, "systemctl is-active systemd-journald") == "active"
    bench.machine.instance_terminate(first.instance_id)
    second = bench.spec(image_id="ami-0baked")
    bench.machine.instance_start(second)
    bench.booted(second.instance_id)
    assert bench.run(second.instance_id, "cat /etc/baked; ls /opt/x") == "baked\ny"
    gone = "test ! -e /etc/debian_version && test ! -e /etc/ssh/ssh_host_test_key && test ! -e /var/lib/cloud/instance"
    bench.run(second.instance_id, gone)
    assert bench.run(second.instance_id, "hostname") == "ip-" + second.nics[0].private_ip.replace(".", "-")
    # the image goes, its layer stays as long as the instance stands on it
    layer = bench.config.state_dir / "images/ami-0baked"
    bench.machine.image_delete("ami-0baked")
    assert layer.exists()
    bench.machine.instance_terminate(second.instance_id)
    assert not layer.exists()


def test_stop_and_start_keep_the_tree(bench: Bench) -> None:
    spec = bench.spec()
    bench.machine.instance_start(spec)
    bench.booted(spec.instance_id)
    bench.run(spec.instance_id, "echo here > /root/file")
    bench.machine.instance_stop(spec.instance_id)
    leader, _ = bench.machine.instance_paths(spec.instance_id)
    assert leader is None
    bench.machine.instance_start(spec)
    bench.booted(spec.instance_id)
    assert bench.run(spec.instance_id, "cat /root/file") == "here"
    bench.machine.instance_terminate(spec.instance_id)


def test_an_instance_that_powers_itself_off_is_reported(bench: Bench) -> None:
    spec = bench.spec()
    told = threading.Event()
    bench.machine.on_instance_exit = lambda instance_id, _reason: (
        told.set() if instance_id == spec.instance_id else None
    )
    bench.machine.instance_start(spec)
    bench.booted(spec.instance_id)
    bench.run(spec.instance_id, "systemctl --no-block poweroff")
    assert told.wait(30)
    bench.machine.on_instance_exit = None
    bench.machine.instance_terminate(spec.instance_id)


def test_six_instances_start_side_by_side(bench: Bench) -> None:
    specs = [bench.spec() for _ in range(6)]
    failures: list[Exception] = []

    def start(index: int) -> None:
        try:
            bench.machine.instance_start(specs[index])
        except MachineError as error:
            failures.append(error)

    threads = [threading.Thread(target=start, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for spec in specs:
        bench.booted(spec.instance_id)
        bench.machine.instance_terminate(spec.instance_id)


def test_what_cannot_be_done_is_said(bench: Bench) -> None:
    spec = bench.spec(image_id="ami-0unknown")
    with pytest.raises(MachineError, match="ami-0unknown has no tree"):
        bench.machine.instance_start(spec)
    with pytest.raises(MachineError, match="has never run"):
        bench.machine.nic_attach("i-0123456789abcdef0", bench.nic(1, 9))
    with pytest.raises(MachineError, match="not a volume id"):
        bench.machine.volume_create("../vol", 1, None)


def test_a_volume_without_its_file_does_not_attach(bench: Bench) -> None:
    spec = bench.spec()
    bench.machine.instance_start(spec)
    attachment = bench.volume(4)
    Path(bench.machine.volumes.path(attachment.volume_id)).unlink()
    with pytest.raises(MachineError, match="has no content"):
        bench.machine.volume_attach(spec.instance_id, attachment)
    bench.machine.instance_terminate(spec.instance_id)
