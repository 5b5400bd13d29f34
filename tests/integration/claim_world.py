# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster's pools on the strict EC2, and the modules as Ansible runs them: in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.api.server import LabApi

REPOSITORY = Path(__file__).resolve().parents[2]
RUN_SECONDS = 180
CLUSTER = "orders"


@dataclass
class Run:
    """What one task gave back, and how long it took."""

    result: dict[str, Any]
    failed: bool
    seconds: float = 0.0

    def __getitem__(self, key: str) -> Any:
        return self.result[key]

    def get(self, key: str) -> Any:
        """Return a value of the result, None if it is not there."""
        return self.result.get(key)


@dataclass
class ClaimWorld:
    """Pools, instances and module runs on one strict EC2; ``environment`` is added to each run's."""

    api: LabApi
    zookeeper_hosts: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    cluster: str = CLUSTER

    def __post_init__(self) -> None:
        self.ec2 = self.api.client("ec2")

    # ---- EC2's side --------------------------------------------------------------------------------------------------

    def subnet(self, zone: str) -> str:
        """Return the subnet of a zone, given by its last letter."""
        return self.api.seed.subnet_in(f"eu-central-1{zone}").subnet_id

    def tags(self, role: str, node_id: int | str, **more: str) -> list[dict[str, str]]:
        """Return the tags of one identity's part."""
        tags = {
            "Name": f"{self.cluster}-{role}-{node_id}",
            "holdfast:cluster": self.cluster,
            "holdfast:role": role,
            "holdfast:node-id": str(node_id),
            **{f"holdfast:{key}": value for key, value in more.items()},
        }
        return [{"Key": key, "Value": value} for key, value in tags.items()]

    def add_eni(self, role: str, node_id: int, zone: str) -> str:
        """Create one ENI and return its id."""
        spec = [{"ResourceType": "network-interface", "Tags": self.tags(role, node_id)}]
        answer = self.ec2.create_network_interface(SubnetId=self.subnet(zone), TagSpecifications=spec)
        return str(answer["NetworkInterface"]["NetworkInterfaceId"])

    def add_volume(self, role: str, node_id: int, zone: str, index: str = "0") -> str:
        """Create one volume and return its id."""
        spec = [{"ResourceType": "volume", "Tags": self.tags(role, node_id, volume=index)}]
        answer = self.ec2.create_volume(
            AvailabilityZone=f"eu-central-1{zone}", Size=1, VolumeType="gp3", TagSpecifications=spec
        )
        self.api.wait_idle()
        return str(answer["VolumeId"])

    def add_identity(self, role: str, node_id: int, zone: str) -> tuple[str, str]:
        """Create one whole identity; return its ENI's and its volume's id."""
        return self.add_eni(role, node_id, zone), self.add_volume(role, node_id, zone)

    def launch(self, zone: str) -> str:
        """Run an instance and return its id."""
        answer = self.ec2.run_instances(
            ImageId=self.api.seed.image_id,
            InstanceType="m5.large",
            MinCount=1,
            MaxCount=1,
            SubnetId=self.subnet(zone),
        )
        self.api.wait_idle()
        return str(answer["Instances"][0]["InstanceId"])

    def terminate(self, instance_id: str, wait: bool = True) -> None:
        """Terminate an instance."""
        self.ec2.terminate_instances(InstanceIds=[instance_id])
        if wait:
            self.api.wait_idle()

    def holder(self, eni_id: str) -> str | None:
        """Return whom EC2 calls the ENI's holder."""
        eni = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni_id])["NetworkInterfaces"][0]
        holder: str | None = (eni.get("Attachment") or {}).get("InstanceId")
        return holder

    # ---- Ansible's side ----------------------------------------------------------------------------------------------

    def start(self, module: str, arguments: dict[str, Any], *flags: str) -> subprocess.Popen[str]:
        """Start one task as Ansible runs it."""
        command = [
            str(Path(sys.executable).with_name("ansible")),
            "localhost",
            *("-i", "localhost,"),
            *("-c", "local"),
            *("-e", f"ansible_python_interpreter={sys.executable}"),
            *("-m", f"holdfast.kafka.{module}"),
            *("-a", json.dumps(arguments)),
            *flags,
        ]
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "ANSIBLE_"))},
            **self.api.environment(),
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "collections"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            **self.environment,
        }
        return subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def finish(self, process: subprocess.Popen[str]) -> Run:
        """Wait for a task and read its result."""
        out, err = process.communicate(timeout=RUN_SECONDS)
        head, arrow, body = out.partition("=> ")
        if not arrow:
            raise AssertionError(f"no result in:\n{out}\n{err}")
        result, _end = json.JSONDecoder().raw_decode(body)
        return Run(result, "FAILED" in head)

    def run(self, module: str, arguments: dict[str, Any], *flags: str) -> Run:
        """Run one task to its end."""
        return self.finish(self.start(module, arguments, *flags))

    def claim_arguments(self, instance_id: str, zone: str, **more: Any) -> dict[str, Any]:
        """Return the arguments of a claim for an instance elsewhere."""
        return {
            "cluster": self.cluster,
            "role": "kafka",
            "instance_id": instance_id,
            "availability_zone": f"eu-central-1{zone}",
            "zookeeper_hosts": self.zookeeper_hosts,
            "timeout_seconds": 60,
            "poll_seconds": 0.5,
            **more,
        }

    def claim(self, instance_id: str, zone: str, *flags: str, **more: Any) -> Run:
        """Claim for an instance."""
        return self.run("node_id_claim", self.claim_arguments(instance_id, zone, **more), *flags)
