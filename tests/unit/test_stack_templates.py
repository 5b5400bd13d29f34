# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The templates that the two stack roles render: valid for AWS, everything retained, the role no wider than a boot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cfnlint.api import ManualArgs, lint

ROOT = Path(__file__).resolve().parents[2]
PLAY = [
    {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "tasks": [
            {"include_role": {"name": "holdfast.kafka.inventory_check"}},
            {"include_role": {"name": "holdfast.kafka.pool_stack", "tasks_from": "render.yml", "public": True}},
            {"include_role": {"name": "holdfast.kafka.nodes_stack", "tasks_from": "render.yml", "public": True}},
            {"copy": {"dest": "{{ out }}/pool.yml", "content": "{{ pool_stack__template }}", "mode": "0600"}},
            {"copy": {"dest": "{{ out }}/nodes.yml", "content": "{{ nodes_stack__template }}", "mode": "0600"}},
            {
                "include_role": {"name": "holdfast.kafka.nodes_stack", "tasks_from": "user_data.yml"},
                "vars": {
                    "nodes_stack_user_data_role": "kafka",
                    "nodes_stack_user_data_node_id": 7,
                    "nodes_stack_user_data_variables": {"data_volume_refill_allowed": True, "holdfast_node_id": 8},
                },
            },
            {"copy": {"dest": "{{ out }}/by_hand.yml", "content": "{{ nodes_stack_user_data }}", "mode": "0600"}},
        ],
    }
]
BOOT_CALLS = {
    "ec2:DescribeInstances": "node_id_claim: does a holder live",
    "ec2:DescribeNetworkInterfaces": "node_id_claim: the pool",
    "ec2:DescribeTags": "amazon.aws.ec2_tag: before it tags",
    "ec2:DescribeVolumes": "node_id_claim: the pool; ec2_volume_attach: attached to me",
    "ec2:AttachNetworkInterface": "ec2_eni_attach",
    "ec2:ModifyNetworkInterfaceAttribute": "ec2_eni_attach: keep the interface when the instance ends",
    "ec2:AttachVolume": "ec2_volume_attach",
    "ec2:ModifyInstanceAttribute": "ec2_volume_attach: keep the volume when the instance ends",
    "ec2:CreateTags": "node_identity: Name and holdfast:node-id of the instance; data_volume: holdfast:initialized",
    "autoscaling:SetInstanceHealth": "autoscaling_health_set: a boot that failed",
    "cloudformation:DescribeStackResource": "cloudformation_signal: whether it would signal, in check mode",
    "cloudformation:SignalResource": "cloudformation_signal",
}


def _identity(node_id: int, zone: str, ip: str, volumes: int = 1) -> dict[str, Any]:
    disks = [{"size_gib": 10, "type": "gp3"}] * volumes
    return {"node_id": node_id, "availability_zone": f"eu-central-1{zone}", "private_ip": ip, "volumes": disks}


def _pools(zones: str, per_zone: int = 1, volumes: int = 1) -> dict[str, list[dict[str, Any]]]:
    pools: dict[str, list[dict[str, Any]]] = {"zookeeper": [], "kafka": []}
    for number, zone in enumerate(zones, 1):
        pools["zookeeper"].append(_identity(number, zone, f"10.20.{'abc'.index(zone) + 1}.{10 + number}"))
        for nth in range(per_zone):
            node_id = 100 * nth + number
            pools["kafka"].append(_identity(node_id, zone, f"10.20.{'abc'.index(zone) + 1}.{20 + nth}", volumes))
    return pools


