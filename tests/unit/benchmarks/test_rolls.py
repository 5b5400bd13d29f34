# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark of rolls makes of records and verdicts."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import rolls
from benchmarks.figures import NotMeasuredError
from tests.rolls.traffic import Verdict

QUIET = Verdict(1000, 0, 0, 0.2)


def record(*nodes: tuple[int, float | None, float | None]) -> dict[str, Any]:
    keys = ("batch", "stop_start_seconds", "in_sync_seconds")
    return {
        "batches": [{"batch": number} for number in sorted({node[0] for node in nodes})],
        "nodes": [dict(zip(keys, node, strict=True)) for node in nodes],
    }


def rolled(kind: str, seconds: float, work: float, **seen: int) -> rolls.Rolled:
    verdict = Verdict(500, seen.get("failed", 0), seen.get("lost", 0), 1.5)
    return rolls.Rolled(kind, 3 if kind == "rack" else 6, seconds, work, verdict)


def test_the_work_of_a_batch_is_from_its_first_stop_until_all_are_back() -> None:
    assert rolls.work_seconds(record((1, 10.0, 30.0), (1, 11.0, 32.5), (2, 40.0, 50.0))) == 32.5


@pytest.mark.parametrize("hole", [(2, None, 50.0), (2, 40.0, None)])
def test_a_record_with_a_hole_is_no_measurement(hole: tuple[int, float | None, float | None]) -> None:
    with pytest.raises(NotMeasuredError, match="batch 2"):
        rolls.work_seconds(record((1, 10.0, 30.0), hole))


def test_ratio_share_and_verdicts_are_of_the_same_run() -> None:
    done = [
        rolled("rack", 100, 90),
        rolled("serial", 240, 150, failed=2),
        rolled("rack", 120, 90),
        rolled("serial", 200, 150),
    ]
    figures = rolls.summary(done, QUIET, {"processors": 2})
    assert figures.conditions["serial_by_rack"] == 2.0
    assert (figures.conditions["failed_sends"], figures.conditions["lost"], figures.conditions["acked"]) == (2, 0, 2000)
    assert figures.conditions["batches"] == {"rack": [3], "serial": [6]}
    assert [(bound.limit, bound.value, bound.reached) for bound in figures.bounds] == [
        (18.0, 20.0, False),
        (30.0, 70.0, False),
    ]
    assert figures.as_json()["rounds"][0]["verdict"]["longest_produce_pause_seconds"] == 1.5


def test_a_mode_without_a_round_is_no_measurement() -> None:
    with pytest.raises(NotMeasuredError, match="serial"):
        rolls.summary([rolled("rack", 100, 90)], QUIET, {})
