# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rolls' report and its table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.faults.report import merged
from tests.rolls import report


def story(name: str, *, passed: bool = True, **figures: Any) -> dict[str, Any]:
    failure = "" if passed else "AssertionError: a | b"
    return {
        "name": name,
        "what": "It holds.",
        "passed": passed,
        "failure": failure,
        "seconds": 12.3,
        "figures": figures,
    }


GOOD = story("a_roll", acked=10, lost=0, failed_sends=1, longest_produce_pause_seconds=2.5, reason="locked")
BAD = story("b_roll", passed=False)


def test_totals_are_over_all_stories() -> None:
    assert report.totals([GOOD, BAD]) == {
        "stories": 2,
        "as_expected": 1,
        "not_as_expected": ["b_roll"],
        "acked": 10,
        "lost": 0,
        "failed_sends": 1,
        "longest_produce_pause_seconds": 2.5,
    }


def test_what_was_told_before_is_kept(tmp_path: Path) -> None:
    assert report.earlier(tmp_path) == []
    path = report.write([GOOD, BAD], tmp_path)
    assert json.loads(path.read_text())["totals"]["stories"] == 2
    mended = story("b_roll")
    assert merged([mended], report.earlier(tmp_path), ["a_roll", "b_roll"]) == [GOOD, mended]


def test_the_table_says_what_did_not_hold() -> None:
    good, bad = report.table([GOOD, BAD]).splitlines()[2:]
    assert good == "| a roll | It holds. | `locked` | 10 | 0 | 1 | 2.5 | 12 | yes |"
    assert bad == "| b roll | It holds. | - | - | - | - | - | 12 | **no**: AssertionError: a / b |"
