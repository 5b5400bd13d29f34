# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Provisioning that must be refused, or must recover, against the strict EC2."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from botocore.exceptions import ClientError

from lab.api.server import LabApi, start_strict_ec2
from tests.integration.provisioning import ROOT, changed, command, play, run

LAB_POOLS = yaml.safe_load((ROOT / "inventories/lab/group_vars/all/pools.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def api() -> Iterator[LabApi]:
    """A strict EC2 of its own."""
    started = start_strict_ec2(delays="none")
    try:
        yield started
    finally:
        started.stop()


def refused(api: LabApi, name: str, *more: str) -> str:
    """Run a playbook that must fail; return what it printed, on one line."""
    done = command(api, "ansible-playbook", "-i", "inventories/lab/node.yml", f"playbooks/{name}.yml", *more)
    assert done.returncode != 0, done.stdout
    return " ".join((done.stdout + done.stderr).split())


def status(api: LabApi) -> dict[str, object]:
    """The pool stack's description."""
    found: dict[str, object] = api.client("cloudformation").describe_stacks(StackName="demo-pool")["Stacks"][0]
    return found


def test_a_creation_that_failed_is_made_again(api: LabApi) -> None:
    ec2 = api.client("ec2")
    subnet = api.seed.subnets[0].subnet_id
    eni = ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress="10.77.1.11")["NetworkInterface"]
    refused(api, "pool_provision")
    assert status(api)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert status(api)["EnableTerminationProtection"] is False
    ec2.delete_network_interface(NetworkInterfaceId=eni["NetworkInterfaceId"])
    play(api, "pool_provision")
    assert status(api)["StackStatus"] == "CREATE_COMPLETE"
    assert status(api)["EnableTerminationProtection"] is True


def test_a_protected_failure_is_left_to_the_operator(api: LabApi) -> None:
    cloudformation = api.client("cloudformation")
    body = "Resources: {Eni: {Type: 'AWS::EC2::NetworkInterface', Properties: {SubnetId: subnet-none}}}"
    cloudformation.create_stack(StackName="other-pool", TemplateBody=body, EnableTerminationProtection=True)
    with pytest.raises(Exception, match="ROLLBACK_COMPLETE"):
        cloudformation.get_waiter("stack_create_complete").wait(StackName="other-pool", WaiterConfig={"Delay": 1})
    printed = refused(api, "pool_provision", "-e", "pool_stack_name=other-pool")
    assert "other-pool is ROLLBACK_COMPLETE, what a failed creation left, and is protected" in printed


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"pool_stack_volume_encrypted": False}, "Encrypted of the volume Kafka1Volume0 of kafka-1 would change"),
        ({"moved": "10.77.1.31"}, "would change from 10.77.1.21 to 10.77.1.31"),
        ({"removed": True}, "Kafka3Interface of kafka-3 is in the stack and no longer in holdfast_pools"),
    ],
)
@pytest.mark.parametrize("check", [[], ["--check"]])
def test_a_replacement_is_refused(api: LabApi, check: list[str], variables: dict[str, object], sentence: str) -> None:
    extra = {key: value for key, value in variables.items() if key.startswith("pool_")}
    pools = json.loads(json.dumps(LAB_POOLS["holdfast_pools"]))
    if "moved" in variables:
        pools["kafka"][0]["private_ip"] = variables["moved"]
    if "removed" in variables:
        del pools["kafka"][2]
    extra["holdfast_pools"] = pools
    assert sentence in refused(api, "pool_provision", "-e", json.dumps(extra), *check)


def test_cloudformation_refuses_the_same_from_others(api: LabApi) -> None:
    """The stack policy, for whoever updates the stack without the playbook."""
    cloudformation = api.client("cloudformation")
    body = yaml.safe_load(cloudformation.get_template(StackName="demo-pool")["TemplateBody"])
    del body["Resources"]["Kafka3Interface"]
    with pytest.raises(
        ClientError, match=r"Action denied by stack policy: Statement \[#2\] does not allow \[Update:Dele"
    ):
        cloudformation.update_stack(StackName="demo-pool", TemplateBody=json.dumps(body, default=str))


def test_a_released_identity_leaves_the_stack_and_stays_in_ec2(api: LabApi) -> None:
    pools = json.loads(json.dumps(LAB_POOLS["holdfast_pools"]))
    del pools["kafka"][2]
    extra = {"holdfast_pools": pools, "pool_stack_released_identities": ["kafka-3"]}
    assert play(api, "pool_provision", "-e", json.dumps(extra)) == 1
    found = api.client("ec2").describe_network_interfaces(
        Filters=[{"Name": "private-ip-address", "Values": ["10.77.3.23"]}]
    )["NetworkInterfaces"]
    assert len(found) == 1


