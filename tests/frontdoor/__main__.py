# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.frontdoor [--suites a,b]`: run the suites; the very last line is `N passed, N failed, N skipped`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from tests.frontdoor import counts, leftovers
from tests.frontdoor.runner import Runner, clock
from tests.frontdoor.suites import SUITES, TOTAL_TIMEOUT_SECONDS, UnknownSuiteError, select


def say(line: str) -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)


def _interrupt(_signum: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run, sum up, tidy up; 0 only when nothing failed."""
    parser = argparse.ArgumentParser(prog="make test", description=__doc__)
    parser.add_argument("--suites", help="comma-separated: " + ", ".join(suite.name for suite in SUITES))
    arguments = parser.parse_args()
    try:
        chosen = select(arguments.suites)
    except UnknownSuiteError as error:
        say(str(error))
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    root = Path(__file__).resolve().parents[2]
    runner = Runner(root, say, TOTAL_TIMEOUT_SECONDS)
    run = os.environ[leftovers.RUN_VARIABLE] = leftovers.new_run()
    total = counts.Counts()
    table: list[str] = []
    try:
        for suite in chosen:
            say(f"[{clock(runner.elapsed())}] {suite.name}: {suite.title}")
            started = time.monotonic()
            result = runner.run(suite)
            total.add(result)
            row = f"{suite.name:<12} {result.line():<45} {clock(time.monotonic() - started):>7}"
            table.append(row)
            say(f"[{clock(runner.elapsed())}] {row}")
    except KeyboardInterrupt:
        total.fail("interrupted")
    finally:
        for line in leftovers.remove(root, run):
            total.fail(line)
    say("")
    for row in table:
        say(row)
    for line in total.skips:
        say(f"skipped  {line}")
    for line in total.failures:
        say(f"FAILED   {line}")
    say(f"{clock(runner.elapsed())} in all; logs in reports/test/")
    say(total.line())
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
