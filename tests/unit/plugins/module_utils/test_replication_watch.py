# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wait for replication: when it ends, why, and what it says; nothing here waits."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import Broker, Partition, View
from ansible_collections.holdfast.kafka.plugins.module_utils.replication_watch import (
    Goal,
    Reading,
    Watch,
    human_bytes,
    human_seconds,
    look,
    named,
)
from hypothesis import given
from hypothesis import strategies as st

BROKERS = (Broker(1, "10.0.0.1", 9092), Broker(2, "10.0.0.2", 9092))
GOAL = Goal(node_ids=(2,), stable_reads=2, timeout_seconds=100, stall_timeout_seconds=30)


def partition(number: int, isr: tuple[int, ...] = (1, 2), leader: int | None = 1) -> Partition:
    return Partition("orders", number, leader, (1, 2), isr)


def view(*partitions: Partition, brokers: tuple[Broker, ...] = BROKERS) -> View:
    return View("cluster", 1, brokers, partitions)


def reading(**facts: Any) -> Reading:
    whole: dict[str, Any] = {
        "unregistered": (),
        "wrong_hosts": (),
        "replicas_total": 4,
        "replicas_in_sync": 4,
        "lagging": (),
        "offline": (),
    }
    return Reading(**{**whole, **facts})


LAGGING = reading(replicas_in_sync=3, lagging=(partition(7, (1,)),))


def test_look_counts_only_what_the_brokers_host() -> None:
    elsewhere = Partition("other", 0, 1, (1, 3), (1,))
    seen = look(view(partition(0), partition(1, (1,)), elsewhere), GOAL)
    assert (seen.replicas_total, seen.replicas_in_sync) == (2, 1)
    assert [p.name for p in seen.lagging] == ["orders-1"]


def test_look_at_the_whole_cluster_sees_every_replica() -> None:
    elsewhere = Partition("other", 0, 1, (1, 3), (1,))
    seen = look(view(partition(0), elsewhere), Goal(node_ids=(), whole_cluster=True))
    assert (seen.replicas_total, seen.replicas_in_sync, [p.name for p in seen.lagging]) == (4, 3, ["other-0"])


def test_look_sees_who_is_not_registered_and_who_announces_another_host() -> None:
    goal = Goal(node_ids=(1, 3), expected_hosts={1: "10.0.0.9", 3: "10.0.0.3"})
    seen = look(view(), goal)
    assert (seen.unregistered, seen.wrong_hosts) == ((3,), ((1, "10.0.0.9", "10.0.0.1"),))
    assert not seen.reached


def test_look_adds_up_what_is_copied_and_what_is_still_to_copy() -> None:
    sizes = {("orders", 0, 1): 1000, ("orders", 0, 2): 400, ("orders", 1, 1): 50}
    seen = look(view(partition(0, (1,)), partition(1, (1,)), partition(2)), GOAL, sizes)
    assert (seen.copied_bytes, seen.remaining_bytes) == (400, 650)


@pytest.mark.parametrize(
    "spoiled",
    [
        {"unregistered": (2,)},
        {"wrong_hosts": ((2, "a", "b"),)},
        {"lagging": (partition(0, (1,)),)},
        {"offline": (partition(0, (), None),)},
        {"silent": (2,)},
    ],
)
def test_each_fault_alone_keeps_it_from_being_reached(spoiled: dict[str, Any]) -> None:
    assert reading().reached
    assert not reading(**spoiled).reached


def test_reached_needs_good_reads_in_a_row() -> None:
    watch = Watch(GOAL)
    states = [watch.observe(at, seen).state for at, seen in enumerate([reading(), LAGGING, reading(), reading()])]
    assert states == ["waiting", "waiting", "waiting", "reached"]


def test_a_read_that_fails_breaks_the_row() -> None:
    watch = Watch(GOAL)
    watch.observe(0, reading())
    assert watch.observe_problem(1, "unreachable", "nobody").state == "waiting"
    assert watch.observe(2, reading()).state == "waiting"


