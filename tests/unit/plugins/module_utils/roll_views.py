# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters for the tests of the roll's plan and gate, written short."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_roll_rules import Member, Rules
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import Broker, Partition, View

RACKS = {1: "a", 2: "b", 3: "c", 4: "a", 5: "b", 6: "c"}


def address(node_id: int) -> str:
    return f"10.0.{node_id // 250}.{node_id % 250 + 1}"


def part(
    replicas: Sequence[int], isr: Sequence[int] | None = None, leader: int | None = -1, name: str = "t-0"
) -> Partition:
    """A partition; all in sync and led by the first in sync unless told otherwise."""
    topic, _, number = name.rpartition("-")
    in_sync = tuple(replicas if isr is None else isr)
    led = (in_sync[0] if in_sync else None) if leader == -1 else leader
    return Partition(topic, int(number), led, tuple(replicas), in_sync)


def view(
    partitions: Iterable[Partition] = (),
    brokers: Collection[int] = (1, 2, 3),
    controller: int | None = 1,
    minima: Mapping[str, int] | None = None,
    reassigning: Iterable[tuple[str, int]] | None = (),
    racks: Mapping[int, str] | None = None,
) -> View:
    """A view in which every topic's min.insync.replicas is 2 unless told otherwise."""
    found = tuple(partitions)
    return View(
        "x",
        controller,
        tuple(Broker(n, address(n), 9092, (RACKS if racks is None else racks).get(n)) for n in sorted(brokers)),
        found,
        {partition.topic: 2 for partition in found} if minima is None else dict(minima),
        None if reassigning is None else frozenset(reassigning),
    )


def rules(
    node_ids: Iterable[int] = (1, 2, 3),
    racks: Mapping[int, str] | None = None,
    allowed: Iterable[str] = (),
    silent: Iterable[int] = (),
) -> Rules:
    """A pool of these brokers."""
    known = RACKS if racks is None else racks
    return Rules({n: Member(n, address(n), 0, known.get(n)) for n in node_ids}, frozenset(allowed), frozenset(silent))
