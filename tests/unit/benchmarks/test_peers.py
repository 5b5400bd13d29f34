# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison with other practices: its table, its bounds, its plays."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import yaml

from benchmarks import __main__ as bench
from benchmarks import peers
from benchmarks.figures import NotMeasuredError
from benchmarks.produce import Seen, Sends
from benchmarks.sampler import Broken

SENDS = Sends(1000, 0, 2.0, 20.0, 0.5)
WELL = Seen(500, 0, 0, 0.1, SENDS)
NOTHING = Broken(0.0, 0.0, 0.0)
RAN = {
    "open port": peers.Ran("open port", True, 40.0, 50.0, 3, Broken(7.5, 1.0, 0.0), WELL),
    "URP window": peers.Ran("URP window", True, 80.0, 80.0, 3, NOTHING, WELL),
    "holdfast": peers.Ran("holdfast", True, 100.0, 100.0, 3, NOTHING, WELL),
}
TIGHT = {
    "open port": peers.Tight("open port", False, 40.0, 3, Broken(30.0, 0.0, 0.0), SENDS),
    "URP window": peers.Tight("URP window", False, 80.0, 3, Broken(30.0, 0.0, 0.0), SENDS),
    "holdfast": peers.Tight("holdfast", True, 20.0, 0, NOTHING, SENDS),
}


def test_every_practice_has_both_columns_and_the_ratios_are_of_the_same_run() -> None:
    figures = peers.summary([*RAN.values(), *RAN.values()], list(TIGHT.values()), {"processors": 2})
    assert list(figures.spreads) == [*peers.KINDS, *(kind + peers.TIGHT for kind in peers.KINDS)]
    assert figures.spreads["open port"]["under_min_isr_seconds"].median == 7.5
    assert figures.spreads["holdfast"]["nobody_could_tell_seconds"].median == 0.0
    assert figures.conditions["holdfast_by"] == {"open port": 2.0, "URP window": 1.25}
    assert figures.conditions["refused_without_a_replica_to_spare"] == {
        "open port": False,
        "URP window": False,
        "holdfast": True,
    }
    assert all(bound.reached for bound in figures.bounds), "what the others break is no bound of ours"
    assert len(figures.as_json()["rounds"]) == 9


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({"broken": Broken(0.5, 0.0, 0.0)}, "holdfast: under min.insync.replicas 0.50 s, bound 0.00 s"),
        ({"broken": Broken(0.0, 1.5, 0.0)}, "holdfast: without a leader 1.50 s"),
        ({"seen": dataclasses.replace(WELL, lost=1)}, "holdfast: acknowledged and lost in all rounds 1, bound 0"),
        ({"seen": dataclasses.replace(WELL, failed_sends=3)}, "holdfast: failed sends in all rounds 3, bound 0"),
    ],
)
def test_what_holdfast_breaks_is_loud(changes: dict[str, Any], missed: str) -> None:
    bad = dataclasses.replace(RAN["holdfast"], **changes)
    assert f"MISSED: {missed}" in peers.summary([*RAN.values(), bad], list(TIGHT.values()), {}).table()


def test_a_restart_that_had_to_be_refused_is_loud() -> None:
    tight = [*TIGHT.values(), dataclasses.replace(TIGHT["holdfast"], restarted=2, refused=False)]
    assert (
        "holdfast, no replica to spare: restarted brokers 2, bound 0"
        in peers.summary([*RAN.values()], tight, {}).table()
    )


def test_a_play_that_gave_up_is_told_and_compared_with_nothing() -> None:
    gave_up = dataclasses.replace(RAN["URP window"], ended_well=False, restarted=1, whole_seconds=5.0)
    figures = peers.summary([*RAN.values(), gave_up], list(TIGHT.values()), {})
    assert figures.conditions["rounds_that_did_not_end_well"] == {"open port": 0, "URP window": 1, "holdfast": 0}
    assert figures.conditions["holdfast_by"] == {"open port": 2.0, "URP window": 1.25}
    always = [*(one for kind, one in RAN.items() if kind != "URP window"), gave_up]
    assert peers.summary(always, list(TIGHT.values()), {}).conditions["holdfast_by"]["URP window"] is None


@pytest.mark.parametrize("kind", peers.KINDS)
def test_a_practice_without_a_round_is_no_measurement(kind: str) -> None:
    with pytest.raises(NotMeasuredError, match=kind):
        peers.summary([one for one in RAN.values() if one.kind != kind], list(TIGHT.values()), {})
    with pytest.raises(NotMeasuredError, match=kind):
        peers.summary(list(RAN.values()), [one for one in TIGHT.values() if one.kind != kind], {})


@pytest.mark.parametrize("name", peers.PEERS.values())
def test_the_plays_restart_one_broker_after_the_other(name: str) -> None:
    (play,) = yaml.safe_load((peers.PLAYS / name).read_text(encoding="utf-8"))
    assert (play["hosts"], play["serial"], play["any_errors_fatal"]) == ("kafka", 1, True)
    assert play["tasks"][0]["ansible.builtin.systemd_service"] == {"name": "kafka", "state": "restarted"}


def test_the_window_is_the_one_that_is_told() -> None:
    (play,) = yaml.safe_load((peers.PLAYS / "urp_window.yml").read_text(encoding="utf-8"))
    gate = play["tasks"][-1]
    assert gate["retries"] * gate["delay"] == 75
    assert "--under-replicated-partitions" in gate["ansible.builtin.command"]["argv"]


def test_all_are_registered() -> None:
    assert list(bench.BENCHMARKS) == ["boot", "plan", "refill", "rolls", "peers"]
