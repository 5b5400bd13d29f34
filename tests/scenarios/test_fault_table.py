# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Four faults of `make test-faults`, one of each kind of outcome; the whole table is one command and half an hour."""

from __future__ import annotations

from lab.demo import cluster
from lab.demo.stage import Stage
from tests.faults import runner, table
from tests.faults.writer import Writer

# A boot that is cut off, two claimants for one identity, a holder that only looks dead, a volume that is not its own.
PLAYED = ("kill-after-eni", "two-replacements", "stopped-holder", "foreign-volume")


def test_one_fault_of_each_kind_ends_as_expected(stage: Stage) -> None:
    writer = Writer(cluster.addresses("kafka"), "scenario-faults", stage.logs)
    played: list[runner.Played] = []
    try:
        for turn, fault in enumerate(table.select(",".join(PLAYED))):
            played.append(runner.play(stage, writer, fault, turn))
            if not played[-1].whole:
                break
    finally:
        results = runner.judge(writer, played)
    assert {one["name"]: one["differences"] for one in results} == {name: [] for name in PLAYED}
    assert all(one["acked"] > 0 for one in results), results
