# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A herd of claimants as processes against three real ZooKeeper servers, with faults: a part of the claim bench.

The judge is C(tests.herd.checker), over ZooKeeper's own transaction logs. Times are not judged here but for the bound
of each claim: this machine may be busy. C(make claim-bench) measures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.api.request_rate import RateLimits
from tests.herd import boots, plans
from tests.herd.bench import Bench, Plan, verdicts
from tests.herd.boots import BootPlan
from tests.herd.checker import check
from tests.herd.history import Verdict
from tests.integration.services import ZooKeeperEnsemble


@pytest.fixture(scope="module")
def bench(zookeeper_ensemble: ZooKeeperEnsemble) -> Iterator[Bench]:
    """A bench on the shared ensemble."""
    bench = Bench(zookeeper_ensemble, print)
    yield bench
    bench.close()


def test_a_hundred_claimants_for_a_hundred_identities_while_the_leader_is_killed(bench: Bench) -> None:
    round_ = bench.run(replace(plans.named(plans.LEADER_KILLED), bound_seconds=120.0), seed=1)
    assert round_.violations == []
    assert round_.figures["winners"] == 100
    assert round_.figures["leader_again_seconds"] is not None, (
        "nobody led after the leader's death: no fault was tested"
    )
    assert round_.figures["claimed_when_struck"] < 100, "all had claimed before the leader died: no fault was tested"
    assert round_.figures["ec2_calls_per_winner_max"] <= boots.BUDGET


def test_every_fault_at_once_and_fewer_identities_than_claimants(bench: Bench) -> None:
    plan = replace(plans.named("everything"), claimants=50, identities=30, killed=15, fault_seconds=3.0)
    round_ = bench.run(plan, seed=2)
    assert round_.violations == []
    assert (round_.figures["winners"], round_.figures["losers_by_reason"]) == (30, {"no_candidate": 20})
    assert round_.figures["claimants_restarted"] >= 5
    assert {"before", "reply"} & round_.figures["cuts"].keys()
    assert round_.figures["unknown_replies"] > 0


def test_throttled_herd_of_boots_does_not_throttle_itself(bench: Bench) -> None:
    scarce = RateLimits(reading_burst=1, reading_per_second=1, changing_burst=1, changing_per_second=0.7)
    figures = boots.run(bench, BootPlan("boots", boots=10, limits=scarce))
    assert figures["violations"] == []
    assert figures["winners"] == 10
    assert figures["ec2_requests_refused"] > 0, "nothing was refused: no throttling was tested"


def test_the_judge_sees_what_is_planted_into_a_real_round(bench: Bench) -> None:
    honest = bench.run(Plan("planted", claimants=6, identities=4), seed=3)
    assert honest.violations == []
    loser = next(verdict for verdict in honest.history.verdicts if not verdict.succeeded)
    winner = next(verdict for verdict in honest.history.verdicts if verdict.succeeded)

    def kinds(*verdicts: Verdict) -> set[str]:
        told = {verdict.instance_id: verdict for verdict in (*honest.history.verdicts, *verdicts)}
        history = replace(honest.history, verdicts=tuple(told.values()))
        return {violation.kind for violation in check(history, honest.expected)}

    assert "double_identity" in kinds(replace(winner, instance_id=loser.instance_id))
    assert "lost_identity" in kinds(replace(winner, outcome=None, node_id=None, reason="no_candidate"))


def test_claimants_that_crash_or_never_end_are_seen(bench: Bench, tmp_path: Path) -> None:
    job = {
        "cluster": "c",
        "role": "kafka",
        "zone": "z",
        "hosts": ["127.0.0.1:9"],
        "interfaces": [],
        "volumes": [],
        "states": {},
        "ec2_call_seconds": 0.0,
        "timeout_seconds": 60.0,
        "poll_seconds": 5.0,
    }
    order = {"kind": "claim", "claimants": [{"instance_id": "i-1"}], "limit_seconds": 1.0}
    bench.nursery.tell({**order, "job": job, "results": str(tmp_path / "endless.jsonl")})
    assert bench.nursery.answer(60)["crashed"] == ["i-1: still ran after 1.0 s", "i-1: status 9"]
    bench.nursery.tell({**order, "job": {**job, "interfaces": [None]}, "results": str(tmp_path / "crash.jsonl")})
    assert bench.nursery.answer(60)["crashed"] == []
    assert verdicts(tmp_path / "crash.jsonl")[0].reason == "crash"
