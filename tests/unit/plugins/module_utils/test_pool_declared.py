# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory's pools against EC2's: what is refused, what is only told, and how many volumes make each identity."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import PoolReading, build_pools
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_declared import (
    lacking,
    mismatch,
    parse_declared,
    volume_counts,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme

from tests.unit.plugins.module_utils.pool_answers import CLUSTER, ZONE, eni, volume

ADDRESS = "10.77.1.21"
BAD_NODE_IDS: list[Any] = ["x", 1.9, True, -1, 2**31, None, "\u0663"]
BAD_VOLUMES: list[Any] = ["abc", [], {"size_gib": 1}, 2]


def one(node_id: Any = 1, **more: Any) -> dict[str, Any]:
    """Return an identity as an inventory declares it."""
    return {"node_id": node_id, "availability_zone": ZONE, "private_ip": ADDRESS, "volumes": [{"size_gib": 1}], **more}


def reading(pools: dict[str, Any] | None = None) -> PoolReading:
    """Return a pool in which broker 1 has one volume and broker 2 has two."""
    parts = [volume("vol-1"), volume("vol-2", "2"), volume("vol-3", "2", "1"), volume("vol-4", role="zookeeper")]
    enis = [eni("eni-1"), eni("eni-2", "2"), eni("eni-4", role="zookeeper")]
    return build_pools(CLUSTER, enis, parts, TagScheme(), volume_counts(parse_declared(pools)))


WHOLE = {"kafka": [one(1), one(2, volumes=[{}, {}])], "zookeeper": [one(1)]}


def test_identities_of_one_pool_may_have_different_numbers_of_volumes() -> None:
    found = reading(WHOLE)
    assert found.faults == ()
    assert [len(identity.volumes) for identity in found.of_role("kafka")] == [1, 2]
    [fault] = reading({**WHOLE, "kafka": [one(1), one(2)]}).faults
    assert (fault.kind, fault.node_id) == ("unexpected_volumes", 2)
    [fault] = reading({**WHOLE, "kafka": [one(1, volumes=[{}, {}]), one(2, volumes=[{}, {}])]}).faults
    assert (fault.kind, fault.node_id) == ("unexpected_volumes", 1)


def test_number_that_is_not_declared_is_not_required() -> None:
    bare = [{key: value for key, value in one(node_id).items() if key != "volumes"} for node_id in (1, 2)]
    assert reading({"kafka": bare}).faults == ()


def test_inventory_of_this_cluster_matches() -> None:
    assert mismatch(reading(), parse_declared(WHOLE), "kafka") is None


@pytest.mark.parametrize(
    ("pools", "texts"),
    [
        ({**WHOLE, "kafka": [one(1, private_ip="10.9.9.9"), one(2)]}, ["kafka 1", "10.9.9.9", ADDRESS, "eni-1"]),
        ({**WHOLE, "kafka": [one(1), one(2, availability_zone="eu-central-1b")]}, ["kafka 2", "eu-central-1b", ZONE]),
        ({**WHOLE, "zookeeper": [one(1, private_ip="10.9.9.9")]}, ["zookeeper 1", "10.9.9.9", "eni-4"]),
        ({**WHOLE, "kafka": [one(1)]}, ["kafka 2", "not in holdfast_pools"]),
        ({"zookeeper": [one(1)]}, ["kafka 1", "kafka 2", "not in holdfast_pools"]),
    ],
    ids=["address", "zone", "other-role", "undeclared", "undeclared-role"],
)
def test_every_difference_is_named_with_both_values(pools: dict[str, Any], texts: list[str]) -> None:
    told = mismatch(reading(), parse_declared(pools), "kafka")
    assert told is not None
    assert [text for text in [*texts, "holdfast_pools"] if text not in told] == []
    assert told.count(". ") == 0


def test_identity_that_only_the_inventory_has_stops_nobody() -> None:
    declared = parse_declared({**WHOLE, "kafka": [*WHOLE["kafka"], one(3)]})
    assert mismatch(reading(), declared, "kafka") is None
    assert lacking(reading(), declared) == ["kafka 3"]


@pytest.mark.parametrize(
    ("pools", "text"),
    [
        ({"kafka": "one"}, "must be a list"),
        ({"kafka": ["one"]}, "lacks a proper"),
        ({"kafka": [{"node_id": 1}]}, "lacks a proper"),
        *[
            ({"kafka": [one(wrong)]}, re.escape(f"holdfast_pools.kafka has the node_id {wrong!r}"))
            for wrong in BAD_NODE_IDS
        ],
        *[
            ({"kafka": [one(volumes=wrong)]}, re.escape(f"gives node_id 1 the volumes {wrong!r}"))
            for wrong in BAD_VOLUMES
        ],
        ({"kafka": [one(1), one(1)]}, "twice"),
    ],
)
def test_what_is_no_pool_is_refused(pools: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        parse_declared(pools)
