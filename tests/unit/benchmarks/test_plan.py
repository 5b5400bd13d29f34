# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan's benchmark: generated clusters are what they are said to be, and holes are no figures."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pytest

from benchmarks import __main__ as bench
from benchmarks import plan, plan_once
from benchmarks.figures import NotMeasuredError
from benchmarks.topology import Topology

MIB = 1 << 20
TOLD = {
    "view_seconds": 0.5,
    "plan_seconds": 1.0,
    "plan_processor_seconds": 0.9,
    "metadata_peak_bytes": 100 * MIB,
    "peak_bytes": 200 * MIB,
    "batches": 3,
    "refusals": 0,
    "fewest": True,
}


def replica_sets(topology: Topology) -> list[list[int]]:
    return [partition["replica_nodes"] for topic in topology.topics() for partition in topic["partitions"]]


@pytest.mark.parametrize(("brokers", "partitions"), [(3, 50), (6, 1000), (50, 5001), (100, 20000)])
def test_one_replica_in_each_rack(brokers: int, partitions: int) -> None:
    topology = Topology(brokers, partitions)
    placed = replica_sets(topology)
    assert len(placed) == partitions
    assert all(len({topology.rack(node_id) for node_id in replicas}) == 3 for replicas in placed)


def test_replicas_and_leaders_are_spread_evenly_and_not_over_the_same_neighbours() -> None:
    placed = replica_sets(Topology(30, 9000))
    for load in (Counter(replicas[0] for replicas in placed), Counter(one for replicas in placed for one in replicas)):
        assert len(load) == 30
        assert max(load.values()) == min(load.values())
    assert len({frozenset(replicas) for replicas in placed}) > 90


def test_placed_anywhere_some_share_a_rack_and_it_is_the_same_each_time() -> None:
    topology = Topology(30, 300, "anywhere")
    placed = replica_sets(topology)
    assert placed == replica_sets(topology)
    assert all(len(set(replicas)) == 3 for replicas in placed)
    assert any(len({topology.rack(node_id) for node_id in replicas}) < 3 for replicas in placed)


def test_addresses_are_apart() -> None:
    topology = Topology(3000, 1)
    assert len({topology.host(node_id) for node_id in range(3000)}) == 3000


@pytest.mark.parametrize(("brokers", "placement"), [(2, "by_rack"), (6, "somehow")])
def test_a_cluster_that_cannot_be(brokers: int, placement: str) -> None:
    with pytest.raises(ValueError, match=f"{brokers} brokers|{placement}"):
        Topology(brokers, 1, placement)


@pytest.mark.parametrize(
    ("placement", "mode", "batches"), [("by_rack", "rack", 3), ("by_rack", "serial", 30), ("anywhere", "rack", 30)]
)
def test_what_is_measured_is_a_plan(placement: str, mode: str, batches: int) -> None:
    told = plan_once.measure(Topology(30, 3000, placement), mode)
    assert (told["refusals"], told["batches"]) == (0, batches)
    assert 0 < told["metadata_peak_bytes"] <= told["peak_bytes"]


def done(case: plan.Case, **changes: Any) -> plan.Planned:
    return plan.planned(case, {**TOLD, **changes})


def all_cases(scale: float = 1.0) -> list[plan.Planned]:
    """Plans whose time and peak are proportional to their partitions."""
    return [
        done(case, plan_seconds=scale * case.partitions / 200_000, peak_bytes=case.partitions * 1000)
        for case in plan.CASES
    ]


def test_slopes_are_those_of_the_medians_and_the_bounds_are_of_one_size() -> None:
    figures = plan.summary(all_cases() + all_cases(2.0) + all_cases(), {"processors": 2})
    assert figures.conditions["plan_seconds_per_million_partitions"] == 5.0
    assert figures.conditions["peak_mebibytes_per_million_partitions"] == round(1e9 / MIB)
    assert figures.conditions["not_proven_the_fewest_batches"] == []
    assert [(bound.name, bound.unit, bound.reached) for bound in figures.bounds] == [
        ("1000 x 200000, rack: plan", "seconds", True),
        ("1000 x 200000, rack: peak", "bytes", True),
        ("1000 x 200000, serial: plan", "seconds", True),
        ("1000 x 200000, serial: peak", "bytes", True),
    ]
    assert "reached: 1000 x 200000, rack: peak 190.7 MiB, bound 1024.0 MiB" in figures.table()


@pytest.mark.parametrize(
    ("changes", "missed"), [({"plan_seconds": 2.01}, "plan 2.01 s"), ({"peak_bytes": 1025 * MIB}, "peak 1025.0 MiB")]
)
def test_a_bound_is_missed(changes: dict[str, Any], missed: str) -> None:
    figures = plan.summary([done(case, **changes) for case in plan.CASES], {})
    assert f"MISSED: 1000 x 200000, rack: {missed}" in figures.table()


def test_a_split_that_may_not_be_the_best_is_said() -> None:
    (hard,) = [case for case in plan.CASES if case.placement == "anywhere"]
    made = [dataclasses.replace(one, fewest=one.case != hard) for one in all_cases()]
    assert plan.summary(made, {}).conditions["not_proven_the_fewest_batches"] == [hard.name]


def test_a_case_without_a_round_is_not_measured() -> None:
    with pytest.raises(NotMeasuredError, match="0 of 0"):
        plan.summary(all_cases()[1:], {})


@pytest.mark.parametrize("changes", [{"refusals": 2}, {"batches": 0}])
def test_a_refusal_is_no_plan(changes: dict[str, int]) -> None:
    with pytest.raises(NotMeasuredError, match="refusals"):
        done(plan.CASES[0], **changes)


def test_it_needs_no_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.preflight, "blocking_reason", lambda: "no lab here")
    monkeypatch.setattr(bench, "measure", lambda wanted, _rounds, _report: 7 + len(wanted))
    assert bench.main(["plan"]) == 8
    assert bench.main(["plan", "boot"]) == 2
    assert bench.main([]) == 2
