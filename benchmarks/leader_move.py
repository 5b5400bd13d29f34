# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One controlled leader move alone: a broker is stopped cleanly and started again, and nothing else happens.

A controlled shutdown hands the broker's partitions on, each to another replica in sync. The active controller is never
the one that is stopped: its end would be a move of the controller as well.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.figures import NotMeasuredError
from lab.demo import cluster, fleet
from tests.rolls.world import World


def leaders(described: Iterable[Mapping[str, Any]], topic: str) -> Counter[int]:
    """How many of the topic's partitions each broker leads, from what C(describe_topics) says."""
    return Counter(
        partition["leader_id"] for one in described if one["name"] == topic for partition in one["partitions"]
    )


def chosen(led: Mapping[int, int], controller: int, number: int) -> int:
    """The broker to stop in this round, another one in each; NotMeasuredError when none of them leads anything."""
    able = sorted(node_id for node_id, count in led.items() if count and node_id not in (controller, -1))
    if not able:
        raise NotMeasuredError("no broker but the controller leads a partition of the topic")
    return able[number % len(able)]


def move(world: World, topic: str, number: int) -> float:
    """Stop one that leads partitions of the topic, start it, wait until all is whole; return the seconds."""
    node_id = chosen(leaders(fleet.topics(cluster.addresses("kafka")), topic), world.controller_id(), number)
    began = time.monotonic()
    world.ssh(node_id, "systemctl stop kafka")
    world.ssh(node_id, "systemctl start kafka")
    cluster.await_whole()
    seconds = time.monotonic() - began
    world.stage.say(f"    kafka-{node_id} stopped and started: {seconds:.0f} s")
    return round(seconds, 1)
