# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2's API and the machine together: what a client asks for happens in an instance that cloud-init set up."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from lab.config import LabConfig, load
from lab.ledger import Ledger
from lab.machine import netns, nspawn, volumes
from lab.namespaces import enter_network
from lab.teardown import teardown
from tests.lab.conftest import REPOSITORY, eventually, session_name

pytestmark = [pytest.mark.lab, pytest.mark.slow]

USER_DATA = """#cloud-config
write_files:
  - {path: /etc/holdfast-test, content: "from user data\\n"}
runcmd:
  - [touch, /ran]
"""


@dataclass
class Client:
    """A client inside the lab's network; its one thread has entered the namespace, the tests' has not."""

    config: LabConfig
    environment: dict[str, str]
    timings: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._thread = ThreadPoolExecutor(
            1, initializer=enter_network, initargs=(Path("/run/netns") / self.config.vpc_netns,)
        )
        self._ec2 = boto3.client(
            "ec2",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name=self.environment["AWS_REGION"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            config=Config(proxies={}, retries={"total_max_attempts": 1}),
        )

    def ec2(self, operation: str, **arguments: Any) -> Any:
        """Call EC2."""
        return self._thread.submit(getattr(self._ec2, operation), **arguments).result(60)

    def run(self, image_id: str, name: str) -> Any:
        """Run an instance and wait until it can be logged in to; returns it as EC2 describes it."""
        began = time.monotonic()
        instance = self.ec2(
            "run_instances",
            ImageId=image_id,
            MinCount=1,
            MaxCount=1,
            InstanceType="t3.small",
            KeyName=self.environment["HOLDFAST_LAB_KEY_NAME"],
            SubnetId=json.loads(self.environment["HOLDFAST_LAB_SUBNETS"])[0]["subnet_id"],
            UserData=USER_DATA,
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}],
        )["Instances"][0]
        eventually(lambda: self.ssh(name, "true")[0] == 0, f"{name} can be logged in to", 120)
        self.timings[name] = round(time.monotonic() - began, 1)
        return instance

    def reaches(self, address: str) -> bool:
        """Whether the instance's ssh answers from the VPC."""
        try:
            self._thread.submit(socket.create_connection, (address, 22), 1).result(30).close()
        except OSError:
            return False
        return True

    def volume_state(self, volume_id: str) -> str:
        """Return a volume's state."""
        return str(self.ec2("describe_volumes", VolumeIds=[volume_id])["Volumes"][0]["State"])

    def state(self, instance_id: str) -> str:
        """Return an instance's state."""
        found = self.ec2("describe_instances", InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
        return str(found["State"]["Name"])

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `lab`."""
        command = [sys.executable, "-m", "lab", "--name", self.config.name, *arguments]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300)

    def ssh(self, name: str, script: str) -> tuple[int, str]:
        """Run a script in an instance; return its status and what it printed."""
        done = self.cli("ssh", name, "--", script)
        return done.returncode, (done.stdout or done.stderr).strip()

    def ask(self, name: str, script: str) -> str:
        """Run a script that must succeed."""
        status, said = self.ssh(name, script)
        assert status == 0, said
        return said


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A lab that is up."""
    config = load(name=session_name("e"))
    command = [sys.executable, "-m", "lab", "--name", config.name]
    done = subprocess.run(
        [*command, "up", "--preset", "none"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    try:
        environment = subprocess.run(
            [*command, "env", "--json"], cwd=REPOSITORY, capture_output=True, text=True, check=True
        ).stdout
        yield Client(config, json.loads(environment))
    finally:
        outcome = teardown(config, print)
    assert outcome.problems == []


def _metadata(path: str) -> str:
    token = "$(curl -fsX PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token)"
    return f'curl -fs -H "X-aws-ec2-metadata-token: {token}" http://169.254.169.254/latest/{path}'


def test_an_instance_from_launch_to_image_to_termination(client: Client, record_property: Callable[..., None]) -> None:
    base = client.environment["HOLDFAST_LAB_BASE_IMAGE_ID"]
    assert base == f"ami-0{client.environment['HOLDFAST_LAB_BASE_IMAGE_KEY']}", "a later lab must find what was baked"
    one = client.run(base, "one")
    one_id = one["InstanceId"]
    assert client.ask("one", "sudo cloud-init status --wait | tail -1") == "status: done"
    assert client.ask("one", "cat /etc/holdfast-test; ls /ran; systemctl is-system-running") == (
        "from user data\n/ran\nrunning"
    )
    assert client.ask("one", _metadata("meta-data/instance-id")) == one_id
    assert client.ssh("one", "curl -fs http://169.254.169.254/latest/meta-data/")[0] != 0, "IMDSv1 is answered"

    eni = client.ec2("create_network_interface", SubnetId=one["SubnetId"], PrivateIpAddress="10.77.1.21")
    eni_id, mac = eni["NetworkInterface"]["NetworkInterfaceId"], eni["NetworkInterface"]["MacAddress"]
    volume_id = client.ec2("create_volume", Size=2, AvailabilityZone=one["Placement"]["AvailabilityZone"])["VolumeId"]
    client.ec2("attach_network_interface", NetworkInterfaceId=eni_id, InstanceId=one_id, DeviceIndex=1)
    eventually(lambda: client.ssh("one", f"grep {mac} /sys/class/net/eth1/address")[0] == 0, "eth1 is there")
    eventually(lambda: client.volume_state(volume_id) == "available", "the volume is created")
    client.ec2("attach_volume", VolumeId=volume_id, InstanceId=one_id, Device="/dev/sdf")
    link = f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume_id.replace('-', '')}"
    eventually(lambda: client.ssh("one", f"test -b {link}")[0] == 0, "the disk is there")
    client.ask("one", f"sudo mkfs.ext4 -q {link} && sudo mkdir /data && sudo mount {link} /data && df /data")
    client.ask("one", "echo kept | sudo tee /data/file /etc/baked")

    client.ec2("reboot_instances", InstanceIds=[one_id])
    time.sleep(1)
    eventually(lambda: client.ssh("one", f"test -b {link} && test -e /sys/class/net/eth1")[0] == 0, "it is back", 60)

    image_id = client.ec2("create_image", InstanceId=one_id, Name="baked", NoReboot=True)["ImageId"]
    eventually(
        lambda: client.ec2("describe_images", ImageIds=[image_id])["Images"][0]["State"] == "available",
        "the image is available",
        60,
    )
    client.ec2("terminate_instances", InstanceIds=[one_id])
    eventually(lambda: client.state(one_id) == "terminated", "it is terminated", 60)
    assert not (client.config.state_dir / "instances" / one_id).exists()
    status = client.ec2("describe_network_interfaces", NetworkInterfaceIds=[eni_id])["NetworkInterfaces"][0]["Status"]
    assert status == "available"

    kept = client.cli("image", "keep", image_id, "lab-test", "--json")
    assert kept.returncode == 0, kept.stderr
    used = json.loads(client.cli("image", "use", "lab-test", "--json").stdout)
    two = client.run(used["image_id"], "two")
    try:
        assert client.ask("two", "cat /etc/baked") == "kept"
        assert client.ask("two", _metadata("meta-data/instance-id")) == two["InstanceId"]
        client.ec2("attach_volume", VolumeId=volume_id, InstanceId=two["InstanceId"], Device="/dev/sdf")
        eventually(lambda: client.ssh("two", f"test -b {link}")[0] == 0, "the disk moved")
        assert client.ask("two", f"sudo mkdir /data; sudo mount {link} /data; cat /data/file") == "kept"
        assert "== console" in client.cli("logs", "two").stdout
        console = client.ec2("get_console_output", InstanceId=two["InstanceId"])["Output"]
        assert "cloud-init" in console, "the console shows the boot"
        client.ask("two", "sudo systemd-run --wait --pipe sh -c 'echo said on the console >/dev/console'")
        assert "in use" in client.cli("image", "rm", "lab-test").stderr
    finally:
        client.ec2("terminate_instances", InstanceIds=[two["InstanceId"]])
        eventually(lambda: client.state(two["InstanceId"]) == "terminated", "the second one is terminated", 60)
        removed = client.cli("image", "rm", "lab-test")
    assert removed.returncode == 0, removed.stderr
    kept_console = client.cli("logs", two["InstanceId"]).stdout
    assert "console of a terminated instance" in kept_console
    assert "said on the console" in kept_console
    record_property("launch_to_ssh_seconds", client.timings)


def test_an_instance_that_shuts_itself_down_is_stopped(client: Client) -> None:
    instance_id = client.run(client.environment["HOLDFAST_LAB_BASE_IMAGE_ID"], "off")["InstanceId"]
    # A second later, so that the login has ended in good order by then.
    later = "(sleep 1; systemctl poweroff) >/dev/null 2>&1 &"
    client.ask("off", f"sudo cloud-init status --wait >/dev/null; sudo sh -c '{later}'")
    eventually(lambda: client.state(instance_id) == "stopped", "it is stopped", 60)


def test_faults_are_set_and_cleared_from_the_command_line(client: Client) -> None:
    instance = client.run(client.environment["HOLDFAST_LAB_BASE_IMAGE_ID"], "faulty")
    instance_id = instance["InstanceId"]
    refused = client.cli("fault", "set", "partition", "instance=nobody")
    assert refused.returncode == 1
    assert "nobody" in refused.stderr

    token = "curl -sX PUT -w '%{http_code}' -o /dev/null -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "
    token += "http://169.254.169.254/latest/api/token"
    assert client.ask("faulty", token) == "200"
    assert client.cli("fault", "set", "imds_refuse_tokens", "instance=faulty").returncode == 0
    assert client.ask("faulty", token) == "503"
    assert client.cli("fault", "clear", "imds_refuse_tokens").returncode == 0
    assert client.ask("faulty", token) == "200"

    eni = client.ec2("create_network_interface", SubnetId=instance["SubnetId"])["NetworkInterface"]
    late = client.cli("fault", "set", "eni_late", "seconds=3600", f"resource={eni['NetworkInterfaceId']}", "--json")
    assert json.loads(late.stdout)["set"]["kind"] == "eni_late"
    client.ec2(
        "attach_network_interface", NetworkInterfaceId=eni["NetworkInterfaceId"], InstanceId=instance_id, DeviceIndex=1
    )
    shown = {"NetworkInterfaceIds": [eni["NetworkInterfaceId"]]}
    eventually(
        lambda: (
            client.ec2("describe_network_interfaces", **shown)["NetworkInterfaces"][0]["Attachment"]["Status"]
            == "attached"
        ),
        "EC2 calls it attached",
    )
    assert client.ssh("faulty", "test -e /sys/class/net/eth1")[0] != 0
    assert client.cli("fault", "clear", "eni_late").returncode == 0
    eventually(lambda: client.ssh("faulty", "test -e /sys/class/net/eth1")[0] == 0, "eth1 appears")

    assert client.cli("fault", "set", "partition", "instance=faulty").returncode == 0
    assert not client.reaches(instance["PrivateIpAddress"])
    assert client.cli("fault", "clear").returncode == 0
    eventually(lambda: client.reaches(instance["PrivateIpAddress"]), "it can be reached again")

    volume_id = client.ec2("create_volume", Size=1, AvailabilityZone="eu-central-1a")["VolumeId"]
    eventually(lambda: client.volume_state(volume_id) == "available", "the volume is created")
    client.ec2("attach_volume", VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf")
    eventually(lambda: client.ssh("faulty", "test -b /dev/nvme1n1")[0] == 0, "the disk is there")
    client.ask("faulty", "sudo mkfs.ext4 -q /dev/nvme1n1")
    assert client.cli("fault", "set", "boot_kill", "phase=mounted", "instance=faulty").returncode == 0
    client.ssh("faulty", "sudo mount /dev/nvme1n1 /mnt; sleep 5")
    eventually(lambda: client.state(instance_id) == "terminated", "the host died and EC2 terminated it", 60)
    assert client.volume_state(volume_id) == "available"
    events = [json.loads(line) for line in client.cli("logs", "events", "--lines", "20000").stdout.splitlines()]
    struck = {event["fault_kind"] for event in events if event["kind"] == "fault_struck"}
    assert struck == {"imds_refuse_tokens", "eni_late", "partition", "boot_kill"}
    assert client.cli("fault", "clear").returncode == 0


def test_down_after_the_server_and_nspawn_were_killed_leaves_no_process_and_no_device(client: Client) -> None:
    """The last of this module: it takes the lab away."""
    instance = client.run(client.environment["HOLDFAST_LAB_BASE_IMAGE_ID"], "last")
    instance_id = instance["InstanceId"]
    volume_id = client.ec2("create_volume", Size=1, AvailabilityZone="eu-central-1a")["VolumeId"]
    eventually(lambda: client.volume_state(volume_id) == "available", "the volume is created")
    client.ec2("attach_volume", VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf")
    eventually(lambda: client.ssh("last", "test -b /dev/nvme1n1")[0] == 0, "the disk is there")
    client.ask("last", "sudo mkfs.ext4 -q /dev/nvme1n1 && sudo mount /dev/nvme1n1 /mnt")
    ledger = Ledger(client.config.ledger_path)
    inodes = {entry.facts["inode"] for entry in ledger.entries("netns")}
    (loop,) = ledger.entries("loop")
    for entry in ledger.entries("process"):
        os.kill(entry.facts["pid"], signal.SIGKILL)
    time.sleep(0.5)
    assert len(netns.processes_in(inodes)) > 5, "the instance should have survived this"
    down = client.cli("down")
    assert down.returncode == 0, down.stderr
    assert netns.processes_in(inodes) == []
    assert volumes.devices_behind(Path(loop.facts["backing"])) == []
    assert not client.config.state_dir.exists()
    assert not (nspawn.RUNTIME / "propagate" / instance_id).exists()
    assert client.cli("down").returncode == 0
