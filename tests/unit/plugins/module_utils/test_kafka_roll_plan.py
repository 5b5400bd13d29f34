# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a roll: its order, its batches, and every refusal."""

from __future__ import annotations

import random
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import kafka_roll_rules
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_roll_plan import Plan, Request, make_plan
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import Broker, Partition, View

from tests.unit.plugins.module_utils.roll_views import address, part, rules, view

SIX = (1, 2, 3, 4, 5, 6)
#: Two brokers in each of the racks a, b, c; each partition has a replica in each rack.
AWARE = [part([1, 2, 3], name="t-0"), part([4, 5, 6], name="t-1"), part([2, 6, 4], name="t-2")]


def plan(seen: View, targets: tuple[int, ...] = (1, 2, 3), **options: Any) -> Plan:
    allowed = options.pop("allowed", ())
    silent = options.pop("silent", ())
    pool = options.pop("pool", (1, 2, 3))
    racks = options.pop("pool_racks", None)
    return make_plan(seen, rules(pool, racks, allowed, silent), Request(targets, **options))


def words(found: Plan) -> set[str]:
    return {refusal.reason for refusal in found.refusals}


def test_one_at_a_time_by_rack_with_the_controller_last() -> None:
    found = plan(view(AWARE, SIX, controller=2), SIX, pool=SIX, seconds_per_broker=45)
    assert found.batches == ((1,), (4,), (3,), (6,), (5,), (2,))
    assert found.as_dict()["serial"] == [1] * 6
    assert found.expected_seconds == 270
    assert [(step.batch, step.action) for step in found.steps] == [(n, "restart") for n in range(1, 7)]
    assert found.steps[-1].why == "one at a time; the active controller comes last"


def test_rack_after_rack_with_the_controllers_rack_last() -> None:
    found = plan(view(AWARE, SIX, controller=2), SIX, pool=SIX, mode="rack", seconds_per_broker=45)
    assert found.batches == ((1, 4), (3, 6), (2, 5))
    assert (found.as_dict()["serial"], found.expected_seconds, found.splits) == ([2, 2, 2], 135, ())


def test_a_rack_that_two_replicas_share_is_split_and_the_partitions_are_named() -> None:
    shared = part([1, 4, 2], name="bad-3")
    found = plan(view([*AWARE, shared], SIX, controller=4), SIX, pool=SIX, mode="rack")
    assert found.batches == ((2, 5), (3, 6), (1,), (4,))
    (told,) = found.splits
    assert (told.rack, told.batches, told.fewest, told.partitions, told.partition_count) == (
        "a",
        2,
        True,
        ("bad-3",),
        1,
    )


def test_max_parallel_bounds_a_rack() -> None:
    found = plan(view(AWARE, SIX), SIX, pool=SIX, mode="rack", max_parallel=1)
    assert found.batches == ((2,), (5,), (3,), (6,), (4,), (1,))
    assert [(told.partitions, told.max_parallel) for told in found.splits] == [((), 1)] * 3


def test_more_replicas_to_spare_let_more_of_a_rack_stop() -> None:
    spread = part([1, 4, 2, 3], name="wide-0")
    assert plan(view([spread], SIX), SIX, pool=SIX, mode="rack").batches == ((2, 5), (3, 6), (1, 4))


def test_the_missing_are_started_first_and_together() -> None:
    # Neither of the two could come into sync everywhere while the other is away.
    orphan = part([2, 3], isr=[3], leader=None)
    found = plan(view([orphan, part([1, 2, 3], isr=[1], name="t-1")], brokers=[1], minima={"t": 1}))
    assert found.batches == ((2, 3), (1,))
    assert [step.action for step in found.steps] == ["start", "start", "restart"]
    assert "started before anybody is stopped" in found.steps[0].why


def test_one_that_lags_is_restarted_before_the_healthy() -> None:
    found = plan(view([part([1, 2, 3], isr=[1, 2]), part([3, 1, 2], isr=[1, 2], name="t-1")]))
    assert found.batches == ((3,), (2,), (1,))
    assert found.steps[0].why == "2 of its replicas are out of sync, so it comes before the healthy"


def test_one_that_is_silent_is_restarted_before_the_healthy() -> None:
    found = plan(view([part([1, 2, 3])]), silent=[3])
    assert (found.batches, found.steps[0].why) == (
        ((3,), (2,), (1,)),
        "registered and silent, so it comes before the healthy",
    )


def test_a_plan_that_stops_nobody_is_never_refused() -> None:
    ill = view([part([1, 2], isr=[1])], brokers=[1, 9], controller=None, reassigning=None)
    assert plan(ill, (2, 3)).batches == ((2, 3),)
    assert plan(ill, ()).batches == ()
    assert plan(ill, (1, 2)).batches == ()
    assert words(plan(ill, (1, 2))) >= {"no_controller", "reassignment_in_progress", "unexpected_broker"}


