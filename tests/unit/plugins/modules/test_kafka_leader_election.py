# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kafka_leader_election: what it asks for, what it waits for, and each failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import kafka_reader, leader_election
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import View
from ansible_collections.holdfast.kafka.plugins.modules import kafka_leader_election

from tests.unit.plugins.module_utils.roll_views import part, view
from tests.unit.plugins.modules.in_process import run_module

ARGUMENTS: dict[str, Any] = {"bootstrap_servers": ["127.0.0.1"], "timeout_seconds": 0.5, "poll_seconds": 0.05}


class Cluster:
    """A controller that elects what it is asked to, unless it is told not to."""

    def __init__(self, seen: View) -> None:
        self.view = seen
        self.asked: list[dict[str, list[int]]] = []
        self.refuses: dict[str, str] = {}
        self.errors: list[kafka_reader.ReadError] = []
        self.closed = 0

    def read(self) -> View:
        if self.errors:
            raise self.errors.pop(0)
        return self.view

    def elect_preferred(self, wanted: Mapping[str, Sequence[int]]) -> dict[str, str]:
        self.asked.append({topic: list(numbers) for topic, numbers in wanted.items()})
        self.view = replace(
            self.view,
            partitions=tuple(
                replace(p, leader=p.replicas[0])
                if p.partition in wanted.get(p.topic, []) and p.name not in self.refuses
                else p
                for p in self.view.partitions
            ),
        )
        return self.refuses

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Two partitions at their preferred leader, two elsewhere, one of them in another topic."""
    made = Cluster(
        view(
            [
                part([1, 2, 3], name="t-0"),
                part([2, 3, 1], leader=3, name="t-1"),
                part([3, 1, 2], name="u-0"),
                part([1, 2, 3], leader=2, name="u-1"),
            ]
        )
    )
    monkeypatch.setattr(kafka_reader, "Reader", lambda _options: made)
    return made


def test_only_what_is_needed_is_elected_and_a_second_run_changes_nothing(cluster: Cluster) -> None:
    first = run_module(kafka_leader_election, ARGUMENTS, diff=True)
    assert (first["failed"], first["changed"], first["moved_count"]) == (False, True, 2)
    assert first["moved"] == [
        {"topic": "t", "partition": 1, "from": 3, "to": 2},
        {"topic": "u", "partition": 1, "from": 2, "to": 1},
    ]
    assert first["diff"] == {
        "before": {"leaders": {"1": 1, "2": 1, "3": 2}},
        "after": {"leaders": {"1": 2, "2": 1, "3": 1}},
    }
    assert cluster.asked == [{"t": [1], "u": [1]}]
    second = run_module(kafka_leader_election, ARGUMENTS, diff=True)
    assert (second["changed"], second["moved"], "diff" in second, len(cluster.asked)) == (False, [], False, 1)


def test_check_mode_foresees_and_asks_for_nothing(cluster: Cluster) -> None:
    lagging = part([2, 1], isr=[1], name="v-0")
    cluster.view = replace(cluster.view, partitions=(*cluster.view.partitions, lagging))
    result = run_module(kafka_leader_election, ARGUMENTS, check=True, diff=True)
    assert (result["failed"], result["changed"], result["moved_count"], cluster.asked) == (False, True, 2, [])
    assert result["diff"]["after"] == {"leaders": {"1": 3, "2": 1, "3": 1}}
    assert result["not_elected"] == [
        {"topic": "v", "partition": 0, "leader": 1, "preferred_leader": 2, "in_sync": False}
    ]


def test_not_elected_says_why_for_each_partition(cluster: Cluster) -> None:
    cluster.refuses = {"t-1": "the controller is busy"}
    more = [
        part([3, 1], isr=[1], name="v-0"),
        part([9, 1], leader=1, name="w-0"),
        part([2, 3], isr=[], name="x-0"),
    ]
    cluster.view = replace(cluster.view, partitions=(*cluster.view.partitions, *more))
    result = run_module(kafka_leader_election, ARGUMENTS)
    assert (result["failed"], result["reason"], result["not_elected_count"]) == (True, "not_elected", 4)
    for said in (
        "4 partitions are not led",
        "t-1 (broker 3 leads it; the controller is busy)",
        "v-0 (broker 1 leads it; broker 3 is out of sync)",
        "w-0 (broker 1 leads it; broker 9 is not registered)",
        "x-0 (nobody leads it; broker 2 is out of sync)",
    ):
        assert said in result["msg"]
    assert "u-1" not in result["msg"], "it was elected"
    assert result["waited_seconds"] >= 0.5


def test_a_controller_that_says_nothing_against_it_and_does_nothing(cluster: Cluster, monkeypatch: Any) -> None:
    monkeypatch.setattr(cluster, "elect_preferred", lambda _wanted: {})
    cluster.view = replace(cluster.view, partitions=cluster.view.partitions[:3])
    result = run_module(kafka_leader_election, ARGUMENTS)
    assert result["reason"] == "not_elected"
    assert "1 partition is not led by the preferred replica: t-1" in result["msg"]
    assert "broker 2 is in sync and was not elected" in result["msg"]


def test_a_replica_that_comes_into_sync_in_time_is_elected(cluster: Cluster) -> None:
    behind = replace(cluster.view, partitions=(part([2, 1], isr=[1]),))
    cluster.view = behind
    reads = 0

    def read() -> View:
        nonlocal reads
        reads += 1
        if reads == 3:
            cluster.view = replace(behind, partitions=(part([2, 1], leader=1),))
        return cluster.view

    cluster.read = read
    result = run_module(kafka_leader_election, {**ARGUMENTS, "timeout_seconds": 20})
    assert (result["failed"], result["moved_count"], cluster.asked) == (False, 1, [{"t": [0]}])


def test_a_lost_connection_is_made_again(cluster: Cluster) -> None:
    cluster.errors = [kafka_reader.ReadError("unreachable", "gone")]
    assert run_module(kafka_leader_election, {**ARGUMENTS, "timeout_seconds": 20})["moved_count"] == 2
    assert cluster.closed == 2


@pytest.mark.parametrize("reason", ["auth", "bad_parameter", "unreachable", "kafka_error"])
def test_what_the_brokers_say_is_the_reason(cluster: Cluster, reason: str) -> None:
    cluster.errors = [kafka_reader.ReadError(reason, "the broker says no")] * 1000
    result = run_module(kafka_leader_election, ARGUMENTS)
    assert (result["failed"], result["reason"], result["msg"]) == (True, reason, "the broker says no")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": float("inf")}, "timeout_seconds"),
        ({"poll_seconds": -1}, "poll_seconds"),
        ({"bootstrap_servers": ["kafka:none"]}, "kafka:none"),
    ],
)
def test_bad_parameters(cluster: Cluster, change: dict[str, Any], said: str) -> None:
    result = run_module(kafka_leader_election, {**ARGUMENTS, **change})
    assert (result["reason"], said in result["msg"], cluster.asked) == ("bad_parameter", True, [])


def test_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_reader, "IMPORT_ERROR", "no such module")
    result = run_module(kafka_leader_election, ARGUMENTS)
    assert (result["reason"], "kafka-python" in result["msg"]) == ("missing_library", True)


def test_many_partitions_are_asked_for_in_requests_of_a_bounded_size() -> None:
    found = view([part([1, 2], leader=2, name=f"t-{number}") for number in range(2500)], brokers=[1, 2])
    wanted = leader_election.moves(found)
    assert [sum(map(len, one.values())) for one in leader_election.requests(wanted)] == [1000, 1000, 500]
    assert "and 2480 more" in leader_election.complaint(wanted, {})