def test_another_clusters_nodes_are_not_listed(api: LabApi) -> None:
    ec2 = api.client("ec2")
    for cluster in ("demo", "demo-eu"):
        tags = {
            "Name": f"{cluster}-kafka-1",
            "holdfast:cluster": cluster,
            "holdfast:role": "kafka",
            "holdfast:node-id": "1",
        }
        specification = {"ResourceType": "instance", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}
        ec2.run_instances(
            ImageId=api.seed.image_id,
            InstanceType="t3.small",
            SubnetId=api.seed.subnets[0].subnet_id,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[specification],
        )
    listed = json.loads(run(api, "ansible-inventory", "-i", "inventories/lab", "--list"))
    assert listed["kafka"]["hosts"] == ["demo-kafka-1"]
    assert "cluster_demo_eu" not in listed


def test_a_check_before_the_image_says_that_nodes_would_change(api: LabApi, tmp_path: Path) -> None:
    extra = {"holdfast_artifacts_dir": str(tmp_path), "node_image_base_image_id": api.seed.image_id}
    together = tmp_path / "bake_and_nodes.yml"
    plays = [{"import_playbook": str(ROOT / f"playbooks/{name}.yml")} for name in ("image_bake", "nodes_provision")]
    together.write_text(yaml.safe_dump(plays), encoding="utf-8")
    arguments = ("-i", "inventories/lab/node.yml", str(together), "-e", json.dumps(extra), "--check")
    printed = run(api, "ansible-playbook", *arguments)
    assert changed(printed) == 2
    assert "image to be made" in printed
    assert "demo-nodes would be deployed with the image that is to be made" in printed


@pytest.mark.parametrize("name", ["nodes_provision", "image_bake"])
def test_missing_credentials_are_said_in_a_sentence(api: LabApi, tmp_path: Path, name: str) -> None:
    (tmp_path / "SHA512SUMS").write_text("", encoding="utf-8")
    extra = {"holdfast_artifacts_dir": str(tmp_path), "node_image_base_image_id": api.seed.image_id}
    arguments = ("-i", "inventories/lab/node.yml", f"playbooks/{name}.yml", "-e", json.dumps(extra))
    done = command(api, "ansible-playbook", *arguments, credentials=False)
    assert done.returncode != 0
    assert "Unable to locate credentials" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_no_image_is_made_when_the_operator_names_one(api: LabApi, tmp_path: Path) -> None:
    extra = {"holdfast_artifacts_dir": str(tmp_path), "holdfast_image_id": api.seed.image_id}
    arguments = ("-i", "inventories/lab/node.yml", "playbooks/image_bake.yml", "-e", json.dumps(extra))
    printed = run(api, "ansible-playbook", *arguments)
    assert changed(printed) == 0
    assert f"image {api.seed.image_id}" in printed


def test_a_bake_without_a_group_that_lets_ssh_in_is_refused(api: LabApi, tmp_path: Path) -> None:
    (tmp_path / "SHA512SUMS").write_text("", encoding="utf-8")
    extra = {
        "holdfast_artifacts_dir": str(tmp_path),
        "node_image_base_image_id": api.seed.image_id,
        "node_image_default_group_allowed": False,
    }
    assert "node_image_security_group_ids is empty" in refused(api, "image_bake", "-e", json.dumps(extra))


def test_a_lost_builder_is_terminated_and_no_image_is_made(api: LabApi, tmp_path: Path) -> None:
    """The builder of a plain strict EC2 has no machine, so nobody can reach it."""
    for name in ("archives", "collections", "wheels"):
        (tmp_path / name).mkdir()
    for name in ("SHA512SUMS", "requirements-node.txt"):
        (tmp_path / name).write_text("", encoding="utf-8")
    extra = {
        "holdfast_artifacts_dir": str(tmp_path),
        "node_image_base_image_id": api.seed.image_id,
        # The first task of the play then finds it unreachable, instead of waiting for it.
        "ansible_ssh_common_args": "-o ConnectTimeout=1 -o ProxyCommand=false",
    }
    printed = refused(api, "image_bake", "-e", json.dumps(extra), "-e", "image_bake_wait_seconds=2")
    assert "The builder failed and is terminated." in printed
    builders = [{"Name": "tag-key", "Values": ["holdfast:image-builder"]}]
    found = api.client("ec2").describe_instances(Filters=builders)["Reservations"]
    assert [r["Instances"][0]["State"]["Name"] for r in found] in (["terminated"], ["shutting-down"])


def test_placeholders_of_checksums_are_refused(api: LabApi, tmp_path: Path) -> None:
    extra = {
        "holdfast_artifacts_dir": str(tmp_path),
        "node_artifacts_kafka_archive_checksum": "sha512:REPLACE-ME",
    }
    assert "('sha512:REPLACE-ME')" in refused(api, "artifacts_gather", "-e", json.dumps(extra))