INVENTORIES: dict[str, dict[str, Any]] = {
    "as-shipped": {},
    "one-zone": {"holdfast_pools": _pools("a")},
    "three-zones-two-brokers-each": {"holdfast_pools": _pools("abc", per_zone=2)},
    "two-volumes": {"holdfast_pools": _pools("abc", volumes=2)},
    "every-option": {
        "holdfast_pools": {
            "zookeeper": [_identity(1, "a", "10.20.1.11")],
            "kafka": [
                {
                    **_identity(1, "a", "10.20.1.21"),
                    "volumes": [{"size_gib": 500, "type": "gp3", "iops": 6000, "throughput": 500}],
                }
            ],
        },
        "holdfast_tags": {"team": "streaming"},
        "holdfast_client_cidrs": [],
        "holdfast_operator_cidrs": [],
        "holdfast_key_name": "",
        "holdfast_kms_key_arn": "arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f",
        "nodes_stack_managed_policy_arns": ["arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"],
        "nodes_stack_root_volume": {"device": "/dev/xvda", "size_gib": 20},
        "nodes_stack_wait": False,
    },
}


def render(directory: Path, variables: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Render both templates into the directory with the AWS example inventory and these variables over it."""
    play, extra = directory / "play.yml", directory / "extra.json"
    play.write_text(yaml.safe_dump(PLAY), encoding="utf-8")
    extra.write_text(
        json.dumps({"out": str(directory), "holdfast_image_id": "ami-0123456789abcdef0", **variables}), encoding="utf-8"
    )
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(ROOT / "inventories/aws/node.yml")]
    return subprocess.run(
        [*command, str(play), "-e", f"@{extra}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module", params=sorted(INVENTORIES))
def rendered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Both templates of an inventory, as text and parsed, and the inventory's pools if it names its own."""
    directory = tmp_path_factory.mktemp("stacks")
    done = render(directory, INVENTORIES[request.param])
    assert done.returncode == 0, done.stdout + done.stderr
    texts = {name: (directory / f"{name}.yml").read_text(encoding="utf-8") for name in ("pool", "nodes", "by_hand")}
    return {
        "text": texts,
        "pools": INVENTORIES[request.param].get("holdfast_pools"),
        **{name: yaml.safe_load(text) for name, text in texts.items()},
    }


@pytest.mark.parametrize("name", ["pool", "nodes"])
def test_cfn_lint_finds_nothing(rendered: dict[str, Any], name: str) -> None:
    assert [str(match) for match in lint(rendered["text"][name], config=ManualArgs(regions=["eu-central-1"]))] == []


def test_everything_of_the_pool_is_retained(rendered: dict[str, Any]) -> None:
    for name, resource in rendered["pool"]["Resources"].items():
        policies = (resource["DeletionPolicy"], resource["UpdateReplacePolicy"])
        assert policies == ("RetainExceptOnCreate", "Retain"), name


def test_each_identity_has_its_interface_and_volumes_tagged_alike(rendered: dict[str, Any]) -> None:
    resources = rendered["pool"]["Resources"]
    for role, identities in (rendered["pools"] or {}).items():
        for identity in identities:
            stem = f"{role.capitalize()}{identity['node_id']}"
            eni = resources[f"{stem}Interface"]["Properties"]
            tags = {tag["Key"]: tag["Value"] for tag in eni["Tags"]}
            assert eni["PrivateIpAddress"] == identity["private_ip"]
            assert tags["holdfast:role"] == role
            assert tags["holdfast:node-id"] == str(identity["node_id"])
            assert tags["Name"] == f"orders-{role}-{identity['node_id']}"
            for index, _ in enumerate(identity["volumes"]):
                volume = resources[f"{stem}Volume{index}"]["Properties"]
                own = {tag["Key"]: tag["Value"] for tag in volume["Tags"]}
                assert own == {**tags, "holdfast:volume": str(index)}
                assert volume["Encrypted"] is True
                assert volume["AvailabilityZone"] == identity["availability_zone"]


KEY = "arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
KEY_CALLS = {
    "kms:CreateGrant": "ec2_volume_attach: EC2 takes the key on behalf of the instance",
    "kms:Decrypt": "the same",
    "kms:DescribeKey": "the same",
    "kms:GenerateDataKeyWithoutPlaintext": "the same",
}


def _statements(rendered: dict[str, Any]) -> list[dict[str, Any]]:
    role = rendered["nodes"]["Resources"]["NodeRole"]["Properties"]
    return list(role["Policies"][0]["PolicyDocument"]["Statement"])


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def test_the_role_allows_the_calls_of_a_boot_and_no_other(rendered: dict[str, Any]) -> None:
    allowed = [s for s in _statements(rendered) if s["Effect"] == "Allow"]
    actions = {action for statement in allowed for action in _listed(statement["Action"])}
    encrypted = any("KmsKeyId" in r["Properties"] for r in rendered["pool"]["Resources"].values())
    assert sorted(actions) == sorted({**BOOT_CALLS, **(KEY_CALLS if encrypted else {})})


def test_whatever_changes_something_is_limited(rendered: dict[str, Any]) -> None:
    for statement in _statements(rendered):
        sid = statement["Sid"]
        if sid == "ReadPool":
            assert all(action.startswith("ec2:Describe") for action in statement["Action"])
        elif statement["Effect"] == "Allow":
            assert statement["Resource"] != "*", sid
            if any(action.startswith("ec2:") for action in _listed(statement["Action"])):
                assert statement["Condition"]["StringEquals"] == {"aws:ResourceTag/holdfast:cluster": "orders"}, sid


def test_tags_are_limited_to_the_keys_in_use(rendered: dict[str, Any]) -> None:
    keys = {
        statement["Resource"][0]["Fn::Sub"].split(":")[-1]: statement["Condition"]["ForAllValues:StringEquals"]
        for statement in _statements(rendered)
        if statement["Action"] == "ec2:CreateTags"
    }
    assert keys == {
        "instance/*": {"aws:TagKeys": ["Name", "holdfast:node-id"]},
        "volume/*": {"aws:TagKeys": ["holdfast:initialized"]},
    }


def test_attributes_beside_delete_on_termination_are_denied(rendered: dict[str, Any]) -> None:
    denied = {
        s["Action"]: s["Condition"]["StringEqualsIgnoreCase"] for s in _statements(rendered) if s["Effect"] == "Deny"
    }
    assert set(denied) == {"ec2:ModifyInstanceAttribute", "ec2:ModifyNetworkInterfaceAttribute"}
    assert "userData" in denied["ec2:ModifyInstanceAttribute"]["ec2:Attribute"]
    assert "groupSet" in denied["ec2:ModifyNetworkInterfaceAttribute"]["ec2:Attribute"]


def test_health_is_set_in_this_clusters_groups_by_name(rendered: dict[str, Any]) -> None:
    statement = next(s for s in _statements(rendered) if s["Sid"] == "ReportHealth")
    named = {arn["Fn::Sub"].split("autoScalingGroupName/")[1] for arn in statement["Resource"]}
    groups = {
        resource["Properties"]["AutoScalingGroupName"]
        for resource in rendered["nodes"]["Resources"].values()
        if resource["Type"] == "AWS::AutoScaling::AutoScalingGroup"
    }
    assert named == groups


def test_a_grant_of_the_key_is_for_aws_alone(rendered: dict[str, Any]) -> None:
    for statement in _statements(rendered):
        if "kms:CreateGrant" in _listed(statement["Action"]):
            assert statement["Resource"] == KEY
            assert statement["Condition"] == {"Bool": {"kms:GrantIsForAWSResource": "true"}}


def test_one_group_per_role_and_zone_with_a_member_per_identity(rendered: dict[str, Any]) -> None:
    if rendered["pools"] is None:
        return
    wanted: dict[str, int] = {}
    for role, identities in rendered["pools"].items():
        for identity in identities:
            name = f"orders-{role}-{identity['availability_zone']}"
            wanted[name] = wanted.get(name, 0) + 1
    groups = {
        resource["Properties"]["AutoScalingGroupName"]: resource
        for resource in rendered["nodes"]["Resources"].values()
        if resource["Type"] == "AWS::AutoScaling::AutoScalingGroup"
    }
    assert {name: int(g["Properties"]["DesiredCapacity"]) for name, g in groups.items()} == wanted
    for group in groups.values():
        if "CreationPolicy" in group:
            assert str(group["CreationPolicy"]["ResourceSignal"]["Count"]) == group["Properties"]["DesiredCapacity"]
        tags = {tag["Key"]: tag["PropagateAtLaunch"] for tag in group["Properties"]["Tags"]}
        assert tags["holdfast:cluster"] is True
        assert tags["holdfast:role"] is True


def test_user_data_tells_each_node_what_it_signals(rendered: dict[str, Any]) -> None:
    resources = rendered["nodes"]["Resources"]
    for logical_id, group in resources.items():
        if group["Type"] != "AWS::AutoScaling::AutoScalingGroup":
            continue
        template = resources[group["Properties"]["LaunchTemplate"]["LaunchTemplateId"]["Ref"]]
        data = template["Properties"]["LaunchTemplateData"]
        text = data["UserData"]["Fn::Base64"]
        assert text.startswith("#cloud-config\n")
        files = {file["path"]: file["content"] for file in yaml.safe_load(text)["write_files"]}
        node = yaml.safe_load(files["/etc/holdfast/node.yml"])
        assert node["holdfast_stack_resource"] == logical_id
        assert node["holdfast_asg"] == group["Properties"]["AutoScalingGroupName"]
        assert node["holdfast_stack_name"] == "orders-nodes"
        assert "data_volume_refill_allowed" not in node
        assert "AWS_REGION=eu-central-1" in files["/etc/holdfast/boot.env"].splitlines()
        assert data["MetadataOptions"]["HttpTokens"] == "required"
        for specification in data["TagSpecifications"]:
            keys = {tag["Key"] for tag in specification["Tags"]}
            assert not any(key.startswith("holdfast:") for key in keys), "a root volume must not look like the pool's"


def test_user_data_of_an_instance_by_hand_name_its_identity_and_what_is_for_it_alone(rendered: dict[str, Any]) -> None:
    files = {file["path"]: file["content"] for file in rendered["by_hand"]["write_files"]}
    node = yaml.safe_load(files["/etc/holdfast/node.yml"])
    assert (node["holdfast_role"], node["holdfast_node_id"]) == ("kafka", 7)
    assert node["data_volume_refill_allowed"] is True
    assert not {"holdfast_asg", "holdfast_stack_name", "holdfast_stack_resource"} & set(node)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"holdfast_clutser": "x"}, "did you mean holdfast_cluster?"),
        ({"holdfast_pools": "none"}, "holdfast_pools"),
        ({"holdfast_pools": {"zookeeper": [], "kafka": []}}, "holdfast_pools has no identity of the role zookeeper"),
        ({"kafka_heap_mb": 512}, "did you mean kafka_heap_mib?"),
        ({"kafka_port": 9093}, "the port is fixed at 9092"),
        ({"holdfast_cluster": "payments"}, "aws.aws_ec2.yml has the filter tag:holdfast:cluster: 'orders'"),
        ({"holdfast_environment": "lab"}, "the inventory is inventories/aws"),
        ({"holdfast_git_url": "https://me:secret@git.example.com/x.git"}, "carries credentials"),
        ({"holdfast_tags": {"aws:x": "y"}}, "not yours to set"),
        ({"holdfast_kms_key_arn": "alias/orders"}, "is not the ARN of a key"),
        (
            {"nodes_stack_signal_timeout_minutes": 20},
            "nodes_stack_signal_timeout_minutes is 20; it must be at least",
        ),
        ({"nodes_stack_boot_environment": {"X": "y" * 20000}}, "CloudFormation takes at most 51200"),
    ],
)
def test_a_bad_inventory_is_one_sentence(variables: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    done = render(tmp_path, variables)
    assert done.returncode != 0
    assert sentence in done.stdout + done.stderr
    assert not (tmp_path / "pool.yml").exists()
