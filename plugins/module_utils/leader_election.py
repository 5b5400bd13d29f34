# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which partitions their preferred replica should lead again, and which cannot be. No I/O.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import Partition, View

NAMED = 20
KEPT = 100
#: How many partitions one request asks for; the controller writes for each.
AT_ONCE = 1000


@dataclass(frozen=True)
class Move:
    """A partition that is to be led by its preferred replica; ``leader`` None is none."""

    partition: Partition
    possible: bool

    @property
    def preferred(self) -> int:
        """The replica that should lead."""
        return self.partition.replicas[0]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        found = self.partition
        return {
            "topic": found.topic,
            "partition": found.partition,
            "leader": found.leader,
            "preferred_leader": self.preferred,
            "in_sync": self.preferred in found.isr,
        }


def moves(view: View) -> list[Move]:
    """Return the partitions that their preferred replica does not lead."""
    registered = {broker.node_id for broker in view.brokers}
    return [
        Move(partition, partition.replicas[0] in partition.isr and partition.replicas[0] in registered)
        for partition in view.partitions
        if partition.replicas and partition.leader != partition.replicas[0]
    ]


def requests(wanted: Sequence[Move], at_once: int = AT_ONCE) -> list[dict[str, list[int]]]:
    """Return the elections to ask for, topics with partitions, in requests of a bounded size."""
    possible = [move for move in wanted if move.possible]
    found = []
    for first in range(0, len(possible), at_once):
        request: dict[str, list[int]] = {}
        for move in possible[first : first + at_once]:
            request.setdefault(move.partition.topic, []).append(move.partition.partition)
        found.append(request)
    return found


def moved(before: Sequence[Move], left: Sequence[Move]) -> list[dict[str, Any]]:
    """Return what was led by another replica before and is not any more."""
    still = {move.partition.name for move in left}
    return [
        {
            "topic": move.partition.topic,
            "partition": move.partition.partition,
            "from": move.partition.leader,
            "to": move.preferred,
        }
        for move in before
        if move.partition.name not in still
    ]


def complaint(left: Sequence[Move], refused: Mapping[str, str]) -> str:
    """Return why these are not led by their preferred replica; ``refused`` is what the controller said, by name."""
    said = []
    for move in left[:NAMED]:
        name = move.partition.name
        if move.preferred not in move.partition.isr:
            why = f"broker {move.preferred} is out of sync"
        elif not move.possible:
            why = f"broker {move.preferred} is not registered"
        else:
            why = refused.get(name, f"broker {move.preferred} is in sync and was not elected")
        led = "nobody leads it" if move.partition.leader is None else f"broker {move.partition.leader} leads it"
        said.append(f"{name} ({led}; {why})")
    more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
    return f"{', '.join(said)}{more}"


def leaders(view: View) -> dict[str, int]:
    """Return how many partitions each broker leads, by its id as text, as JSON wants it."""
    return {str(node_id): count for node_id, count in sorted(view.leaders_per_broker().items())}
