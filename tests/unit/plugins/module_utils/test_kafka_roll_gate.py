# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate before a stop: each thing that closes it, and what does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_roll_gate import closed_by
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import Broker, View

from tests.unit.plugins.module_utils.roll_views import address, part, rules, view

WIDE = part([1, 2, 3, 4])
FOUR = (1, 2, 3, 4)
CLOSED: list[tuple[str, View, dict[str, Any], set[int], str]] = [
    (
        "offline_partitions",
        view([part([2, 3], leader=None, name="u-0"), part([1, 2, 3])]),
        {},
        {1},
        "u-0 has no leader",
    ),
    ("offline_partitions", view([part([1], isr=[])]), {"allowed": ["t"]}, {1}, "t-0 has no leader"),
    (
        "under_replicated",
        view([part([1, 2, 3]), part([2, 3], isr=[2], name="u-0")], minima={"t": 2, "u": 1}),
        {},
        {1},
        "u-0 lacks the replica of",
    ),
    ("under_replicated", view([part([1, 2, 3], isr=[1, 2])], minima={"t": 1}), {}, {1}, "broker 3"),
    (
        "under_min_isr",
        view([part([1, 2, 3], isr=[1])]),
        {},
        {1, 2},
        "has 1 of 3 replicas in sync and needs 2, without brokers 2 and 3",
    ),
    ("not_enough_in_sync", view([part([1, 2, 3])]), {}, {1, 2}, "would keep 1 of 3 replicas in sync without brokers 1"),
    ("not_enough_in_sync", view([WIDE], FOUR, minima={"t": 3}), {"pool": FOUR}, {1, 4}, "and needs 3"),
    ("not_enough_in_sync", view([part([1, 2, 3])]), {"silent": [2]}, {1}, "would keep 1 of 3"),
    ("replication_not_above_min_isr", view([part([1, 2])]), {}, {1}, "t-0 has 2 replicas and needs 2"),
    ("replication_not_above_min_isr", view([part([1])], minima={"t": 0}), {}, {1}, "has 1 replica and needs 1"),
    ("min_isr_unknown", view([part([1, 2, 3])], minima={}), {}, {1}, "min.insync.replicas of the topic t"),
    ("no_controller", view(controller=None), {}, {1}, "active controller"),
    ("reassignment_in_progress", view(reassigning=None), {}, {1}, "nobody could tell"),
    ("reassignment_in_progress", view(reassigning=[("t", 4)]), {}, {1}, "t-4 is being reassigned"),
    ("unexpected_broker", view([part([1, 2, 9])]), {}, {3}, "broker 9 has replicas, of t-0 for one"),
    ("not_enough_in_sync", view([part([1, 2, 9])]), {}, {1}, "would keep 1 of 3"),
    ("no_controller", view(controller=9), {}, {1}, "broker 9 is named"),
    ("unexpected_broker", view(brokers=FOUR), {}, {1}, "broker 4"),
    ("broker_not_registered", view(brokers=[1, 2]), {}, {1}, "broker 3 of the pool is not registered"),
    ("broker_silent", view(), {"silent": [3]}, {1}, "broker 3 is registered and does not answer"),
]


@pytest.mark.parametrize(("word", "seen", "options", "batch", "said"), CLOSED)
def test_each_word_closes_the_gate(word: str, seen: View, options: dict[str, Any], batch: set[int], said: str) -> None:
    found = closed_by(seen, rules(options.pop("pool", (1, 2, 3)), **options), batch)
    assert any(one.reason == word and said in one.message for one in found), found


def test_a_broker_at_another_address_closes_the_gate() -> None:
    seen = replace(view(), brokers=(Broker(1, address(1), 9092), Broker(2, "10.9.9.9", 9092), Broker(3, address(3), 9)))
    assert [(one.reason, one.node_ids) for one in closed_by(seen, rules(), {1})] == [("wrong_host", (2,))]


@pytest.mark.parametrize(
    ("seen", "options", "batch"),
    [
        (view([part([1, 2, 3])]), {}, {1}),
        (view([part([1, 2, 3]), part([1, 2, 3], name="u-0")]), {}, {3}),
        # Others of the batch are stopped already, or all of it is.
        (view([WIDE], [1, 3, 4]), {"pool": FOUR}, {1, 2}),
        (view([part([1, 2, 3, 4], isr=[3, 4])], [3, 4], controller=3), {"pool": FOUR}, {1, 2}),
        # What the batch's own broker lacks is what its restart may mend.
        (view([part([1, 2, 3], isr=[2, 3])]), {}, {1}),
        (view([part([1, 2, 3])]), {"silent": [1]}, {1}),
        (view([part([1])]), {"allowed": ["t"]}, {1}),
        (view([part([2])]), {}, {1}),
        (view(), {}, {1, 2, 3}),
    ],
)
def test_what_leaves_it_open(seen: View, options: dict[str, Any], batch: set[int]) -> None:
    assert closed_by(seen, rules(options.pop("pool", (1, 2, 3)), **options), batch) == []


def test_a_gate_for_nobody() -> None:
    with pytest.raises(ValueError, match="nobody"):
        closed_by(view(), rules(), set())
