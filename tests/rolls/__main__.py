# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make test-rolls`: every story of a roll on one cluster of six brokers in the lab; figures in reports/rolls.json.

Exit status 0 only when every story that was told ended as it must.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
import traceback
from typing import Any

from lab import preflight
from lab.demo import cluster
from lab.demo.stage import REPOSITORY, Stage, StageError
from tests.rolls.stories import STORIES, Figures
from tests.rolls.world import World

INVENTORY = "inventories/lab-six"
REPORT = REPOSITORY / "reports" / "rolls.json"


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
    except (AssertionError, StageError, OSError, ValueError, KeyError) as error:
        failure = f"{type(error).__name__}: {str(error)[-2000:]}"
        say("".join(traceback.format_exc(limit=3))[-4000:])
    seconds = round(time.monotonic() - began, 1)
    say(f"    {'FAILED' if failure else 'ok'} in {seconds:.0f} s  {json.dumps(figures)}")
    return {"story": story.__name__, "passed": not failure, "failure": failure, "seconds": seconds, "figures": figures}


def main() -> int:
    """Tell the stories asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.rolls", description=__doc__)
    parser.add_argument("--only", default="", help="names of stories, by comma")
    parser.add_argument("--list", action="store_true", help="name the stories and end")
    parser.add_argument("--lab", default="rolls", help="the lab's name")
    arguments = parser.parse_args()
    names = [story.__name__ for story in STORIES]
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
    stage = Stage(arguments.lab, REPOSITORY / "reports" / "test-rolls", say)
    told: list[dict[str, Any]] = []
    try:
        cluster.prepare(stage)
        stage.up()
        with stage.inside():
            cluster.run_site(stage, INVENTORY)
            world = World(stage, INVENTORY)
            for story in STORIES:
                if story.__name__ in wanted:
                    told.append(tell(world, story))
    except StageError as error:
        say(str(error))
    finally:
        stage.down()
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(json.dumps({"stories": told}, indent=1) + "\n", encoding="utf-8")
    passed = sum(one["passed"] for one in told)
    say(f"{passed} of {len(wanted)} stories ended as they must; figures in {REPORT.relative_to(REPOSITORY)}")
    return 0 if passed == len(wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
