# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.frontdoor [--suites a,b]`: run the suites; the very last line is `N passed, N failed, N skipped`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.frontdoor import beside, counts, leftovers
from tests.frontdoor.runner import Runner, clock
from tests.frontdoor.suites import SUITES, TOTAL_TIMEOUT_SECONDS, Suite, UnknownSuiteError, select, split


def say(line: str) -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)


def _interrupt(_signum: int, _frame: object) -> None:
    raise KeyboardInterrupt


def row(outcome: counts.Outcome) -> str:
    """A suite's line of the table."""
    return f"{outcome.suite:<12} {outcome.counts.line():<45} {clock(outcome.seconds):>7}"


def run_here(runner: Runner, chosen: tuple[Suite, ...], done: Callable[[counts.Outcome], None]) -> None:
    """Run suites one after the other in this process; ``done`` gets each outcome at once, also an interrupted one's."""
    for suite in chosen:
        say(f"[{clock(runner.elapsed())}] {suite.name}: {suite.title}")
        began = time.monotonic()
        outcome = counts.Outcome(suite.name)
        try:
            outcome.counts = runner.run(suite)
        except BaseException as error:
            outcome.counts.fail(f"{suite.name}: {type(error).__name__} {error}".rstrip())
            raise
        finally:
            outcome.seconds = time.monotonic() - began
            done(outcome)
        say(f"[{clock(runner.elapsed())}] {row(outcome)}")


def run_all(runner: Runner, chosen: tuple[Suite, ...], done: Callable[[counts.Outcome], None]) -> None:
    """Run what runs alone, then the lanes side by side; one lane needs no process of its own."""
    alone, lanes = split(chosen)
    if len(lanes) == 1:
        alone, lanes = alone + lanes[0], []
    run_here(runner, alone, done)
    if lanes:
        for outcome in beside.run(runner.root, lanes, runner.reports, runner.started, runner.deadline):
            done(outcome)


def run_lane(runner: Runner, chosen: tuple[Suite, ...], file: Path) -> int:
    """Be a lane: write outcomes to ``file`` for the run that started this process, which sums up and tidies up."""
    outcomes: list[counts.Outcome] = []

    def done(outcome: counts.Outcome) -> None:
        outcomes.append(outcome)
        outcome.append(file)

    try:
        run_here(runner, chosen, done)
    except KeyboardInterrupt:
        say(f"{file.stem}: interrupted")
    return 1 if any(outcome.counts.failed for outcome in outcomes) else 0


def main() -> int:
    """Run, sum up, tidy up; 0 only when nothing failed."""
    parser = argparse.ArgumentParser(prog="make test", description=__doc__)
    parser.add_argument("--suites", help="comma-separated: " + ", ".join(suite.name for suite in SUITES))
    # These two are for the processes that beside.py starts.
    parser.add_argument("--lane", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        chosen = select(arguments.suites)
    except UnknownSuiteError as error:
        say(str(error))
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    # A shell ignores this signal for what it starts in the background, and everything below would inherit that: no step
    # could be asked to end and tidy up.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    root = Path(__file__).resolve().parents[2]
    runner = Runner(root, say, TOTAL_TIMEOUT_SECONDS, arguments.started)
    if arguments.lane:
        return run_lane(runner, chosen, arguments.lane)
    run = os.environ[leftovers.RUN_VARIABLE] = leftovers.new_run()
    total = counts.Counts()
    outcomes: list[counts.Outcome] = []
    try:
        run_all(runner, chosen, outcomes.append)
    except KeyboardInterrupt:
        total.fail("interrupted")
    finally:
        for line in leftovers.remove(root, run):
            total.fail(line)
    say("")
    for outcome in outcomes:
        total.add(outcome.counts)
        say(row(outcome))
    for line in total.skips:
        say(f"skipped  {line}")
    for line in total.failures:
        say(f"FAILED   {line}")
    say(f"{clock(runner.elapsed())} in all; logs in reports/test/")
    say(total.line())
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
