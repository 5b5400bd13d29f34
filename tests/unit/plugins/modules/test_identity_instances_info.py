# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""identity_instances_info: who is due, that everything is read once, and every reason by a case in which it fires."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_errors import Meaning
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import PoolReading, build_pools
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme
from ansible_collections.holdfast.kafka.plugins.modules import identity_instances_info

from tests.unit.plugins.module_utils.pool_answers import CLUSTER, eni, volume
from tests.unit.plugins.modules.in_process import run_module

MOST_NAMED = 50


class World:
    """Brokers, each in a group of its own; all groups launch version 7 of one template."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, brokers: int = 3) -> None:
        self.node_ids = list(range(1, brokers + 1))
        self.enis = {node_id: eni(f"eni-{node_id}", str(node_id), holder=f"i-{node_id}") for node_id in self.node_ids}
        self.volumes = {
            node_id: volume(f"vol-{node_id}", str(node_id), holder=f"i-{node_id}") for node_id in self.node_ids
        }
        self.members = {f"i-{node_id}": f"group-{node_id}" for node_id in self.node_ids}
        self.groups = {
            f"group-{node_id}": {
                "AutoScalingGroupName": f"group-{node_id}",
                "DesiredCapacity": 1,
                "LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "7"},
                "Instances": [{"InstanceId": f"i-{node_id}", "LifecycleState": "InService"}],
                "SuspendedProcesses": [],
            }
            for node_id in self.node_ids
        }
        self.images = {f"i-{node_id}": "ami-2" for node_id in self.node_ids}
        self.error: AwsError | None = None
        self.requests: list[str] = []
        self.api = self
        monkeypatch.setattr(identity_instances_info, "Ec2", lambda _module: self)
        monkeypatch.setattr(identity_instances_info, "Api", lambda _module, _service: World.Other(self))

    class Other:
        """Auto Scaling, which counts its own requests."""

        def __init__(self, world: World) -> None:
            self.world, self.requests = world, list[str]()

        def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
            """Answer for those that are named, which must be no more than AWS allows."""
            self.requests.append(operation)
            if self.world.error:
                raise self.world.error
            if operation == "describe_auto_scaling_instances":
                names = parameters["InstanceIds"]
                known = self.world.members
                found: list[Any] = [
                    {"InstanceId": name, "AutoScalingGroupName": known[name]} for name in names if name in known
                ]
            else:
                names = parameters["AutoScalingGroupNames"]
                found = [self.world.groups[name] for name in names if name in self.world.groups]
            assert 0 < len(names) <= MOST_NAMED
            return {"AutoScalingInstances": found, "AutoScalingGroups": found}

    def read_pools(self, cluster: str, scheme: TagScheme) -> PoolReading:
        """Return the pool."""
        self.requests.append("read_pools")
        return build_pools(cluster, list(self.enis.values()), list(self.volumes.values()), scheme)

    def pages(self, operation: str, _key: str, **parameters: Any) -> list[dict[str, Any]]:
        """Answer DescribeInstances."""
        self.requests.append(operation)
        found = [{"InstanceId": one, "ImageId": self.images[one]} for one in parameters["InstanceIds"]]
        return [{"Instances": [one]} for one in found]

    def call(self, operation: str, **_parameters: Any) -> dict[str, Any]:
        """Answer DescribeLaunchTemplateVersions."""
        self.requests.append(operation)
        return {"LaunchTemplateVersions": [{"LaunchTemplateData": {"ImageId": "ami-2"}}]}

    def run(self, **more: Any) -> dict[str, Any]:
        """Run the module for all brokers."""
        base = {"cluster": CLUSTER, "role": "kafka", "node_ids": self.node_ids, "region": "eu-central-1"}
        return run_module(identity_instances_info, {**base, **more})


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Three brokers whose instances are what their groups launch."""
    return World(monkeypatch)


def due(result: dict[str, Any]) -> list[int]:
    """The brokers that are to be replaced."""
    return [one["node_id"] for one in result["instances"] if one["due"]]


