# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an identity may get an instance outside of a group, and what EC2 is asked for then."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import instance_rules as rules
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Identity, PoolReading, build_pools
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme

from tests.unit.plugins.module_utils.pool_answers import CLUSTER, ZONE, eni, volume

ELSEWHERE = "eu-central-1b"


def _pool(enis: list[dict[str, Any]], volumes: list[dict[str, Any]]) -> PoolReading:
    return build_pools(CLUSTER, enis, volumes, TagScheme(), {"kafka": {1: 1, 2: 1, 3: 1}})


def _group(desired: int, instances: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    return {
        "AutoScalingGroupName": "orders-kafka-a",
        "DesiredCapacity": desired,
        "AvailabilityZones": [ZONE],
        "Instances": [{"InstanceId": one} for one in instances],
        "Tags": [{"Key": "holdfast:cluster", "Value": CLUSTER}, {"Key": "holdfast:role", "Value": "kafka"}],
        **more,
    }


def _near(*holders: str | None) -> list[Identity]:
    ids = [str(number) for number in range(1, len(holders) + 1)]
    enis = [eni(f"eni-{node_id}", node_id, holder=holder) for node_id, holder in zip(ids, holders, strict=True)]
    return _pool(enis, [volume(f"vol-{node_id}", node_id) for node_id in ids]).of_role("kafka")


@pytest.mark.parametrize(
    ("desired", "members", "holders", "node_id", "allowed"),
    [
        (0, (), (None,), 1, True),  # an empty group launches nobody
        (1, (), (None,), 1, False),  # its instance would come for the one identity
        (1, ("i-a",), ("i-a", None), 2, True),  # the group has what it wants and the other identity is its own
        (2, ("i-a",), ("i-a", None), 2, False),  # one more is on its way, for this very identity
        (1, (), (None, None), 2, True),  # the one on its way finds the other identity
        (1, (), ("i-out", None), 2, False),  # ... unless somebody outside of the group has that
        (2, ("i-a", "i-b"), ("i-a", None, None), 2, True),
    ],
)
def test_a_group_must_have_room_beside_the_identity(
    desired: int, members: tuple[str, ...], holders: tuple[str | None, ...], node_id: int, allowed: bool
) -> None:
    groups = [_group(desired, members)]
    if allowed:
        rules.require_no_race(f"orders-kafka-{node_id}", node_id, groups, _near(*holders))
        return
    with pytest.raises(HoldfastError, match="orders-kafka-a wants") as raised:
        rules.require_no_race(f"orders-kafka-{node_id}", node_id, groups, _near(*holders))
    assert raised.value.reason == "group_would_race"


def test_only_groups_of_the_cluster_role_and_zone_serve() -> None:
    wanted = {"holdfast:cluster": CLUSTER, "holdfast:role": "kafka"}
    others = [
        _group(1, AvailabilityZones=[ELSEWHERE]),
        _group(1, Tags=[{"Key": "holdfast:cluster", "Value": CLUSTER}, {"Key": "holdfast:role", "Value": "zookeeper"}]),
        _group(1, Tags=[]),
    ]
    assert rules.serving([*others, _group(2)], wanted, ZONE) == [_group(2)]


@pytest.mark.parametrize(
    ("volumes", "found"),
    [
        ([], []),
        ([volume("vol-1")], ["vol-1"]),
        ([volume("vol-1", zone=ELSEWHERE)], ["vol-1"]),
        ([volume("vol-1", index="7")], ["vol-1"]),
        ([volume("vol-2", "2")], []),
    ],
)
def test_a_volume_is_found_wherever_and_however_it_is_tagged(volumes: list[dict[str, Any]], found: list[str]) -> None:
    reading = _pool([eni("eni-1")], volumes)
    assert rules.volume_ids(reading, "kafka", 1) == found
    assert rules.bare_interface(reading, "kafka", 1) == (None if found else "eni-1")


def test_what_is_not_whole_is_no_identity() -> None:
    with pytest.raises(HoldfastError) as raised:
        rules.require_whole(_pool([eni("eni-1"), eni("eni-2")], [volume("vol-1")]), "kafka", 1)
    assert raised.value.reason == "pool_fault"
    with pytest.raises(HoldfastError) as raised:
        rules.require_whole(_pool([], []), "kafka", 1)
    assert raised.value.reason == "identity_missing"


def test_the_template_is_the_one_named_or_the_groups() -> None:
    group = _group(1, LaunchTemplate={"LaunchTemplateId": "lt-1", "Version": "3"})
    assert rules.template_request([group], None, None) == {"LaunchTemplateId": "lt-1", "Version": "3"}
    assert rules.template_request([group], None, "5")["Version"] == "5"
    assert rules.template_request([group], "lt-9", None) == {"LaunchTemplateId": "lt-9", "Version": "$Default"}
    with pytest.raises(HoldfastError) as raised:
        rules.template_request([_group(1)], None, None)
    assert raised.value.reason == "no_launch_template"


def test_a_volume_is_asked_for_as_the_inventory_declares_it() -> None:
    asked = rules.volume_request({"size_gib": 20, "iops": 4000}, ZONE, True, "arn:key", {"a": "1"})
    assert asked == {
        "AvailabilityZone": ZONE,
        "Size": 20,
        "VolumeType": "gp3",
        "Encrypted": True,
        "Iops": 4000,
        "KmsKeyId": "arn:key",
        "TagSpecifications": [{"ResourceType": "volume", "Tags": [{"Key": "a", "Value": "1"}]}],
    }


def test_two_instances_for_one_identity_are_nobodys_to_choose_from() -> None:
    one = {"InstanceId": "i-1", "State": {"Name": "running"}}
    assert rules.only_candidate("orders-kafka-1", []) is None
    assert rules.only_candidate("orders-kafka-1", [one]) is one
    with pytest.raises(HoldfastError, match=r"i-1 \(running\), i-2") as raised:
        rules.only_candidate("orders-kafka-1", [one, {**one, "InstanceId": "i-2"}])
    assert raised.value.reason == "two_instances"


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ({rules.LAUNCHED_FOR: "1"}, True),
        ({"holdfast:node-id": "1"}, True),
        ({"holdfast:node-id": "11"}, False),
        ({}, False),
    ],
)
def test_an_instance_says_whom_it_is_for(tags: dict[str, str], found: bool) -> None:
    instance = {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
    assert rules.tagged_for(instance, 1, "holdfast:node-id") is found
