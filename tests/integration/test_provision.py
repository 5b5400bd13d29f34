# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools and nodes provisioned by the playbooks against the strict EC2: changed once; and their role suffices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.api.server import LabApi, start_strict_ec2
from tests.integration.provisioning import play, run

NO_WAIT = json.dumps({"nodes_stack_wait": False})


@pytest.fixture(scope="module")
def api() -> Iterator[LabApi]:
    """A strict EC2 whose base image passes as a baked one."""
    started = start_strict_ec2(delays="none")
    ec2 = started.client("ec2")
    ec2.create_tags(Resources=[started.seed.image_id], Tags=[{"Key": "holdfast:image", "Value": "node"}])
    try:
        yield started
    finally:
        started.stop()


def test_a_pool_is_made_once(api: LabApi) -> None:
    assert play(api, "pool_provision", "--check") == 1
    assert not api.client("ec2").describe_network_interfaces()["NetworkInterfaces"]
    assert play(api, "pool_provision") == 1
    assert play(api, "pool_provision") == 0
    assert play(api, "pool_provision", "--check", "--diff") == 0
    found = api.client("ec2").describe_network_interfaces(
        Filters=[{"Name": "tag:holdfast:cluster", "Values": ["demo"]}]
    )["NetworkInterfaces"]
    assert {"10.77.1.11", "10.77.1.21", "10.77.2.12", "10.77.2.22", "10.77.3.13", "10.77.3.23"} == {
        eni["PrivateIpAddress"] for eni in found
    }


def test_nodes_are_made_once_and_listed_by_identity(api: LabApi) -> None:
    assert play(api, "nodes_provision", "-e", NO_WAIT) == 1
    assert play(api, "nodes_provision", "-e", NO_WAIT) == 0
    ec2 = api.client("ec2")
    eni = ec2.describe_network_interfaces(Filters=[{"Name": "private-ip-address", "Values": ["10.77.1.21"]}])
    eni_id = eni["NetworkInterfaces"][0]["NetworkInterfaceId"]
    group = {"Name": "tag:aws:autoscaling:groupName", "Values": ["demo-kafka-eu-central-1a"]}
    instance = ec2.describe_instances(Filters=[group])["Reservations"][0]["Instances"][0]["InstanceId"]
    assert "demo-kafka-1" not in run(api, "ansible-inventory", "-i", "inventories/lab", "--list"), "not claimed yet"
    ec2.attach_network_interface(NetworkInterfaceId=eni_id, InstanceId=instance, DeviceIndex=1)
    tags = {"Name": "demo-kafka-1", "holdfast:node-id": "1"}
    ec2.create_tags(Resources=[instance], Tags=[{"Key": k, "Value": v} for k, v in tags.items()])
    listed = json.loads(run(api, "ansible-inventory", "-i", "inventories/lab", "--list"))
    assert listed["kafka"]["hosts"] == listed["cluster_demo"]["hosts"] == ["demo-kafka-1"]
    host = json.loads(run(api, "ansible-inventory", "-i", "inventories/lab", "--host", "demo-kafka-1"))
    assert "10.77.1.21" in json.dumps(host["ansible_host"])
    assert (host["ansible_user"], host["holdfast_role"]) == ("admin", "kafka")


def _stack_timeout_minutes(api: LabApi) -> int | None:
    stack = api.client("cloudformation").describe_stacks(StackName="demo-nodes")["Stacks"][0]
    return stack.get("TimeoutInMinutes")


def test_silence_is_borne_longer_where_logs_may_be_recovered(api: LabApi) -> None:
    assert _stack_timeout_minutes(api) == 60, "the pool had never served"
    cloudformation = api.client("cloudformation")
    cloudformation.delete_stack(StackName="demo-nodes")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="demo-nodes", WaiterConfig={"Delay": 1})
    ec2 = api.client("ec2")
    volumes = ec2.describe_volumes(Filters=[{"Name": "tag:holdfast:role", "Values": ["zookeeper"]}])["Volumes"]
    ec2.create_tags(Resources=[volumes[0]["VolumeId"]], Tags=[{"Key": "holdfast:initialized", "Value": "true"}])
    assert play(api, "nodes_provision", "-e", NO_WAIT) == 1
    assert _stack_timeout_minutes(api) is None, "a node may recover its logs for hours"


BOOT_CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("ec2", "describe_network_interfaces", {}),
    ("ec2", "describe_volumes", {}),
    ("ec2", "describe_instances", {}),
    ("ec2", "describe_tags", {}),
    ("ec2", "attach_network_interface", {"NetworkInterfaceId": "eni-1", "InstanceId": "i-1", "DeviceIndex": 1}),
    ("ec2", "attach_volume", {"VolumeId": "vol-1", "InstanceId": "i-1", "Device": "/dev/sdf"}),
    ("ec2", "modify_network_interface_attribute", {"NetworkInterfaceId": "eni-1", "Description": {"Value": "x"}}),
    ("ec2", "modify_instance_attribute", {"InstanceId": "i-1", "BlockDeviceMappings": []}),
    ("ec2", "create_tags", {"Resources": ["i-1"], "Tags": [{"Key": "Name", "Value": "x"}]}),
    ("ec2", "create_tags", {"Resources": ["vol-1"], "Tags": [{"Key": "holdfast:initialized", "Value": "x"}]}),
    ("cloudformation", "describe_stack_resource", {"StackName": "x", "LogicalResourceId": "x"}),
    ("autoscaling", "set_instance_health", {"InstanceId": "i-1", "HealthStatus": "Unhealthy"}),
    (
        "cloudformation",
        "signal_resource",
        {"StackName": "x", "LogicalResourceId": "x", "UniqueId": "i-1", "Status": "SUCCESS"},
    ),
]
FORBIDDEN: list[tuple[str, str, dict[str, Any]]] = [
    ("ec2", "terminate_instances", {"InstanceIds": ["i-1"]}),
    ("ec2", "detach_network_interface", {"AttachmentId": "eni-attach-1"}),
    ("ec2", "create_network_interface", {"SubnetId": "subnet-1"}),
    ("ec2", "delete_volume", {"VolumeId": "vol-1"}),
    ("autoscaling", "describe_auto_scaling_groups", {}),
    ("cloudformation", "delete_stack", {"StackName": "demo-pool"}),
]
DENIALS = ("UnauthorizedOperation", "AccessDenied")


def test_the_role_of_a_node_may_do_what_a_boot_does(api: LabApi) -> None:
    """With the nodes stack's own role: no call of a boot is denied, each of the others is."""
    outputs = api.client("cloudformation").describe_stacks(StackName="demo-nodes")["Stacks"][0]["Outputs"]
    name = next(o["OutputValue"] for o in outputs if o["OutputKey"] == "NodeRoleName")
    arn = api.client("iam").get_role(RoleName=name)["Role"]["Arn"]
    keys = api.client("sts").assume_role(RoleArn=arn, RoleSessionName="i-1")["Credentials"]

    def code(service: str, call: str, arguments: dict[str, Any]) -> str:
        make: Any = boto3.client
        client = make(
            service,
            endpoint_url=api.endpoint,
            region_name="eu-central-1",
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
            config=Config(retries={"total_max_attempts": 1}, proxies={}),
        )
        try:
            getattr(client, call)(**arguments)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "ok"

    denied = [call for service, call, arguments in BOOT_CALLS if code(service, call, arguments) in DENIALS]
    assert denied == []
    allowed = [call for service, call, arguments in FORBIDDEN if code(service, call, arguments) not in DENIALS]
    assert allowed == []
