# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rounds of the claim bench, as data."""

from __future__ import annotations

from lab.api.request_rate import RateLimits
from tests.herd.bench import Plan
from tests.herd.boots import BootPlan

#: What EC2 documents, and a tenth of it, as when somebody else has used up the account's tokens.
DOCUMENTED = RateLimits()
TIGHT = RateLimits(reading_burst=10, reading_per_second=2, changing_burst=5, changing_per_second=0.5)

LEADER_KILLED = "leader_killed"

ROUNDS: tuple[Plan, ...] = (
    Plan("calm"),
    Plan("calm_fewer", identities=40),
    Plan("holders_dead", holders_dead=True),
    Plan(LEADER_KILLED, server_fault="leader_killed"),
    Plan("leader_killed_fewer", identities=40, server_fault="leader_killed"),
    Plan("leader_paused", server_fault="leader_paused", fault_seconds=8.0),
    Plan("follower_paused", server_fault="follower_paused", fault_seconds=8.0),
    Plan("connections_cut", cut_writes=0.3, cut_reads=0.002, bound_seconds=120.0),
    Plan("claimants_killed", killed=40),
    Plan(
        "everything",
        identities=60,
        server_fault="leader_killed",
        cut_writes=0.2,
        cut_reads=0.002,
        killed=30,
        bound_seconds=120.0,
    ),
)

BOOTS: tuple[BootPlan, ...] = (
    BootPlan("boots"),
    BootPlan("boots_documented_rate", limits=DOCUMENTED),
    BootPlan("boots_tenth_of_rate", limits=TIGHT),
)


def named(name: str) -> Plan:
    """Return a round by its name; raise KeyError for one that does not exist."""
    return {plan.name: plan for plan in ROUNDS}[name]
