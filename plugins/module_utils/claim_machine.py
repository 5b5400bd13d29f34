# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The claim as one pure state machine: what is known goes in, the next step comes out.

It reads, decides and counts; it never talks to EC2 or ZooKeeper and never sleeps. C(next_step) says what to do, C(feed)
takes the answer in. Races, lost replies and stale reads are therefore ordinary inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.holdfast.kafka.plugins.module_utils import claim_steps as steps
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_rules import InstanceBook, Judgement, Verdict, judge
from ansible_collections.holdfast.kafka.plugins.module_utils.herd import spread
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Identity, PoolReading, with_holder

#: An identity of which nobody that lives is known to hold it.
OPEN = (Verdict.FREE, Verdict.TAKEOVER)


@dataclass(frozen=True)
class Settings:
    """Who claims what, and how patiently (all times in seconds)."""

    instance_id: str
    availability_zone: str
    cluster: str
    role: str
    strategy: str = "zookeeper"
    grace_seconds: float = 60.0
    timeout_seconds: float = 1200.0
    poll_seconds: float = 5.0
    wait_for: str = "leaving"
    device_index: int = 1
    confirm_reads: int = 2
    held_wait_seconds: float = 30.0
    wanted: int | None = None

    @property
    def with_claims(self) -> bool:
        """Whether claims in ZooKeeper arbitrate."""
        return self.strategy == "zookeeper"