@pytest.mark.parametrize(
    ("facts", "reason", "words"),
    [
        ({"unregistered": (2,)}, "not_registered", "not registered: broker 2"),
        ({"wrong_hosts": ((2, "a", "b"),)}, "wrong_host", "broker 2 announces b where a was expected"),
        ({"silent": (2,)}, "unreachable", "registered and silent: broker 2"),
        ({"offline": (partition(3, (), None),)}, "offline", "without a leader: orders-3"),
        ({"replicas_in_sync": 3, "lagging": (partition(7, (1,)),)}, "timeout", "orders-7"),
        ({}, "timeout", "only for 1 of 2 reads"),
    ],
)
def test_at_the_timeout_the_reason_is_what_is_the_matter(facts: dict[str, Any], reason: str, words: str) -> None:
    decision = Watch(GOAL).observe(100, reading(**facts))
    assert (decision.state, decision.reason) == ("failed", reason)
    assert words in decision.message


def test_stalled_when_nothing_moves() -> None:
    watch = Watch(GOAL)
    assert watch.observe(0, LAGGING).state == "waiting"
    assert watch.observe(29, LAGGING).state == "waiting"
    decision = watch.observe(30, LAGGING)
    assert (decision.state, decision.reason) == ("failed", "stalled")
    assert "orders-7" in decision.message


def test_bytes_that_grow_are_movement() -> None:
    watch = Watch(GOAL)
    for at in range(0, 100, 20):
        growing = dataclasses.replace(LAGGING, copied_bytes=at * 1000, remaining_bytes=9)
        assert watch.observe(at, growing).state == "waiting"


def test_bytes_that_stand_still_are_none() -> None:
    watch = Watch(GOAL)
    stuck = dataclasses.replace(LAGGING, copied_bytes=5, remaining_bytes=9)
    assert [watch.observe(at, stuck).reason for at in (0, 20, 31)] == ["", "", "stalled"]


def test_a_broker_that_starts_slowly_is_no_stall() -> None:
    watch = Watch(GOAL)
    absent = reading(unregistered=(2,), replicas_in_sync=0)
    assert [watch.observe(at, absent).state for at in (0, 40, 99)] == ["waiting"] * 3


def test_after_it_registered_each_replica_in_sync_is_movement() -> None:
    watch = Watch(GOAL)
    watch.observe(0, reading())
    watch.observe(1, reading(unregistered=(2,), replicas_in_sync=0))
    for at, in_sync in ((30, 1), (59, 2), (88, 3)):
        assert watch.observe(at, dataclasses.replace(LAGGING, replicas_in_sync=in_sync)).state == "waiting"


def test_an_unreachable_cluster_is_no_stall_but_ends_at_the_timeout() -> None:
    watch = Watch(GOAL)
    watch.observe(0, LAGGING)
    assert watch.observe_problem(50, "unreachable", "nobody answers").state == "waiting"
    decision = watch.observe_problem(100, "unreachable", "nobody answers")
    assert (decision.state, decision.reason) == ("failed", "unreachable")
    assert "nobody answers" in decision.message


@pytest.mark.parametrize("reason", ["auth", "bad_parameter"])
def test_what_waiting_cannot_mend_fails_at_once(reason: str) -> None:
    assert Watch(GOAL).observe_problem(0, reason, "no").reason == reason


def test_no_stall_timeout_means_for_ever() -> None:
    watch = Watch(dataclasses.replace(GOAL, stall_timeout_seconds=0))
    assert [watch.observe(at, LAGGING).state for at in (0, 99)] == ["waiting", "waiting"]


def test_progress_tells_how_far_how_fast_and_how_long() -> None:
    watch = Watch(GOAL)
    for at, copied in ((0, 0), (10, 20_000_000)):
        seen = dataclasses.replace(LAGGING, copied_bytes=copied, remaining_bytes=80_000_000 - copied)
        watch.observe(at, seen)
    assert watch.progress(10, seen) == (
        "broker 2: 3 of 4 replicas in sync, 60.0 MB to copy, at 2.0 MB/s, about 30 s left (10 s of at most 100 s)"
    )


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (reading(), "all 4 replicas in sync, read 1 of 2"),
        (reading(unregistered=(2,)), "waiting for broker 2 to register"),
        (reading(silent=(2,)), "does not answer"),
        (reading(wrong_hosts=((2, "a", "b"),)), "announces b, not a"),
        (reading(offline=(partition(0, (), None),)), "without a leader: orders-0"),
    ],
)
def test_progress_says_what_is_waited_for(seen: Reading, words: str) -> None:
    watch = Watch(GOAL)
    watch.observe(1, seen)
    assert words in watch.progress(1, seen)


def test_progress_while_nobody_answers() -> None:
    assert "nobody" in Watch(GOAL).progress(1, None, "nobody")