def test_an_empty_cluster() -> None:
    assert plan(view()).batches == ((2,), (3,), (1,))
    assert plan(view(brokers=(), controller=None)).batches == ((1, 2, 3),)


def test_who_is_no_target_is_skipped_and_named() -> None:
    found = plan(view(AWARE, SIX), (2, 2, 1), pool=SIX)
    assert found.batches == ((2,), (1,))
    assert [entry["node_id"] for entry in found.as_dict()["skipped"]] == [3, 4, 5, 6]


HEALTHY = part([1, 2, 3])
REFUSALS = [
    ("offline_partitions", view([part([1, 2, 3], leader=None)]), {}, (1, 2, 3), "t-0 has no leader"),
    ("offline_partitions", view([part([1], isr=[])]), {"allowed": ["t"]}, (1,), "t-0 has no leader"),
    ("reassignment_in_progress", view([HEALTHY], reassigning=[("t", 0)]), {}, (1, 2, 3), "t-0 is being reassigned"),
    ("reassignment_in_progress", view([HEALTHY], reassigning=None), {}, (), "nobody could tell"),
    ("reassignment_in_progress", view([HEALTHY], reassigning=[("new", 7)]), {}, (), "new-7 is being reassigned"),
    ("replication_not_above_min_isr", view([part([2])], minima={"t": 1}), {}, (2,), "stopping broker 2 makes it"),
    ("replication_not_above_min_isr", view([part([1, 2])]), {}, (1, 2), "stopping brokers 1 or 2 makes it"),
    ("replication_not_above_min_isr", view([HEALTHY], minima={"t": 4}), {}, (1, 2, 3), "has 3 replicas and needs 4"),
    ("replication_not_above_min_isr", view([part([3])], minima={"t": 0}), {}, (3,), "has 1 replica and needs 1"),
    ("min_isr_unknown", view([HEALTHY], minima={}), {}, (), "nobody could tell min.insync.replicas of the topic t"),
    ("under_min_isr", view([part([1, 2, 3, 4], isr=[1])], (1, 2, 3, 4)), {"pool": (1, 2, 3, 4)}, (2, 3, 4), "needs 2"),
    (
        "under_replicated",
        view([part([1, 2, 3], isr=[1, 3])]),
        {"targets": (1, 3)},
        (2,),
        "lacks the replica of broker 2",
    ),
    ("under_replicated", view([part([1, 2, 9], isr=[1, 2])]), {}, (9,), "lacks the replica of broker 9"),
    (
        "under_replicated",
        view([part([1, 2, 3, 4], isr=[1, 2])], (1, 2, 3, 4)),
        {"pool": (1, 2, 3, 4)},
        (3, 4),
        "lacks the replica of brokers 3 and 4",
    ),
    (
        "unexpected_broker",
        view([part([1, 2, 9])]),
        {},
        (9,),
        "of t-0 for one, and is neither registered nor in the pool",
    ),
    ("no_controller", view([HEALTHY], controller=7), {}, (), "broker 7 is named as the active controller"),
    ("unexpected_broker", view([HEALTHY], (1, 2, 3, 4)), {}, (4,), "is registered and is not in the pool"),
    (
        "broker_not_registered",
        view(),
        {"pool": (1, 2, 3, 4), "targets": (1,)},
        (4,),
        "broker 4 of the pool is not registered",
    ),
    ("broker_silent", view([HEALTHY]), {"silent": [2], "targets": (1, 3)}, (2,), "registered and does not answer"),
    ("broker_silent", view([HEALTHY]), {"silent": [2, 3]}, (3,), "broker 3 is registered and does not answer"),
    ("no_controller", view([HEALTHY], controller=None), {}, (), "nobody would elect"),
    ("unknown_rack", view([HEALTHY], racks={1: "a"}), {"pool_racks": {3: "c"}, "mode": "rack"}, (2,), "broker 2"),
]


@pytest.mark.parametrize(("word", "seen", "options", "node_ids", "said"), REFUSALS)
def test_each_refusal_fires_and_names_what_it_is_about(
    word: str, seen: View, options: dict[str, Any], node_ids: tuple[int, ...], said: str
) -> None:
    options = {"targets": options.get("pool", (1, 2, 3)), **options}
    found = plan(seen, **options)
    told = [one for one in found.refusals if one.reason == word]
    assert any(one.node_ids == node_ids and said in one.message for one in told), found.refusals
    assert (found.batches, found.steps, found.as_dict()["serial"]) == ((), (), [])
    for one in told:
        if one.topic == "t" and word != "min_isr_unknown":
            assert (one.partition, one.replicas, one.isr) == (0, seen.partitions[0].replicas, seen.partitions[0].isr)
            assert one.min_insync_replicas == seen.min_insync_replicas.get("t")


