# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A broker's replacement with its volume kept, against one refilled from its peers, at several data sizes.

Both are timed alike: from the moment at which Auto Scaling may launch the successor, until the broker is in the ISR of
all its partitions. What a size costs is the slope of a straight line through the medians.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Figures, NotMeasuredError, Spread, spread
from lab.demo import cluster, fleet, replacement, workload
from lab.demo.stage import REPOSITORY, Say, Stage, wait_until
from tests.faults.model import Seen
from tests.faults.world import World
from tests.scenarios.stories import variable_for_new_nodes

LOGS = REPOSITORY / "reports" / "bench-refill"
TOPIC = "bench-refill"
# What each broker holds, in megabytes (10^6 bytes); every partition is on all three of them.
SIZES_MEGABYTES = (256, 1024, 2560)
KINDS = ("kept", "refilled")
RETURN_SECONDS = 900
DATA = "/var/lib/kafka/0"
# Segments come and go; the rest has to be there.
COPIED_SHARE = 0.9
# A broker of Zalando's, as their post gives it.
ZALANDO_MEGABYTES = 8_000_000


@dataclass(frozen=True)
class Line:
    """Seconds as a straight line of megabytes."""

    seconds_at_none: float
    seconds_per_gigabyte: float

    def at(self, megabytes: float) -> float:
        """Seconds at this size; a slope below nothing is noise and counts as none."""
        return self.seconds_at_none + max(0.0, self.seconds_per_gigabyte) * megabytes / 1000


@dataclass(frozen=True)
class Timed:
    """One replacement."""

    kind: str
    megabytes: int
    node_id: int
    seconds: float
    # What is on the data volume when the broker is back: nobody is to believe that a refill copied it.
    bytes_on_volume: int


def line(points: Sequence[tuple[float, float]]) -> Line:
    """Least squares through (megabytes, seconds); NotMeasuredError with fewer than three sizes."""
    if len({x for x, _ in points}) < 3:
        raise NotMeasuredError(f"a slope needs three sizes, and {len({x for x, _ in points})} were measured")
    slope, zero = statistics.linear_regression([x for x, _ in points], [y for _, y in points])
    return Line(round(zero, 1), round(slope * 1000, 2))


def summary(timed: Sequence[Timed], conditions: Mapping[str, Any]) -> Figures:
    """Spreads by kind and size; slopes, and how many times longer a refill takes where the lines reach 8 TB."""
    spreads: dict[str, dict[str, Spread]] = {}
    lines = {}
    for kind in KINDS:
        sizes = sorted({one.megabytes for one in timed if one.kind == kind})
        spreads[kind] = {
            f"{size}_megabytes_seconds": spread(
                f"{kind} at {size} MB", [one.seconds for one in timed if (one.kind, one.megabytes) == (kind, size)]
            )
            for size in sizes
        }
        lines[kind] = line([(size, spreads[kind][f"{size}_megabytes_seconds"].median) for size in sizes])
    kept, refilled = lines["kept"], lines["refilled"]
    largest = max(one.megabytes for one in timed)
    slopes = {
        "kept_seconds_per_gigabyte": kept.seconds_per_gigabyte,
        "refilled_seconds_per_gigabyte": refilled.seconds_per_gigabyte,
        "measured_factor_at_largest": round(
            spreads["refilled"][f"{largest}_megabytes_seconds"].median
            / spreads["kept"][f"{largest}_megabytes_seconds"].median,
            2,
        ),
        "extrapolated_factor_at_8_terabytes": round(refilled.at(ZALANDO_MEGABYTES) / kept.at(ZALANDO_MEGABYTES), 1),
        "extrapolated_refill_hours_at_8_terabytes": round(refilled.at(ZALANDO_MEGABYTES) / 3600, 1),
    }
    return Figures(spreads, (), tuple(vars(one) for one in timed), {**conditions, **slopes})


