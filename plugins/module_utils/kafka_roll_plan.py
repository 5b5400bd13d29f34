# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which batches the brokers of a cluster may be restarted, and why they may not. No I/O, no clock.

The plan assumes that between two batches everything comes back into sync, so it counts with all replicas; the gate
before each stop counts with the ISR.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils import kafka_roll_batches as batching
from ansible_collections.holdfast.kafka.plugins.module_utils import kafka_roll_rules as rules_of
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_roll_rules import Refusal, Rules
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import Partition, View
from ansible_collections.holdfast.kafka.plugins.module_utils.number_bounds import require_numbers

MODES = ("serial", "rack")


@dataclass(frozen=True)
class Request:
    """What a roll is asked to do. ``max_parallel`` None is 1 in mode serial and the rack's size in mode rack."""

    target_node_ids: tuple[int, ...]
    mode: str = "serial"
    max_parallel: int | None = None
    seconds_per_broker: float | None = None


@dataclass(frozen=True)
class Step:
    """What happens to one broker, in which batch (counted from 1), and why there."""

    node_id: int
    rack: str | None
    batch: int
    action: str
    why: str


@dataclass(frozen=True)
class RackSplit:
    """A rack that could not be one batch; ``partitions`` are the first that forbade it, ``partition_count`` all."""

    rack: str
    batches: int
    fewest: bool
    max_parallel: int | None
    partitions: tuple[str, ...]
    partition_count: int


@dataclass(frozen=True)
class Plan:
    """The batches, or the refusals: a plan has one of the two."""

    batches: tuple[tuple[int, ...], ...]
    steps: tuple[Step, ...]
    skipped: tuple[int, ...]
    refusals: tuple[Refusal, ...]
    controller_id: int | None
    splits: tuple[RackSplit, ...] = ()
    expected_seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as the module returns it."""
        return {
            "batches": [list(batch) for batch in self.batches],
            "serial": [len(batch) for batch in self.batches],
            "brokers": [asdict(step) for step in self.steps],
            "skipped": [{"node_id": node_id, "why": "not among the targets of this roll"} for node_id in self.skipped],
            "splits": [{**asdict(one), "partitions": list(one.partitions)} for one in self.splits],
            "refusals": [refusal.as_dict() for refusal in rules_of.kept(self.refusals)],
            "refusal_counts": rules_of.counts(self.refusals),
            "controller_id": self.controller_id,
            "expected_seconds": self.expected_seconds,
        }


def checked(request: Request, rules: Rules) -> Request:
    """Return the request with its targets once each; ValueError says what in it can never be done."""
    if request.mode not in MODES:
        raise ValueError(f"mode is {request.mode!r}; it must be one of {', '.join(MODES)}")
    if request.max_parallel is not None and request.max_parallel < 1:
        raise ValueError(f"max_parallel is {request.max_parallel}; it must be at least 1")
    if request.mode == "serial" and request.max_parallel not in (None, 1):
        raise ValueError(f"max_parallel is {request.max_parallel}, and mode=serial rolls one broker at a time")
    seconds = request.seconds_per_broker
    if seconds is not None:
        require_numbers(vars(request), ["seconds_per_broker"])
    targets = rules_of.known(request.target_node_ids, rules.members, "target_node_ids")
    return Request(targets, request.mode, request.max_parallel, seconds)


@dataclass(frozen=True)
class _Parts:
    """The targets by what they need: to be started, to be repaired by a restart, to be restarted."""

    starts: frozenset[int]
    unwell: frozenset[int]
    well: tuple[int, ...]
    lagging: dict[int, int] = field(default_factory=dict)
    racks: dict[int, str | None] = field(default_factory=dict)


def make_plan(view: View, rules: Rules, request: Request) -> Plan:
    """Return the plan; ValueError when the request can never be done, whatever state the cluster is in."""
    request = checked(request, rules)
    parts = _parts(view, rules, request)
    skipped = tuple(sorted(set(rules.members) - set(request.target_node_ids)))
    stopped = parts.unwell | frozenset(parts.well)
    refusals = _refusals(view, rules, request, parts, stopped) if stopped else []
    if refusals:
        return Plan((), (), skipped, tuple(refusals), view.controller_id)
    batches: list[tuple[int, ...]] = [tuple(sorted(parts.starts))] if parts.starts else []
    batches += [(node_id,) for node_id in sorted(parts.unwell)]
    rest, splits = _rest(view, rules, request, parts)
    batches += rest
    seconds = None if request.seconds_per_broker is None else round(len(batches) * request.seconds_per_broker, 1)
    return Plan(
        tuple(batches),
        tuple(_steps(view, request, parts, batches)),
        skipped,
        (),
        view.controller_id,
        tuple(splits),
        seconds,
    )


def _parts(view: View, rules: Rules, request: Request) -> _Parts:
    targets = set(request.target_node_ids)
    registered = {broker.node_id for broker in view.brokers}
    starts = frozenset(targets - registered)
    lagging: dict[int, int] = {}
    for partition in view.partitions:
        if not _waits_for_start(partition, starts):
            for replica in partition.missing:
                lagging[replica] = lagging.get(replica, 0) + 1
    unwell = frozenset(targets & registered & (set(lagging) | rules.silent))
    well = tuple(sorted(targets - starts - unwell))
    return _Parts(starts, unwell, well, lagging, _racks(view, rules))


def _waits_for_start(partition: Partition, starts: frozenset[int]) -> bool:
    """Whether the partition has no leader only because all that could lead are on brokers that will be started."""
    return (
        partition.leader is None and bool(partition.replicas) and starts.issuperset(partition.isr or partition.replicas)
    )


def _refusals(view: View, rules: Rules, request: Request, parts: _Parts, stopped: frozenset[int]) -> list[Refusal]:
    # One broker that lags can be repaired by its restart; of several nobody knows which one holds up the others.
    repaired = parts.starts | (parts.unwell if len(parts.unwell) == 1 else frozenset())
    found = rules_of.cluster_refusals(view, rules, repaired)
    if request.mode == "rack":
        found += _unknown_racks(parts)
    found += rules_of.minimum_refusals(view, rules, stopped)
    for partition in view.partitions:
        explained = _waits_for_start(partition, parts.starts) or (
            partition.leader is not None and repaired.issuperset(partition.missing)
        )
        broken = None if explained else rules_of.replica_refusal(view, partition)
        thin = rules_of.replication_refusal(view, rules, partition, stopped)
        found += [one for one in (broken, thin) if one is not None]
    return found


def _racks(view: View, rules: Rules) -> dict[int, str | None]:
    """Return the pool's word for the rack of each of its brokers, or else the one that the broker announces."""
    announced = {broker.node_id: broker.rack for broker in view.brokers}
    return {node_id: member.rack or announced.get(node_id) for node_id, member in rules.members.items()}


