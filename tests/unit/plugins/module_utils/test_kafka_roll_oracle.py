# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan and gate against rules written a second time, the slow and plain way, on every kind of small cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_roll_gate import closed_by
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_roll_plan import Plan, Request, make_plan
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_roll_rules import Member, Rules
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import Broker, Partition, View
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.unit.plugins.module_utils.roll_views import address

IDS = range(1, 6)
#: Faults are rare, or every cluster has one.
ODDS = st.integers(0, 29)


@st.composite
def clusters(draw: st.DrawFn, healthy: bool = False) -> tuple[View, Rules]:
    """A pool, what is registered of it and beside it, and partitions in any state, also impossible ones."""
    pool = sorted(draw(st.sets(st.sampled_from(IDS), min_size=1)))
    ids = pool if healthy or draw(ODDS) > 2 else [*pool, 9]
    registered = pool if healthy else [n for n in ids if draw(ODDS) < (28 if n != 9 else 1)]
    racks = {n: draw(st.sampled_from("ab")) for n in pool}
    partitions = []
    for number in range(draw(st.integers(0, 5))):
        size = draw(st.integers(1, min(4, len(ids))))
        replicas = tuple(draw(st.permutations(ids)))[:size]
        isr = replicas if healthy else tuple(n for n in replicas if draw(ODDS) < 28)
        led = bool(isr) and (healthy or draw(ODDS) < 29)
        partitions.append(Partition(draw(st.sampled_from("tuv")), number, isr[0] if led else None, replicas, isr))
    minima = {topic: draw(st.integers(0, 3)) for topic in "tuv" if healthy or draw(ODDS) < 29}
    seen = View(
        "x",
        draw(st.sampled_from(pool)) if healthy or draw(ODDS) < 29 else None,
        tuple(Broker(n, address(n) if healthy or draw(ODDS) < 29 else "elsewhere", 9092) for n in registered),
        tuple(partitions),
        minima,
        frozenset() if healthy or draw(ODDS) < 29 else draw(st.sampled_from([None, frozenset({("t", 0)})])),
    )
    silent = frozenset() if healthy else frozenset(n for n in registered if draw(ODDS) == 0)
    allowed = frozenset(draw(st.sets(st.sampled_from("tuv"), max_size=1)))
    return seen, Rules({n: Member(n, address(n), 0, racks[n]) for n in pool}, allowed, silent)


def keeps(seen: View, rules: Rules, batch: Any, isr: bool) -> bool:
    """The inequality, from its definition; with the ISR, or with all replicas."""
    for partition in seen.partitions:
        if partition.topic in rules.unavailable_topics_allowed or not set(batch) & set(partition.replicas):
            continue
        alive = set(partition.isr) - rules.silent if isr else set(partition.replicas)
        alive &= set(rules.members)
        if len(alive - set(batch)) < max(1, seen.min_insync_replicas.get(partition.topic, 1)):
            return False
    return True


def steady(seen: View, rules: Rules, own: set[int], gone: set[int]) -> bool:
    """Nothing is wrong but what ``own`` brokers lack; of them ``gone`` are started, so what only they hold may wait."""
    registered = {broker.node_id: broker.host for broker in seen.brokers}
    if seen.controller_id not in registered or seen.reassigning is None or seen.reassigning:
        return False
    if any(n not in rules.members for p in seen.partitions for n in p.replicas):
        return False
    if any(n not in rules.members or rules.members[n].host != host for n, host in registered.items()):
        return False
    if any((n not in registered or n in rules.silent) and n not in own for n in rules.members):
        return False
    for partition in seen.partitions:
        if partition.leader is None:
            if not set(partition.isr or partition.replicas) <= gone:
                return False
        elif not set(partition.replicas) - set(partition.isr) <= own:
            return False
    return True


def told_minima(seen: View, rules: Rules, stopped: set[int]) -> bool:
    return all(
        p.topic in seen.min_insync_replicas
        or p.topic in rules.unavailable_topics_allowed
        or not stopped & set(p.replicas)
        for p in seen.partitions
    )


@settings(max_examples=500, deadline=None)
@given(clusters(), st.data())
def test_the_gate_is_open_exactly_when_the_plain_rules_say_so(cluster: tuple[View, Rules], data: st.DataObject) -> None:
    seen, rules = cluster
    batch = data.draw(st.sets(st.sampled_from(sorted(rules.members)), min_size=1, max_size=3))
    wanted = steady(seen, rules, batch, set()) and told_minima(seen, rules, batch) and keeps(seen, rules, batch, True)
    event(f"open {wanted}")
    assert (closed_by(seen, rules, batch) == []) is wanted


