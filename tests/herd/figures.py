# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a round's verdicts to its figures. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tests.herd.checker import DOUBLE, Violation, last_verdicts
from tests.herd.history import Expectation, History


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least this share of all values does not exceed; None of nothing."""
    if not values:
        return None
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


def spread(prefix: str, seconds: Iterable[float]) -> dict[str, float | None]:
    """Return p50, p99 and the maximum, in seconds, under keys that say so."""
    values = list(seconds)
    found = {"p50": percentile(values, 0.5), "p99": percentile(values, 0.99), "max": max(values, default=None)}
    return {f"{prefix}_{name}_seconds": None if value is None else round(value, 3) for name, value in found.items()}


def summary(history: History, expected: Expectation, violations: Sequence[Violation]) -> dict[str, Any]:
    """Return a round's figures; C(claim) counts from the common start, C(own) from each process' own start; C(cpu) is
    the processor time of a claim, which does not depend on how busy the machine is.
    """
    last = last_verdicts(history).values()
    won = [verdict for verdict in last if verdict.succeeded]
    lost = [verdict for verdict in last if not verdict.succeeded]
    calls = [len(verdict.requests) for verdict in last]
    attempts = [len(verdict.attempts) for verdict in last]
    return {
        "claimants": len(expected.claimants),
        "identities": len(expected.identities),
        "winners": len(won),
        "losers_by_reason": dict(Counter(verdict.reason for verdict in lost)),
        **spread("claim", (verdict.seconds for verdict in won)),
        **spread("own", (verdict.own_seconds for verdict in won)),
        **spread("cpu", (verdict.cpu_seconds for verdict in won)),
        **spread("loser", (verdict.seconds for verdict in lost)),
        "attempts": sum(attempts),
        "attempts_max_per_claimant": max(attempts, default=0),
        "lost_races": sum(verdict.results("lost") for verdict in last),
        "unknown_replies": sum(verdict.results("unknown") for verdict in last),
        "waits": dict(Counter(wait for verdict in last for wait in verdict.waits)),
        "ec2_calls": sum(calls),
        "ec2_calls_per_winner_max": max((len(verdict.requests) for verdict in won), default=0),
        "ec2_calls_per_loser_max": max((len(verdict.requests) for verdict in lost), default=0),
        "claim_writes": len(history.writes),
        "double_identity": sum(violation.kind in DOUBLE for violation in violations),
        "violations": [f"{violation.kind}: {violation.message}" for violation in violations],
    }
