# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labs for the lab's own tests: each test session has names of its own and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import preflight
from lab.config import SUBNETS, LabConfig, load
from lab.images import build
from lab.images.recipe import Recipe
from lab.ledger import Ledger
from lab.machine import netns
from lab.machine.machine import LabMachine
from lab.machine.protocol import InstanceSpec, Nic, VolumeAttachment
from lab.teardown import teardown

REPOSITORY = Path(__file__).resolve().parents[2]
MIB = 1 << 20


@pytest.fixture(autouse=True, scope="session")
def _able() -> None:
    """Skip, with the reason, where no lab can run."""
    if reason := preflight.blocking_reason():
        pytest.skip(f"no lab can run here: {reason}")


def session_name(suffix: str) -> str:
    """Return a lab's name that no other session uses at the same time."""
    return f"t{os.getpid() % 100000}{suffix}"


def eventually(condition: Callable[[], object], what: str, timeout: float = 20.0) -> None:
    """Wait until the condition holds, or fail saying what did not come true."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"after {timeout:.0f} s it is still not true that {what}"
        time.sleep(0.05)


@dataclass
class Bench:
    """A machine without the API, whose image boots without cloud-init (in about a second)."""

    config: LabConfig
    ledger: Ledger
    machine: LabMachine
    image_id: str = "ami-0bench"
    _number: int = 0

    def spec(self, *volumes: VolumeAttachment, image_id: str = "") -> InstanceSpec:
        """Return a new instance's specification."""
        self._number += 1
        number = self._number
        return InstanceSpec(
            f"i-{number:017x}", image_id or self.image_id, "t3.small", "eu-central-1a", (self.nic(0, number),), volumes
        )

    def nic(self, index: int, number: int) -> Nic:
        """Return an interface in the first subnet."""
        return Nic(
            eni_id=f"eni-{number:016x}{index:01x}",
            mac=f"02:00:00:00:{index:02x}:{number:02x}",
            private_ip=f"10.77.1.{100 * (1 - index) + 10 * index + number}",
            prefix_length=24,
            gateway=SUBNETS[0].gateway,
            subnet_id="subnet-a",
            device_index=index,
        )

    def volume(self, number: int, size: int = 64 * MIB) -> VolumeAttachment:
        """Make a volume."""
        volume_id = f"vol-{number:017x}"
        self.machine.volume_create(volume_id, size, None)
        return VolumeAttachment(volume_id, "/dev/sdf")

    def run(self, instance_id: str, script: str) -> str:
        """Run a shell script in the instance and return what it printed; fail if it failed."""
        leader, _ = self.machine.instance_paths(instance_id)
        assert leader is not None, f"{instance_id} does not run"
        done = subprocess.run(
            ["nsenter", f"--target={leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--", "sh", "-ec", script],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{script!r} ended with {done.returncode}: {done.stderr or done.stdout}"
        return done.stdout.strip()

    def booted(self, instance_id: str) -> None:
        """Wait until the instance's systemd has started everything."""
        eventually(
            lambda: (
                self.machine.instance_paths(instance_id)[0] is not None
                and "running" in self.run(instance_id, "systemctl is-system-running || true").split()
            ),
            f"{instance_id} is running",
            60,
        )


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A VPC and a machine; everything is removed at the end whatever the tests did."""
    config = load(name=session_name("m"))
    base = build.ensure(config.images_dir, Recipe(), lambda line: print(line, file=sys.stderr))
    teardown(config, print)
    config.state_dir.mkdir(parents=True)
    ledger = Ledger(config.ledger_path)
    ledger.create(config.name)
    ledger.intend("cgroup", path=config.cgroup)
    netns.build_vpc(config, ledger)
    quick = config.state_dir / "quick"
    (quick / "etc/cloud").mkdir(parents=True)
    (quick / "etc/cloud/cloud-init.disabled").touch()
    (quick / "etc/ssh").mkdir()
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(quick / "etc/ssh/ssh_host_ed25519_key")], check=True
    )
    machine = LabMachine(config, ledger)
    machine.images.register("ami-0bench", [quick, base.tree])
    try:
        yield Bench(config, ledger, machine)
    finally:
        machine.close()
        outcome = teardown(config, print)
    assert outcome.problems == []
