# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One check, two servers: every patched row holds on the strict EC2 and does not on stock moto.

A row that begins to hold on stock moto (after a bump of its version) makes its stock test fail: then the patch can go.
Stock moto runs in a process of its own, because the patches are class-wide.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.api.server import LabApi, start_strict_ec2
from lab.machine.fake import FakeMachine
from tests.ports import free_ports

ZONES = {"a": "eu-central-1a", "b": "eu-central-1b", "c": "eu-central-1c"}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl test"
Check = Callable[["Probe"], None]


class GatedMachine:
    """A FakeMachine whose verbs can be held back, so that a test sees the states in between without any timing."""

    def __init__(self) -> None:
        self.fake = FakeMachine()
        self._gates: dict[str, threading.Event] = {}

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        target = getattr(self.fake, verb)

        def call(*arguments: Any) -> Any:
            gate = self._gates.get(verb)
            if gate is not None and not gate.wait(20):
                raise TimeoutError(f"{verb} was held and never released")
            return target(*arguments)

        return call

    @contextmanager
    def held(self, verb: str) -> Iterator[None]:
        """Within, calls of ``verb`` wait."""
        gate = self._gates[verb] = threading.Event()
        try:
            yield
        finally:
            del self._gates[verb]
            gate.set()

    @contextmanager
    def failing(self, verb: str, error: BaseException) -> Iterator[None]:
        """Within, ``verb`` raises."""
        self.fake.failures[verb] = error
        try:
            yield
        finally:
            del self.fake.failures[verb]


class Probe:
    """An EC2 client with what checks need around it; works the same on both servers."""

    def __init__(self, endpoint: str, machine: GatedMachine | None, timeout: float) -> None:
        self.endpoint, self.machine, self.timeout = endpoint, machine, timeout
        self.ec2 = self.client("ec2")
        self.vpc_id = ""
        self.subnets: dict[str, str] = {}
        self.image_id = ""
        self._hosts = {zone: itertools.count(10) for zone in ZONES}

    def client(self, service: str) -> Any:
        """A client that neither retries nor uses a proxy."""
        config = Config(retries={"total_max_attempts": 1}, proxies={}, max_pool_connections=60)
        make: Any = boto3.client
        credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return make(service, endpoint_url=self.endpoint, region_name="eu-central-1", config=config, **credentials)

    @contextmanager
    def held(self, verb: str) -> Iterator[None]:
        """Hold a verb of the machine; stock moto has none to hold."""
        if self.machine is None:
            yield
        else:
            with self.machine.held(verb):
                yield

    def ip(self, zone: str = "a") -> str:
        """A fixed address that no other check asked for."""
        number = next(self._hosts[zone])
        assert number < 100, "the fixed addresses of this subnet are used up"
        return f"10.77.{'abc'.index(zone) + 1}.{number}"

    def run(self, zone: str = "a", wait: str | None = "running", **more: Any) -> str:
        """Run an instance and wait for a state; return its id."""
        arguments = {"ImageId": self.image_id, "InstanceType": "t3.small", "MinCount": 1, "MaxCount": 1, **more}
        if "NetworkInterfaces" not in more and "SubnetId" not in more:
            arguments["SubnetId"] = self.subnets[zone]
        instance_id: str = self.ec2.run_instances(**arguments)["Instances"][0]["InstanceId"]
        if wait:
            self.until_state(instance_id, wait)
        return instance_id

    def eni(self, zone: str = "a", **more: Any) -> str:
        """Create a network interface; return its id."""
        created = self.ec2.create_network_interface(SubnetId=self.subnets[zone], **more)
        return str(created["NetworkInterface"]["NetworkInterfaceId"])

    def volume_without_waiting(self, zone: str = "a", **more: Any) -> str:
        """Create a volume; return its id."""
        arguments = {"AvailabilityZone": ZONES[zone], "Size": 5, "VolumeType": "gp3", **more}
        return str(self.ec2.create_volume(**arguments)["VolumeId"])

    def volume(self, zone: str = "a", **more: Any) -> str:
        """Create a volume, wait until it is available; return its id."""
        volume_id = self.volume_without_waiting(zone, **more)
        self.until(lambda: self.show_volume(volume_id)["State"] == "available", "volume available")
        return volume_id

    def show(self, instance_id: str) -> dict[str, Any]:
        """Describe an instance."""
        found = self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
        return dict(found[0]["Instances"][0])

    def show_eni(self, eni_id: str) -> dict[str, Any]:
        """Describe an interface."""
        return dict(self.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni_id])["NetworkInterfaces"][0])

    def show_volume(self, volume_id: str) -> dict[str, Any]:
        """Describe a volume."""
        return dict(self.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0])

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Poll; raise ``AssertionError`` when it does not come to be in time."""
        deadline = time.monotonic() + self.timeout
        while not condition():
            assert time.monotonic() < deadline, f"not within {self.timeout} s: {what}"
            time.sleep(0.02)

    def until_state(self, instance_id: str, state: str) -> None:
        """Wait for an instance's state."""
        self.until(lambda: self.show(instance_id)["State"]["Name"] == state, f"{instance_id} {state}")

    def attach(self, eni_id: str, instance_id: str, index: int = 1) -> str:
        """Attach an interface, wait until it is attached; return the attachment's id."""
        done = self.ec2.attach_network_interface(NetworkInterfaceId=eni_id, InstanceId=instance_id, DeviceIndex=index)
        self.until(lambda: self.show_eni(eni_id)["Attachment"]["Status"] == "attached", "attached")
        return str(done["AttachmentId"])

    def attach_volume(self, volume_id: str, instance_id: str, device: str = "/dev/sdf") -> None:
        """Attach a volume, wait until it is attached."""
        self.ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device=device)
        self.until(lambda: self.show_volume(volume_id)["Attachments"][0]["State"] == "attached", "attached")

    def terminate(self, instance_id: str) -> None:
        """Terminate and wait for the end."""
        self.ec2.terminate_instances(InstanceIds=[instance_id])
        self.until_state(instance_id, "terminated")


