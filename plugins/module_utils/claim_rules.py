# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds an identity: the rules by which a claimant judges one identity. Pure.

Three words decide: a holder is dead only when EC2 calls it terminated (or has not known it for longer than the grace
period), it is leaving when it may come to that by itself, and everything else is alive, a stopped instance too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Identity

NOT_FOUND = "not-found"
SEEN_MISSING_READS = 2


class Life(Enum):
    """What is known about a holder."""

    ASK = "unknown"
    DEAD = "dead"
    LEAVING = "leaving"
    ALIVE = "alive"


class Verdict(Enum):
    """What an identity is to this claimant."""

    ASK = "state of a holder unknown"
    FREE = "free"
    TAKEOVER = "free: its holder is dead"
    MINE = "mine"
    CONFLICT = "mine, and somebody else's who lives"
    LEAVING = "may come free"
    HELD = "held"


@dataclass
class InstanceBook:
    """What EC2 said about instances; terminated is for ever, everything else must be asked again after a wait."""

    grace_seconds: float
    states: dict[str, str] = field(default_factory=dict)
    missing_since: dict[str, float] = field(default_factory=dict)
    missing_reads: dict[str, int] = field(default_factory=dict)

    def note(self, asked: tuple[str, ...], states: Mapping[str, str], now: float) -> None:
        """Take in one answer of DescribeInstances; C(now) in monotonic seconds."""
        for instance_id in asked:
            state = states.get(instance_id, NOT_FOUND)
            self.states[instance_id] = state
            if state == NOT_FOUND:
                self.missing_since.setdefault(instance_id, now)
                self.missing_reads[instance_id] = self.missing_reads.get(instance_id, 0) + 1
            else:
                self.missing_since.pop(instance_id, None)
                self.missing_reads.pop(instance_id, None)

    def forget_what_may_change(self) -> None:
        """Drop every state but terminated."""
        self.states = {key: state for key, state in self.states.items() if state == "terminated"}

    def life(self, instance_id: str, unseen_seconds: float | None, now: float) -> Life:
        """Judge a holder.

        C(unseen_seconds) is the age of the claim that names it; C(None) for an attachment, whose age is unknown: there
        only the time counts for which this run has seen EC2 deny the instance.
        """
        state = self.states.get(instance_id)
        if state is None:
            return Life.ASK
        if state == "terminated":
            return Life.DEAD
        if state == "shutting-down":
            return Life.LEAVING
        if state != NOT_FOUND:
            return Life.ALIVE
        age = now - self.missing_since[instance_id] if unseen_seconds is None else unseen_seconds
        seen_often = self.missing_reads[instance_id] >= SEEN_MISSING_READS
        return Life.DEAD if age >= self.grace_seconds and seen_often else Life.LEAVING


@dataclass(frozen=True)
class Judgement:
    """The verdict on one identity and what it rests on."""

    identity: Identity
    verdict: Verdict
    claim: Claim | None
    holders: tuple[str, ...]
    why: str
    mine: bool = False

    @property
    def previous(self) -> str | None:
        """The holder that a takeover would follow."""
        if self.claim is not None and self.claim.instance_id:
            return self.claim.instance_id
        return self.holders[0] if self.holders else None


def _nobodys_attachment(identity: Identity) -> tuple[Life, str] | None:
    """Judge an ENI or volume that is not available and yet shows no instance."""
    eni = identity.eni
    if eni.instance_id is None and eni.status != "available":
        life = Life.LEAVING if eni.status in ("detaching", "pending") else Life.ALIVE
        return life, f"{eni.id} is {eni.status} without an instance"
    for volume in identity.volumes:
        if volume.instance_id is None and volume.status != "available":
            life = Life.LEAVING if volume.status == "creating" else Life.ALIVE
            return life, f"{volume.id} is {volume.status} without an instance"
    return None


def judge(identity: Identity, claim: Claim | None, me: str, book: InstanceBook, now: float, wall: float) -> Judgement:
    """Judge one identity; C(now) in monotonic seconds, C(wall) in seconds since the epoch."""
    attached = identity.attached_instances()
    named = claim.instance_id if claim is not None else None
    mine = me in attached or named == me
    holders = tuple(sorted((attached | ({named} if named else set())) - {me}))

    def verdict(word: Verdict, why: str) -> Judgement:
        return Judgement(identity, word, claim, holders, why, mine)

    if claim is not None and not claim.readable:
        return verdict(Verdict.CONFLICT if mine else Verdict.HELD, "its claim cannot be read")
    lives: dict[str, Life] = {}
    for holder in holders:
        found = []
        if holder == named and claim is not None:
            found.append(book.life(holder, wall - claim.modified_at, now))
        if holder in attached:
            found.append(book.life(holder, None, now))
        lives[holder] = next(life for life in (Life.ASK, Life.ALIVE, Life.LEAVING, Life.DEAD) if life in found)
    if Life.ASK in lives.values():
        return verdict(Verdict.ASK, "held by " + ", ".join(holders))
    told = ", ".join(f"{holder} ({book.states[holder]})" for holder in holders)
    odd = _nobodys_attachment(identity)
    if Life.ALIVE in lives.values():
        return verdict(Verdict.CONFLICT if mine else Verdict.HELD, f"held by {told}")
    if odd is not None and odd[0] is Life.ALIVE and not mine:
        return verdict(Verdict.HELD, odd[1])
    if mine:
        if named and named != me and lives[named] is Life.LEAVING:
            return verdict(Verdict.LEAVING, f"claimed by {told}")
        return verdict(Verdict.MINE, "mine")
    if Life.LEAVING in lives.values():
        return verdict(Verdict.LEAVING, f"held by {told}")
    if odd is not None:
        return verdict(Verdict.LEAVING, odd[1])
    if holders:
        return verdict(Verdict.TAKEOVER, f"last held by {told}")
    return verdict(Verdict.FREE, "free")
