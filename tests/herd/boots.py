# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A herd of booting instances against the strict EC2 over HTTP, with EC2's rate limits: what it costs in requests."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from lab.api.request_rate import CODE, RateLimits
from tests.herd.bench import LIMIT_SECONDS, ROLE, ZONE, Bench, verdicts
from tests.herd.checker import Violation, check
from tests.herd.figures import summary
from tests.herd.history import Expectation, History

BUDGET = 6
#: A boot that was refused for long reads the pool once more.
MORE_SERVED = 1
#: However scarce EC2's tokens are, a call is sent this often at most, in the mean of a herd.
ATTEMPTS_MEAN = 4


@dataclass(frozen=True)
class BootPlan:
    """One herd; every boot must end well within the bound."""

    name: str
    boots: int = 30
    limits: RateLimits | None = None
    bound_seconds: float = 120.0


def run(bench: Bench, plan: BootPlan) -> dict[str, Any]:
    """Boot the herd once and return its figures; C(violations) among them tells what must not be."""
    with bench.world() as world:
        api = world.api
        assert api.imds is not None
        enis = {node_id: world.add_identity(ROLE, node_id, ZONE)[0] for node_id in range(plan.boots)}
        names = bench.launch(world, plan.boots)
        sources = {name: f"127.1.0.{number}" for number, name in enumerate(names, start=1)}
        for name, source in sources.items():
            api.imds.map_source(source, name)
        results = bench.directory / f"{world.cluster}.jsonl"
        order = {
            "kind": "boot",
            "job": {
                "environment": api.environment(),
                "imds": api.imds.endpoint,
                "cluster": world.cluster,
                "role": ROLE,
                "hosts": bench.ensemble.hosts,
                "poll_seconds": 5.0,
                "timeout_seconds": int(plan.bound_seconds),
            },
            "claimants": [{"instance_id": name, "source": source} for name, source in sources.items()],
            "results": str(results),
            "limit_seconds": LIMIT_SECONDS,
        }
        before = api.events.last_sequence
        api.request_rate.limit(plan.limits)
        bench.nursery.tell(order)
        ended = bench.nursery.answer(LIMIT_SECONDS + 60)
        api.request_rate.limit(None)
        journal = [event for event in api.events.since(before, "api") if event["service"] == "ec2"]
        final, raw = bench.final(f"/holdfast/{world.cluster}/{ROLE}/claims")
        writes = bench.writes(f"/holdfast/{world.cluster}/{ROLE}/claims", raw)
        history = History(writes, final, verdicts(results))
        expected = Expectation(tuple(names), tuple(enis), bound_seconds=plan.bound_seconds)
        violations = check(history, expected)
        violations += [Violation("crash", text) for text in ended["crashed"]]
        for item in final:
            holder = world.holder(enis[item.node_id])
            if holder != item.holder:
                violations.append(Violation("false_attach", f"{item.node_id}: {holder} has it, claimed {item.holder}"))
    counts = requests(history, journal, plan.boots)
    violations += amplification(counts, plan)
    return {
        "name": plan.name,
        "limits": asdict(plan.limits) if plan.limits else None,
        **summary(history, expected, violations),
        **counts,
    }


def amplification(counts: dict[str, Any], plan: BootPlan) -> list[Violation]:
    """What must not be: requests that nobody counted, a boot over its budget, refusals that breed more. Pure."""
    found = []
    total = counts["ec2_requests_served"] + counts["ec2_requests_refused"]
    if counts["ec2_requests_by_own_count"] != total:
        found.append(
            Violation("uncounted_requests", f"EC2 had {total}, the boots count {counts['ec2_requests_by_own_count']}")
        )
    if plan.limits is None and counts["ec2_requests_per_boot_max"] > BUDGET:
        found.append(Violation("over_budget", f"{counts['ec2_requests_per_boot_max']} requests by one boot"))
    if counts["ec2_served_per_boot_mean"] > BUDGET + MORE_SERVED:
        found.append(Violation("amplified", f"{counts['ec2_served_per_boot_mean']} served requests per boot"))
    if counts["ec2_requests_per_boot_mean"] > BUDGET * ATTEMPTS_MEAN:
        found.append(Violation("amplified", f"{counts['ec2_requests_per_boot_mean']} requests per boot"))
    return found


def requests(history: History, journal: list[dict[str, Any]], boots: int) -> dict[str, Any]:
    """Return what the herd asked of EC2, by its own count and by EC2's. Pure."""
    refused = sum(event.get("error") == CODE for event in journal)
    own = sorted(len(verdict.requests) for verdict in history.verdicts)
    return {
        "ec2_requests_served": len(journal) - refused,
        "ec2_requests_refused": refused,
        "ec2_requests_by_own_count": sum(own),
        "ec2_requests_per_boot_mean": round(len(journal) / boots, 2),
        "ec2_requests_per_boot_max": own[-1] if own else 0,
        "ec2_served_per_boot_mean": round((len(journal) - refused) / boots, 2),
        "ec2_served_by_action": dict(sorted(Counter(e["action"] for e in journal if e.get("error") != CODE).items())),
    }
