# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of an adoption: what would be tagged, and every reason to refuse."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import build_pools
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_adopt import Plan, batches, plan_adoption
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_declared import parse_declared, volume_counts
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.plugins.module_utils.pool_answers import CLUSTER, ZONE, eni, volume

NAMES = TagScheme(name_patterns={"kafka": ("KAFKA-{node_id}",), "zookeeper": ("ZOOKEEPER-{node_id}",)})
TWO_VOLUMES = TagScheme(name_patterns={"kafka": ("KAFKA-{node_id}", "KAFKA-{node_id}-{volume}")})


def named(answer: dict[str, Any], name: str, **tags: str) -> dict[str, Any]:
    """Return the answer with this name and these tags only."""
    pairs = [{"Key": key.replace("__", ":").replace("_", "-"), "Value": value} for key, value in tags.items()]
    key = "TagSet" if "NetworkInterfaceId" in answer else "Tags"
    return {**answer, key: [{"Key": "Name", "Value": name}, *pairs]}


def an_eni(eni_id: str = "eni-1", name: str = "KAFKA-0", **more: Any) -> dict[str, Any]:
    """Return an interface that is only named."""
    tags = more.pop("tags", {})
    return named(eni(eni_id, **more), name, **tags)


def a_volume(volume_id: str = "vol-1", name: str = "KAFKA-0", **more: Any) -> dict[str, Any]:
    """Return a volume that is only named."""
    tags = more.pop("tags", {})
    return named(volume(volume_id, **more), name, **tags)


def plan(enis: list[Any], volumes: list[Any], scheme: TagScheme = NAMES, declared: Any = None, **more: Any) -> Plan:
    """Plan the adoption."""
    parsed = parse_declared(declared)
    return plan_adoption(CLUSTER, enis, volumes, scheme, parsed, volume_counts(parsed), **more)


def test_a_named_pool_gets_its_tags_and_is_whole_by_them() -> None:
    enis = [an_eni(holder="i-1"), an_eni("eni-2", "ZOOKEEPER-1")]
    volumes = [a_volume(holder="i-1"), a_volume("vol-2", "ZOOKEEPER-1")]
    made = plan(enis, volumes)
    assert made.refusals == []
    tags = {one.resource_id: one.missing for one in made.adopted()}
    kafka = {"holdfast:cluster": CLUSTER, "holdfast:role": "kafka", "holdfast:node-id": "0"}
    assert tags["eni-1"] == kafka
    assert tags["vol-1"] == {**kafka, "holdfast:volume": "0"}
    assert tags["vol-2"]["holdfast:initialized"] == "true", "an adopted ensemble has served: no empty server votes"
    assert "holdfast:initialized" not in tags["eni-2"]
    assert {one.resource_id: one.holder for one in made.resources}["eni-1"] == "i-1"

    def tagged(answer: dict[str, Any], key: str, resource_id: str) -> dict[str, Any]:
        more = [{"Key": name, "Value": value} for name, value in tags[resource_id].items()]
        return {**answer, key: [*answer[key], *more]}

    enis = [tagged(one, "TagSet", one["NetworkInterfaceId"]) for one in enis]
    volumes = [tagged(one, "Tags", one["VolumeId"]) for one in volumes]
    reading = build_pools(CLUSTER, enis, volumes, TagScheme())
    assert (len(reading.identities), reading.faults) == (2, ())
    assert [one.volumes[0].initialized for one in reading.of_role("zookeeper")] == [True]
    again = plan(enis, volumes)
    assert (again.refusals, batches(again.adopted())) == ([], []), "nothing is left to tag"


def test_resources_that_lack_the_same_tags_share_a_call() -> None:
    names = [("vol-1", "KAFKA-0-0"), ("vol-2", "KAFKA-0-1")]
    made = plan([an_eni()], [a_volume(one, name) for one, name in names], TWO_VOLUMES)
    assert sorted(len(ids) for _tags, ids in batches(made.adopted())) == [1, 1, 1]
    tags = {"holdfast__cluster": CLUSTER, "holdfast__role": "kafka", "holdfast__volume": "0"}
    made = plan(
        [an_eni(tags={key: value for key, value in tags.items() if "volume" not in key})], [a_volume(tags=tags)]
    )
    assert batches(made.adopted()) == [({"holdfast:node-id": "0"}, ["eni-1", "vol-1"])]


