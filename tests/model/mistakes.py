# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mistakes to plant in the real code, one at a time: the promises must catch each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils import attach_rules, claim_release, claim_rules
from ansible_collections.holdfast.kafka.plugins.module_utils import claim_steps as steps
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_machine import ClaimMachine
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_rules import (
    NOT_FOUND,
    InstanceBook,
    Judgement,
    Life,
    Verdict,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_runner import Runner
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Identity, PoolReading


@dataclass(frozen=True)
class Mistake:
    """What is wrong; the defaults are the real code."""

    name: str = "none"
    book: type[InstanceBook] = InstanceBook
    machine: type[ClaimMachine] = ClaimMachine
    runner: type[Runner] = Runner
    judge: Callable[..., Judgement] = claim_rules.judge
    judge_attachment: Callable[..., attach_rules.Action] = attach_rules.judge_attachment
    judge_release: Callable[..., claim_release.Release] = claim_release.judge_release
    force: bool = False
    no_compare: bool = False
    claims_outlive_sessions: bool = False


NONE = Mistake()


class NotFoundIsDead(InstanceBook):
    """Believes the first answer: an instance that EC2 does not know is dead."""

    def life(self, instance_id: str) -> Life:
        """Judge carelessly."""
        return Life.DEAD if self.states.get(instance_id) == NOT_FOUND else super().life(instance_id)


class OldClaimIsOld(InstanceBook):
    """Takes two denials for death when the claim is old by this machine's clock, which may be wrong by anything."""

    def life(self, instance_id: str) -> Life:
        """Judge carelessly."""
        twice = self.denied_reads.get(instance_id, 0) > 1
        return Life.DEAD if self.states.get(instance_id) == NOT_FOUND and twice else super().life(instance_id)


class DeniedWhenHeard(InstanceBook):
    """Counts a denial from when it is heard, also the last one, so that a pause in between makes it longer."""

    def note(self, asked: tuple[str, ...], states: Any, heard_at: float, asked_at: float | None = None) -> None:
        """Take the wrong time."""
        super().note(asked, states, heard_at)


class StoppedIsDead(InstanceBook):
    """Takes a stopped instance for a dead one."""

    def life(self, instance_id: str) -> Life:
        """Judge carelessly."""
        return Life.DEAD if self.states.get(instance_id) == "stopped" else super().life(instance_id)


class LeavingIsDead(InstanceBook):
    """Takes an instance that is shutting down for a dead one."""

    def life(self, instance_id: str) -> Life:
        """Judge carelessly."""
        return Life.DEAD if self.states.get(instance_id) == "shutting-down" else super().life(instance_id)


class DeniedForEver(InstanceBook):
    """Never believes that an instance which EC2 does not know is gone (as a claim from the future made it)."""

    def life(self, instance_id: str) -> Life:
        """Judge too carefully."""
        return Life.LEAVING if self.states.get(instance_id) == NOT_FOUND else super().life(instance_id)


class AnyZone(ClaimMachine):
    """Takes an identity of another Availability Zone."""

    def _take_one(self, judgements: list[Judgement], now: float) -> steps.Step:
        zone = self.settings.availability_zone
        near = [replace(item, identity=replace(item.identity, availability_zone=zone)) for item in judgements]
        return super()._take_one(near, now)


class Forgetful(ClaimMachine):
    """Does not ask whether it has an identity already."""

    def _already_mine(self, judgements: list[Judgement], now: float) -> steps.Step | None:
        return None


class BlindTakeover(ClaimMachine):
    """Sets the claim whatever its version is by now (ZooKeeper's version -1)."""

    def _write(self, judgement: Judgement, outcome: str) -> steps.Step:
        step = super()._write(judgement, outcome)
        return replace(step, version=-1) if isinstance(step, steps.SetClaim) else step


class ErrorIsFree(Runner):
    """Takes an error of DescribeInstances for the answer that nobody is there any more."""

    def _carry_out(self, step: steps.Step) -> steps.Answer:
        answer = super()._carry_out(step)
        if isinstance(step, steps.DescribeInstances) and isinstance(answer, steps.Unavailable):
            return steps.InstancesRead(dict.fromkeys(step.instance_ids, "terminated"))
        return answer


class TimeoutIsFree(Runner):
    """Takes a ZooKeeper that does not answer in time for one without claims."""

    def _carry_out(self, step: steps.Step) -> steps.Answer:
        answer = super()._carry_out(step)
        if isinstance(step, steps.ReadClaims) and isinstance(answer, steps.Unavailable):
            return steps.ClaimsRead({})
        if isinstance(step, steps.CreateClaim) and isinstance(answer, steps.Unavailable):
            return steps.Won(0)
        return answer


class UnknownIsWon(Runner):
    """Takes a write whose reply was lost for one that happened."""

    def _carry_out(self, step: steps.Step) -> steps.Answer:
        answer = super()._carry_out(step)
        return steps.Won(0, "attach") if isinstance(answer, steps.Unknown) else answer


def _without_volumes(identity: Identity, claim: Claim | None, me: str, book: InstanceBook) -> Judgement:
    """Judge by the ENI alone, whoever has the volume."""
    volumes = tuple(replace(item, instance_id=None, status="available") for item in identity.volumes)
    verdict = claim_rules.judge(replace(identity, volumes=volumes), claim, me, book)
    return replace(verdict, identity=identity)


def _restores_over_anybody(identity: Identity, claim: Claim | None, me: str, book: InstanceBook) -> Judgement:
    """Take what is attached to me for mine, whoever claims it."""
    verdict = claim_rules.judge(identity, claim, me, book)
    return replace(verdict, verdict=Verdict.MINE) if verdict.mine else verdict


def _conflict_is_free(reading: attach_rules.Reading, me: str, state: str | None) -> attach_rules.Action:
    """Attach whatever is in the way."""
    action = attach_rules.judge_attachment(reading, me, state)
    return attach_rules.Action.ATTACH if action is attach_rules.Action.CONFLICT else action


def _done_unseen(reading: attach_rules.Reading, me: str, state: str | None) -> attach_rules.Action:
    """Take whatever was claimed for attached."""
    return attach_rules.Action.DONE


def _releases_anything(
    reading: PoolReading, role: str, claims: Any, me: str, seen_on_host: frozenset[str]
) -> claim_release.Release:
    """Give back what names me, attached or not."""
    verdict = claim_release.judge_release(reading, role, claims, me, seen_on_host)
    return replace(verdict, outcome="released") if verdict.identity is not None else verdict


MISTAKES = {
    mistake.name: mistake
    for mistake in (
        Mistake("read-then-use", no_compare=True),
        Mistake("release-while-attached", judge_release=_releases_anything),
        Mistake("not-found-is-dead", book=NotFoundIsDead),
        Mistake("claim-age-by-wall-clock", book=OldClaimIsOld),
        Mistake("denied-when-heard", book=DeniedWhenHeard),
        Mistake("blind-takeover", machine=BlindTakeover),
        Mistake("api-error-is-free", runner=ErrorIsFree),
        Mistake("timeout-is-free", runner=TimeoutIsFree),
        Mistake("lost-reply-is-won", runner=UnknownIsWon),
        Mistake("stopped-is-dead", book=StoppedIsDead),
        Mistake("leaving-is-dead", book=LeavingIsDead),
        Mistake("force-detach", judge_attachment=_conflict_is_free, force=True),
        Mistake("volumes-ignored", judge=_without_volumes),
        Mistake("restore-over-anybody", judge=_restores_over_anybody),
        Mistake("writes-across-sessions", claims_outlive_sessions=True),
        Mistake("attached-unseen", judge_attachment=_done_unseen),
        Mistake("read-then-use-unseen", no_compare=True, judge_attachment=_done_unseen),
        Mistake("any-zone", machine=AnyZone),
        Mistake("forgetful", machine=Forgetful),
        Mistake("denied-for-ever", book=DeniedForEver),
    )
}
