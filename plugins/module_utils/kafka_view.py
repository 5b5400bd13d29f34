# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Kafka cluster as its metadata shows it, and what follows from that. No I/O.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Broker:
    """A registered broker and the address it announces."""

    node_id: int
    host: str
    port: int
    rack: str | None = None


@dataclass(frozen=True)
class Partition:
    """One partition; ``leader`` is None while it has none."""

    topic: str
    partition: int
    leader: int | None
    replicas: tuple[int, ...]
    isr: tuple[int, ...]

    @property
    def name(self) -> str:
        """The partition as Kafka's logs call it, ``topic-3``."""
        return f"{self.topic}-{self.partition}"

    @property
    def missing(self) -> tuple[int, ...]:
        """The replicas that are not in sync."""
        return tuple(replica for replica in self.replicas if replica not in self.isr)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, with the replicas that are not in sync."""
        return {
            "topic": self.topic,
            "partition": self.partition,
            "leader": self.leader,
            "replicas": list(self.replicas),
            "isr": list(self.isr),
            "missing": list(self.missing),
        }


@dataclass(frozen=True)
class View:
    """One read of the cluster.

    ``min_insync_replicas`` is by topic, as far as it was asked for; ``reassigning`` is None when nobody could tell.
    """

    cluster_id: str | None
    controller_id: int | None
    brokers: tuple[Broker, ...]
    partitions: tuple[Partition, ...]
    min_insync_replicas: Mapping[str, int] = field(default_factory=dict)
    reassigning: frozenset[tuple[str, int]] | None = None

    def under_replicated(self) -> list[Partition]:
        """Return the partitions with a replica out of sync."""
        return [partition for partition in self.partitions if partition.missing]

    def offline(self) -> list[Partition]:
        """Return the partitions without a leader."""
        return [partition for partition in self.partitions if partition.leader is None]

    def under_min_isr(self) -> list[Partition]:
        """Return the partitions with fewer in-sync replicas than a producer with acks=all is promised."""
        return [
            partition
            for partition in self.partitions
            if len(partition.isr) < self.min_insync_replicas.get(partition.topic, 1)
        ]

    def leaders_per_broker(self) -> dict[int, int]:
        """Return how many partitions each registered broker leads; a broker that leads none counts 0."""
        counts = {broker.node_id: 0 for broker in self.brokers}
        for partition in self.partitions:
            if partition.leader is not None:
                counts[partition.leader] = counts.get(partition.leader, 0) + 1
        return counts

    def replicas_per_broker(self) -> dict[int, int]:
        """Return how many replicas each broker hosts, registered or not."""
        counts = {broker.node_id: 0 for broker in self.brokers}
        for partition in self.partitions:
            for replica in partition.replicas:
                counts[replica] = counts.get(replica, 0) + 1
        return counts

    def not_preferred(self) -> list[Partition]:
        """Return the partitions that another replica than the preferred one leads."""
        return [p for p in self.partitions if p.leader is not None and p.replicas and p.leader != p.replicas[0]]


def view_from_metadata(
    cluster: Mapping[str, Any],
    topics: Iterable[Mapping[str, Any]],
    min_insync_replicas: Mapping[str, int] | None = None,
    reassigning: Iterable[tuple[str, int]] | None = None,
) -> View:
    """Build a view from what kafka-python's ``describe_cluster`` and ``describe_topics`` return."""
    brokers = [
        Broker(entry["broker_id"], entry["host"], entry["port"], entry.get("rack") or None)
        for entry in cluster["brokers"]
    ]
    partitions = [
        Partition(
            topic=topic["name"],
            partition=entry["partition_index"],
            leader=entry["leader_id"] if entry["leader_id"] is not None and entry["leader_id"] >= 0 else None,
            replicas=tuple(entry["replica_nodes"]),
            isr=tuple(entry["isr_nodes"]),
        )
        for topic in topics
        for entry in topic["partitions"]
    ]
    controller = cluster.get("controller_id")
    return View(
        cluster_id=cluster.get("cluster_id"),
        controller_id=controller if controller is not None and controller >= 0 else None,
        brokers=tuple(sorted(brokers, key=lambda broker: broker.node_id)),
        partitions=tuple(sorted(partitions, key=lambda partition: (partition.topic, partition.partition))),
        min_insync_replicas=dict(min_insync_replicas or {}),
        reassigning=None if reassigning is None else frozenset(reassigning),
    )


def report(view: View, expected_node_ids: Sequence[int] = ()) -> dict[str, Any]:
    """Return the view as a module returns it: counts, lists of what is wrong, and one verdict."""
    leaders = view.leaders_per_broker()
    replicas = view.replicas_per_broker()
    registered = {broker.node_id for broker in view.brokers}
    missing = sorted(set(expected_node_ids) - registered)
    under_min_isr = [
        {**partition.as_dict(), "min_insync_replicas": view.min_insync_replicas.get(partition.topic, 1)}
        for partition in view.under_min_isr()
    ]
    return {
        "cluster_id": view.cluster_id,
        "controller_id": view.controller_id,
        "brokers": [
            {**asdict(broker), "leaders": leaders[broker.node_id], "replicas": replicas[broker.node_id]}
            for broker in view.brokers
        ],
        "missing_node_ids": missing,
        "topic_count": len({partition.topic for partition in view.partitions}),
        "partition_count": len(view.partitions),
        "under_replicated": [partition.as_dict() for partition in view.under_replicated()],
        "offline": [partition.as_dict() for partition in view.offline()],
        "under_min_isr": under_min_isr,
        "not_preferred_count": len(view.not_preferred()),
        "reassigning": None
        if view.reassigning is None
        else [{"topic": topic, "partition": number} for topic, number in sorted(view.reassigning)],
        "healthy": not (missing or view.under_replicated() or view.offline() or under_min_isr)
        and view.controller_id is not None,
    }
