# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restart of six brokers in three racks, rack by rack and one by one, while a producer writes, beside other events.

All goes over the same cluster in the same run, each kind in each round: nothing at all, one leader move alone, the two
rolls, and a broker's replacement. A roll's work is what its record says of each batch: from the first stop until the
batch is back in sync. What the play takes beyond that, its preflight and its end too, is its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import leader_move, produce
from benchmarks.figures import Bound, Figures, NotMeasuredError, Spread, spread
from benchmarks.produce import Seen
from lab.demo import cluster, replacement
from lab.demo.stage import REPOSITORY, Say
from tests.rolls.traffic import Traffic
from tests.rolls.world import RESTART, World

LOGS = REPOSITORY / "reports" / "bench-rolls"
INVENTORY = "inventories/lab-six"
QUIET, MOVE, REPLACEMENT = "quiet", "leader move", "replacement"
ROLLS = ("rack", "serial")
KINDS = (QUIET, MOVE, *ROLLS, REPLACEMENT)
OWN_SHARE = 0.2
QUIET_SECONDS = 30.0


@dataclass(frozen=True)
class Done:
    """What was done to the cluster once, and what the traffic saw; only a roll has batches."""

    kind: str
    seconds: float
    seen: Seen
    batches: int = 0
    work_seconds: float | None = None

    @property
    def own_seconds(self) -> float | None:
        """What the play took beyond its work."""
        return None if self.work_seconds is None else round(max(0.0, self.seconds - self.work_seconds), 1)


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


def summary(done: Sequence[Done], conditions: Mapping[str, Any]) -> Figures:
    """Spreads by kind; bounds of the play's own share, of the longest wait and of what failed; and the ratios."""
    by_kind = {kind: [one for one in done if one.kind == kind] for kind in KINDS}
    spreads: dict[str, dict[str, Spread]] = {}
    for kind, mine in by_kind.items():
        spreads[kind] = {"whole_seconds": spread(kind, [one.seconds for one in mine])}
        if kind in ROLLS:
            spreads[kind]["work_seconds"] = spread(f"{kind} work", [one.work_seconds for one in mine])
            spreads[kind]["own_seconds"] = spread(f"{kind} own", [one.own_seconds for one in mine])
        spreads[kind] |= produce.rows(kind, [one.seen for one in mine])
    waits = {kind: rows["longest_wait_for_an_ack_seconds"].median for kind, rows in spreads.items()}
    tails = {kind: rows["p99_wait_for_an_ack_milliseconds"].median for kind, rows in spreads.items()}
    bounds = []
    for kind in ROLLS:
        limit = round(OWN_SHARE * spreads[kind]["work_seconds"].median, 1)
        bounds.append(Bound(f"{kind}: beyond stop, start and catch-up", limit, spreads[kind]["own_seconds"].median))
        bounds.append(Bound(f"{kind}: longest wait, against one leader move", waits[MOVE], waits[kind]))
    bounds += produce.nothing_failed_nor_lost({kind: [one.seen for one in mine] for kind, mine in by_kind.items()})
    found = {
        "batches": {kind: sorted({one.batches for one in by_kind[kind]}) for kind in ROLLS},
        "serial_by_rack": _ratio(spreads["serial"]["whole_seconds"].median, spreads["rack"]["whole_seconds"].median),
        "acked": sum(one.seen.acked + one.seen.sends.acked for one in done),
        "longest_wait_by_leader_move": {kind: _ratio(wait, waits[MOVE]) for kind, wait in waits.items()},
        "p99_by_quiet": {kind: _ratio(tail, tails[QUIET]) for kind, tail in tails.items()},
    }
    return Figures(spreads, tuple(bounds), tuple(asdict(one) for one in done), {**conditions, **found})


def _ratio(one: float, other: float) -> float:
    if not other:
        raise NotMeasuredError(f"{one} by {other} is no ratio")
    return round(one / other, 2)


def _nothing(_world: World, _traffic: Traffic, _number: int) -> dict[str, Any]:
    time.sleep(QUIET_SECONDS)
    return {"seconds": QUIET_SECONDS}


def _move(world: World, traffic: Traffic, number: int) -> dict[str, Any]:
    return {"seconds": leader_move.move(world, traffic.topic, number)}


def _replaced(world: World, _traffic: Traffic, number: int) -> dict[str, Any]:
    brokers = world.brokers()
    (one,) = replacement.replace(cluster.CLUSTER, lambda: [brokers[number % len(brokers)]], world.stage.say)
    if not one.same_identity:
        raise NotMeasuredError(f"kafka-{one.node_id} did not come back as itself, so its time means nothing")
    return {"seconds": one.replace_seconds}


def _roll(mode: str) -> Callable[[World, Traffic, int], dict[str, Any]]:
    def act(world: World, _traffic: Traffic, _number: int) -> dict[str, Any]:
        ended = world.play(RESTART, {"kafka_roll_mode": mode})
        if ended.status != 0:
            raise NotMeasuredError(f"the {mode} roll failed: {ended.output[-1500:]}")
        batches, work = len(ended.batches), work_seconds(ended.report)
        return {"seconds": round(ended.seconds, 1), "batches": batches, "work_seconds": work}

    return act


ACTS: dict[str, Callable[[World, Traffic, int], dict[str, Any]]] = {
    QUIET: _nothing,
    MOVE: _move,
    "rack": _roll("rack"),
    "serial": _roll("serial"),
    REPLACEMENT: _replaced,
}


def _measured(world: World, rounds: int) -> Figures:
    conditions: dict[str, object] = {
        "processors": os.cpu_count(),
        "load_average_1m_before": round(os.getloadavg()[0], 2),
        "brokers": len(world.brokers()),
    }
    done = []
    for number in range(rounds):
        for kind in KINDS:
            world.stage.say(f"round {number + 1} of {rounds}: {kind}")
            cluster.await_whole()
            with Traffic(cluster.addresses("kafka"), f"bench-{kind.replace(' ', '-')}", world.logs) as traffic:
                figures = ACTS[kind](world, traffic, number)
                done.append(Done(kind, seen=produce.seen(traffic), **figures))
    conditions["load_average_1m_after"] = round(os.getloadavg()[0], 2)
    return summary(done, conditions)


def run(rounds: int, say: Say, logs: Path = LOGS) -> Figures:
    """Measure in a lab of its own; HOLDFAST_BENCH_LAB names one that is up with its cluster, which is left up."""
    existing = os.environ.get("HOLDFAST_BENCH_LAB")
    with (
        cluster.on_stage("broll", logs, say, INVENTORY, existing) as stage,
        closing(World(stage, INVENTORY)) as world,
    ):
        return _measured(world, rounds)
