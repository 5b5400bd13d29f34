# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as lost."""

from __future__ import annotations

import json

from lab.demo import workload


def _line(name: str, value: int) -> str:
    return json.dumps({"name": name, "value": str(value), "timestamp": 0})


def test_outcomes_of_the_producers_output() -> None:
    lines = [
        '{"timestamp":1,"name":"startup_complete"}',
        _line("producer_send_success", 1),
        _line("producer_send_error", 2),
        _line("producer_send_success", 3),
        '{"name":"producer_send_su',
    ]
    assert workload.outcomes(lines) == ({"1", "3"}, 1)


def test_everything_read_back_is_no_loss() -> None:
    verdict = workload.judge({"1", "3"}, 1, ["1", "2", "3"])
    assert (verdict.acked, verdict.read_back, verdict.lost, verdict.read_twice) == (2, 2, 0, 0)


def test_an_acknowledged_value_nobody_can_read_is_lost() -> None:
    verdict = workload.judge({"1", "3"}, 0, ["3", "3"])
    assert (verdict.read_back, verdict.lost, verdict.read_twice) == (1, 1, 1)