def test_a_volumes_own_tag_says_its_index_where_the_name_does_not() -> None:
    second = a_volume("vol-2", tags={"holdfast__volume": "1"})
    made = plan([an_eni()], [a_volume(), second])
    assert made.refusals == []
    assert [one.tags["holdfast:volume"] for one in made.resources if one.kind == "volume"] == ["0", "1"]


def attached(device: str, **more: Any) -> dict[str, Any]:
    """Return a named volume as an instance has it."""
    return {**a_volume(), "Attachments": [{"InstanceId": "i-1", "State": "attached", "Device": device, **more}]}


OTHER = {"holdfast__cluster": "payments"}
DECLARED = [{"node_id": 0, "availability_zone": ZONE, "private_ip": "10.77.1.21", "volumes": [{"size_gib": 1}]}]
MULTI = [{"InstanceId": one, "State": "attached"} for one in ("i-1", "i-2")]
REFUSALS: list[tuple[str, list[Any], list[Any], dict[str, Any], tuple[str, ...]]] = [
    ("duplicate_eni", [an_eni(), an_eni("eni-2")], [a_volume()], {}, ("eni-1", "eni-2")),
    ("eni_without_volume", [an_eni()], [], {}, ("eni-1",)),
    ("volume_without_eni", [], [a_volume()], {}, ("vol-1",)),
    ("duplicate_volume", [an_eni()], [a_volume(), a_volume("vol-2")], {}, ("vol-1", "vol-2")),
    ("zone_mismatch", [an_eni()], [a_volume(zone="eu-central-1b")], {}, ("eni-1", "vol-1")),
    ("volume_error", [an_eni()], [a_volume(State="error")], {}, ("vol-1",)),
    ("volume_multi_attached", [an_eni()], [{**a_volume(), "Attachments": MULTI}], {}, ("vol-1",)),
    ("bad_volume_index", [an_eni()], [a_volume(tags={"holdfast__volume": "x"})], {}, ("vol-1",)),
    ("unexpected_volumes", [an_eni()], [a_volume(tags={"holdfast__volume": "3"})], {}, ("vol-1",)),
    ("name_unparsable", [an_eni(), an_eni("eni-2", "KAFKA-old")], [a_volume()], {}, ("eni-2",)),
    ("name_unparsable", [an_eni("eni-2", "KAFKA-99999999999")], [], {}, ("eni-2",)),
    ("foreign_cluster", [an_eni(tags=OTHER)], [a_volume()], {}, ("eni-1",)),
    ("tags_contradict", [an_eni(tags={"holdfast__node_id": "4"})], [a_volume()], {}, ("eni-1",)),
    ("tags_contradict", [an_eni()], [a_volume(tags={"holdfast__role": "zookeeper"})], {}, ("vol-1",)),
    ("parts_split", [an_eni(holder="i-1")], [a_volume(holder="i-2")], {}, ("eni-1", "vol-1")),
    ("name_unparsable", [an_eni("eni-2", "ZOOKEEPER-0")], [], {}, ("eni-2",)),
    ("name_unparsable", [an_eni("eni-2", "ZOOKEEPER-256")], [], {}, ("eni-2",)),
    ("name_unparsable", [an_eni("eni-2", "KAFKA-\u0663")], [], {}, ("eni-2",)),
    ("root_volume", [an_eni()], [attached("/dev/sda1")], {}, ("vol-1",)),
    ("root_volume", [an_eni()], [attached("/dev/xvda", DeleteOnTermination=True)], {}, ("vol-1",)),
    ("deleted_on_termination", [an_eni()], [attached("/dev/sdf", DeleteOnTermination=True)], {}, ("vol-1",)),
    (
        "declared_otherwise",
        [an_eni()],
        [a_volume()],
        {"declared": {"kafka": [{**DECLARED[0], "private_ip": "10.9.9.9"}]}},
        ("eni-1", "vol-1"),
    ),
    ("declared_otherwise", [an_eni()], [a_volume()], {"declared": {"kafka": []}}, ("eni-1", "vol-1")),
    ("identity_missing", [], [], {"declared": {"kafka": DECLARED}}, ()),
    (
        "unexpected_volumes",
        [an_eni()],
        [a_volume()],
        {"declared": {"kafka": [{**DECLARED[0], "volumes": [{}, {}]}]}},
        ("vol-1",),
    ),
    (
        "name_ambiguous",
        [an_eni("eni-1", "N-1")],
        [],
        {"scheme": TagScheme(name_patterns={"kafka": ("N-{node_id}",), "zookeeper": ("N-{node_id}",)})},
        ("eni-1",),
    ),
]


