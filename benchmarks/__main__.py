# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: run the benchmarks and write reports/bench.json.

Another benchmark is a module here with a function ``run(rounds, say)`` that returns Figures, and a line in BENCHMARKS.
A missed bound is said and is no failure, because a busy machine is none: exit status 0 means that it was measured,
1 that it could not be, 2 that this machine cannot or that nobody knows the benchmark.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from subprocess import SubprocessError

from benchmarks import boot, peers, plan, refill, rolls
from benchmarks.figures import Figures, NotMeasuredError
from lab import preflight
from lab.demo.stage import REPOSITORY, Say, StageError

Benchmark = Callable[[int, Say], Figures]
BENCHMARKS: dict[str, Benchmark] = {
    "boot": boot.run,
    "plan": plan.run,
    "refill": refill.run,
    "rolls": rolls.run,
    "peers": peers.run,
}
#: These compute and nothing else; the others need the lab, and with it root.
WITHOUT_LAB = {"plan"}
REPORT = REPOSITORY / "reports" / "bench.json"


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


def _interrupt(_signum: int, _frame: object) -> None:
    raise KeyboardInterrupt


def measure(wanted: Mapping[str, Benchmark], rounds: int, report: Path) -> int:
    """Run the benchmarks one after the other, write what was measured; return the exit status."""
    measured: dict[str, Figures] = {}
    failed = []
    for name, benchmark in wanted.items():
        say(f"benchmark {name}, {rounds} rounds")
        try:
            measured[name] = benchmark(rounds, say)
        except (NotMeasuredError, StageError, OSError, RuntimeError, AssertionError, SubprocessError) as error:
            failed.append(f"NOT MEASURED: {name}: {error}")
        # After each, since the next may take an hour and be interrupted.
        report.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({name: figures.as_json() for name, figures in measured.items()}, indent=2)
        report.write_text(text + "\n", encoding="utf-8")
    for name, figures in measured.items():
        say(f"\n{name}\n{figures.table()}")
    for sentence in failed:
        say(sentence)
    say(f"figures: {report}")
    return 1 if failed else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure; bounds are said, not enforced.")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each benchmark")
    parser.add_argument("names", nargs="*", help=f"benchmarks to run (all: {', '.join(BENCHMARKS)})")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown or options.rounds < 1:
        told = " ".join(unknown) or options.rounds
        say(f"rounds must be 1 or more, benchmarks are: {', '.join(BENCHMARKS)}; not {told}")
        return 2
    wanted = {name: BENCHMARKS[name] for name in options.names or BENCHMARKS}
    reason = None if WITHOUT_LAB.issuperset(wanted) else preflight.blocking_reason()
    if reason:
        say(reason)
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    return measure(wanted, options.rounds, REPORT)


if __name__ == "__main__":
    sys.exit(main())
