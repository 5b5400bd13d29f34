# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the plan of a roll takes, and how much memory, for generated clusters of up to 3,000 brokers.

Three replicas, C(min.insync.replicas) 2, three racks. Mostly one replica in each rack, as Kafka places them. One
cluster is placed without regard to racks, so that no rack can be stopped at once and the fewest batches have to be
searched for; that one has no bound. Needs neither root nor a lab.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import Bound, Figures, NotMeasuredError, Spread, spread
from lab.demo.stage import REPOSITORY, Say

LIMIT_SECONDS = 2.0
LIMIT_BYTES = 1 << 30
TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class Case:
    """A cluster and how it is rolled."""

    brokers: int
    partitions: int
    placement: str = "by_rack"
    mode: str = "rack"

    @property
    def name(self) -> str:
        """The case in a table's head."""
        return f"{self.brokers} x {self.partitions}, {self.mode}" + (
            "" if self.placement == "by_rack" else f", {self.placement}"
        )


#: From these comes the slope.
GROWING = (Case(250, 50_000), Case(500, 100_000), Case(1_000, 200_000), Case(3_000, 1_000_000))
BOUND = (Case(1_000, 200_000), Case(1_000, 200_000, mode="serial"))
CASES = (*GROWING, BOUND[1], Case(1_000, 200_000, placement="anywhere"))


@dataclass(frozen=True)
class Planned:
    """One plan; the peak is that of the whole process, with the metadata that the view was made from."""

    case: Case
    view_seconds: float
    plan_seconds: float
    plan_processor_seconds: float
    metadata_peak_bytes: int
    peak_bytes: int
    batches: int
    fewest: bool

    def as_dict(self) -> dict[str, Any]:
        """One level of plain data."""
        told = vars(self).copy()
        return {**vars(told.pop("case")), **told}


def planned(case: Case, told: Mapping[str, Any]) -> Planned:
    """What a child said; NotMeasuredError when its plan was a refusal, because that one is no plan."""
    if told["refusals"] or not told["batches"]:
        raise NotMeasuredError(f"{case.name}: the plan has {told['refusals']} refusals, {told['batches']} batches")
    return Planned(case, **{name: value for name, value in told.items() if name != "refusals"})


def summary(done: Sequence[Planned], conditions: Mapping[str, Any]) -> Figures:
    """Spreads by case, the bounds of the cluster that has some, and what a partition more costs."""
    spreads: dict[str, dict[str, Spread]] = {}
    for case in CASES:
        mine = [one for one in done if one.case == case]
        spreads[case.name] = {
            "plan_seconds": spread(f"{case.name} plan", [one.plan_seconds for one in mine]),
            "plan_on_a_processor_seconds": spread(
                f"{case.name} processor", [one.plan_processor_seconds for one in mine]
            ),
            "view_from_metadata_seconds": spread(f"{case.name} view", [one.view_seconds for one in mine]),
            "peak_with_metadata_bytes": spread(f"{case.name} peak", [one.peak_bytes for one in mine]),
            "peak_before_the_view_bytes": spread(f"{case.name} before", [one.metadata_peak_bytes for one in mine]),
            "batches": spread(f"{case.name} batches", [one.batches for one in mine]),
        }
    bounds = []
    for case in BOUND:
        rows = spreads[case.name]
        bounds.append(Bound(f"{case.name}: plan", LIMIT_SECONDS, rows["plan_seconds"].median))
        bounds.append(Bound(f"{case.name}: peak", LIMIT_BYTES, rows["peak_with_metadata_bytes"].median, "bytes"))
    slopes = {
        "plan_seconds_per_million_partitions": _per_million(spreads, "plan_seconds"),
        "view_seconds_per_million_partitions": _per_million(spreads, "view_from_metadata_seconds"),
        "peak_mebibytes_per_million_partitions": round(_per_million(spreads, "peak_with_metadata_bytes") / (1 << 20)),
        "not_proven_the_fewest_batches": sorted({one.case.name for one in done if not one.fewest}),
    }
    return Figures(spreads, tuple(bounds), tuple(one.as_dict() for one in done), {**conditions, **slopes})


def _per_million(spreads: Mapping[str, Mapping[str, Spread]], row: str) -> float:
    """The slope of a straight line through the medians of the growing clusters."""
    medians = [spreads[case.name][row].median for case in GROWING]
    slope, _zero = statistics.linear_regression([case.partitions for case in GROWING], medians)
    return round(slope * 1_000_000, 2)


def _plan(case: Case) -> Planned:
    """Plan once, in a process of its own."""
    arguments = [str(case.brokers), str(case.partitions), case.placement, case.mode]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.plan_once", *arguments],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY / "collections")},
        )
    except subprocess.TimeoutExpired as error:
        raise NotMeasuredError(f"{case.name}: no plan within {TIMEOUT_SECONDS} s") from error
    if done.returncode != 0:
        raise NotMeasuredError(f"{case.name}: {done.stderr.strip()[-1000:] or done.returncode}")
    return planned(case, json.loads(done.stdout))


def run(rounds: int, say: Say) -> Figures:
    """Measure every case in every round."""
    conditions: dict[str, object] = {
        "processors": os.cpu_count(),
        "load_average_1m_before": round(os.getloadavg()[0], 2),
    }
    done = []
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for case in CASES:
            done.append(_plan(case))
            say(f"    {case.name}: {done[-1].plan_seconds} s")
    conditions["load_average_1m_after"] = round(os.getloadavg()[0], 2)
    return summary(done, conditions)
