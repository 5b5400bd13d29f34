# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""identity_instance_replace against a strict EC2 with a real Auto Scaling loop: the successor takes the identity."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from lab.api.server import start_strict_ec2
from tests.integration.ansible_run import run_module
from tests.integration.operator_world import CLUSTER, OperatorWorld
from tests.integration.services import wait_for

MODULE = "holdfast.kafka.identity_instance_replace"
LOOK = "holdfast.kafka.identity_instances_info"
GROUP = "demo-kafka-a"
IDENTITY = {"cluster": CLUSTER, "role": "kafka", "node_id": 1, "poll_seconds": 0.5}


class Fleet:
    """Kafka 1 of the lab's pool, held by the one instance of its group; a successor attaches itself, as a boot does."""

    def __init__(self, world: OperatorWorld) -> None:
        self.world = world
        self.scaling = world.api.client("autoscaling")
        data = {"ImageId": world.api.seed.image_id, "InstanceType": "t3.small"}
        made = world.ec2.create_launch_template(LaunchTemplateName=GROUP, LaunchTemplateData=data)["LaunchTemplate"]
        self.template = made["LaunchTemplateId"]
        self.scaling.create_auto_scaling_group(
            AutoScalingGroupName=GROUP,
            MinSize=0,
            MaxSize=1,
            DesiredCapacity=1,
            VPCZoneIdentifier=world.api.seed.subnet_in("eu-central-1a").subnet_id,
            LaunchTemplate={"LaunchTemplateId": self.template, "Version": "1"},
        )
        self.holder = self.member_but("")
        world.attach("kafka-1", self.holder)

    def member_but(self, former: str) -> str:
        """Wait for an instance of the group in service that is another one."""
        wait_for("a member in service", lambda: self._members() - {former}, 30)
        return (self._members() - {former}).pop()

    def _members(self) -> set[str]:
        group = self.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"][0]
        return {one["InstanceId"] for one in group["Instances"] if one["LifecycleState"] == "InService"}

    def launch_another_type(self) -> None:
        """Let the group launch another instance type from now on."""
        data = {"ImageId": self.world.api.seed.image_id, "InstanceType": "t3.medium"}
        self.world.ec2.create_launch_template_version(LaunchTemplateId=self.template, LaunchTemplateData=data)
        self.scaling.update_auto_scaling_group(
            AutoScalingGroupName=GROUP, LaunchTemplate={"LaunchTemplateId": self.template, "Version": "2"}
        )

    def come_back(self) -> threading.Thread:
        """Let the next instance attach the identity when it is there."""

        def boot() -> None:
            successor = self.member_but(self.holder)
            wait_for("the interface is free", lambda: self.world.attachments()[self.world.enis["kafka-1"]] is None, 30)
            wait_for("the volume is free", lambda: self.world.attachments()[self.world.volumes["kafka-1"]] is None, 30)
            self.world.attach("kafka-1", successor)

        thread = threading.Thread(target=boot)
        thread.start()
        return thread


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """A strict EC2 of this test's own."""
    api = start_strict_ec2(delays="none")
    try:
        world = OperatorWorld(api, [])
        world.make(named=False)
        for name, value in api.environment().items():
            monkeypatch.setenv(name, value)
        yield Fleet(world)
    finally:
        api.stop()


def _replace(*, check: bool = False, **more: Any) -> dict[str, Any]:
    return run_module(MODULE, {**IDENTITY, **more}, check=check)


def test_only_an_instance_of_another_type_is_replaced_and_its_successor_has_the_identity(fleet: Fleet) -> None:
    same = _replace()
    assert (same["changed"], same["differences"], same["group"]) == (False, [], GROUP), same
    looked = run_module(LOOK, {"cluster": CLUSTER, "role": "kafka", "node_ids": [1]})
    assert [one["due"] for one in looked["instances"]] == [False], looked
    fleet.launch_another_type()
    looked = run_module(LOOK, {"cluster": CLUSTER, "role": "kafka", "node_ids": [1]})
    assert looked["instances"][0]["differences"] == [
        {"what": "instance type", "has": "t3.small", "wanted": "t3.medium"}
    ]
    checked = _replace(check=True)
    assert checked["differences"] == [{"what": "instance type", "has": "t3.small", "wanted": "t3.medium"}]
    assert fleet.world.attachments()[fleet.world.enis["kafka-1"]] == fleet.holder, "a check touches nothing"
    boot = fleet.come_back()
    result = _replace(timeout_seconds=60)
    boot.join()
    assert (result["failed"], result["changed"]) == (False, True), result["stdout_text"]
    assert result["previous_instance_id"] == fleet.holder
    held = fleet.world.attachments()
    assert result["instance_id"] == held[fleet.world.enis["kafka-1"]] == held[fleet.world.volumes["kafka-1"]]
    assert result["instance_id"] != fleet.holder
    again = _replace()
    assert (again["changed"], again["instance_id"]) == (False, result["instance_id"])


def test_a_group_that_brings_nobody_is_refused_before_anything_is_touched(fleet: Fleet) -> None:
    fleet.scaling.suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["Launch"])
    refused = _replace(replace_all=True)
    assert (refused["failed"], refused["reason"], refused["changed"]) == (True, "group_suspended", False)
    fleet.scaling.resume_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["Launch"])
    assert fleet.world.attachments()[fleet.world.enis["kafka-1"]] == fleet.holder


def test_a_successor_that_never_takes_the_identity_ends_the_wait(fleet: Fleet) -> None:
    result = _replace(replace_all=True, timeout_seconds=3)
    assert (result["failed"], result["reason"], result["changed"]) == (True, "not_replaced", True)
    assert fleet.holder in result["msg"]
    assert fleet.member_but(fleet.holder), "the group has brought another one all the same"


def test_a_holder_without_a_group_is_refused(fleet: Fleet) -> None:
    holder = fleet.world.hold("kafka-2")
    result = _replace(node_id=2, replace_all=True)
    assert (result["reason"], result["changed"]) == ("no_group", False)
    assert holder in result["msg"]
