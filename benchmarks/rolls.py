# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restart of six brokers in three racks, rack by rack against one by one, while a producer writes.

Both go over the same cluster in the same run. A roll's work is what its record says of each batch: from the first stop
until the batch is back in sync. What the play takes beyond that, its preflight and its end too, is its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Bound, Figures, NotMeasuredError, spread
from lab.demo import cluster
from lab.demo.stage import REPOSITORY, Say, Stage
from tests.rolls.traffic import Traffic, Verdict
from tests.rolls.world import RESTART, World

LOGS = REPOSITORY / "reports" / "bench-rolls"
INVENTORY = "inventories/lab-six"
KINDS = ("rack", "serial")
OWN_SHARE = 0.2
QUIET_SECONDS = 60.0


@dataclass(frozen=True)
class Rolled:
    """One roll, by its mode."""

    kind: str
    batches: int
    seconds: float
    work_seconds: float
    verdict: Verdict

    @property
    def own_seconds(self) -> float:
        """What the play took beyond its work."""
        return round(max(0.0, self.seconds - self.work_seconds), 1)


def work_seconds(report: Mapping[str, Any]) -> float:
    """The seconds from each batch's first stop until it was in sync; NotMeasuredError when its record has a gap."""
    total = 0.0
    for batch in report["batches"]:
        nodes = [node for node in report["nodes"] if node["batch"] == batch["batch"]]
        moments = [(node["stop_start_seconds"], node["in_sync_seconds"]) for node in nodes]
        if not moments or any(None in pair for pair in moments):
            raise NotMeasuredError(f"the record of batch {batch['batch']} lacks a stop or a return: {moments}")
        total += max(end for _begin, end in moments) - min(begin for begin, _end in moments)
    return round(total, 1)


def summary(rolled: Sequence[Rolled], quiet: Verdict, conditions: Mapping[str, Any]) -> Figures:
    """Spreads by mode, the bound of the play's own share, the ratio, and what producer and consumer saw."""
    spreads, bounds = {}, []
    for kind in KINDS:
        mine = [one for one in rolled if one.kind == kind]
        whole = spread(f"{kind} roll", [one.seconds for one in mine])
        work = spread(f"{kind} work", [one.work_seconds for one in mine])
        own = spread(f"{kind} own", [one.own_seconds for one in mine])
        pause = spread(f"{kind} pause", [one.verdict.longest_produce_pause_seconds for one in mine])
        spreads[kind] = {
            "roll_seconds": whole,
            "work_seconds": work,
            "own_seconds": own,
            "longest_produce_pause_seconds": pause,
        }
        bounds.append(Bound(f"{kind}: beyond stop, start and catch-up", round(OWN_SHARE * work.median, 1), own.median))
    found = {
        "batches": {kind: sorted({one.batches for one in rolled if one.kind == kind}) for kind in KINDS},
        "serial_by_rack": round(spreads["serial"]["roll_seconds"].median / spreads["rack"]["roll_seconds"].median, 2),
        "acked": sum(one.verdict.acked for one in rolled),
        "failed_sends": sum(one.verdict.failed_sends for one in rolled),
        "lost": sum(one.verdict.lost for one in rolled),
        "quiet_longest_produce_pause_seconds": quiet.longest_produce_pause_seconds,
    }
    return Figures(spreads, tuple(bounds), tuple(asdict(one) for one in rolled), {**conditions, **found})


def _roll(world: World, kind: str) -> Rolled:
    cluster.await_whole()
    with Traffic(cluster.addresses("kafka"), f"bench-{kind}", world.logs) as traffic:
        ended = world.play(RESTART, {"kafka_roll_mode": kind})
        verdict = traffic.verdict()
    if ended.status != 0:
        raise NotMeasuredError(f"the {kind} roll failed: {ended.output[-1500:]}")
    return Rolled(kind, len(ended.batches), round(ended.seconds, 1), work_seconds(ended.report), verdict)


def _measured(stage: Stage, rounds: int) -> Figures:
    world = World(stage, INVENTORY)
    conditions: dict[str, object] = {
        "processors": os.cpu_count(),
        "load_average_1m_before": round(os.getloadavg()[0], 2),
        "brokers": len(world.brokers()),
    }
    with Traffic(cluster.addresses("kafka"), "bench-quiet", world.logs) as traffic:
        time.sleep(QUIET_SECONDS)
        quiet = traffic.verdict()
    rolled = []
    for number in range(rounds):
        for kind in KINDS:
            stage.say(f"round {number + 1} of {rounds}: {kind}")
            rolled.append(_roll(world, kind))
    conditions["load_average_1m_after"] = round(os.getloadavg()[0], 2)
    return summary(rolled, quiet, conditions)


def run(rounds: int, say: Say, logs: Path = LOGS) -> Figures:
    """Measure in a lab of its own; HOLDFAST_BENCH_LAB names one that is up with its cluster, which is left up."""
    with cluster.on_stage("broll", logs, say, INVENTORY, os.environ.get("HOLDFAST_BENCH_LAB")) as stage:
        return _measured(stage, rounds)
