# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's faults have their consequences, in a real instance, and end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.machine.protocol import InstanceSpec
from lab.machine.shell import MachineError
from tests.lab.conftest import Bench, eventually

pytestmark = pytest.mark.lab

SERVICE = "systemd-run --quiet --unit=victim -- sh -c 'while :; do date +%s%N > /run/beat; sleep 0.05; done'"


@pytest.fixture(scope="module")
def victim(bench: Bench) -> Iterator[InstanceSpec]:
    """An instance with an ext4 volume at /data."""
    spec = bench.spec()
    attachment = bench.volume(900)
    bench.machine.instance_start(spec)
    bench.booted(spec.instance_id)
    bench.machine.volume_attach(spec.instance_id, attachment)
    bench.run(
        spec.instance_id,
        "mkfs.ext4 -q /dev/nvme1n1; mkdir -p /data; mount /dev/nvme1n1 /data; echo a > /data/a; sync /data/a",
    )
    yield spec
    bench.machine.instance_terminate(spec.instance_id)


def reaches(bench: Bench, address: str) -> bool:
    """Whether the instance's ssh answers from the VPC."""
    script = f"import socket; socket.create_connection(('{address}', 22), 1).recv(1) or 1/0"
    command = ["nsenter", f"--net=/run/netns/{bench.config.vpc_netns}", sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def beats(bench: Bench, spec: InstanceSpec) -> bool:
    """Whether the service in the instance goes on."""
    leader, _ = bench.machine.instance_paths(spec.instance_id)
    beat = Path(f"/proc/{leader}/root/run/beat")
    before = beat.read_text()
    time.sleep(0.4)
    return beat.read_text() != before


def test_a_partition_keeps_the_link_and_drops_everything(bench: Bench, victim: InstanceSpec) -> None:
    machine, instance, nic = bench.machine, victim.instance_id, bench.nic(1, 90)
    address = victim.nics[0].private_ip
    eventually(lambda: reaches(bench, address), "ssh answers")
    machine.partition(instance, None, True)
    assert not reaches(bench, address)
    gateway = "import socket; socket.create_connection(('10.77.0.2', 22), 2)"
    assert "Refused" not in bench.run(instance, f'python3 -c "{gateway}" 2>&1 || true')
    machine.nic_attach(instance, nic)
    # An address answers on its own interface only, as the VPC and the role eni_routing have it.
    bench.run(instance, "sysctl -qw net.ipv4.conf.all.arp_ignore=1")
    bench.run(instance, f"ip link set eth1 up; ip address add {nic.private_ip}/24 dev eth1")
    assert bench.run(instance, "cat /sys/class/net/eth0/carrier /sys/class/net/eth1/carrier").split() == ["1", "1"]
    assert address in bench.run(instance, "ip -o address show eth0")
    assert not reaches(bench, nic.private_ip)
    machine.partition(instance, None, False)
    eventually(lambda: reaches(bench, address), "ssh answers again")
    eventually(lambda: reaches(bench, nic.private_ip), "the interface that came meanwhile answers")
    machine.partition(instance, 1, True)
    assert not reaches(bench, nic.private_ip)
    assert reaches(bench, address)
    machine.partition(instance, 1, False)
    eventually(lambda: reaches(bench, nic.private_ip), "one interface is back")
    machine.nic_detach(instance, nic)


def test_a_unit_can_be_stopped_where_it_stands_and_killed(bench: Bench, victim: InstanceSpec) -> None:
    machine, instance = bench.machine, victim.instance_id
    bench.run(instance, SERVICE)
    eventually(lambda: bench.run(instance, "cat /run/beat || true"), "the service beats")
    machine.unit_signal(instance, "victim", "STOP")
    assert not beats(bench, victim)
    machine.unit_signal(instance, "victim", "CONT")
    assert beats(bench, victim)
    machine.freeze(instance, True)
    assert not beats(bench, victim)
    machine.freeze(instance, False)
    assert beats(bench, victim)
    machine.unit_signal(instance, "victim.service", "KILL")
    eventually(lambda: "failed" in bench.run(instance, "systemctl is-active victim || true"), "the unit failed")
    with pytest.raises(MachineError, match=r"victim\.service is failed"):
        machine.unit_signal(instance, "victim", "KILL")
    with pytest.raises(MachineError, match=r"nothing\.service is inactive"):
        machine.unit_signal(instance, "nothing", "KILL")


def test_a_disk_is_full_until_it_is_not(bench: Bench, victim: InstanceSpec) -> None:
    machine, instance = bench.machine, victim.instance_id
    with pytest.raises(MachineError, match=r"no volume is mounted at / .*mounted are: /data"):
        machine.disk_fill(instance, "/", 0)
    volume = machine.disk_at(instance, "/data")
    assert machine.disk_fill(instance, "/data", 0) > 1 << 20
    assert "No space left" in bench.run(instance, "dd if=/dev/zero of=/data/b bs=64k count=1 2>&1 || true")
    machine.disk_unfill(volume)
    bench.run(instance, "dd if=/dev/zero of=/data/b bs=64k count=1; cat /data/a")
    machine.disk_fill(instance, "/data", 1 << 20)
    bench.run(instance, "dd if=/dev/zero of=/data/c bs=64k count=8 conv=fsync; rm /data/c")
    bench.run(instance, "umount /data")
    with pytest.raises(MachineError, match="mounted in no instance"):
        machine.disk_unfill(volume)
    bench.run(instance, "mount /dev/nvme1n1 /data")
    machine.disk_unfill(volume)
    assert "fill" not in bench.run(instance, "ls -A /data")


def test_a_disk_goes_read_only_as_after_an_error_of_its_journal(bench: Bench, victim: InstanceSpec) -> None:
    machine, instance = bench.machine, victim.instance_id
    machine.disk_readonly(instance, "/data")
    assert "Read-only" in bench.run(instance, "touch /data/d 2>&1 || true")
    assert bench.run(instance, "cat /data/a") == "a"
    bench.run(instance, "umount /data; mount /dev/nvme1n1 /data; touch /data/d")


def test_a_dead_disk_fails_every_write_and_read(bench: Bench, victim: InstanceSpec) -> None:
    machine, instance = bench.machine, victim.instance_id
    volume = machine.disk_dead(instance, "/data")
    # The device's error, or by then the file system's answer to it.
    with pytest.raises(AssertionError, match=r"Input/output error|Read-only file system"):
        bench.run(instance, "dd if=/dev/zero of=/data/e bs=64k count=1 conv=fsync")
    machine.disk_revive(volume)
    bench.run(instance, "umount /data; mount /dev/nvme1n1 /data; touch /data/e")
    assert bench.run(instance, "cat /data/a") == "a"


def test_the_phases_of_a_boot_are_seen(bench: Bench, victim: InstanceSpec) -> None:
    machine, instance = bench.machine, victim.instance_id
    assert machine.boot_phases(instance) == {"mounted"}
    record = '{"boot_id": "b1", "phases": {"claim_start": "x", "claim_end": "y"}}'
    bench.run(instance, f"mkdir -p /var/lib/holdfast; echo '{record}' > /var/lib/holdfast/boot.json")
    assert machine.boot_phases(instance) == {"mounted", "claim_start@b1", "claim_end@b1"}
    bench.run(instance, "echo '{\"boot_id' > /var/lib/holdfast/boot.json")
    assert machine.boot_phases(instance) == {"mounted"}


def test_a_frozen_instance_can_be_stopped_and_a_crash_tells_nobody(bench: Bench) -> None:
    spec, told = bench.spec(), []
    machine = bench.machine
    machine.on_instance_exit = lambda *what: told.append(what)
    machine.instance_start(spec)
    bench.booted(spec.instance_id)
    machine.crash(spec.instance_id)
    assert machine.instance_paths(spec.instance_id)[0] is None
    with pytest.raises(MachineError, match="does not run"):
        machine.crash(spec.instance_id)
    machine.instance_start(spec)
    bench.booted(spec.instance_id)
    machine.freeze(spec.instance_id, True)
    machine.instance_terminate(spec.instance_id)
    time.sleep(0.3)
    assert told == []
