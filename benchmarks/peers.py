# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holdfast's rolling restart beside two practices that are common elsewhere: what it takes, and what it breaks.

The plays in benchmarks/peers are ours, each in the manner of a practice: a port that is open, and under-replicated
partitions asked for within a window. All three restart the same three of six brokers, one in each zone and one after
the other, on the same cluster in the same run, under the load of benchmarks/load.py, which leaves a restarted broker
something to copy. Every round has all three. A producer and a consumer write and read, and a sampler counts the seconds
in which some partition had fewer than C(min.insync.replicas) replicas in sync, or no leader, until all is whole again.

Then each runs once more with a topic that has no replica to spare, two of which two are needed: there Holdfast must
refuse, and what the others do to that topic is told.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import produce
from benchmarks.figures import Bound, Figures, NotMeasuredError, Spread, spread
from benchmarks.load import load
from benchmarks.produce import Seen, Sends
from benchmarks.sampler import Broken, Sampler, broken
from lab.demo import cluster, playbooks, workload
from lab.demo.stage import REPOSITORY, Say
from tests.rolls.traffic import Canary, Traffic
from tests.rolls.world import RESTART, Ended, World, restarted

LOGS = REPOSITORY / "reports" / "bench-peers"
INVENTORY = "inventories/lab-six"
PLAYS = Path(__file__).resolve().parent / "peers"
HOLDFAST = "holdfast"
PEERS = {"open port": "port.yml", "URP window": "urp_window.yml"}
KINDS = (*PEERS, HOLDFAST)
# One in each zone.
BROKERS = (1, 2, 3)
LIMIT = ("--limit", ",".join(f"demo-kafka-{node_id}" for node_id in BROKERS))
TIGHT = ", no replica to spare"
TIGHT_REPLICAS = 2
MIN_ISR = 2
REASON = "replication_not_above_min_isr"


@dataclass(frozen=True)
class Ran:
    """One restart of the brokers by one practice; the rest is until the cluster was whole again."""

    kind: str
    ended_well: bool
    play_seconds: float
    whole_seconds: float
    restarted: int
    broken: Broken
    seen: Seen


@dataclass(frozen=True)
class Tight:
    """One with a topic that has no replica to spare, and what this topic saw of it."""

    kind: str
    refused: bool
    play_seconds: float
    restarted: int
    broken: Broken
    sends: Sends


def summary(ran: Sequence[Ran], tight: Sequence[Tight], conditions: Mapping[str, Any]) -> Figures:
    """Spreads by practice and case; Holdfast's bounds of nothing; and how its time compares."""
    spreads: dict[str, dict[str, Spread]] = {}
    for kind in KINDS:
        mine = [one for one in ran if one.kind == kind]
        spreads[kind] = {
            "play_seconds": spread(f"{kind} play", [one.play_seconds for one in mine]),
            "until_whole_seconds": spread(f"{kind} whole", [one.whole_seconds for one in mine]),
            "restarted_brokers": spread(f"{kind} restarted", [one.restarted for one in mine]),
            **_broken_rows(kind, [one.broken for one in mine]),
            **produce.rows(kind, [one.seen for one in mine]),
        }
    for kind in KINDS:
        few = [one for one in tight if one.kind == kind]
        name = kind + TIGHT
        spreads[name] = {
            "play_seconds": spread(f"{name} play", [one.play_seconds for one in few]),
            "restarted_brokers": spread(f"{name} restarted", [one.restarted for one in few]),
            **_broken_rows(name, [one.broken for one in few]),
            **produce.send_rows(name, [one.sends for one in few]),
            "failed_sends": spread(f"{name} failed", [one.sends.unacknowledged for one in few]),
        }
    ours = [one for one in ran if one.kind == HOLDFAST]
    found = {
        "holdfast_by": {kind: _ratio(ours, [one for one in ran if one.kind == kind]) for kind in PEERS},
        "rounds_that_did_not_end_well": {
            kind: sum(not one.ended_well for one in ran if one.kind == kind) for kind in KINDS
        },
        "refused_without_a_replica_to_spare": {one.kind: one.refused for one in tight},
    }
    bounds = (
        *produce.nothing_failed_nor_lost({HOLDFAST: [one.seen for one in ours]}),
        Bound(f"{HOLDFAST}: under min.insync.replicas", 0, sum(one.broken.under_min_isr_seconds for one in ours)),
        Bound(f"{HOLDFAST}: without a leader", 0, sum(one.broken.offline_seconds for one in ours)),
        Bound(
            f"{HOLDFAST}{TIGHT}: restarted brokers", 0, sum(one.restarted for one in tight if one.kind == HOLDFAST), ""
        ),
    )
    rounds = [*(asdict(one) for one in ran), *(asdict(one) for one in tight)]
    return Figures(spreads, bounds, tuple(rounds), {**conditions, **found})


