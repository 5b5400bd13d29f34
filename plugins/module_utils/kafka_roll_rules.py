# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules by which brokers may be stopped, as the plan and the gate of a roll share them. No I/O.

A set B of brokers may be stopped when for every partition ``|ISR \\ B| >= max(1, min.insync.replicas)``: then every
partition keeps a leader and takes writes with acks=all.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils import addresses
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import Broker, Partition, View

#: How many partitions a sentence names, and how many refusals of one reason a result carries.
NAMED = 10
KEPT = 100


@dataclass(frozen=True)
class Member:
    """A broker as its pool declares it; ``port`` 0 is any port, ``rack`` is None when the pool does not say."""

    node_id: int
    host: str
    port: int = 0
    rack: str | None = None

    @property
    def address(self) -> str:
        """The address for sentences."""
        return str(addresses.Address(self.host, self.port)) if self.port else self.host

    def is_at(self, broker: Broker) -> bool:
        """Whether this is where the broker announces itself."""
        return broker.host == self.host and self.port in (0, broker.port)


@dataclass(frozen=True)
class Refusal:
    """Why brokers may not be stopped: a word, a sentence, and what it is about."""

    reason: str
    message: str
    node_ids: tuple[int, ...] = ()
    topic: str | None = None
    partition: int | None = None
    replicas: tuple[int, ...] = ()
    isr: tuple[int, ...] = ()
    min_insync_replicas: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, as the modules return it."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Rules:
    """Who belongs to the cluster, which topics may become unavailable, and who was asked and did not answer."""

    members: Mapping[int, Member]
    unavailable_topics_allowed: frozenset[str] = frozenset()
    silent: frozenset[int] = field(default_factory=frozenset)

    def needed(self, view: View, partition: Partition) -> int:
        """Return how many replicas must stay in sync; 0 for a topic that may become unavailable."""
        if partition.topic in self.unavailable_topics_allowed:
            return 0
        return max(1, view.min_insync_replicas.get(partition.topic, 1))


def members_of(brokers: Mapping[str, Any]) -> dict[int, Member]:
    """Read the option ``brokers``; ValueError names the entry that is none."""
    if not brokers:
        raise ValueError("brokers is empty: a roll needs every broker of the pool, with its address")
    members: dict[int, Member] = {}
    for key, entry in brokers.items():
        text = str(key)
        if not (text.isascii() and text.isdigit()):
            raise ValueError(f"brokers has the key {key!r}, which is no node id")
        address, rack = (entry.get("address"), entry.get("rack")) if isinstance(entry, Mapping) else (None, None)
        if not (isinstance(address, str) and isinstance(rack, str | None)):
            message = f"brokers[{key!r}] is {entry!r}; it needs an address, and a rack only as text"
            raise ValueError(message)  # noqa: TRY004 (the caller knows one error for what is no pool)
        try:
            host, port = addresses.parse(address, default_port=0)
        except ValueError as error:
            raise ValueError(f"brokers[{key!r}] has an address that is none: {error}") from error
        if int(text) in members:
            raise ValueError(f"brokers names broker {int(text)} twice")
        members[int(text)] = Member(int(text), host, port, (rack or "").strip() or None)
    several = Counter(member.address for member in members.values())
    shared = sorted(address for address, count in several.items() if count > 1)
    if shared:
        raise ValueError(f"brokers gives {', '.join(shared)} to several brokers; an address belongs to one")
    return members


def known(node_ids: Iterable[int], members: Mapping[int, Member], option: str) -> tuple[int, ...]:
    """Return the ids once each and sorted; ValueError names those that the pool does not have."""
    found = sorted(set(node_ids))
    strangers = [node_id for node_id in found if node_id not in members]
    if strangers:
        raise ValueError(
            f"{option} names {brokers_text(strangers)}, and the pool in brokers has {brokers_text(sorted(members))}"
        )
    return tuple(found)


def cluster_refusals(view: View, rules: Rules, own: Collection[int]) -> list[Refusal]:
    """Return what is wrong with the cluster as a whole; ``own`` are the brokers that may be missing or silent."""
    registered = {broker.node_id: broker for broker in view.brokers}
    found = []
    if view.controller_id not in registered:
        said = "no broker is the active controller"
        if view.controller_id is not None:
            said = f"broker {view.controller_id} is named as the active controller and is not registered"
        found.append(Refusal("no_controller", f"{said}, so nobody would elect new leaders"))
    if view.reassigning is None:
        message = "nobody could tell whether partitions are being reassigned; the controller does not answer"
        found.append(Refusal("reassignment_in_progress", message))
    partitions = {(partition.topic, partition.partition): partition for partition in view.partitions}
    for topic, number in sorted(view.reassigning or ()):
        partition = partitions.get((topic, number), Partition(topic, number, None, (), ()))
        message = f"{partition.name} is being reassigned"
        found.append(_about(view, partition, "reassignment_in_progress", message, partition.replicas))
    for node_id, broker in sorted(registered.items()):
        member = rules.members.get(node_id)
        if member is None:
            message = f"broker {node_id} at {broker.host} is registered and is not in the pool"
            found.append(Refusal("unexpected_broker", message, (node_id,)))
        elif not member.is_at(broker):
            found_at = addresses.Address(broker.host, broker.port) if member.port else broker.host
            message = f"broker {node_id} announces {found_at}, and the pool gives it {member.address}"
            found.append(Refusal("wrong_host", message, (node_id,)))
    found += _strangers(view, rules, registered)
    for node_id in sorted(set(rules.members) - set(registered) - set(own)):
        message = f"broker {node_id} of the pool is not registered, and it is not the one to repair"
        found.append(Refusal("broker_not_registered", message, (node_id,)))
    for node_id in sorted(rules.silent & set(registered) & set(rules.members) - set(own)):
        message = f"broker {node_id} is registered and does not answer; what the ISR says of it may be old"
        found.append(Refusal("broker_silent", message, (node_id,)))
    return found


