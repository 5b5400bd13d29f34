# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make test-faults`: every fault against one cluster in the lab, judged; ends with a table and reports/faults.json.

Exit status 0 only when every fault that was played ended as expected. A fault that leaves the cluster broken fails, and
the next one meets a new cluster.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import Any

from kafka.errors import KafkaError

from lab import client, preflight
from lab.demo import cluster
from lab.demo.stage import REPOSITORY, Stage, StageError
from tests.faults import report, runner, table
from tests.faults.model import Fault
from tests.faults.writer import Writer

REPORTS = REPOSITORY / "reports"
# An interrupted fault leaves a boot under way; a broken cluster has had its own bound already.
MENDING_SECONDS = 90.0


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


def _interrupt(_signum: int, _frame: object) -> None:
    raise KeyboardInterrupt


class Run:
    """A run through a selection of faults; its results survive whatever ends it."""

    def __init__(self, stage: Stage, faults: tuple[Fault, ...], keep_others: bool) -> None:
        self.stage, self.faults = stage, list(faults)
        self.earlier = report.earlier_results(REPORTS) if keep_others else []
        self.results: list[dict[str, Any]] = []
        self.rounds = 0

    def go(self) -> None:
        """Play everything; a broken cluster is thrown away and made again."""
        cluster.prepare(self.stage)
        while self.faults:
            try:
                self.stage.up()
                with self.stage.inside():
                    cluster.run_site(self.stage)
                    runner.await_whole()
                    self._until_broken()
            finally:
                self.stage.down()

    def _until_broken(self) -> None:
        """Play what is left until the cluster is broken; judge what was played, whatever ended it."""
        self.rounds += 1
        names = [fault.name for fault in table.FAULTS]
        writer = Writer(cluster.addresses("kafka"), f"faults-{self.rounds}", self.stage.logs)
        played: list[runner.Played] = []
        try:
            while self.faults and (not played or played[-1].whole):
                fault = self.faults.pop(0)
                played.append(runner.play(self.stage, writer, fault, names.index(fault.name)))
            if not played[-1].whole:
                self.stage.say("the cluster is broken and is made again")
                cluster.keep_evidence(self.stage)
        finally:
            self._mend_for_reading()
            self.stage.say(f"reading back what was acknowledged during {len(played)} faults ...")
            self.results += runner.judge(writer, played)
            self.save()

    def _mend_for_reading(self) -> None:
        """What cannot be read while a partition has no leader is not lost: let the cluster come back first."""
        try:
            runner.await_whole(MENDING_SECONDS)
        except (StageError, OSError, KafkaError, client.LabDownError) as error:
            self.stage.say(f"    ! what is read back comes from a cluster that is not whole: {error}")

    def save(self) -> list[dict[str, Any]]:
        """Write what there is; return it."""
        everything = report.merged(self.results, self.earlier, [fault.name for fault in table.FAULTS])
        report.write(everything, REPORTS)
        return everything


def main() -> int:
    """Run the faults."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--faults", default="", help="names, by comma (default: all)")
    parser.add_argument("--merge", action="store_true", help="keep the report's results of faults not played now")
    parser.add_argument("--list", action="store_true", help="name the faults and end")
    options = parser.parse_args()
    if options.list:
        for fault in table.FAULTS:
            print(f"{fault.name:28} {fault.what}")
        return 0
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        faults = table.select(options.faults)
    except table.UnknownFaultError as error:
        say(str(error))
        return 2
    reason = preflight.blocking_reason()
    if reason:
        say(reason)
        return 2
    stage = Stage(os.environ.get("HOLDFAST_LAB_NAME") or "faults", REPORTS / "faults", say)
    run = Run(stage, faults, options.merge)
    broken_off = ""
    try:
        run.go()
    except (StageError, OSError, RuntimeError, client.LabDownError) as error:
        broken_off = f"the run broke off: {error}"
    everything = run.save()
    say("\n" + report.table(everything))
    say("\n" + ", ".join(f"{name} {value}" for name, value in report.totals(everything).items()))
    say(f"figures: {(REPORTS / report.REPORT).relative_to(REPOSITORY)}")
    if broken_off:
        say(broken_off)
    return 1 if broken_off or not all(one["as_expected"] for one in run.results) else 0


if __name__ == "__main__":
    sys.exit(main())