def _ratio(ours: Sequence[Ran], theirs: Sequence[Ran]) -> float | None:
    """How Holdfast's time compares, from rounds that did the same work; None when they have none."""
    done = [one.whole_seconds for one in theirs if one.ended_well and one.restarted == len(BROKERS)]
    mine = statistics.median(one.whole_seconds for one in ours)
    return round(mine / statistics.median(done), 2) if done else None


def _broken_rows(kind: str, found: Sequence[Broken]) -> dict[str, Spread]:
    return {
        "under_min_isr_seconds": spread(f"{kind} under min ISR", [one.under_min_isr_seconds for one in found]),
        "without_a_leader_seconds": spread(f"{kind} offline", [one.offline_seconds for one in found]),
        "nobody_could_tell_seconds": spread(f"{kind} unseen", [one.unseen_seconds for one in found]),
    }


def _play(world: World, kind: str, label: str) -> Ended:
    """Restart the brokers in one of the ways."""
    if kind == HOLDFAST:
        return world.play(RESTART, {"kafka_roll_mode": "serial"}, *LIMIT)
    command = playbooks.playbook(str(PLAYS / PEERS[kind]), *LIMIT, inventory=INVENTORY)
    ended = world.run(label.replace(" ", "-"), command).wait()
    world.stage.say(f"    {kind}: status {ended.status}, {ended.seconds:.0f} s")
    return ended


def _ran(world: World, kind: str, number: int) -> Ran:
    """Restart under load and traffic, and wait until all is whole."""
    addresses = cluster.addresses("kafka")
    cluster.await_whole()
    before = world.census()
    with load(addresses, world.logs) as loaded, Traffic(addresses, "peers", world.logs) as traffic:
        sampler = Sampler(addresses, {loaded: MIN_ISR, traffic.topic: MIN_ISR})
        sampler.start()
        try:
            began = time.monotonic()
            ended = _play(world, kind, f"{number}-{kind}")
            cluster.await_whole()
        finally:
            whole = sampler.stop()
        seen = produce.seen(traffic)
    again = restarted(before, world.census())
    if kind == HOLDFAST and (ended.status != 0 or again != set(BROKERS)):
        raise NotMeasuredError(f"the roll restarted {sorted(again)} and ended so: {ended.output[-1500:]}")
    return Ran(
        kind,
        ended.status == 0,
        round(ended.seconds, 1),
        round(whole - began, 1),
        len(again),
        broken(sampler.samples, began, whole),
        seen,
    )


def _tight(world: World, kind: str) -> Tight:
    """Restart with a topic that has no replica to spare; a canary writes to it."""
    addresses = cluster.addresses("kafka")
    cluster.await_whole()
    before = world.census()
    topic = f"tight-{time.time_ns() // 10**6}"
    workload.create_topic(addresses, topic, replication=TIGHT_REPLICAS, min_isr=MIN_ISR)
    canary, sampler = Canary(addresses, topic, world.logs / f"latency-{topic}.txt"), None
    try:
        cluster.await_whole()
        canary.start()
        sampler = Sampler(addresses, {topic: MIN_ISR})
        sampler.start()
        began = time.monotonic()
        ended = _play(world, kind, f"tight-{kind}")
        cluster.await_whole()
        whole = sampler.stop()
    finally:
        canary.stop()
        if sampler is not None:
            sampler.stop()
        workload.delete_topic(addresses, topic)
    with canary.output.open(encoding="utf-8") as lines:
        sends = produce.sends(lines, canary.sent)
    refused = ended.status != 0 and REASON in ended.output
    if kind == HOLDFAST and ended.status != 0 and not refused:
        raise NotMeasuredError(f"the roll failed for another reason: {ended.output[-1500:]}")
    return Tight(
        kind,
        refused,
        round(ended.seconds, 1),
        len(restarted(before, world.census())),
        broken(sampler.samples, began, whole),
        sends,
    )


def _measured(world: World, rounds: int) -> Figures:
    conditions: dict[str, object] = {
        "processors": os.cpu_count(),
        "load_average_1m_before": round(os.getloadavg()[0], 2),
        "brokers": len(world.brokers()),
        "brokers_to_restart": len(BROKERS),
    }
    ran = []
    for number in range(1, rounds + 1):
        for kind in KINDS:
            world.stage.say(f"round {number} of {rounds}: {kind}")
            ran.append(_ran(world, kind, number))
    tight = []
    for kind in KINDS:
        world.stage.say(f"{kind}{TIGHT}")
        tight.append(_tight(world, kind))
    conditions["load_average_1m_after"] = round(os.getloadavg()[0], 2)
    return summary(ran, tight, conditions)


def run(rounds: int, say: Say, logs: Path = LOGS) -> Figures:
    """Measure in a lab of its own; HOLDFAST_BENCH_LAB names one that is up with its cluster, which is left up."""
    existing = os.environ.get("HOLDFAST_BENCH_LAB")
    with (
        cluster.on_stage("bpeer", logs, say, INVENTORY, existing) as stage,
        closing(World(stage, INVENTORY)) as world,
    ):
        return _measured(world, rounds)
