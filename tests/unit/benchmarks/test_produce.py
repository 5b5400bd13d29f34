# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks make of sends and verdicts, and which broker they stop."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks import leader_move, produce
from benchmarks.figures import NotMeasuredError

SENDS = produce.Sends(300, 0, 2.0, 9.0, 0.5)
SEEN = produce.Seen(1000, 0, 0, 0.2, SENDS)


def lines(*milliseconds: float) -> list[str]:
    return [f"{1000 + number}.000 {value}\n" for number, value in enumerate(milliseconds)]


def test_waits_are_told_by_their_shares() -> None:
    told = produce.sends(lines(*range(1, 1001)), 1002)
    assert told == produce.Sends(1000, 2, 500.0, 990.0, 1.0)


def test_the_order_of_the_acks_does_not_matter() -> None:
    assert produce.sends(lines(*range(1000, 0, -1)), 1000) == produce.sends(lines(*range(1, 1001)), 1000)


def test_a_few_sends_are_no_p99() -> None:
    with pytest.raises(NotMeasuredError, match="199 of 500"):
        produce.sends(lines(*range(199)), 500)


def test_what_failed_is_of_both_and_a_bound_of_nothing() -> None:
    bad = dataclasses.replace(SEEN, failed_sends=2, lost=1, sends=dataclasses.replace(SENDS, unacknowledged=3))
    bounds = produce.nothing_failed_nor_lost({"rack": [SEEN, bad], "serial": [SEEN]})
    assert [(bound.name, bound.value, bound.reached) for bound in bounds] == [
        ("rack: failed sends in all rounds", 5, False),
        ("rack: acknowledged and lost in all rounds", 1, False),
        ("serial: failed sends in all rounds", 0, True),
        ("serial: acknowledged and lost in all rounds", 0, True),
    ]
    assert str(bounds[0]) == "MISSED: rack: failed sends in all rounds 5, bound 0"
    assert produce.rows("rack", [SEEN, bad])["failed_sends"].most == 5


def test_who_leads_the_topic() -> None:
    described = [
        {"name": "mine", "partitions": [{"leader_id": 1}, {"leader_id": 2}, {"leader_id": 1}]},
        {"name": "other", "partitions": [{"leader_id": 3}]},
    ]
    assert leader_move.leaders(described, "mine") == {1: 2, 2: 1}


def test_another_broker_that_leads_is_stopped_in_each_round_and_never_the_controller() -> None:
    led = {5: 1, 1: 2, 2: 4, 3: 0, -1: 1}
    assert [leader_move.chosen(led, 2, number) for number in range(3)] == [1, 5, 1]


@pytest.mark.parametrize("led", [{}, {2: 12}, {1: 0}])
def test_without_a_leader_to_stop_nothing_is_measured(led: dict[int, int]) -> None:
    with pytest.raises(NotMeasuredError):
        leader_move.chosen(led, 2, 0)