def test_wrong_host_by_host_and_by_port() -> None:
    moved = View("x", 1, (Broker(1, "10.9.9.9", 9092),), (), {}, frozenset())
    assert words(make_plan(moved, rules([1]), Request((1,)))) == {"wrong_host"}
    for port, refused in ((9092, set()), (9093, {"wrong_host"})):
        pool = kafka_roll_rules.members_of({"1": {"address": f"10.9.9.9:{port}"}})
        assert words(make_plan(moved, kafka_roll_rules.Rules(pool), Request((1,)))) == refused


@pytest.mark.parametrize("topic", ["__consumer_offsets", "__transaction_state", "t"])
def test_internal_topics_count_as_any_other_and_a_variable_lets_a_topic_go(topic: str) -> None:
    seen = view([part([1], name=f"{topic}-0"), part([1, 2, 3], name="safe-0")])
    assert words(plan(seen)) == {"replication_not_above_min_isr"}
    assert plan(seen, allowed=[topic]).batches == ((2,), (3,), (1,))
    assert words(plan(seen, allowed=["other"])) == {"replication_not_above_min_isr"}


def test_a_thin_topic_elsewhere_is_none_of_this_rolls_business() -> None:
    assert plan(view([part([1])], minima={"t": 5}), (2, 3)).batches == ((2,), (3,))


def test_a_lost_replica_of_an_allowed_topic_still_counts() -> None:
    assert words(plan(view([part([1, 2, 3], isr=[1, 3])]), (1, 3), allowed=["t"])) == {"under_replicated"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_parallel": 0, "mode": "rack"}, "max_parallel is 0"),
        ({"max_parallel": -3, "mode": "rack"}, "max_parallel is -3"),
        ({"max_parallel": 2}, "mode=serial rolls one broker at a time"),
        ({"mode": "zone"}, "mode is 'zone'"),
        ({"seconds_per_broker": 0}, "seconds_per_broker is 0"),
        ({"seconds_per_broker": float("nan")}, "seconds_per_broker is nan"),
        ({"targets": (1, 7, 8)}, "target_node_ids names brokers 7 and 8"),
    ],
)
def test_what_can_never_be_done_is_no_plan(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plan(view([HEALTHY]), **options)


@pytest.mark.parametrize(
    ("brokers", "said"),
    [
        ({}, "brokers is empty"),
        ({"one": {"address": "h"}}, "'one', which is no node id"),
        ({"-1": {"address": "h"}}, "no node id"),
        ({"1": "h"}, "needs an address"),
        ({"1": {"rack": "a"}}, "needs an address"),
        ({"1": {"address": " "}}, "an address that is none"),
        ({"1": {"address": "h:x"}}, "an address that is none"),
        ({"1": {"address": "h", "rack": 3}}, "a rack only as text"),
        ({"1": {"address": "h"}, "01": {"address": "g"}}, "names broker 1 twice"),
        ({"1": {"address": "h"}, "2": {"address": "h"}}, "gives h to several"),
    ],
)
def test_a_pool_that_is_none(brokers: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        kafka_roll_rules.members_of(brokers)


def test_a_pool_is_read() -> None:
    pool = kafka_roll_rules.members_of(
        {"7": {"address": "10.0.0.7", "rack": ""}, "0": {"address": "h:9093", "rack": "a"}}
    )
    assert [(one.node_id, one.address, one.rack) for one in pool.values()] == [
        (7, "10.0.0.7", None),
        (0, "h:9093", "a"),
    ]


def test_thousands_of_refusals_are_counted_and_the_first_are_kept() -> None:
    lost = [part([1, 2, 3], isr=[1, 3], name=f"t-{number}") for number in range(5000)]
    found = plan(view(lost), (1, 3)).as_dict()
    assert found["refusal_counts"] == {"under_replicated": 5000}
    assert len(found["refusals"]) == kafka_roll_rules.KEPT
    assert len(kafka_roll_rules.summary(plan(view(lost), (1, 3)).refusals)) < 1000


@pytest.mark.parametrize("aware", [True, False])
def test_a_large_cluster_is_planned(aware: bool) -> None:
    chance = random.Random(1)
    ids = range(1, 501)
    rack_of = {node_id: "abc"[node_id % 3] for node_id in ids}
    by_rack = [[node_id for node_id in ids if rack_of[node_id] == rack] for rack in "abc"]
    found = [
        Partition(f"t{number % 2000}", number // 2000, replicas[0], replicas, replicas)
        for number in range(20_000)
        for replicas in [tuple(chance.choice(rack) for rack in by_rack) if aware else tuple(chance.sample(ids, 3))]
    ]
    brokers = tuple(Broker(node_id, address(node_id), 9092) for node_id in ids)
    seen = View("x", 9, brokers, tuple(found), {p.topic: 2 for p in found}, frozenset())
    done = make_plan(seen, rules(ids, rack_of), Request(tuple(ids), mode="rack"))
    assert sorted(node_id for batch in done.batches for node_id in batch) == list(ids)
    assert all(len(set(partition.replicas).difference(batch)) >= 2 for batch in done.batches for partition in found)
    assert (len(done.batches) == 3) is aware
