# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Giving a claim back: only when it names me and nothing of the identity is attached to me. The decision is pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Identity, PoolReading


@dataclass(frozen=True)
class Release:
    """What to do: C(outcome) is C(not_held), C(kept) or C(released); only the last one writes."""

    outcome: str
    message: str
    identity: Identity | None = None
    version: int | None = None


def judge_release(
    reading: PoolReading, role: str, claims: Mapping[int, Claim], me: str, seen_on_host: frozenset[str]
) -> Release:
    """Decide; C(seen_on_host) are ids of interfaces and volumes that the host itself sees, whatever EC2 answers."""
    mine = sorted(node_id for node_id, claim in claims.items() if claim.instance_id == me)
    if not mine:
        return Release("not_held", f"No {role} claim names {me}.")
    if len(mine) > 1:
        return Release("kept", f"{me} has claimed {', '.join(map(str, mine))}: give them back by hand.")
    identity = next((item for item in reading.of_role(role) if item.node_id == mine[0]), None)
    if identity is None:
        return Release("kept", f"The pool has no whole identity {role} {mine[0]}, so its attachments cannot be known.")
    parts = [(identity.eni.id, identity.eni.instance_id)]
    parts += [(volume.id, volume.instance_id) for volume in identity.volumes]
    attached = [part for part, holder in parts if holder == me or part in seen_on_host]
    if attached:
        text = f"{', '.join(attached)} of {identity.name} is attached to {me}: the claim is true and stays."
        return Release("kept", text, identity, claims[mine[0]].version)
    return Release("released", f"{identity.name} is given back.", identity, claims[mine[0]].version)