def test_who_is_not_what_its_group_launches_is_due(world: World) -> None:
    world.images["i-2"] = "ami-1"
    result = world.run()
    assert (result["failed"], result["changed"], due(result)) == (False, False, [2]), result
    assert [one["instance_id"] for one in result["instances"]] == ["i-1", "i-2", "i-3"]
    assert result["instances"][1] == {
        "node_id": 2,
        "instance_id": "i-2",
        "group": "group-2",
        "differences": [{"what": "image", "has": "ami-1", "wanted": "ami-2"}],
        "due": True,
    }
    assert due(world.run(replace_all=True)) == [1, 2, 3]


@pytest.mark.parametrize(("brokers", "parts"), [(3, 1), (50, 1), (51, 2), (120, 3)])
def test_however_many_they_are_everything_is_read_once(
    monkeypatch: pytest.MonkeyPatch, brokers: int, parts: int
) -> None:
    result = World(monkeypatch, brokers).run()
    assert len(result["instances"]) == brokers
    assert result["api_requests"] == [
        "read_pools",
        "describe_launch_template_versions",
        "describe_instances",
        *["describe_auto_scaling_instances"] * parts,
        *["describe_auto_scaling_groups"] * parts,
    ]


def _suspended(world: World) -> None:
    world.groups["group-2"]["SuspendedProcesses"] = [{"ProcessName": "Launch"}]


def _standby(world: World) -> None:
    world.groups["group-2"]["Instances"] = [{"InstanceId": "i-2", "LifecycleState": "Standby"}]


def _too_small(world: World) -> None:
    world.groups["group-2"]["DesiredCapacity"] = 0


def _no_template(world: World) -> None:
    world.groups["group-2"]["LaunchTemplate"] = {}


def _no_group(world: World) -> None:
    del world.members["i-2"]


def _group_gone(world: World) -> None:
    del world.groups["group-2"]


def _nobody(world: World) -> None:
    world.enis[2] = eni("eni-2", "2")


def _split(world: World) -> None:
    world.volumes[2] = volume("vol-2", "2", holder="i-third")


def _not_whole(world: World) -> None:
    del world.volumes[2]


def _missing(world: World) -> None:
    del world.enis[2], world.volumes[2]


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        (_suspended, "group_suspended", "has suspended Launch:"),
        (_standby, "not_in_service", "Standby"),
        (_too_small, "group_too_small", "wants 0"),
        (_no_template, "no_launch_template", "group-2"),
        (_no_group, "no_group", "i-2"),
        (_group_gone, "no_group", "group-2"),
        (_nobody, "free", "eni-2"),
        (_split, "parts_split", "i-third"),
        (_not_whole, "pool_fault", "eni-2"),
        (_missing, "identity_missing", f"{CLUSTER}-kafka-2"),
    ],
)
def test_a_fault_is_told_and_hides_nobody(world: World, change: Any, reason: str, words: str) -> None:
    change(world)
    result = world.run(replace_all=True)
    assert (result["failed"], result["reason"]) == (True, reason), result
    assert words in result["msg"]
    assert [(one["node_id"], one["reason"]) for one in result["faults"]] == [(2, reason)]
    assert due(result) == [1, 3]


def test_a_group_that_could_not_replace_is_no_fault_of_one_that_is_not_due(world: World) -> None:
    _suspended(world)
    assert world.run()["failed"] is False


def test_all_faults_are_told(world: World) -> None:
    world.members.clear()
    result = world.run()
    assert [one["node_id"] for one in result["faults"]] == [1, 2, 3]
    assert all(f"i-{node_id} is in no Auto Scaling group" in result["msg"] for node_id in (1, 2, 3))


def test_an_aws_error(world: World) -> None:
    world.error = AwsError("describe_auto_scaling_instances", "AccessDenied", "no", Meaning.AUTH)
    result = world.run()
    assert (result["reason"], result["changed"], result["instances"]) == ("auth", False, [])
    assert result["api_calls"] == len(result["api_requests"]) > 0


def test_bad_parameters(world: World) -> None:
    assert world.run(name_patterns={"kafka": "no-id"})["reason"] == "bad_parameter"
    assert world.requests == []
