# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark of rolls makes of records and of what the traffic saw."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import rolls
from benchmarks.figures import NotMeasuredError
from benchmarks.produce import Seen, Sends


def record(*nodes: tuple[int, float | None, float | None]) -> dict[str, Any]:
    keys = ("batch", "stop_start_seconds", "in_sync_seconds")
    return {
        "batches": [{"batch": number} for number in sorted({node[0] for node in nodes})],
        "nodes": [dict(zip(keys, node, strict=True)) for node in nodes],
    }


def seen(wait: float, p99: float = 20.0, failed: int = 0, lost: int = 0) -> Seen:
    return Seen(500, failed, lost, 0.1, Sends(1000, 0, 2.0, p99, wait))


def done(kind: str, seconds: float, saw: Seen, work: float | None = None) -> rolls.Done:
    return rolls.Done(kind, seconds, saw, {"rack": 3, "serial": 6}.get(kind, 0), work)


ROUND = [
    done("quiet", 30, seen(0.1, 10.0)),
    done("leader move", 20, seen(0.8)),
    done("rack", 100, seen(0.9), 90),
    done("serial", 240, seen(0.7, 30.0), 150),
    done("replacement", 80, seen(12.0, 8000.0)),
]


def test_the_work_of_a_batch_is_from_its_first_stop_until_all_are_back() -> None:
    assert rolls.work_seconds(record((1, 10.0, 30.0), (1, 11.0, 32.5), (2, 40.0, 50.0))) == 32.5


@pytest.mark.parametrize("hole", [(2, None, 50.0), (2, 40.0, None)])
def test_a_record_with_a_hole_is_no_measurement(hole: tuple[int, float | None, float | None]) -> None:
    with pytest.raises(NotMeasuredError, match="batch 2"):
        rolls.work_seconds(record((1, 10.0, 30.0), hole))


def test_ratios_are_of_the_same_run() -> None:
    figures = rolls.summary([*ROUND, *ROUND, done("rack", 140, seen(0.9), 90)], {"processors": 2})
    told = figures.conditions
    assert told["serial_by_rack"] == 2.4
    assert told["batches"] == {"rack": [3], "serial": [6]}
    assert told["longest_wait_by_leader_move"]["rack"] == round(0.9 / 0.8, 2)
    assert told["p99_by_quiet"] == {
        "quiet": 1,
        "leader move": 2,
        "rack": 2,
        "serial": 3,
        "replacement": 800,
    }
    assert told["acked"] == 11 * 1500
    assert "work_seconds" not in figures.spreads["quiet"]
    assert figures.as_json()["rounds"][0]["seen"]["sends"]["p99_milliseconds"] == 10.0


def test_own_share_and_longest_wait_are_judged() -> None:
    bounds = rolls.summary(ROUND, {}).bounds
    assert [(bound.name, bound.limit, bound.value, bound.reached) for bound in bounds[:4]] == [
        ("rack: beyond stop, start and catch-up", 18.0, 10.0, True),
        ("rack: longest wait, against one leader move", 0.8, 0.9, False),
        ("serial: beyond stop, start and catch-up", 30.0, 90.0, False),
        ("serial: longest wait, against one leader move", 0.8, 0.7, True),
    ]
    assert all(bound.reached for bound in bounds[4:])


def test_what_failed_or_was_lost_is_loud() -> None:
    table = rolls.summary([*ROUND, done("serial", 240, seen(0.7, failed=2, lost=1), 150)], {}).table()
    assert "MISSED: serial: failed sends in all rounds 2, bound 0" in table
    assert "MISSED: serial: acknowledged and lost in all rounds 1, bound 0" in table
    assert "reached: replacement: failed sends in all rounds 0, bound 0" in table


@pytest.mark.parametrize("kind", rolls.KINDS)
def test_a_kind_without_a_round_is_no_measurement(kind: str) -> None:
    with pytest.raises(NotMeasuredError, match=kind):
        rolls.summary([one for one in ROUND if one.kind != kind], {})


def test_a_roll_without_work_is_no_measurement() -> None:
    with pytest.raises(NotMeasuredError, match="rack work"):
        rolls.summary([*ROUND, done("rack", 100, seen(0.9))], {})


def test_everything_that_is_compared_is_done() -> None:
    assert tuple(rolls.ACTS) == rolls.KINDS
