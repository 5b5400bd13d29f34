# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools out of describe answers: what is whole, and every fault by resource id."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import PoolReading, build_pools, parse_eni
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import (
    PatternError,
    TagScheme,
    scheme_from_options,
)

from tests.unit.plugins.module_utils.pool_answers import CLUSTER, eni, tags, volume


def build(enis: list[dict[str, Any]], volumes: list[dict[str, Any]], **expected: int) -> PoolReading:
    """Build with the default tags."""
    return build_pools(CLUSTER, enis, volumes, TagScheme(), expected)


def test_whole_identity_and_its_json_shape() -> None:
    reading = build([eni("eni-1", holder="i-1")], [volume("vol-1", holder="i-1"), volume("vol-2", index="1")], kafka=2)
    assert not reading.faults
    [identity] = reading.of_role("kafka")
    assert identity.attached_instances() == {"i-1"}
    shape = json.loads(json.dumps(reading.pools()))["kafka"][0]
    assert shape["instance_id"] == shape["eni"]["instance_id"] == "i-1"
    assert shape["name"] == "orders-kafka-1"
    assert [item["id"] for item in shape["volumes"]] == ["vol-1", "vol-2"]
    assert shape["volumes"][0]["device"] == "/dev/sdf"


@pytest.mark.parametrize(
    ("kind", "resources", "enis", "volumes"),
    [
        ("duplicate_eni", ("eni-1", "eni-2"), [eni("eni-1"), eni("eni-2")], [volume("vol-1")]),
        ("eni_without_volume", ("eni-1",), [eni("eni-1")], []),
        ("volume_without_eni", ("vol-1",), [], [volume("vol-1")]),
        ("bad_volume_index", ("vol-1",), [eni("eni-1")], [volume("vol-1", index=None)]),
        ("bad_volume_index", ("vol-1",), [eni("eni-1")], [volume("vol-1", index="one")]),
        ("duplicate_volume", ("vol-1", "vol-2"), [eni("eni-1")], [volume("vol-1"), volume("vol-2")]),
        ("unexpected_volumes", ("vol-1",), [eni("eni-1")], [volume("vol-1", index="1")]),
        ("unexpected_volumes", ("vol-1", "vol-2"), [eni("eni-1")], [volume("vol-1"), volume("vol-2", index="1")]),
        ("zone_mismatch", ("eni-1", "vol-1"), [eni("eni-1")], [volume("vol-1", zone="eu-central-1b")]),
        ("bad_node_id", ("eni-1",), [eni("eni-1", "one")], []),
        ("bad_node_id", ("eni-1",), [eni("eni-1", "01")], []),
        ("bad_node_id", ("eni-1",), [eni("eni-1", "-1")], []),
        ("bad_node_id", ("eni-1",), [eni("eni-1", "2147483648")], []),
        ("volume_error", ("vol-1",), [eni("eni-1")], [volume("vol-1", State="error")]),
        (
            "volume_multi_attached",
            ("vol-1",),
            [eni("eni-1")],
            [volume("vol-1", Attachments=[{"InstanceId": "i-1"}, {"InstanceId": "i-2"}])],
        ),
    ],
)
def test_every_fault_names_its_resources(
    kind: str, resources: tuple[str, ...], enis: list[dict[str, Any]], volumes: list[dict[str, Any]]
) -> None:
    reading = build(enis, volumes, kafka=1)
    assert kind in [fault.kind for fault in reading.faults]
    fault = next(fault for fault in reading.faults if fault.kind == kind)
    assert fault.resource_ids == resources
    assert all(resource in fault.message for resource in resources)
    assert not reading.identities
    assert json.dumps(fault.as_dict())


def test_a_fault_leaves_the_other_identities_whole() -> None:
    reading = build([eni("eni-1"), eni("eni-2"), eni("eni-3", "2")], [volume("vol-1"), volume("vol-3", "2")])
    assert [identity.node_id for identity in reading.of_role("kafka")] == [2]
    assert [fault.kind for fault in reading.faults_of("kafka")] == ["duplicate_eni"]
    assert reading.faults_of("zookeeper") == []


