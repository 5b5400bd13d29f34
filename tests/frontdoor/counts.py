# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting: what the recorder wrote and how pytest ended become passed, failed and skipped."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Counts:
    """Outcome of a suite or a run; ``failures`` and ``skips`` hold one line each for the person who reads the end."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)
    skips: list[str] = field(default_factory=list)

    def add(self, other: Counts) -> None:
        """Add another outcome to this one."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures
        self.skips += other.skips

    def fail(self, line: str) -> None:
        """Count one failure."""
        self.failed += 1
        self.failures.append(line)

    def line(self) -> str:
        """The closing line of a run."""
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


@dataclass
class Outcome:
    """What a suite came to; one line of a lane's file."""

    suite: str
    seconds: float = 0.0
    counts: Counts = field(default_factory=Counts)

    def append(self, path: Path) -> None:
        """Write it to the end of a lane's file."""
        with path.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(asdict(self)) + "\n")

    @classmethod
    def read(cls, path: Path) -> list[Outcome]:
        """Return a lane's file, in its order; nothing when the lane wrote nothing."""
        return [cls(**{**line, "counts": Counts(**line["counts"])}) for line in _records(path)]


def _records(results: Path) -> list[dict[str, Any]]:
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]


def from_results(results: Path) -> Counts:
    """Read the recorder's lines. A test that failed and then errored in its teardown counts once, as failed."""
    order = {"passed": 0, "skipped": 1, "failed": 2}
    worst: dict[str, tuple[str, str]] = {}
    for record in _records(results):
        if "test" not in record:
            continue
        name, outcome = str(record["test"]), str(record["outcome"])
        if name not in worst or order[outcome] > order[worst[name][0]]:
            worst[name] = (outcome, str(record["reason"]))
    counts = Counts()
    for name, (outcome, reason) in worst.items():
        if outcome == "failed":
            counts.fail(f"{name}: {reason}")
        elif outcome == "skipped":
            counts.skipped += 1
            counts.skips.append(f"{name}: {reason}")
        else:
            counts.passed += 1
    return counts


def collected(results: Path) -> int:
    """How many tests the recorder saw collected."""
    return max((int(record["collected"]) for record in _records(results) if "collected" in record), default=0)


def of_pytest(returncode: int, results: Path, suite: str, timed_out_after: int | None) -> Counts:
    """Turn the end of one pytest process into counts; an end that no test explains is one failure of its own."""
    counts = from_results(results)
    if timed_out_after is not None:
        counts.fail(f"{suite}: stopped after its limit of {timed_out_after} s")
    elif returncode == 5:
        counts.fail(f"{suite}: pytest found no test")
    elif returncode != 0 and not counts.failed:
        counts.fail(f"{suite}: pytest ended with status {returncode}, and no failed test explains it")
    elif returncode == 0 and not counts.passed + counts.skipped:
        counts.fail(f"{suite}: pytest wrote no results")
    return counts
