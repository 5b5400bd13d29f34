# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""identity_instance_replace: who is left alone, who is replaced, and every refusal by a case in which it fires."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_errors import Meaning
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import PoolReading, build_pools
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme
from ansible_collections.holdfast.kafka.plugins.modules import identity_instance_replace

from tests.unit.plugins.module_utils.pool_answers import CLUSTER, eni, tags, volume
from tests.unit.plugins.modules.in_process import run_module

OLD, NEW = "i-old", "i-new"


class World:
    """One broker's identity and its group; ``holders`` are who has it at each reading, the last one for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.holders: list[str | None] = [OLD, None, NEW]
        self.volume_holders: list[str | None] = []
        self.name: str | None = None
        self.instance = {"InstanceId": OLD, "ImageId": "ami-1", "InstanceType": "m6i.large"}
        self.template: dict[str, Any] = {"ImageId": "ami-2", "InstanceType": "m6i.large"}
        self.group: dict[str, Any] = {
            "AutoScalingGroupName": "orders-kafka-a",
            "DesiredCapacity": 1,
            "LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "7"},
            "Instances": [{"InstanceId": OLD, "LifecycleState": "InService"}],
            "SuspendedProcesses": [],
        }
        self.members = [{"InstanceId": OLD, "AutoScalingGroupName": "orders-kafka-a"}]
        self.groups_found = True
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.requests: list[str] = []
        self.error: AwsError | None = None
        self.api = self
        monkeypatch.setattr(identity_instance_replace, "Ec2", lambda _module: self)
        monkeypatch.setattr(identity_instance_replace, "Api", lambda _module, _service: self)

    def read_pools(self, cluster: str, scheme: TagScheme) -> PoolReading:
        """Return the pool as it is now."""
        holder = self.holders.pop(0) if len(self.holders) > 1 else self.holders[0]
        disk = self.volume_holders.pop(0) if self.volume_holders else holder
        named = {"TagSet": tags("kafka", "1", self.name)}
        enis, volumes = [{**eni("eni-1", holder=holder), **named}], [volume("vol-1", holder=disk)]
        return build_pools(cluster, enis, volumes, scheme)

    def instance_states(self, _instance_ids: tuple[str, ...]) -> dict[str, str]:
        """Say that the former holder is on its way out."""
        return {OLD: "shutting-down"}

    def pages(self, _operation: str, _key: str, **_parameters: Any) -> list[dict[str, Any]]:
        """Answer DescribeInstances."""
        return [{"Instances": [self.instance]}]

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Answer everything else."""
        self.calls.append((operation, parameters))
        self.requests.append(operation)
        if self.error:
            raise self.error
        return {
            "describe_auto_scaling_instances": {"AutoScalingInstances": self.members},
            "describe_auto_scaling_groups": {"AutoScalingGroups": [self.group] if self.groups_found else []},
            "describe_launch_template_versions": {"LaunchTemplateVersions": [{"LaunchTemplateData": self.template}]},
            "describe_scaling_activities": {"Activities": [{"StatusCode": "Failed", "Description": "Launching"}]},
        }.get(operation, {})

    @property
    def terminated(self) -> list[dict[str, Any]]:
        """What was terminated."""
        return [told for name, told in self.calls if name == "terminate_instance_in_auto_scaling_group"]

    def run(self, *, check: bool = False, diff: bool = False, **more: Any) -> dict[str, Any]:
        """Run the module for broker 1."""
        base = {"cluster": CLUSTER, "role": "kafka", "node_id": 1, "region": "eu-central-1", "poll_seconds": 0.01}
        return run_module(identity_instance_replace, {**base, "timeout_seconds": 0.5, **more}, check=check, diff=diff)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A broker on an older image."""
    return World(monkeypatch)


def test_an_instance_of_an_older_image_is_replaced(world: World) -> None:
    result = world.run(diff=True)
    assert (result["failed"], result["changed"]) == (False, True), result
    assert (result["previous_instance_id"], result["instance_id"]) == (OLD, NEW)
    assert result["differences"] == [{"what": "image", "has": "ami-1", "wanted": "ami-2"}]
    assert world.terminated == [{"InstanceId": OLD, "ShouldDecrementDesiredCapacity": False}]
    assert result["replace_seconds"] >= 0
    assert result["diff"]["before"] == {"instance": OLD, "image": "ami-1"}
    assert result["diff"]["after"] == {"instance": "another", "image": "ami-2"}


def test_check_mode_tells_and_touches_nothing(world: World) -> None:
    result = world.run(check=True)
    assert (result["changed"], result["instance_id"], world.terminated) == (True, OLD, [])
    assert result["differences"][0]["what"] == "image"


def test_an_instance_that_is_what_its_group_launches_is_left_alone(world: World) -> None:
    world.template = {"ImageId": "ami-1"}
    result = world.run()
    assert (result["changed"], result["differences"], world.terminated) == (False, [], [])


def test_another_type_is_a_difference(world: World) -> None:
    world.template = {"ImageId": "ami-1", "InstanceType": "m6i.xlarge"}
    assert world.run(check=True)["differences"] == [
        {"what": "instance type", "has": "m6i.large", "wanted": "m6i.xlarge"}
    ]


def test_an_instance_is_replaced_for_its_own_sake_when_asked_for(world: World) -> None:
    world.template = {}
    assert world.run(replace_all=True)["instance_id"] == NEW


def test_a_holder_that_was_replaced_in_the_meantime_is_left_alone(world: World) -> None:
    world.holders = [NEW]
    result = world.run(instance_id=OLD)
    assert (result["changed"], result["instance_id"], world.terminated) == (False, NEW, [])


def test_the_volumes_are_waited_for_as_well(world: World) -> None:
    world.holders, world.volume_holders = [OLD, NEW], [OLD, None, None, NEW]
    assert world.run()["instance_id"] == NEW


@pytest.mark.parametrize(
    ("holders", "volumes", "words"),
    [
        ([OLD], [], "still has"),
        ([OLD, None], [], "nobody has"),
        ([OLD, NEW], [OLD] + [None] * 1000, "not yet vol-1"),
    ],
)
def test_a_successor_that_does_not_come(
    world: World, holders: list[str | None], volumes: list[str | None], words: str
) -> None:
    world.holders, world.volume_holders = holders, volumes
    result = world.run(timeout_seconds=0.05)
    assert (result["reason"], result["changed"]) == ("not_replaced", True)
    assert words in result["msg"]
    assert "Failed Launching" in result["msg"], "the group's own word is told"


def _suspended(world: World) -> None:
    world.group["SuspendedProcesses"] = [{"ProcessName": "Launch"}, {"ProcessName": "AZRebalance"}]


def _standby(world: World) -> None:
    world.group["Instances"][0]["LifecycleState"] = "Standby"


def _too_small(world: World) -> None:
    world.group["DesiredCapacity"] = 0


def _no_template(world: World) -> None:
    world.group["LaunchTemplate"] = None


def _no_group(world: World) -> None:
    world.members = []


def _group_gone(world: World) -> None:
    world.groups_found = False


def _nobody(world: World) -> None:
    world.holders = [None]


def _split(world: World) -> None:
    world.holders, world.volume_holders = [OLD], ["i-third"]


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        (_suspended, "group_suspended", "has suspended Launch:"),
        (_standby, "not_in_service", "Standby"),
        (_too_small, "group_too_small", "wants 0"),
        (_no_template, "no_launch_template", "orders-kafka-a"),
        (_no_group, "no_group", OLD),
        (_group_gone, "no_group", "orders-kafka-a"),
        (_nobody, "free", "eni-1"),
        (_split, "parts_split", "i-third"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_refusals_touch_nothing(world: World, change: Any, reason: str, words: str, check: bool) -> None:
    change(world)
    result = world.run(check=check)
    assert (result["failed"], result["reason"], world.terminated) == (True, reason, [])
    assert words in result["msg"]


def test_an_unknown_identity(world: World) -> None:
    assert world.run(node_id=9)["reason"] == "identity_missing"


def test_an_identity_that_is_not_whole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        world, "read_pools", lambda cluster, scheme: build_pools(cluster, [eni("eni-1", holder=OLD)], [], scheme)
    )
    result = world.run()
    assert result["reason"] == "pool_fault"
    assert "eni-1" in result["msg"]


@pytest.mark.parametrize("holders", [[None], [OLD], [OLD, None], [OLD, NEW]])
def test_an_adopted_identity_is_called_by_its_own_name(world: World, holders: list[str | None]) -> None:
    world.name, world.holders = "KAFKA-1", holders
    world.volume_holders = [holders[0]] + ["i-third"] * 1000
    message = world.run(timeout_seconds=0.05)["msg"]
    assert "KAFKA-1" in message
    assert f"{CLUSTER}-kafka-1" not in message


@pytest.mark.parametrize(("meaning", "reason"), [(Meaning.AUTH, "auth")])
def test_an_aws_error(world: World, meaning: Meaning, reason: str) -> None:
    world.error = AwsError("describe_auto_scaling_instances", "AccessDenied", "no", meaning)
    result = world.run()
    assert (result["reason"], result["changed"]) == (reason, False)
    assert result["api_calls"] == len(result["api_requests"])


@pytest.mark.parametrize(
    "arguments", [{"poll_seconds": 0}, {"timeout_seconds": "nan"}, {"name_patterns": {"kafka": "no-id"}}]
)
def test_bad_parameters(world: World, arguments: dict[str, Any]) -> None:
    assert world.run(**arguments)["reason"] == "bad_parameter"
    assert world.calls == []
