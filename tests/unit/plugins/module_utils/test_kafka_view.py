# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from a cluster's metadata."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import (
    Broker,
    Partition,
    View,
    report,
    view_from_metadata,
)
from hypothesis import given
from hypothesis import strategies as st

BROKERS = (Broker(1, "a", 9092, "r1"), Broker(2, "b", 9092, "r2"), Broker(3, "c", 9092, "r3"))


def test_metadata_is_read() -> None:
    view = view_from_metadata(
        {
            "cluster_id": "x",
            "controller_id": -1,
            "brokers": [
                {"broker_id": 2, "host": "b", "port": 9092, "rack": ""},
                {"broker_id": 1, "host": "a", "port": 9092, "rack": "r1"},
            ],
        },
        [
            {
                "name": "t",
                "partitions": [
                    {"partition_index": 1, "leader_id": -1, "replica_nodes": [1], "isr_nodes": [1]},
                    {"partition_index": 0, "leader_id": 1, "replica_nodes": [1, 2], "isr_nodes": [1]},
                ],
            }
        ],
        {"t": 2},
        [("t", 0)],
    )
    assert view.controller_id is None
    assert view.brokers == (Broker(1, "a", 9092, "r1"), Broker(2, "b", 9092, None))
    assert view.partitions == (Partition("t", 0, 1, (1, 2), (1,)), Partition("t", 1, None, (1,), (1,)))
    assert view.reassigning == {("t", 0)}


@pytest.mark.parametrize(
    ("partition", "minimum", "listed"),
    [
        (Partition("t", 0, 1, (1, 2, 3), (1, 2, 3)), 2, set()),
        (Partition("t", 0, 1, (1, 2, 3), (1, 2)), 2, {"under_replicated"}),
        (Partition("t", 0, 1, (1, 2, 3), (1,)), 2, {"under_replicated", "under_min_isr"}),
        (Partition("t", 0, None, (1, 2), (2,)), 1, {"under_replicated", "offline"}),
        (Partition("t", 0, None, (1,), (1,)), 1, {"offline"}),
        (Partition("t", 0, None, (1,), ()), 1, {"under_replicated", "under_min_isr", "offline"}),
        (Partition("t", 0, 1, (1,), (1,)), 2, {"under_min_isr"}),
    ],
)
def test_a_partition_is_in_the_lists_it_belongs_to(partition: Partition, minimum: int, listed: set[str]) -> None:
    result = report(View("x", 1, BROKERS, (partition,), {"t": minimum}))
    assert {name for name in ("under_replicated", "under_min_isr", "offline") if result[name]} == listed
    assert result["healthy"] is (not listed)


@pytest.mark.parametrize(
    ("controller", "expected", "healthy"), [(1, [1, 2, 3], True), (None, [], False), (1, [1, 4], False)]
)
def test_health_needs_a_controller_and_every_expected_broker(
    controller: int | None, expected: list[int], healthy: bool
) -> None:
    result = report(View("x", controller, BROKERS, ()), expected)
    assert result["healthy"] is healthy
    assert result["missing_node_ids"] == sorted(set(expected) - {1, 2, 3})


def test_nobody_could_tell_about_reassignments() -> None:
    assert report(View("x", 1, BROKERS, ()))["reassigning"] is None
    assert report(View("x", 1, BROKERS, (), reassigning=frozenset()))["reassigning"] == []


partitions = st.lists(
    st.builds(
        lambda number, replicas, keep, leader: Partition(
            "t", number, replicas[0] if leader else None, tuple(replicas), tuple(replicas[:keep])
        ),
        st.integers(0, 99),
        st.permutations([1, 2, 3, 4]),
        st.integers(0, 4),
        st.booleans(),
    ),
    max_size=20,
)


@given(partitions, st.integers(1, 5))
def test_counts_agree(found: list[Partition], minimum: int) -> None:
    view = View("x", 1, BROKERS, tuple(found), {"t": minimum})
    assert sum(view.leaders_per_broker().values()) + len(view.offline()) == len(found)
    assert sum(view.replicas_per_broker().values()) == 4 * len(found)
    result: dict[str, Any] = report(view)
    assert result["healthy"] is not bool(view.under_replicated() or view.offline() or view.under_min_isr())
    assert all(set(entry["missing"]).isdisjoint(entry["isr"]) for entry in result["under_replicated"])
