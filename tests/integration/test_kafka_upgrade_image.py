# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before a protocol is lifted: what the groups of a strict EC2 would launch has to know it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.api.server import LabApi, start_strict_ec2
from tests.integration.provisioning import command

PLAY: list[dict[str, Any]] = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"__kafka_roll_judged": {"decision": {"to_protocol": "3.9", "to_version": "3.9.1"}}},
        "tasks": [{"ansible.builtin.include_role": {"name": "holdfast.kafka.kafka_roll", "tasks_from": "image"}}],
    }
]


@pytest.fixture
def api() -> Iterator[LabApi]:
    """A strict EC2 of this test's own."""
    made = start_strict_ec2(delays="none")
    try:
        yield made
    finally:
        made.stop()


def image(api: LabApi, release: str) -> str:
    """An image whose tag names a release of Kafka; empty, one without the tag."""
    ec2 = api.client("ec2")
    copied = ec2.copy_image(Name=f"node-{release}", SourceImageId=api.seed.image_id, SourceRegion=ec2.meta.region_name)
    if release:
        ec2.create_tags(Resources=[copied["ImageId"]], Tags=[{"Key": "holdfast:kafka-version", "Value": release}])
    return str(copied["ImageId"])


def group(api: LabApi, name: str, images: list[str], role: str = "kafka") -> None:
    """A group that launches the last of these images; the ones before are older versions of its template."""
    ec2, scaling = api.client("ec2"), api.client("autoscaling")
    first, *others = ({"ImageId": one, "InstanceType": "t3.small"} for one in images)
    made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=first)["LaunchTemplate"]
    for data in others:
        ec2.create_launch_template_version(LaunchTemplateId=made["LaunchTemplateId"], LaunchTemplateData=data)
    tags = {"holdfast:cluster": "demo", "holdfast:role": role}
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=name,
        MinSize=0,
        MaxSize=1,
        DesiredCapacity=0,
        VPCZoneIdentifier=api.seed.subnet_in("eu-central-1a").subnet_id,
        LaunchTemplate={"LaunchTemplateId": made["LaunchTemplateId"], "Version": str(len(images))},
        Tags=[{"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in tags.items()],
    )


def look(api: LabApi, folder: Path) -> subprocess.CompletedProcess[str]:
    """Let the role look at the groups."""
    playbook = folder / "play.json"
    playbook.write_text(json.dumps(PLAY))
    return command(api, "ansible-playbook", "-i", "inventories/lab/node.yml", str(playbook))


def test_groups_whose_image_is_too_old_are_named(api: LabApi, tmp_path: Path) -> None:
    old, new = image(api, "3.8.1"), image(api, "3.9.1")
    group(api, "demo-kafka-a", [old, new])
    group(api, "demo-kafka-b", [new, old])
    group(api, "demo-kafka-c", [image(api, "")])
    group(api, "demo-zookeeper-a", [old], role="zookeeper")
    done = look(api, tmp_path)
    printed = " ".join(done.stdout.split())
    assert done.returncode != 0, done.stdout + done.stderr
    assert "reason: image_outdated" in printed, printed
    assert f"demo-kafka-b would launch {old} with Kafka 3.8.1" in printed
    assert "demo-kafka-c would launch" in printed
    assert "of an unknown release" in printed
    assert "demo-kafka-a would" not in printed
    assert "demo-zookeeper" not in printed


def test_nobody_is_launched_and_then_what_knows_the_protocol(api: LabApi, tmp_path: Path) -> None:
    nobody = look(api, tmp_path)
    assert nobody.returncode == 0, nobody.stdout + nobody.stderr
    group(api, "demo-kafka-a", [image(api, "3.8.1"), image(api, "3.9.0")])
    done = look(api, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