def test_missing_node_id_is_a_fault() -> None:
    answer = eni("eni-1")
    answer["TagSet"] = [tag for tag in answer["TagSet"] if tag["Key"] != "holdfast:node-id"]
    assert [fault.kind for fault in build([answer], []).faults] == ["bad_node_id"]


def test_what_is_not_of_the_cluster_is_ignored() -> None:
    other, bare, gone = eni("eni-1"), eni("eni-2"), volume("vol-1", State="deleting")
    other["TagSet"] = [{"Key": "holdfast:cluster", "Value": "else"}, {"Key": "holdfast:role", "Value": "kafka"}]
    bare["TagSet"] = []
    reading = build([other, bare], [gone])
    assert not reading.identities
    assert not reading.faults


def test_without_an_expectation_indexes_must_have_no_gap() -> None:
    whole = build([eni("eni-1")], [volume("vol-1"), volume("vol-2", index="1")])
    gap = build([eni("eni-1")], [volume("vol-1"), volume("vol-2", index="2")])
    assert len(whole.identities) == 1
    assert [fault.kind for fault in gap.faults] == ["unexpected_volumes"]


def test_an_identity_may_be_without_volumes_when_that_is_expected() -> None:
    assert len(build([eni("eni-1")], [], kafka=0).identities) == 1


def test_detached_attachments_hold_nothing() -> None:
    answer = eni("eni-1", holder="i-1")
    answer["Attachment"]["Status"] = "detached"
    assert parse_eni(answer).instance_id is None
    over = volume("vol-1", Attachments=[{"InstanceId": "i-1", "State": "detached"}])
    assert build([eni("eni-1")], [over]).identities[0].volumes[0].instance_id is None


def test_named_pool_is_adopted() -> None:
    scheme = TagScheme(
        name_patterns={"kafka": ("KAFKA-{node_id}", "KAFKA-{node_id}-d{volume}"), "zookeeper": ("ZK-{node_id}",)}
    )
    enis, volumes = [eni("eni-1"), eni("eni-2")], [volume("vol-1"), volume("vol-2"), volume("vol-3")]
    for answer, name in zip(enis, ["KAFKA-0", "OTHER-1"], strict=True):
        answer["TagSet"] = [{"Key": "Name", "Value": name}]
    for answer, name in zip(volumes, ["KAFKA-0", "KAFKA-0-d1", "KAFKA-monitor"], strict=True):
        answer["Tags"] = [{"Key": "Name", "Value": name}]
    reading = build_pools(CLUSTER, enis, volumes, scheme, {"kafka": 2})
    assert not reading.faults
    assert [(identity.node_id, len(identity.volumes)) for identity in reading.identities] == [(0, 2)]
    assert scheme.filters(CLUSTER) == [{"Name": "tag:Name", "Values": ["KAFKA-*", "KAFKA-*-d*", "ZK-*"]}]


def test_filters_and_literal_stars() -> None:
    assert TagScheme().filters("orders") == [
        {"Name": "tag:holdfast:cluster", "Values": ["orders"]},
        {"Name": "tag-key", "Values": ["holdfast:role"]},
    ]
    assert TagScheme(name_patterns={"kafka": ("A*-{node_id}",)}).filters("x")[0]["Values"] == [r"A\*-*"]


@pytest.mark.parametrize("value", ["KAFKA", "{node_id}-{node_id}", "{node_id}{volume}{volume}", [], 7, [7]])
def test_nonsense_patterns_are_refused(value: Any) -> None:
    options = {
        "tag_cluster": "a",
        "tag_role": "b",
        "tag_node_id": "c",
        "tag_volume": "d",
        "name_patterns": {"kafka": value},
    }
    with pytest.raises(PatternError):
        scheme_from_options(options)


def test_tag_keys_are_variables() -> None:
    options = {"tag_cluster": "c", "tag_role": "r", "tag_node_id": "n", "tag_volume": "v", "name_patterns": None}
    scheme = scheme_from_options(options)
    labels = scheme.labels({"c": "orders", "r": "kafka", "n": "4", "v": "0"}, "orders")
    assert labels is not None
    assert (labels.role, labels.node_id, labels.volume) == ("kafka", "4", "0")
    assert scheme.labels({tag["Key"]: tag["Value"] for tag in tags("kafka", "1")}, CLUSTER) is None
