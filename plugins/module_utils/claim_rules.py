# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds an identity: the rules by which a claimant judges one identity. Pure.

Three words decide: a holder is dead only when EC2 calls it terminated (or has denied this run that it exists for the
whole grace period), it is leaving when it may come to that by itself, and everything else is alive, a stopped one too.
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
    denied_since: dict[str, float] = field(default_factory=dict)
    denied_until: dict[str, float] = field(default_factory=dict)
    denied_reads: dict[str, int] = field(default_factory=dict)

    def note(
        self, asked: tuple[str, ...], states: Mapping[str, str], heard_at: float, asked_at: float | None = None
    ) -> None:
        """Take in one answer of DescribeInstances; both times in this run's monotonic seconds.

        EC2 answered somewhere between the two. A denial therefore counts from the moment the first one was heard to the
        moment the last one was asked for, so that a run that slept in between measures too little and never too much.
        """
        for instance_id in asked:
            state = states.get(instance_id, NOT_FOUND)
            self.states[instance_id] = state
            if state == NOT_FOUND:
                self.denied_since.setdefault(instance_id, heard_at)
                self.denied_until[instance_id] = heard_at if asked_at is None else asked_at
                self.denied_reads[instance_id] = self.denied_reads.get(instance_id, 0) + 1
            else:
                for known in (self.denied_since, self.denied_until, self.denied_reads):
                    known.pop(instance_id, None)

    def forget_what_may_change(self) -> None:
        """Drop every state but terminated."""
        self.states = {key: state for key, state in self.states.items() if state == "terminated"}

    def life(self, instance_id: str) -> Life:
        """Judge a holder.

        A claim's own time stamp does not count: it is another machine's clock. This run read the claim before EC2 first
        denied its holder, so a holder that was denied for the grace period has held for longer than that.
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
        return self._denied(instance_id, self.denied_until[instance_id] - self.denied_since[instance_id])

    def life_at_one_look(self, instance_id: str, claim_age_seconds: float, now: float) -> Life:
        """Judge a holder for a person who only wants to know: here the age of the claim counts, too.

        That age compares two machines' clocks, so nothing may be written by it.
        """
        life = self.life(instance_id)
        if self.states.get(instance_id) != NOT_FOUND:
            return life
        return self._denied(instance_id, max(claim_age_seconds, now - self.denied_since[instance_id]))

    def _denied(self, instance_id: str, seconds: float) -> Life:
        seen_often = self.denied_reads[instance_id] >= SEEN_MISSING_READS
        return Life.DEAD if seconds >= self.grace_seconds and seen_often else Life.LEAVING


def of_another_pool(identity: Identity, claim: Claim | None, book: InstanceBook) -> str:
    """Say why EC2's denial of a claim's holder proves nothing here; empty if it may.

    A claim written for another interface can be a namesake cluster's, of another region or account that shares these
    ZooKeeper servers. EC2 here never knows its holder, who lives; only a word that EC2 has for it counts.
    """
    if claim is None or claim.instance_id is None or claim.eni_id in (None, identity.eni.id):
        return ""
    if book.states.get(claim.instance_id, NOT_FOUND) != NOT_FOUND:
        return ""
    return (
        f"{identity.name} is {identity.eni.id} here and was claimed with {claim.eni_id} by {claim.instance_id}, which "
        f"EC2 does not know: if {claim.eni_id} is of another region or account, give one of the two clusters another "
        f"name or zookeeper_chroot; if {identity.eni.id} has replaced it and {claim.instance_id} is certainly gone, "
        f"set the claim's instance_id to null by hand"
    )


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


def judge(identity: Identity, claim: Claim | None, me: str, book: InstanceBook) -> Judgement:
    """Judge one identity."""
    attached = identity.attached_instances()
    named = claim.instance_id if claim is not None else None
    mine = me in attached or named == me
    holders = tuple(sorted((attached | ({named} if named else set())) - {me}))

    def verdict(word: Verdict, why: str) -> Judgement:
        return Judgement(identity, word, claim, holders, why, mine)

    if claim is not None and not claim.readable:
        return verdict(Verdict.CONFLICT if mine else Verdict.HELD, "its claim cannot be read")
    lives = {holder: book.life(holder) for holder in holders}
    if Life.ASK in lives.values():
        return verdict(Verdict.ASK, "held by " + ", ".join(holders))
    told = ", ".join(f"{holder} ({book.states[holder]})" for holder in holders)
    foreign = of_another_pool(identity, claim, book) if named != me else ""
    if foreign:
        return verdict(Verdict.CONFLICT if mine else Verdict.HELD, foreign)
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