def refused(code: str, call: Callable[..., Any], **arguments: Any) -> str:
    """Require that the call is refused with this code; return the message."""
    try:
        call(**arguments)
    except ClientError as error:
        found = error.response["Error"]
        assert found["Code"] == code, f"refused with {found['Code']} ({found['Message']}) instead of {code}"
        return str(found["Message"])
    raise AssertionError(f"accepted, but EC2 refuses with {code}")


def outcomes(calls: list[Callable[[], Any]]) -> list[str]:
    """Make the calls all at once; return 'ok' or the error's code for each."""
    results = ["" for _ in calls]
    start = threading.Barrier(len(calls))

    def one(number: int) -> None:
        start.wait()
        try:
            calls[number]()
            results[number] = "ok"
        except ClientError as error:
            results[number] = error.response["Error"]["Code"]

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def one_of_fifty_wins(p: Probe, loss: str, attach: Callable[[str], Any]) -> None:
    """Require that of fifty instances that attach the same thing at once one succeeds and the others get this code."""
    nodes = [p.run(wait=None) for _ in range(50)]
    for node in nodes:
        p.until_state(node, "running")
    results = outcomes([lambda node=node: attach(node) for node in nodes])  # type: ignore[misc]  # a lambda's defaults have no types
    assert results.count("ok") == 1, results
    assert set(results) == {"ok", loss}
    p.ec2.terminate_instances(InstanceIds=nodes)


def found_by_each(describe: Callable[..., Any], wanted: tuple[str, str], instance: str, values: dict[str, str]) -> None:
    """Require that a describe finds a resource of an instance by each of these filters; ``wanted`` is (id key, id)."""
    for name, value in values.items():
        filters = [{"Name": name, "Values": [value]}, {"Name": "attachment.instance-id", "Values": [instance]}]
        answer = describe(Filters=filters)
        (found,) = [entries for entries in answer.values() if isinstance(entries, list)]
        assert wanted[1] in [entry[wanted[0]] for entry in found], name


def does_not_hold(check: Check, probe: Probe) -> None:
    """Require that the check fails, in whatever way a client would notice."""
    try:
        check(probe)
    except Exception:  # noqa: BLE001 - a wrong answer, a 500 or a missing key: each shows that stock moto differs
        return
    raise AssertionError(f"{check.__name__} holds on stock moto too: its patch is no longer needed")


@contextmanager
def strict_probe() -> Iterator[tuple[Probe, LabApi]]:
    """A strict EC2 in this process, without delays."""
    machine = GatedMachine()
    fake: Any = machine
    api = start_strict_ec2(machine=fake, delays="none", imds=True)
    try:
        probe = Probe(api.endpoint, machine, timeout=10)
        probe.vpc_id, probe.image_id = api.seed.vpc_id, api.seed.image_id
        probe.subnets = {zone: api.seed.subnet_in(name).subnet_id for zone, name in ZONES.items()}
        yield probe, api
    finally:
        api.stop()


@contextmanager
def stock_probe() -> Iterator[Probe]:
    """Stock moto in a process of its own, with the same network and an image."""
    (port,) = free_ports(1)
    environment = {**os.environ, "MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        probe = Probe(f"http://127.0.0.1:{port}", None, timeout=0.3)
        _wait_for_port(port, process)
        ec2 = probe.ec2
        probe.vpc_id = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
        for number, (zone, name) in enumerate(ZONES.items(), 1):
            made = ec2.create_subnet(VpcId=probe.vpc_id, CidrBlock=f"10.77.{number}.0/24", AvailabilityZone=name)
            probe.subnets[zone] = made["Subnet"]["SubnetId"]
        probe.image_id = ec2.register_image(Name="debian-12-lab", RootDeviceName="/dev/xvda")["ImageId"]
        ec2.import_key_pair(KeyName="lab", PublicKeyMaterial=KEY.encode())
        yield probe
    finally:
        process.terminate()
        process.wait(10)


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + 30
    while True:
        try:
            opener.open(f"http://127.0.0.1:{port}/moto-api/", timeout=2).close()
        except OSError:
            assert process.poll() is None, "stock moto did not start"
            assert time.monotonic() < deadline, "stock moto does not answer"
            time.sleep(0.05)
        else:
            return