readings = st.builds(
    reading,
    unregistered=st.sampled_from([(), (), (2,)]),
    replicas_in_sync=st.integers(0, 4),
    lagging=st.sampled_from([(), (partition(0, (1,)),)]),
    offline=st.sampled_from([(), (), (partition(1, (), None),)]),
    silent=st.sampled_from([(), (), (2,)]),
    copied_bytes=st.one_of(st.none(), st.integers(0, 10**9)),
)


@given(st.lists(st.tuples(st.floats(0, 20), st.one_of(st.none(), readings)), min_size=1, max_size=40))
def test_the_wait_is_sound_and_can_change_processes_at_any_point(steps: list[tuple[float, Reading | None]]) -> None:
    one = Watch(GOAL)
    other = Watch(GOAL)
    elapsed = 0.0
    good_in_a_row = 0
    for pause, seen in steps:
        elapsed += pause
        other = Watch.resumed(GOAL, json.loads(json.dumps(other.state())))
        if seen is None:
            decision = one.observe_problem(elapsed, "unreachable", "nobody")
            assert other.observe_problem(elapsed, "unreachable", "nobody") == decision
            good_in_a_row = 0
        else:
            decision = one.observe(elapsed, seen)
            assert other.observe(elapsed, seen) == decision
            good_in_a_row = good_in_a_row + 1 if seen.reached else 0
            assert one.progress(elapsed, seen)
        assert (decision.state == "reached") == (good_in_a_row >= GOAL.stable_reads)
        assert (decision.state == "failed") == bool(decision.reason) == bool(decision.message)
        assert decision.state != "waiting" or elapsed < GOAL.timeout_seconds
        if decision.state != "waiting":
            break


def test_many_partitions_are_counted_rather_than_listed() -> None:
    assert named([partition(number) for number in range(5)], 2) == "orders-0, orders-1 and 3 more"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (250_000_000, "250 MB"), (5e12, "5.0 TB")]
)
def test_bytes_for_people(count: float, text: str) -> None:
    assert human_bytes(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (600, "10 min"), (7200, "2.0 h")])
def test_durations_for_people(seconds: float, text: str) -> None:
    assert human_seconds(seconds) == text


def test_registration_is_extended_while_the_service_recovers_and_ends_when_it_stalls() -> None:
    watch = Watch(dataclasses.replace(GOAL, timeout_seconds=1000))
    pending = reading(unregistered=(2,))
    for at in range(0, 300, 10):
        assert watch.observe(at, pending, watch.moved(f"segment {at}")).state == "waiting"
    ends = [watch.observe(at, pending, watch.moved("segment 290")) for at in range(300, 321, 10)]
    assert [one.state for one in ends] == ["waiting", "waiting", "failed"]
    assert (ends[-1].reason, ends[-1].give_up) == ("not_registered", True)


def test_a_broker_that_recovers_until_the_bound_is_not_given_up() -> None:
    decision = Watch(GOAL).observe(100, reading(unregistered=(2,)), moving=True)
    assert (decision.reason, decision.give_up) == ("not_registered", False)


@pytest.mark.parametrize("spoiled", [{"offline": (partition(0, (), None),)}, {"silent": (2,)}])
def test_a_registered_broker_is_never_given_up_for_its_partitions(spoiled: dict[str, Any]) -> None:
    watch = Watch(GOAL)
    watch.observe(0, LAGGING, moving=True)
    decision = watch.observe(30, dataclasses.replace(LAGGING, **spoiled), moving=False)
    assert (decision.state, decision.give_up) == ("failed", False)
    assert not watch.observe(100, LAGGING, moving=False).give_up
    resumed = Watch.resumed(GOAL, json.loads(json.dumps(watch.state())))
    assert not resumed.observe(70, reading(unregistered=(2,)), moving=False).give_up, "it was there before"


def test_a_cluster_that_cannot_be_read_stalls_only_with_the_service() -> None:
    watch = Watch(GOAL)
    assert watch.observe_problem(0, "unreachable", "nobody", moving=True).state == "waiting"
    decision = watch.observe_problem(30, "unreachable", "nobody", moving=False)
    assert (decision.state, decision.reason, decision.give_up) == ("failed", "unreachable", True)
    assert Watch(GOAL).observe_problem(90, "unreachable", "nobody").state == "waiting"
