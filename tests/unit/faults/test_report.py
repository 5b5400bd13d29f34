# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a fault run, and the table of faults that it is made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults import report, table


def result(name: str, **changes: Any) -> dict[str, Any]:
    """One result as the runner makes it."""
    return {
        "name": name,
        "acked": 10,
        "lost": 0,
        "double_identity": 0,
        "recovered_seconds": 30.0,
        "as_expected": True,
        "expected": "to come back",
        "seen": "came back",
        "differences": [],
        **changes,
    }


BAD = result("b", as_expected=False, lost=2, double_identity=1, recovered_seconds=None, differences=["2 lost"])


def test_the_totals_are_sums_and_name_what_failed(tmp_path: Path) -> None:
    report.write([result("a"), BAD], tmp_path)
    written = json.loads((tmp_path / "faults.json").read_text(encoding="utf-8"))
    assert next(iter(written)) == "totals"
    assert written["totals"] == {
        "faults": 2,
        "as_expected": 1,
        "not_as_expected": ["b"],
        "acked": 20,
        "lost": 2,
        "double_identity": 1,
        "not_recovered": 1,
        "longest_recovered_seconds": 30.0,
    }


def test_a_partial_run_replaces_its_own_results_only(tmp_path: Path) -> None:
    assert report.earlier_results(tmp_path) == []
    report.write([BAD, result("c"), result("gone")], tmp_path)
    found = report.merged([result("b")], report.earlier_results(tmp_path), ["a", "b", "c"])
    assert [(one["name"], one["as_expected"]) for one in found] == [("b", True), ("c", True)]


def test_the_table_shows_a_difference() -> None:
    lines = report.table([result("a"), BAD]).splitlines()
    assert lines[2].endswith("| 10 | 0 | 0 | 30 | yes |")
    assert lines[3].endswith("| 10 | 2 | 1 | - | **no**: 2 lost |")


def test_there_are_at_least_twenty_faults_with_names_of_their_own() -> None:
    names = [fault.name for fault in table.FAULTS]
    assert len(names) >= 20
    assert len(set(names)) == len(names)
    # A topic, and so a directory of the broker, is named after each.
    assert all(name.replace("-", "").isalnum() and len(name) < 60 for name in names)


def test_a_selection_keeps_the_order_and_refuses_unknown_names() -> None:
    some = [table.FAULTS[3].name, table.FAULTS[1].name]
    assert [fault.name for fault in table.select(",".join(some))] == some[::-1]
    assert table.select("") == table.FAULTS
    with pytest.raises(table.UnknownFaultError, match="no fault named nonsense; there are: kill-after-claim"):
        table.select(f"nonsense,{some[0]}")
