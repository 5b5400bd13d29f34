# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench's gates on requests and time: each is shown to fire."""

from __future__ import annotations

from typing import Any

import pytest

from lab.api.request_rate import CODE, RateLimits
from tests.herd.__main__ import report
from tests.herd.boots import BootPlan, amplification, requests
from tests.herd.history import History, Verdict

FREE, SCARCE = BootPlan("free"), BootPlan("scarce", limits=RateLimits())


def counts(served: int, refused: int, own: int, per_boot_max: int, boots: int = 10) -> dict[str, Any]:
    return {
        "ec2_requests_served": served,
        "ec2_requests_refused": refused,
        "ec2_requests_by_own_count": own,
        "ec2_requests_per_boot_mean": (served + refused) / boots,
        "ec2_requests_per_boot_max": per_boot_max,
        "ec2_served_per_boot_mean": served / boots,
    }


@pytest.mark.parametrize(
    ("plan", "found", "kinds"),
    [
        (FREE, counts(60, 0, 60, 6), []),
        (FREE, counts(60, 0, 60, 7), ["over_budget"]),
        (SCARCE, counts(60, 90, 150, 20), []),
        (SCARCE, counts(60, 90, 110, 20), ["uncounted_requests"]),
        (SCARCE, counts(60, 200, 260, 40), ["amplified"]),
        (SCARCE, counts(90, 20, 110, 20), ["amplified"]),
    ],
)
def test_herd_that_asks_too_much_is_named(plan: BootPlan, found: dict[str, Any], kinds: list[str]) -> None:
    assert [violation.kind for violation in amplification(found, plan)] == kinds


def test_requests_are_counted_on_both_sides() -> None:
    served = {"action": "DescribeVolumes", "status": 200}
    refused = {"action": "DescribeVolumes", "status": 503, "error": CODE}
    verdict = Verdict("a", 0, 0.0, 0.0, 1.0, "claimed", 1, 0, requests=("DescribeVolumes",) * 3)
    found = requests(History((), (), (verdict,)), [served, refused, served], boots=1)
    assert (found["ec2_requests_served"], found["ec2_requests_refused"]) == (2, 1)
    assert (found["ec2_requests_by_own_count"], found["ec2_requests_per_boot_max"]) == (3, 3)
    assert found["ec2_served_by_action"] == {"DescribeVolumes": 2}


def figures(name: str, p99: float, **more: Any) -> dict[str, Any]:
    keys = ("claim_p50_seconds", "claim_max_seconds", "winners", "attempts", "lost_races", "double_identity")
    empty = {"claimants": 100, "identities": 100, "faults": [], "violations": []}
    return {"name": name, **dict.fromkeys(keys, 1), **empty, "claim_p99_seconds": p99, **more}


def test_target_is_that_of_the_slowest_round_with_a_killed_leader() -> None:
    fast, slow, paused = figures("leader_killed", 3.0), figures("leader_killed", 5.0), figures("leader_paused", 9.0)
    assert report([fast, paused], [], 1, {})["target_met"] is True
    missed = report([fast, slow, paused], [], 1, {})
    assert (missed["target_met"], missed["claim_p99_seconds"]) == (False, 5.0)
    assert report([paused], [], 1, {})["target_met"] is None


def test_violations_and_doubles_of_all_rounds_and_boots_add_up() -> None:
    bad = figures("calm", 1.0, violations=["x", "y"], double_identity=2)
    herd = figures("boots", 1.0, violations=["z"], double_identity=1)
    found = report([bad], [herd], 1, {})
    assert (found["violations"], found["double_identity"]) == (3, 3)
