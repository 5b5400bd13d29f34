# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's replacement in the lab, while a producer writes: from TerminateInstances to whole again, by phase."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.figures import Bound, Figures, NotMeasuredError, spread
from lab.demo import cluster, fleet, replacement, workload
from lab.demo.replacement import Replacement
from lab.demo.stage import REPOSITORY, Say, Stage

REPLACE_LIMIT_SECONDS = 90
OWN_LIMIT_SECONDS = 20
TOPIC = "bench"
LOGS = REPOSITORY / "reports" / "bench"


def summary(done: Sequence[Replacement], conditions: dict[str, object]) -> Figures:
    """Spreads by role and phase, and the two bounds; raise NotMeasuredError when a round lacks a figure."""
    spreads, bounds = {}, []
    for role in dict.fromkeys(one.role for one in done):
        rounds = [one for one in done if one.role == role]
        lost = [f"{role}-{one.node_id}" for one in rounds if not one.same_identity]
        if lost:
            raise NotMeasuredError(f"{', '.join(lost)} did not come back as itself, so its time means nothing")
        rows = {name: spread(f"{role} {name}", [one.phases.get(name) for one in rounds]) for name in rounds[0].phases}
        own = spread(f"{role} claim to service start", [one.holdfast_seconds for one in rounds])
        whole = spread(f"{role} replacement", [one.replace_seconds for one in rounds])
        spreads[role] = {**rows, "claim_to_service_start_seconds": own, "terminated_to_whole_seconds": whole}
        bounds.append(Bound(f"{role}, terminated to whole again", REPLACE_LIMIT_SECONDS, whole.median))
        bounds.append(Bound(f"{role}, claim to service start", OWN_LIMIT_SECONDS, own.median))
    return Figures(spreads, tuple(bounds), tuple(asdict(one) for one in done), conditions)


def _replaced(role: str, number: int, say: Say) -> Replacement:
    """Replace the next identity of a role in a whole cluster."""
    cluster.await_whole()
    everyone = [holder for holder in fleet.holders(cluster.CLUSTER) if holder.role == role]
    chosen = everyone[number % len(everyone)]
    (done,) = replacement.replace(cluster.CLUSTER, lambda: [chosen], say)
    say(f"    {chosen.name}: {done.replace_seconds} s, claim to service start {done.holdfast_seconds} s")
    return done


def _measured(stage: Stage, rounds: int) -> Figures:
    """All rounds, inside the lab's network."""
    brokers = cluster.addresses("kafka")
    workload.create_topic(brokers, TOPIC)
    producer = workload.Producer(brokers, TOPIC, stage.logs)
    conditions: dict[str, object] = {
        "processors": os.cpu_count(),
        "load_average_1m_before": round(os.getloadavg()[0], 2),
        "nodes": len(fleet.holders(cluster.CLUSTER)),
        "messages_per_second": producer.messages_per_second,
    }
    producer.start()
    try:
        done = []
        for number in range(rounds):
            for role in fleet.ROLES:
                stage.say(f"round {number + 1} of {rounds}: {role}")
                done.append(_replaced(role, number, stage.say))
    finally:
        producer.stop()
    conditions["load_average_1m_after"] = round(os.getloadavg()[0], 2)
    return summary(done, conditions)


def run(rounds: int, say: Say, logs: Path = LOGS) -> Figures:
    """Measure in a lab of its own; HOLDFAST_BENCH_LAB names one that is up with its cluster, which is left up."""
    with cluster.on_stage("bench", logs, say, existing=os.environ.get("HOLDFAST_BENCH_LAB")) as stage:
        return _measured(stage, rounds)
