# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make test-rolls`: every story of a roll on a cluster in the lab; figures in reports/rolls.json.

Restarts and the like on six brokers, upgrades on three that begin with the older releases.

HOLDFAST_ROLLS_LAB names a lab that is up with such a cluster; it is used and left up.
Exit status 0 only when every story that was told ended as it must.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from kafka.errors import KafkaError

from lab import preflight
from lab.artifacts.assemble import assemble, default_directory
from lab.demo import cluster
from lab.demo.stage import REPOSITORY, StageError
from tests.faults.report import merged
from tests.rolls import report, stories, upgrade_stories
from tests.rolls.stories import Figures
from tests.rolls.world import World

#: The clusters, each by its inventory, with the releases it needs beside the lab's own, and its stories.
CLUSTERS: tuple[tuple[str, Mapping[str, str], tuple[Any, ...]], ...] = (
    ("inventories/lab-six", {}, stories.STORIES),
    ("inventories/lab-upgrade", upgrade_stories.RELEASES, upgrade_stories.STORIES),
)
REPORTS = REPOSITORY / "reports"


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


def tell(world: World, story: Any) -> dict[str, Any]:
    """Tell one story on a whole cluster; return its name, verdict, seconds and figures."""
    say(f"{story.__name__.replace('_', ' ')} ...")
    began = time.monotonic()
    figures: Figures = {}
    failure = ""
    try:
        cluster.await_whole()
        figures = story(world)
        cluster.await_whole()
    except (AssertionError, StageError, OSError, RuntimeError, ValueError, KeyError, KafkaError) as error:
        failure = f"{type(error).__name__}: {str(error)[-2000:]}"
        say("".join(traceback.format_exc(limit=3))[-4000:])
    seconds = round(time.monotonic() - began, 1)
    say(f"    {'FAILED' if failure else 'ok'} in {seconds:.0f} s  {json.dumps(figures)}")
    return {
        "name": story.__name__,
        "what": " ".join((story.__doc__ or "").split()),
        "passed": not failure,
        "failure": failure,
        "seconds": seconds,
        "figures": figures,
    }


def main() -> int:
    """Tell the stories asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.rolls", description=__doc__)
    parser.add_argument("--only", default="", help="names of stories, by comma")
    parser.add_argument("--list", action="store_true", help="name the stories and end")
    parser.add_argument("--merge", action="store_true", help="keep the report's results of stories not told now")
    arguments = parser.parse_args()
    names = [story.__name__ for *_cluster, all_of_it in CLUSTERS for story in all_of_it]
    if arguments.list:
        say("\n".join(names))
        return 0
    wanted = [name for name in arguments.only.split(",") if name] or names
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        parser.error(f"no story named {', '.join(unknown)}; there are: {', '.join(names)}")
    reason = preflight.blocking_reason()
    if reason:
        say(reason)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    before = report.earlier(REPORTS) if arguments.merge else []
    told: list[dict[str, Any]] = []
    everything = merged(told, before, names)
    existing = os.environ.get("HOLDFAST_ROLLS_LAB")
    try:
        for inventory, releases, all_of_it in CLUSTERS:
            here = [story for story in all_of_it if story.__name__ in wanted]
            if not here:
                continue
            if releases:
                assemble(default_directory(), say, versions=releases, only=list(releases))
            with (
                cluster.on_stage("rolls", REPORTS / "test-rolls", say, inventory, existing) as stage,
                closing(World(stage, inventory)) as world,
            ):
                for story in here:
                    told.append(tell(world, story))
                    everything = merged(told, before, names)
                    report.write(everything, REPORTS)
    except StageError as error:
        say(str(error))
    passed = sum(one["passed"] for one in told)
    say(f"\n{report.table(everything)}\n")
    say(", ".join(f"{name} {value}" for name, value in report.totals(everything).items()))
    say(f"{passed} of {len(wanted)} stories ended as they must; figures in reports/{report.REPORT}")
    return 0 if passed == len(wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