def _replace(stage: Stage, kind: str, megabytes: int, number: int) -> Timed:
    """Replace the next broker, and take its time."""
    cluster.await_whole(RETURN_SECONDS)
    brokers = [one for one in fleet.holders(cluster.CLUSTER) if one.role == "kafka"]
    world = World(stage, brokers[number % len(brokers)], Seen())
    before = bytes_on_volume(world.victim)
    if kind == "kept":
        seconds = _successor(world)
    else:
        with variable_for_new_nodes(world.group, "data_volume_refill_allowed", value=True):
            seconds = _successor(world, empty=True)
    after = whole_again(world.victim.name, megabytes, before, bytes_on_volume(world.holder()))
    stage.say(f"    {world.victim.name}, {kind}, {megabytes} MB: {seconds:.1f} s, {after:,} bytes on its volume")
    return Timed(kind, megabytes, world.victim.node_id, round(seconds, 1), after)


def bytes_on_volume(broker: fleet.Holder) -> int:
    """Bytes of the log segments on a broker's volume (an index is made in full length and means nothing)."""
    return sum(
        map(int, fleet.ssh(broker.private_ip, f"find {DATA} -name '*.log' -printf '%s\\n' 2>/dev/null || true").split())
    )


def whole_again(name: str, megabytes: int, before: int, after: int) -> int:
    """Return what is there after; NotMeasuredError when it is not what the size says, or not what there was before."""
    least = COPIED_SHARE * max(before, megabytes * 10**6)
    if min(before, after) < COPIED_SHARE * megabytes * 10**6 or after < least:
        raise NotMeasuredError(
            f"{name} should hold {megabytes} MB; it held {before:,} bytes and holds {after:,} after its replacement"
        )
    return after


def _successor(world: World, *, empty: bool = False) -> float:
    """Let the holder end, give the identity a blank volume if wanted, and time the successor from its launch."""
    old = world.victim.volume_ids[0]
    with world.suspended("Launch"):
        death = world.terminate()
        world.await_state(str(world.victim.instance_id), "terminated")
        if empty:
            _swap_volume(world, old)
    began = time.monotonic()
    wait_until(
        f"the return of {world.victim.name}", lambda: replacement.missing(cluster.CLUSTER, death), RETURN_SECONDS
    )
    return time.monotonic() - began


def _swap_volume(world: World, old: str) -> None:
    """Put a blank volume of the same size in the old one's place, and delete the old one."""
    ec2 = fleet.client("ec2")
    size = ec2.describe_volumes(VolumeIds=[old])["Volumes"][0]["Size"]
    made = ec2.create_volume(AvailabilityZone=world.victim.availability_zone, Size=size)["VolumeId"]

    def available() -> bool:
        states = {one["State"] for one in ec2.describe_volumes(VolumeIds=[old, made])["Volumes"]}
        return states == {"available"}

    world.await_that(f"{old} and {made} to be available", available, 60)
    world.untag(old)
    world.tag(made, world.pool_tags(**{"holdfast:volume": "0"}))
    ec2.delete_volume(VolumeId=old)


def _measured(stage: Stage, rounds: int) -> Figures:
    brokers = cluster.addresses("kafka")
    workload.create_topic(brokers, TOPIC, partitions=12)
    conditions: dict[str, object] = {
        "processors": os.cpu_count(),
        "load_average_1m_before": round(os.getloadavg()[0], 2),
        "sizes_megabytes": list(SIZES_MEGABYTES),
    }
    timed, held, number = [], 0, 0
    for size in SIZES_MEGABYTES:
        stage.say(f"{size} MB on each broker")
        seconds = workload.fill(brokers, TOPIC, size - held)
        stage.say(f"    {size - held} MB more in {seconds:.0f} s")
        held = size
        for _ in range(rounds):
            for kind in KINDS:
                timed.append(_replace(stage, kind, size, number))
            number += 1
    cluster.await_whole(RETURN_SECONDS)
    conditions["load_average_1m_after"] = round(os.getloadavg()[0], 2)
    return summary(timed, conditions)


def run(rounds: int, say: Say, logs: Path = LOGS) -> Figures:
    """Measure in a lab of its own; HOLDFAST_BENCH_LAB names one that is up with its cluster, which is left up."""
    with cluster.on_stage("refill", logs, say, existing=os.environ.get("HOLDFAST_BENCH_LAB")) as stage:
        return _measured(stage, rounds)
