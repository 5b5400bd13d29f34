# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.model [--small] [NAME ...]`: explore and write reports/model.json; 0 only if all is proved."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.model.configs import LARGE, SMALL
from tests.model.explore import Outcome, TooLargeError, explore
from tests.model.promises import PROMISES, holds
from tests.model.world import Config

REPORT = Path(__file__).resolve().parents[2] / "reports" / "model.json"
MOST_STATES = 2_000_000


def say(line: str) -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)


def told(config: Config, outcome: Outcome | None, reason: str = "") -> dict[str, Any]:
    """One configuration's part of the report."""
    report: dict[str, Any] = {
        "name": config.name,
        "strategy": config.strategy,
        "identity_zones": list(config.zones),
        "instance_zones": list(config.instances),
        "processes_per_instance": config.runs_each,
        "faults": sorted(config.faults),
        "at_most": dict(config.at_most),
        "promises": [name for name in PROMISES if holds(config, name)],
        "complete": outcome is not None and outcome.complete,
    }
    if outcome is None:
        return {**report, "reason": reason}
    broken = outcome.broken
    return {
        **report,
        "states": outcome.states,
        "transitions": outcome.transitions,
        "local_states": outcome.local_states,
        "goal_states": outcome.goals,
        "depth": outcome.depth,
        "cpu_seconds": outcome.cpu_seconds,
        "broken": None if broken is None else {"promise": broken.promise, "trace": broken.trace},
    }


def main() -> int:
    """Explore one configuration after the other; a failing one never stops the next."""
    parser = argparse.ArgumentParser(prog="make model", description=__doc__)
    parser.add_argument("--small", action="store_true", help="only what every test run explores")
    parser.add_argument("--most-states", type=int, default=MOST_STATES, help="give one configuration up beyond this")
    parser.add_argument("names", nargs="*", help="only these configurations")
    arguments = parser.parse_args()
    chosen = [
        one for one in (SMALL if arguments.small else LARGE) if not arguments.names or one.name in arguments.names
    ]
    if not chosen:
        say(f"no configuration of that name; there are: {', '.join(one.name for one in LARGE)}")
        return 2
    began = time.monotonic()
    reports = []
    for config in chosen:
        try:
            outcome = explore(config, arguments.most_states, say)
        except TooLargeError as error:
            say(f"{error}")
            reports.append(told(config, None, str(error)))
            continue
        say(outcome.line())
        if outcome.broken:
            say(str(outcome.broken))
        reports.append(told(config, outcome))
    proved = [one for one in reports if one["complete"] and not one.get("broken")]
    summary = {
        "configurations": len(reports),
        "proved": len(proved),
        "states": sum(one.get("states", 0) for one in reports),
        "transitions": sum(one.get("transitions", 0) for one in reports),
        "elapsed_seconds": round(time.monotonic() - began, 1),
        "explored": reports,
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    say(
        f"{len(proved)} of {len(reports)} configurations explored to the end without a broken promise, "
        f"{summary['states']} states, {summary['transitions']} transitions; reports/model.json"
    )
    return 0 if len(proved) == len(reports) else 1


if __name__ == "__main__":
    sys.exit(main())
