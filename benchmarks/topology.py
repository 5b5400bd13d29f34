# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters that nobody runs: brokers and partitions as metadata would show them, the same ones each time. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

REPLICAS = 3
MIN_ISR = 2
PARTITIONS_PER_TOPIC = 100
PORT = 9092
SEED = 1
#: How replicas are placed: one in each rack as Kafka does when it knows the racks, or on any brokers when it does not.
PLACEMENTS = ("by_rack", "anywhere")


@dataclass(frozen=True)
class Topology:
    """A healthy cluster with as many racks as replicas, to which the brokers are dealt in turn."""

    brokers: int
    partitions: int
    placement: str = "by_rack"

    def __post_init__(self) -> None:
        if self.placement not in PLACEMENTS:
            raise ValueError(f"placement is {self.placement!r}; it must be one of {', '.join(PLACEMENTS)}")
        if self.brokers < REPLICAS:
            raise ValueError(f"{self.brokers} brokers cannot hold {REPLICAS} replicas")

    def rack(self, node_id: int) -> str:
        """The rack of a broker."""
        return f"rack-{'abc'[node_id % REPLICAS]}"

    def host(self, node_id: int) -> str:
        """The address of a broker."""
        return f"10.{node_id >> 16}.{node_id >> 8 & 255}.{node_id & 255}"

    def cluster(self) -> dict[str, Any]:
        """What C(describe_cluster) would say."""
        return {
            "cluster_id": "generated",
            "controller_id": self.brokers // 2,
            "brokers": [
                {"broker_id": node_id, "host": self.host(node_id), "port": PORT, "rack": self.rack(node_id)}
                for node_id in range(self.brokers)
            ],
        }

    def topics(self) -> list[dict[str, Any]]:
        """What C(describe_topics) would say: all replicas in sync, the first one leads."""
        placed = self._by_rack() if self.placement == "by_rack" else self._anywhere()
        made: list[dict[str, Any]] = []
        for number in range(self.partitions):
            topic, index = divmod(number, PARTITIONS_PER_TOPIC)
            if index == 0:
                made.append({"name": f"topic-{topic:06}", "partitions": []})
            replicas = next(placed)
            made[-1]["partitions"].append(
                {
                    "partition_index": index,
                    "leader_id": replicas[0],
                    "replica_nodes": list(replicas),
                    "isr_nodes": list(replicas),
                }
            )
        return made

    def minima(self) -> dict[str, int]:
        """C(min.insync.replicas) by topic."""
        return {f"topic-{number:06}": MIN_ISR for number in range(-(-self.partitions // PARTITIONS_PER_TOPIC))}

    def _by_rack(self) -> Iterator[Sequence[int]]:
        """Leaders go round the racks and their brokers; each round, the followers are shifted against them by one."""
        racks = [range(first, self.brokers, REPLICAS) for first in range(REPLICAS)]
        number = 0
        while True:
            turn, place = number % REPLICAS, number // REPLICAS
            shift = number // self.brokers
            yield tuple(
                racks[(turn + step) % REPLICAS][(place + step * shift) % len(racks[(turn + step) % REPLICAS])]
                for step in range(REPLICAS)
            )
            number += 1

    def _anywhere(self) -> Iterator[Sequence[int]]:
        chance = random.Random(SEED)  # noqa: S311 (the same placement each time, and no secret)
        everyone = range(self.brokers)
        while True:
            yield tuple(chance.sample(everyone, REPLICAS))