class ClaimMachine:
    """One claimant's run, from the first read to Done or Fail."""

    def __init__(self, settings: Settings, now: float) -> None:
        self.settings = settings
        self.deadline = now + settings.timeout_seconds
        self.book = InstanceBook(settings.grace_seconds)
        self.reading: PoolReading | None = None
        self.claims: dict[int, Claim] | None = None
        self.last_claims: dict[int, Claim] = {}
        self.held_deadline: float | None = None
        self.attempts: list[steps.Attempt] = []
        self.step: steps.Step = steps.ReadPool()
        self.lost: set[int] = set()
        self.pending: tuple[int, str] | None = None
        self.blocked: steps.Unavailable | None = None
        self.over: steps.Done | steps.Fail | None = None
        self.hopeless_reads = 0
        self.unknown_writes = 0
        self.occupied_since: float | None = None
        self.asked_at = now

    # ---- answers -----------------------------------------------------------------------------------------------------

    def feed(self, answer: steps.Answer, now: float) -> None:
        """Take in the answer to the step that C(next_step) gave; C(now) in monotonic seconds."""
        step = self.step
        if isinstance(answer, steps.PoolRead):
            self.reading = answer.reading
        elif isinstance(answer, steps.ClaimsRead):
            self.claims = self.last_claims = dict(answer.claims)
        elif isinstance(answer, steps.InstancesRead) and isinstance(step, steps.DescribeInstances):
            self.book.note(step.instance_ids, answer.states, now, self.asked_at)
        elif isinstance(answer, steps.Waited):
            self._forget()
        elif isinstance(answer, steps.Unavailable):
            self.blocked = answer
        elif isinstance(answer, steps.Refused):
            self.over = steps.Fail(answer.reason, answer.message)
        else:
            self._feed_write(step, answer, now)

    def _feed_write(self, step: steps.Step, answer: steps.Answer, now: float) -> None:
        if not isinstance(step, (steps.CreateClaim, steps.SetClaim, steps.AttachEni)):
            raise TypeError(f"{type(answer).__name__} is no answer to {type(step).__name__}")
        node_id = step.identity.node_id
        action = {steps.CreateClaim: "create", steps.SetClaim: "take_over", steps.AttachEni: "attach"}[type(step)]
        self.attempts.append(steps.Attempt(node_id, action, type(answer).__name__.lower()))
        if isinstance(answer, steps.Won):
            identity = step.identity
            if isinstance(step, steps.AttachEni):
                index = self.settings.device_index
                identity = with_holder(identity, self.settings.instance_id, answer.attachment_id or "", index)
            previous = step.previous if isinstance(step, steps.SetClaim) else None
            self.over = steps.Done(identity, step.outcome, True, answer.version, previous)
        elif isinstance(answer, steps.Lost):
            self._read_again_what_arbitrates()
            self.lost.add(node_id)
            if isinstance(step, steps.AttachEni):
                # The request may have been sent twice, and the loss be to myself: then the next reading shows it mine.
                self.pending = (node_id, step.outcome)
        elif isinstance(answer, steps.Unknown):
            self.pending = (node_id, step.outcome)
            self.unknown_writes += 1
            self._read_again_what_arbitrates()
            if self.unknown_writes > 1:
                reason = "zookeeper_unreachable" if self.settings.with_claims else "api_error"
                self.blocked = steps.Unavailable(reason, f"Replies to writes get lost: {answer.detail}.")
        elif isinstance(answer, steps.IndexOccupied):
            self._index_occupied(step, now)
        else:
            raise TypeError(f"{type(answer).__name__} is no answer to a write")

    def _index_occupied(self, step: steps.CreateClaim | steps.SetClaim | steps.AttachEni, now: float) -> None:
        """My index is taken: by an ENI of mine that EC2 does not show yet (read again), or by a stranger (give up)."""
        me, index = self.settings.instance_id, self.settings.device_index
        message = (
            f"Device index {index} of {me} carries an interface that is not of this pool: detach it, or use another."
        )
        if self.occupied_since is None:
            self.occupied_since = now
        if now - self.occupied_since >= self.settings.grace_seconds:
            self.over = steps.Fail("conflict", message)
        self.blocked = steps.Unavailable("conflict", message, (me,))
        self.pending = self.pending or (step.identity.node_id, step.outcome)

    def _read_again_what_arbitrates(self) -> None:
        """A write that was not won makes the reading it rested on old."""
        if self.settings.with_claims:
            self.claims = None
        else:
            self.reading = None

    def _forget(self) -> None:
        self.reading = None
        self.claims = None
        self.lost.clear()
        self.blocked = None
        self.book.forget_what_may_change()

    # ---- decisions ---------------------------------------------------------------------------------------------------

    def next_step(self, now: float) -> steps.Step:
        """Say what to do next; C(now) in monotonic seconds."""
        self.asked_at = now
        self.step = self._decide(now)
        return self.step

    def _decide(self, now: float) -> steps.Step:
        if self.over is not None:
            return self.over
        if self.blocked is not None:
            held = self._held_without_claims(now) if self.blocked.reason == "zookeeper_unreachable" else None
            if held is not None:
                return steps.Done(held, "already_held", False, None, claim_pending=True)
            return self._wait(now, self.blocked.reason, self.blocked.whom, self.blocked.reason, self.blocked.detail)
        if self.reading is None:
            return steps.ReadPool()
        if self.claims is None and self.settings.with_claims:
            if self.held_deadline is None:
                self.held_deadline = now + self.settings.held_wait_seconds
            return steps.ReadClaims()
        judgements = [
            judge(identity, self._claim(identity.node_id), self.settings.instance_id, self.book)
            for identity in self.reading.of_role(self.settings.role)
        ]
        return self._already_mine(judgements, now) or self._take_one(judgements, now)

    def _claim(self, node_id: int) -> Claim | None:
        return (self.claims or {}).get(node_id)

    def _held_without_claims(self, now: float) -> Identity | None:
        """Return the identity whose ENI is attached to me, when ZooKeeper has been away for C(held_wait_seconds).

        That needs no claim: nobody takes the claim of an instance that EC2 does not call terminated. Whatever speaks
        against it, in EC2's reading or in the last claims that could be read, is left to ZooKeeper's return.
        """
        if self.reading is None or self.held_deadline is None or now < min(self.held_deadline, self.deadline):
            return None
        me = self.settings.instance_id
        pool = self.reading.of_role(self.settings.role)
        mine = [identity for identity in pool if me in identity.attached_instances()]
        faulty = any(me in fault.holders for fault in self.reading.faults)
        if len(mine) != 1 or faulty:
            return None
        identity = mine[0]
        claimed = {node_id for node_id, claim in self.last_claims.items() if claim.instance_id == me}
        claim = self.last_claims.get(identity.node_id)
        contradicted = claim is not None and (not claim.readable or claim.instance_id not in (None, me))
        whole = identity.eni.instance_id == me and identity.attached_instances() == {me}
        near = identity.availability_zone == self.settings.availability_zone
        leaving = identity.eni.attachment_status == "detaching"
        if contradicted or leaving or not whole or not near or claimed - {identity.node_id}:
            return None
        return identity

    def _already_mine(self, judgements: list[Judgement], now: float) -> steps.Step | None:
        me = self.settings.instance_id
        fault = self._fault_of_mine()
        if fault is not None:
            return fault
        mine = [judgement for judgement in judgements if judgement.mine]
        known = {judgement.identity.node_id for judgement in judgements}
        strangers = sorted(
            node_id
            for node_id, claim in (self.claims or {}).items()
            if claim.instance_id == me and node_id not in known
        )
        if strangers:
            names = ", ".join(f"{self.settings.role} {node_id}" for node_id in strangers)
            message = (
                f"{me} has claimed {names}, which the pool does not hold: restore its ENI and volumes or their tags."
            )
            return self._hopeless(now, "pool_fault", message)
        if not mine:
            return None
        if len(mine) > 1:
            told = "; ".join(f"{item.identity.name}: {self._evidence(item)}" for item in mine)
            message = f"{me} holds more than one identity ({told}): give back all but one by hand."
            return steps.Fail("conflict", message)
        return self._keep(mine[0], now)

    def _fault_of_mine(self) -> steps.Fail | None:
        assert self.reading is not None
        me = self.settings.instance_id
        for fault in self.reading.faults_of(self.settings.role):
            claim = self._claim(fault.node_id) if fault.node_id is not None else None
            if me in fault.holders or (claim is not None and claim.instance_id == me):
                return steps.Fail("pool_fault", f"The identity of {me} is not whole. {fault.message}")
        return None

    def _evidence(self, judgement: Judgement) -> str:
        me, identity = self.settings.instance_id, judgement.identity
        parts = [identity.eni.id] if identity.eni.instance_id == me else []
        parts += [volume.id for volume in identity.volumes if volume.instance_id == me]
        if judgement.claim is not None and judgement.claim.instance_id == me:
            parts.append("claim")
        return ", ".join(parts)

    def _keep(self, judgement: Judgement, now: float) -> steps.Step:
        """Answer for the identity that is mine already; a claim that does not say so is written again."""
        me, identity, claim = self.settings.instance_id, judgement.identity, judgement.claim
        if identity.availability_zone != self.settings.availability_zone:
            message = (
                f"{me} in {self.settings.availability_zone} holds {identity.name}, whose {identity.eni.id} is in "
                f"{identity.availability_zone}: correct the pool's resources."
            )
            return steps.Fail("pool_fault", message)
        if judgement.verdict is Verdict.ASK:
            return steps.DescribeInstances(judgement.holders)
        if judgement.verdict is Verdict.CONFLICT:
            message = (
                f"{identity.name} is mine ({me}: {self._evidence(judgement)}) and yet {judgement.why}: nothing was "
                f"changed; find out which of the two serves, and terminate the other."
            )
            return self._hopeless(now, "conflict", message)
        if judgement.verdict is Verdict.LEAVING:
            message = f"{identity.name} is attached to {me} but {judgement.why}."
            return self._wait(now, "holder_leaving", judgement.holders, "timeout", message)
        return self._done_or_write(judgement, claim, now)

    def _done_or_write(self, judgement: Judgement, claim: Claim | None, now: float) -> steps.Step:
        me, identity = self.settings.instance_id, judgement.identity
        settled = claim is not None and claim.instance_id == me
        if not self.settings.with_claims:
            settled = identity.eni.instance_id == me
        if settled:
            version = claim.version if claim is not None else None
            if self.pending is not None and self.pending[0] == identity.node_id:
                return steps.Done(identity, self.pending[1], True, version)
            return steps.Done(identity, "already_held", False, version)
        blocked = not self.settings.with_claims and identity.eni.status != "available"
        if blocked or identity.node_id in self.lost:
            message = f"{identity.name} is mine ({me}: {self._evidence(judgement)}), but cannot be completed yet."
            return self._wait(now, "holder_leaving", judgement.holders, "timeout", message)
        return self._write(judgement, "restored")

    def _write(self, judgement: Judgement, outcome: str) -> steps.Step:
        claim = judgement.claim
        if not self.settings.with_claims:
            return steps.AttachEni(judgement.identity, outcome)
        if claim is None:
            return steps.CreateClaim(judgement.identity, outcome)
        return steps.SetClaim(judgement.identity, claim.version, outcome, claim.instance_id)

    def _take_one(self, judgements: list[Judgement], now: float) -> steps.Step:
        wanted, zone = self.settings.wanted, self.settings.availability_zone
        near = [
            item
            for item in judgements
            if item.identity.availability_zone == zone and wanted in (None, item.identity.node_id)
        ]
        by_id = {item.identity.node_id: item for item in near}
        order = [by_id[node_id] for node_id in spread(self.settings.instance_id, by_id) if node_id not in self.lost]
        free = [item for item in order if item.verdict is Verdict.FREE]
        if free:
            return self._write(free[0], "claimed")
        dead = [item for item in order if item.verdict is Verdict.TAKEOVER]
        ready = [item for item in dead if self.settings.with_claims or item.identity.eni.status == "available"]
        if ready:  # before asking who else is dead: in a race, each loss would cost a call
            return self._write(ready[0], "taken_over")
        unknown = sorted({holder for item in near if item.verdict is Verdict.ASK for holder in item.holders})
        unknown = [holder for holder in unknown if holder not in self.book.states]
        if unknown:
            return steps.DescribeInstances(tuple(unknown))
        open_races = [node_id for node_id in sorted(self.lost & by_id.keys()) if by_id[node_id].verdict in OPEN]
        if open_races:  # who won does not show yet; a winner that shows is a holder like any other
            names = tuple(by_id[node_id].identity.name for node_id in open_races)
            message = f"{self.settings.instance_id} lost every race for {', '.join(names)} in this Availability Zone."
            return self._wait(now, "lost_race", names, "lost_race", message, min(0.5, self.settings.poll_seconds))
        return self._wait_or_give_up(near, dead, now)

    def _wait_or_give_up(self, near: list[Judgement], dead: list[Judgement], now: float) -> steps.Step:
        hope = dead + [item for item in near if item.verdict is Verdict.LEAVING]
        if self.settings.wait_for == "any":
            hope = near
        zone, role = self.settings.availability_zone, self.settings.role
        told = "; ".join(f"{item.identity.name} {item.why}" for item in near) or "the pool has none there"
        me = self.settings.instance_id
        if self.settings.wanted is not None:
            me = f"{me}, which was launched for {role} {self.settings.wanted}"
        message = f"No free {role} identity of {self.settings.cluster} in {zone} for {me}: {told}."
        if hope:
            whom = tuple(
                sorted({holder for item in hope for holder in item.holders} or {i.identity.name for i in hope})
            )
            self.hopeless_reads = 0
            return self._wait(now, "holder_leaving", whom, "no_candidate", message)
        assert self.reading is not None
        faults = [item for item in self.reading.faults_of(role) if zone in item.availability_zones]
        if faults:
            told = " ".join(fault.message for fault in faults)
            return self._hopeless(now, "pool_fault", f"{message} Not whole, and so left alone: {told}")
        hint = " Add an identity to the pool there, or terminate an instance that holds one."
        return self._hopeless(now, "no_candidate", message + hint)

    def _hopeless(self, now: float, reason: str, message: str) -> steps.Step:
        """Fail, but not on the word of a single, possibly stale, reading."""
        self.hopeless_reads += 1
        if self.hopeless_reads >= self.settings.confirm_reads:
            return steps.Fail(reason, message)
        return self._wait(now, "confirming", (), reason, message)

    def _wait(
        self, now: float, why: str, whom: tuple[str, ...], reason: str, message: str, seconds: float | None = None
    ) -> steps.Step:
        left = self.deadline - now
        if left <= 0:
            waited = f" Waited {self.settings.timeout_seconds:.0f} s" + (f" for {', '.join(whom)}." if whom else ".")
            return steps.Fail(reason, message.rstrip() + waited, whom)
        return steps.Wait(min(left, self.settings.poll_seconds if seconds is None else seconds), why, whom)