def _strangers(view: View, rules: Rules, registered: Collection[int]) -> list[Refusal]:
    """Return the brokers that are nowhere and have replicas: the ISR may name one that will never come back."""
    hosted: dict[int, Partition] = {}
    for partition in view.partitions:
        for replica in partition.replicas:
            if replica not in rules.members and replica not in registered:
                hosted.setdefault(replica, partition)
    return [
        _about(
            view,
            partition,
            "unexpected_broker",
            f"broker {node_id} has replicas, of {partition.name} for one, and is neither registered nor in the pool",
            (node_id,),
        )
        for node_id, partition in sorted(hosted.items())
    ]


def replica_refusal(view: View, partition: Partition) -> Refusal | None:
    """Return what is wrong with a partition's replicas, the worst only; None when all are in sync and one leads."""
    minimum = view.min_insync_replicas.get(partition.topic, 1)
    if partition.leader is None:
        return _about(view, partition, "offline_partitions", f"{partition.name} has no leader", partition.replicas)
    if not partition.missing:
        return None
    if len(partition.isr) < minimum <= len(partition.replicas):
        message = f"{partition.name} has {len(partition.isr)} of {len(partition.replicas)} replicas in sync and needs "
        message += f"{minimum}, without {brokers_text(partition.missing)}"
        return _about(view, partition, "under_min_isr", message, partition.missing)
    message = f"{partition.name} lacks the replica of {brokers_text(partition.missing)}"
    return _about(view, partition, "under_replicated", message, partition.missing)


def minimum_refusals(view: View, rules: Rules, stopped: Collection[int]) -> list[Refusal]:
    """Return the topics with a replica on ``stopped`` whose min.insync.replicas nobody could tell."""
    unknown = {
        partition.topic
        for partition in view.partitions
        if partition.topic not in view.min_insync_replicas
        and partition.topic not in rules.unavailable_topics_allowed
        and not set(stopped).isdisjoint(partition.replicas)
    }
    return [
        Refusal("min_isr_unknown", f"nobody could tell min.insync.replicas of the topic {topic}", topic=topic)
        for topic in sorted(unknown)
    ]


def replication_refusal(view: View, rules: Rules, partition: Partition, stopped: Collection[int]) -> Refusal | None:
    """Return the refusal of a partition that no one broker of ``stopped`` that hosts it may leave."""
    hosts = tuple(replica for replica in partition.replicas if replica in stopped)
    needed = rules.needed(view, partition)
    count = len(partition.replicas)
    if not hosts or count > needed:
        return None
    message = (
        f"{partition.name} has {count} replica{'s' if count != 1 else ''} and needs {needed} in sync, so stopping "
        f"{brokers_text(hosts, 'or')} makes it unavailable"
    )
    return _about(view, partition, "replication_not_above_min_isr", message, hosts)


def stop_refusal(view: View, rules: Rules, partition: Partition, batch: Collection[int]) -> Refusal | None:
    """Return the refusal if stopping the batch now would leave the partition too few replicas in sync."""
    hosts = tuple(replica for replica in partition.replicas if replica in batch)
    if not hosts:
        return None
    left = [n for n in partition.isr if n in rules.members and n not in batch and n not in rules.silent]
    needed = rules.needed(view, partition)
    if len(left) >= needed:
        return None
    structural = replication_refusal(view, rules, partition, batch)
    if structural is not None:
        return structural
    message = (
        f"{partition.name} would keep {len(left)} of {len(partition.replicas)} replicas in sync without "
        f"{brokers_text(hosts)} and needs {needed}"
    )
    return _about(view, partition, "not_enough_in_sync", message, hosts)


def brokers_text(node_ids: Sequence[int], last: str = "and") -> str:
    """Return ``broker 1``, ``brokers 1 and 2`` or, of many, the first with the number of the others."""
    names = [str(node_id) for node_id in node_ids]
    if len(names) == 1:
        return f"broker {names[0]}"
    if len(names) > NAMED:
        return f"brokers {', '.join(names[:NAMED])} {last} {len(names) - NAMED} more"
    return f"brokers {', '.join(names[:-1])} {last} {names[-1]}"


def kept(refusals: Sequence[Refusal]) -> list[Refusal]:
    """Return the first of each reason, so that thousands of partitions do not fill a result."""
    seen: Counter[str] = Counter()
    found = []
    for refusal in refusals:
        seen[refusal.reason] += 1
        if seen[refusal.reason] <= KEPT:
            found.append(refusal)
    return found


def counts(refusals: Iterable[Refusal]) -> dict[str, int]:
    """Return how many refusals there are of each reason."""
    return dict(Counter(refusal.reason for refusal in refusals))


def summary(refusals: Sequence[Refusal]) -> str:
    """Return one sentence for all: each reason with the first things it is about."""
    by_reason: dict[str, list[Refusal]] = {}
    for refusal in refusals:
        by_reason.setdefault(refusal.reason, []).append(refusal)
    said = []
    for reason, found in by_reason.items():
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        said.append(f"{reason}: {', '.join(one.message for one in found[:NAMED])}{more}")
    return "; ".join(said)


def _about(view: View, partition: Partition, reason: str, message: str, node_ids: tuple[int, ...] = ()) -> Refusal:
    return Refusal(
        reason,
        message,
        node_ids,
        topic=partition.topic,
        partition=partition.partition,
        replicas=partition.replicas,
        isr=partition.isr,
        min_insync_replicas=view.min_insync_replicas.get(partition.topic),
    )