@settings(max_examples=200, deadline=None)
@given(clusters(healthy=True), st.data())
def test_the_gate_of_a_healthy_cluster_is_the_inequality(cluster: tuple[View, Rules], data: st.DataObject) -> None:
    seen, rules = cluster
    batch = data.draw(st.sets(st.sampled_from(sorted(rules.members)), min_size=1))
    event(f"open {keeps(seen, rules, batch, True)}")
    assert (closed_by(seen, rules, batch) == []) is keeps(seen, rules, batch, True)


@settings(max_examples=500, deadline=None)
@given(clusters(), st.data())
def test_a_plan_is_refused_exactly_when_the_plain_rules_say_so(
    cluster: tuple[View, Rules], data: st.DataObject
) -> None:
    seen, rules = cluster
    targets = data.draw(st.sets(st.sampled_from(sorted(rules.members)), min_size=data.draw(st.integers(0, 1))))
    starts = targets - {broker.node_id for broker in seen.brokers}
    waiting = [p for p in seen.partitions if p.leader is None and set(p.isr or p.replicas) <= starts]
    lagging = {n for p in seen.partitions if p not in waiting for n in set(p.replicas) - set(p.isr)}
    unwell = (targets - starts) & (lagging | rules.silent)
    repaired = starts | (unwell if len(unwell) == 1 else set())
    stopped = targets - starts
    fine = steady(seen, rules, repaired, starts) and told_minima(seen, rules, stopped)
    fine = fine and all(keeps(seen, rules, {node_id}, False) for node_id in stopped)
    mode = data.draw(st.sampled_from(["serial", "rack"]))
    found = make_plan(seen, rules, Request(tuple(targets), mode))
    event(f"refused {bool(found.refusals)}, stops {bool(stopped)}")
    assert bool(found.refusals) is (bool(stopped) and not fine)
    if not found.refusals:
        _in_order(seen, rules, found, targets, starts, unwell)
        _walk(seen, rules, found, starts)


def _in_order(seen: View, rules: Rules, found: Plan, targets: set[int], starts: set[int], unwell: set[int]) -> None:
    """Each target once; what is to be started first, what is unwell next, the controller's batch last."""
    batches = [set(batch) for batch in found.batches]
    assert sorted(n for batch in found.batches for n in batch) == sorted(targets)
    assert [n for step in found.steps if step.action == "start" for n in [step.node_id]] == sorted(starts)
    head = ([starts] if starts else []) + ([unwell] if unwell else [])
    assert batches[: len(head)] == head
    if seen.controller_id in targets - starts - unwell:
        assert seen.controller_id in batches[-1]


def _walk(seen: View, rules: Rules, found: Plan, starts: set[int]) -> None:
    """Carry the plan out on paper: after each batch all is in sync, and before each stop the gate is open."""
    for batch in found.batches:
        if not starts >= set(batch):
            assert closed_by(seen, rules, batch) == []
        brokers = {broker.node_id: broker for broker in seen.brokers}
        brokers.update({n: Broker(n, rules.members[n].host, 9092) for n in batch})
        repaired = tuple(
            replace(p, isr=p.replicas if p.leader is None else tuple(n for n in p.replicas if n in {*p.isr, *batch}))
            for p in seen.partitions
            if p.replicas
        )
        led = tuple(replace(p, leader=p.isr[0]) for p in repaired)
        seen = replace(seen, brokers=tuple(brokers.values()), partitions=led)
        rules = replace(rules, silent=rules.silent - set(batch))


@settings(max_examples=200, deadline=None)
@given(clusters(healthy=True), st.one_of(st.none(), st.integers(1, 5)))
def test_a_rack_takes_the_fewest_batches_that_there_are(cluster: tuple[View, Rules], size: int | None) -> None:
    seen, rules = cluster
    found = make_plan(seen, rules, Request(tuple(rules.members), "rack", size))
    if found.refusals:
        return
    by_rack: dict[str, list[int]] = {}
    for member in rules.members.values():
        by_rack.setdefault(str(member.rack), []).append(member.node_id)
    for rack, node_ids in by_rack.items():
        mine = [batch for batch in found.batches if set(batch) & set(node_ids)]
        assert all(set(batch) <= set(node_ids) for batch in mine)
        ways = [
            way
            for way in _ways(node_ids)
            if all(len(batch) <= (size or 9) and keeps(seen, rules, batch, False) for batch in way)
        ]
        assert len(mine) == min(map(len, ways))
        told = [one for one in found.splits if one.rack == rack]
        assert [one.batches for one in told] == ([len(mine)] if len(mine) > 1 else [])
        if told and size is None:
            assert told[0].partitions
            assert told[0].fewest


def _ways(nodes: Sequence[int]) -> Iterator[list[list[int]]]:
    """Every way to put nodes into batches."""
    if not nodes:
        yield []
        return
    for smaller in _ways(nodes[1:]):
        yield [[nodes[0]], *smaller]
        for number in range(len(smaller)):
            yield [*smaller[:number], [nodes[0], *smaller[number]], *smaller[number + 1 :]]