def _unknown_racks(parts: _Parts) -> list[Refusal]:
    return [
        Refusal("unknown_rack", f"neither the pool nor broker {node_id} itself says in which rack it is", (node_id,))
        for node_id in parts.well
        if parts.racks[node_id] is None
    ]


def _rest(view: View, rules: Rules, request: Request, parts: _Parts) -> tuple[list[tuple[int, ...]], list[RackSplit]]:
    """Return the batches of the brokers that are well: rack after rack, the active controller's last."""
    racks: dict[str, list[int]] = {}
    for node_id in parts.well:
        racks.setdefault(parts.racks[node_id] or "", []).append(node_id)
    splits: list[RackSplit] = []
    groups: list[list[tuple[int, ...]]] = []
    for name in sorted(racks):
        if request.mode == "serial":
            groups.append([(node_id,) for node_id in racks[name]])
            continue
        batches, told = _split(view, rules, request, name, racks[name])
        groups.append(batches)
        splits += [told] if told is not None else []
    # A stable sort: what does not hold the controller stays in its order.
    groups.sort(key=lambda group: any(view.controller_id in batch for batch in group))
    flat = [batch for group in groups for batch in group]
    flat.sort(key=lambda batch: view.controller_id in batch)
    return flat, splits


def _split(
    view: View, rules: Rules, request: Request, rack: str, node_ids: Sequence[int]
) -> tuple[list[tuple[int, ...]], RackSplit | None]:
    """Return the rack's batches: one when that is safe, or else the fewest that are."""
    wanted = frozenset(node_ids)
    limits: dict[tuple[frozenset[int], int], int] = {}
    forbidding: list[Partition] = []
    for partition in view.partitions:
        hosts = wanted.intersection(partition.replicas)
        # A partition that cannot spare even one of its hosts was refused before.
        if len(hosts) < 2:
            continue
        spare = len(partition.replicas) - rules.needed(view, partition)
        if len(hosts) > spare:
            limits[hosts, spare] = limits.get((hosts, spare), 0) + 1
            forbidding.append(partition)
    size = min(request.max_parallel or len(wanted), len(wanted))
    found = batching.split(node_ids, [batching.Limit(*key) for key in limits], size)
    if len(found.batches) == 1:
        return list(found.batches), None
    named = tuple(partition.name for partition in forbidding[: rules_of.KEPT])
    told = RackSplit(rack, len(found.batches), found.proven, request.max_parallel, named, len(forbidding))
    return list(found.batches), told


def _steps(view: View, request: Request, parts: _Parts, batches: Iterable[Sequence[int]]) -> Iterable[Step]:
    for number, batch in enumerate(batches, start=1):
        for node_id in batch:
            action = "start" if node_id in parts.starts else "restart"
            yield Step(node_id, parts.racks[node_id], number, action, _why(view, request, parts, node_id))


def _why(view: View, request: Request, parts: _Parts, node_id: int) -> str:
    if node_id in parts.starts:
        return "not registered, so it is started before anybody is stopped"
    if node_id in parts.unwell and node_id in parts.lagging:
        count = parts.lagging[node_id]
        return f"{count} of its replicas {'is' if count == 1 else 'are'} out of sync, so it comes before the healthy"
    if node_id in parts.unwell:
        return "registered and silent, so it comes before the healthy"
    place = f"rack {parts.racks[node_id]}" if request.mode == "rack" else "one at a time"
    return f"{place}; the active controller comes last" if node_id == view.controller_id else place