@pytest.mark.parametrize(("kind", "enis", "volumes", "options", "ids"), REFUSALS)
def test_each_refusal_names_its_resources_and_stops_its_identity(
    kind: str, enis: list[Any], volumes: list[Any], options: dict[str, Any], ids: tuple[str, ...]
) -> None:
    made = plan(enis, volumes, **options)
    found = [one for one in made.refusals if one.kind == kind]
    assert [one.resource_ids for one in found] == [ids], made.refusals
    assert all(one in found[0].message for one in ids)
    touched = {(one.role, one.node_id) for one in found if one.node_id is not None}
    assert not touched & {(one.role, one.node_id) for one in made.adopted()}


def test_a_primary_interface_is_refused() -> None:
    first = an_eni(holder="i-1")
    first["Attachment"]["DeviceIndex"] = 0
    assert [one.kind for one in plan([first], [a_volume(holder="i-1")]).refusals] == ["primary_interface"]


def test_what_was_adopted_before_counts() -> None:
    """A second interface under another name, tagged as the same identity, is found by its tags."""
    made = plan([an_eni(), eni("eni-2", "0")], [a_volume()])
    assert [(one.kind, one.resource_ids) for one in made.refusals] == [("duplicate_eni", ("eni-1", "eni-2"))]
    assert plan([eni("eni-2", "7")], [volume("vol-2", "7")]).refusals == []


def test_ignored_and_deleted_resources_are_left_out() -> None:
    extra = [a_volume("vol-2"), a_volume("vol-3", State="deleting")]
    made = plan([an_eni()], [a_volume(), *extra], ignored=["vol-2"])
    assert (made.refusals, [one.resource_id for one in made.resources]) == ([], ["eni-1", "vol-1"])


SHAPES = st.lists(
    st.tuples(
        st.sampled_from(["eni", "volume"]),
        st.sampled_from(["KAFKA-0", "KAFKA-1", "KAFKA-x", "ZOOKEEPER-1"]),
        st.sampled_from([ZONE, "eu-central-1b"]),
        st.sampled_from([{}, OTHER, {"holdfast__node_id": "1"}, {"holdfast__cluster": CLUSTER}]),
    ),
    max_size=7,
)


@settings(deadline=None)
@given(SHAPES)
def test_what_is_adopted_is_whole_and_no_tag_is_overwritten(shapes: list[tuple[str, str, str, dict[str, str]]]) -> None:
    enis = [an_eni(f"eni-{i}", n, zone=z, tags=t) for i, (kind, n, z, t) in enumerate(shapes) if kind == "eni"]
    volumes = [a_volume(f"vol-{i}", n, zone=z, tags=t) for i, (kind, n, z, t) in enumerate(shapes) if kind == "volume"]
    made = plan(enis, volumes)
    tags = {one.resource_id: one.missing for one in made.adopted()}
    for answers, key, tag_key in ((enis, "NetworkInterfaceId", "TagSet"), (volumes, "VolumeId", "Tags")):
        for answer in answers:
            there = {pair["Key"] for pair in answer[tag_key]}
            missing = tags.get(answer[key], {})
            assert not there & set(missing)
            answer[tag_key] += [{"Key": name, "Value": value} for name, value in missing.items()]
    reading = build_pools(CLUSTER, enis, volumes, TagScheme())
    whole = {(one.role, one.node_id) for one in reading.identities}
    assert {(one.role, one.node_id) for one in made.adopted()} <= whole


def test_a_namesake_that_is_tagged_as_another_clusters_is_no_part_of_this_one() -> None:
    enis, volumes = [an_eni(tags=OTHER)], [a_volume(tags=OTHER)]
    assert build_pools(CLUSTER, enis, volumes, NAMES) == build_pools(CLUSTER, [], [], NAMES)
    ours = build_pools(CLUSTER, [an_eni(tags={"holdfast__cluster": CLUSTER})], [a_volume()], NAMES)
    assert [one.node_id for one in ours.identities] == [0]
