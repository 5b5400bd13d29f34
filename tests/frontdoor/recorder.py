# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pytest plugin that writes what happened, line by line, so that counts survive a suite stopped at its bound."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

RESULTS_VARIABLE = "HOLDFAST_TEST_RESULTS"
# How much of a failure's first line is kept: a scenario's says what EC2 and the consoles said.
REASON_CHARACTERS = 1500


def _write(record: dict[str, Any]) -> None:
    # Workers of pytest-xdist report to the controller, which alone writes.
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    with Path(os.environ[RESULTS_VARIABLE]).open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(record) + "\n")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr or "")
    return text.strip().splitlines()[0][:REASON_CHARACTERS] if text.strip() else ""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """One record per phase of a test; only the call phase makes a test passed."""
    if report.when == "call" or report.outcome != "passed":
        _write({"test": report.nodeid, "outcome": report.outcome, "reason": _reason(report)})


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A file that cannot be collected is a failure of its own."""
    if report.failed:
        _write({"test": report.nodeid, "outcome": "failed", "reason": _reason(report)})


def pytest_collection_finish(session: pytest.Session) -> None:
    """How many tests there are, for a suite that is skipped as a whole."""
    _write({"collected": len(session.items)})
