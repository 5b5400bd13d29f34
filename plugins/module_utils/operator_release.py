# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""May an operator give back a claim that is not theirs? Only with evidence that its holder is gone. Pure.

EC2 is the witness: the holder is terminated, or EC2 has denied this run for the grace period that it exists (a claim's
age is another machine's clock and does not count), and nothing of the identity is attached to anybody who is not
terminated. Anything else has a word of its own and writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim, encode
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_rules import (
    NOT_FOUND,
    InstanceBook,
    Life,
    of_another_pool,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Identity, PoolReading
from ansible_collections.holdfast.kafka.plugins.module_utils.utc_time import utc_time

REFUSALS = (
    "not_found",
    "pool_fault",
    "claim_unreadable",
    "identity_attached",
    "holder_alive",
    "holder_leaving",
    "holder_unknown",
    "claim_disagrees",
    "force_required",
)


@dataclass(frozen=True)
class OperatorRelease:
    """The judgement: C(outcome) is C(released), C(not_held) or C(refused), the last with its C(reason)."""

    outcome: str
    message: str
    reason: str = ""
    identity: Identity | None = None
    claim: Claim | None = None
    previous_holder: str | None = None
    evidence: str = ""


def _attached_to(identity: Identity, book: InstanceBook) -> list[str]:
    """Return the parts that somebody has who is not certainly dead, each with whom."""
    found = []
    for part in identity.parts():
        if part.instance_id is not None and book.states.get(part.instance_id) != "terminated":
            found.append(f"{part.id} to {part.instance_id} ({book.states.get(part.instance_id, NOT_FOUND)})")
        elif part.instance_id is None and part.status != "available":
            found.append(f"{part.id} ({part.status}) to an instance that EC2 does not name")
    return found


def judge_operator_release(
    reading: PoolReading,
    role: str,
    node_id: int,
    claims: Mapping[int, Claim],
    book: InstanceBook,
    force: bool,
    wall: float,
) -> OperatorRelease:
    """Decide; C(book) must know the claim's holder and everybody who has a part of the identity."""
    name = f"{reading.cluster}-{role}-{node_id}"
    claim = claims.get(node_id)
    faults = [fault for fault in reading.faults_of(role) if fault.node_id == node_id]
    identity = next((item for item in reading.of_role(role) if item.node_id == node_id), None)

    def refuse(reason: str, message: str) -> OperatorRelease:
        previous = claim.instance_id if claim is not None else None
        return OperatorRelease("refused", message, reason, identity, claim, previous)

    if faults:
        told = " ".join(fault.message for fault in faults)
        return refuse("pool_fault", f"{name} is not whole, so what is attached cannot be known: {told}")
    if identity is None:
        told = "a claim, and no interface or volume" if claim is not None else "neither a claim nor an interface"
        return refuse("not_found", f"{name}: there is {told} of it; check the node id, the role and the tags.")
    if claim is None or claim.given_back:
        return OperatorRelease("not_held", f"{name} is claimed by nobody.", identity=identity, claim=claim)
    if not claim.readable:
        return refuse("claim_unreadable", f"The claim of {name} cannot be read, so its holder is not known.")
    holder = claim.instance_id
    assert holder is not None
    attached = _attached_to(identity, book)
    if attached:
        return refuse("identity_attached", f"{name} is in use: {', '.join(attached)}. Its claim by {holder} stays.")
    age = max(0.0, wall - claim.modified_at)
    state = book.states.get(holder, NOT_FOUND)
    told = f"{name} is claimed by {holder} ({state}), the claim is {age:.0f} s old"
    foreign = of_another_pool(identity, claim, book)
    if foreign:
        return refuse("claim_disagrees", f"{foreign}.")
    life = book.life(holder)
    if life is Life.ALIVE:
        return refuse("holder_alive", f"{told}: it holds the identity, also while it is {state}. Terminate it first.")
    if life is not Life.DEAD:
        if state == NOT_FOUND:
            word = f"EC2 does not know it, which counts after {book.grace_seconds:.0f} s of asking; run this again"
            return refuse("holder_unknown", f"{told}: {word}.")
        return refuse("holder_leaving", f"{told}: run this again when EC2 calls it terminated.")
    evidence = f"EC2: {holder} is {state}; claim {age:.0f} s old; nothing of {name} is attached"
    if not force:
        return refuse(
            "force_required", f"{told} and nothing is attached: it can be given back with force and a reason."
        )
    return OperatorRelease("released", f"{name} is given back.", "", identity, claim, holder, evidence)


def released_record(verdict: OperatorRelease, by: str, why: str, wall: float) -> bytes:
    """Return the claim's value without a holder, and with who gave it back, when, why and from whom."""
    assert verdict.identity is not None
    value = json.loads(encode(verdict.identity, None, wall))
    value["released"] = {
        "at": utc_time(wall),
        "by": by,
        "reason": why,
        "previous_holder": verdict.previous_holder,
        "evidence": verdict.evidence,
    }
    return json.dumps(value, separators=(",", ":")).encode()
