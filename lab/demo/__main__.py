# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: a cluster in the lab, two deaths while a producer writes, and what came of it.

Ends with a table and with reports/demo.json. Exit status 0 only when both nodes came back as themselves, nothing
acknowledged was lost and nothing elsewhere was restarted or changed. KEEP=1 leaves the lab up afterwards.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from lab import preflight
from lab.demo import cluster, fleet, replacement, report, workload
from lab.demo.fleet import Holder
from lab.demo.stage import REPOSITORY, Stage, StageError

TOPIC = "demo"
REPORTS = REPOSITORY / "reports"


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


def _interrupt(_signum: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _follower() -> list[Holder]:
    """A ZooKeeper node that follows (the scenarios terminate the leader too)."""
    everyone = [holder for holder in fleet.holders(cluster.CLUSTER) if holder.role == "zookeeper"]
    followers = [holder for holder in everyone if fleet.zookeeper_mode(holder.private_ip) == "follower"]
    return (followers or everyone)[:1]


def _broker() -> list[Holder]:
    """The last broker of the pool."""
    return [holder for holder in fleet.holders(cluster.CLUSTER) if holder.role == "kafka"][-1:]


def _story(stage: Stage, started: float, steps: dict[str, float]) -> report.Figures:
    """Everything that happens inside the lab's network."""
    steps["site"] = cluster.run_site(stage)
    steps["whole"] = cluster.await_whole()
    say("the cluster is whole; starting the producer (acks=all, idempotent)")
    brokers = cluster.addresses("kafka")
    workload.create_topic(brokers, TOPIC)
    producer = workload.Producer(brokers, TOPIC, stage.logs)
    producer.start()
    try:
        before = fleet.census(cluster.CLUSTER)
        done = [
            *replacement.replace(cluster.CLUSTER, _follower, say),
            *replacement.replace(cluster.CLUSTER, _broker, say),
        ]
        for one in done:
            say(f"    {one.role}-{one.node_id} is back as {one.replacement_instance} after {one.replace_seconds} s")
        after = fleet.census(cluster.CLUSTER)
        verdict = workload.verify(producer, say)
    finally:
        producer.stop()
    replaced = {f"{one.role}-{one.node_id}" for one in done}
    return report.Figures(
        replacements=done,
        verdict=verdict,
        restarted_elsewhere=fleet.restarted(before, after, replaced),
        reconfigured_elsewhere=fleet.reconfigured(before, after, replaced),
        total_seconds=time.monotonic() - started,
        steps_seconds={name: round(seconds, 1) for name, seconds in steps.items()},
    )


def main() -> int:
    """Run the demonstration."""
    signal.signal(signal.SIGTERM, _interrupt)
    started = time.monotonic()
    reason = preflight.blocking_reason()
    if reason:
        say(reason)
        return 2
    stage = Stage(os.environ.get("HOLDFAST_LAB_NAME") or "lab", REPORTS / "demo", say)
    steps: dict[str, float] = {}
    try:
        steps["artifacts"] = cluster.prepare(stage)
        try:
            steps["lab_up"] = stage.up()
            with stage.inside():
                figures = _story(stage, started, steps)
        finally:
            if os.environ.get("KEEP") == "1":
                say(f"the lab '{stage.name}' stays up (KEEP=1): python -m lab --name {stage.name} status")
            else:
                stage.down()
    except (StageError, OSError, RuntimeError) as error:
        say(f"the demo failed: {error}")
        return 1
    report.write(figures, REPORTS / "demo.json")
    say("")
    say(report.table(figures))
    faults = figures.faults()
    for fault in faults:
        say(f"FAILED: {fault}")
    say(f"figures: {(REPORTS / 'demo.json').relative_to(REPOSITORY)}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
