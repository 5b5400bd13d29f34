# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's declared pools on a strict EC2, made by hand, only named or tagged; and an operator's playbooks."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from typing import Any

import yaml
from kazoo.client import KazooClient

from lab.api.server import LabApi
from tests.integration.provisioning import ROOT, changed, command

CLUSTER = "demo"
CLAIMS = f"/holdfast/{CLUSTER}/kafka/claims"
NAMES = {"kafka": "KAFKA-{node_id}", "zookeeper": "ZOOKEEPER-{node_id}"}


def declared() -> dict[str, list[dict[str, Any]]]:
    """Return the lab inventory's pools."""
    found = yaml.safe_load((ROOT / "inventories/lab/group_vars/all/pools.yml").read_text(encoding="utf-8"))
    pools: dict[str, list[dict[str, Any]]] = found["holdfast_pools"]
    return pools


@dataclass
class OperatorWorld:
    """One EC2 and one ZooKeeper."""

    api: LabApi
    zookeeper_hosts: list[str]
    enis: dict[str, str] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ec2 = self.api.client("ec2")

    # ---- EC2's side --------------------------------------------------------------------------------------------------

    def make(self, *, named: bool) -> None:
        """Create every declared identity, under the names of an old pool or with the tags of a new one."""
        for role, ones in declared().items():
            for one in ones:
                self.add(role, one, named=named)
        self.api.wait_idle()

    def add(self, role: str, one: dict[str, Any], *, named: bool) -> None:
        """Create one identity's interface and volume."""
        name, node_id, zone = f"{role}-{one['node_id']}", str(one["node_id"]), one["availability_zone"]
        tags = {"Name": f"{role.upper()}-{node_id}"}
        if not named:
            tags = {"holdfast:cluster": CLUSTER, "holdfast:role": role, "holdfast:node-id": node_id}
        subnet = self.api.seed.subnet_in(zone).subnet_id
        answer = self.ec2.create_network_interface(
            SubnetId=subnet,
            PrivateIpAddress=one["private_ip"],
            TagSpecifications=[{"ResourceType": "network-interface", "Tags": pairs(tags)}],
        )
        self.enis[name] = answer["NetworkInterface"]["NetworkInterfaceId"]
        if not named:
            tags["holdfast:volume"] = "0"
        self.volumes[name] = self.add_volume(zone, tags)

    def add_volume(self, zone: str, tags: dict[str, str]) -> str:
        """Create one volume."""
        specification = [{"ResourceType": "volume", "Tags": pairs(tags)}]
        answer = self.ec2.create_volume(
            AvailabilityZone=zone, Size=1, VolumeType="gp3", TagSpecifications=specification
        )
        return str(answer["VolumeId"])

    def launch(self, zone: str) -> str:
        """Run an instance."""
        answer = self.ec2.run_instances(
            ImageId=self.api.seed.image_id,
            InstanceType="m5.large",
            MinCount=1,
            MaxCount=1,
            SubnetId=self.api.seed.subnet_in(zone).subnet_id,
        )
        self.api.wait_idle()
        return str(answer["Instances"][0]["InstanceId"])

    def hold(self, name: str) -> str:
        """Launch an instance and attach a whole identity to it, as a boot does."""
        role, _dash, node_id = name.partition("-")
        one = next(item for item in declared()[role] if str(item["node_id"]) == node_id)
        holder = self.launch(one["availability_zone"])
        self.attach(name, holder)
        self.holders[name] = holder
        return holder

    def attach(self, name: str, holder: str) -> None:
        """Attach an identity's parts so that they outlive the instance."""
        attached = self.ec2.attach_network_interface(
            NetworkInterfaceId=self.enis[name], InstanceId=holder, DeviceIndex=1
        )
        self.ec2.attach_volume(VolumeId=self.volumes[name], InstanceId=holder, Device="/dev/sdf")
        self.api.wait_idle()
        keep = {"AttachmentId": attached["AttachmentId"], "DeleteOnTermination": False}
        self.ec2.modify_network_interface_attribute(NetworkInterfaceId=self.enis[name], Attachment=keep)

    def terminate(self, instance_id: str) -> None:
        """Terminate an instance and wait until EC2 says so."""
        self.ec2.terminate_instances(InstanceIds=[instance_id])
        self.api.wait_idle()

    def tags(self, resource_id: str) -> dict[str, str]:
        """Return a resource's tags."""
        found = self.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [resource_id]}])["Tags"]
        return {tag["Key"]: tag["Value"] for tag in found}

    def attachments(self) -> dict[str, str | None]:
        """Return who has what, for proof that nothing moved."""
        enis = self.ec2.describe_network_interfaces(NetworkInterfaceIds=list(self.enis.values()))["NetworkInterfaces"]
        volumes = self.ec2.describe_volumes(VolumeIds=list(self.volumes.values()))["Volumes"]
        found = {one["NetworkInterfaceId"]: (one.get("Attachment") or {}).get("InstanceId") for one in enis}
        for one in volumes:
            found[one["VolumeId"]] = next((item["InstanceId"] for item in one["Attachments"]), None)
        return found

    # ---- ZooKeeper's side --------------------------------------------------------------------------------------------

    def claims(self) -> dict[int, dict[str, Any]]:
        """Return the claims as they stand in ZooKeeper."""
        client = KazooClient(hosts=",".join(self.zookeeper_hosts))
        client.start()
        try:
            if not client.exists(CLAIMS):
                return {}
            return {int(name): json.loads(client.get(f"{CLAIMS}/{name}")[0]) for name in client.get_children(CLAIMS)}
        finally:
            client.stop()
            client.close()

    def put_claim(self, node_id: int, holder: str | None, **more: Any) -> None:
        """Write a claim past every rule."""
        client = KazooClient(hosts=",".join(self.zookeeper_hosts))
        client.start()
        try:
            value = json.dumps({"version": 1, "node_id": node_id, "instance_id": holder, **more}).encode()
            client.ensure_path(CLAIMS)
            path = f"{CLAIMS}/{node_id}"
            client.set(path, value) if client.exists(path) else client.create(path, value)
        finally:
            client.stop()
            client.close()

    def wipe(self) -> None:
        """Take everything of this cluster away."""
        client = KazooClient(hosts=",".join(self.zookeeper_hosts))
        client.start()
        try:
            client.delete(f"/holdfast/{CLUSTER}", recursive=True)
        finally:
            client.stop()
            client.close()

    # ---- the operator's side -----------------------------------------------------------------------------------------

    def play(self, name: str, *flags: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        """Run a playbook."""
        extra = {"node_identity_zookeeper_hosts": self.zookeeper_hosts, **variables}
        arguments = ["-i", "inventories/lab/node.yml", f"playbooks/{name}.yml", "-e", json.dumps(extra), *flags]
        return command(self.api, "ansible-playbook", *arguments)

    def changes(self, name: str, *flags: str, **variables: Any) -> int:
        """Run a playbook that must succeed and return its count of changes."""
        done = self.play(name, *flags, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return changed(done.stdout)


def pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    """Return tags as EC2 takes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
