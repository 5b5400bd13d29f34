# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The claim machine's decisions one by one: every rule on who holds, every failure, every wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import claim_steps as steps
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_machine import ClaimMachine, Settings
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_rules import InstanceBook, Life
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Fault, PoolReading, build_pools
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme

from tests.unit.plugins.module_utils.pool_answers import CLUSTER, ZONE, eni, volume

ME = "i-me"


def pool(*holders: str | None, zone: str = ZONE, volumes: Mapping[int, str] | None = None) -> PoolReading:
    """Build a pool with one identity per holder, node ids from 0."""
    enis = [eni(f"eni-{n}", str(n), holder=holder, zone=zone) for n, holder in enumerate(holders)]
    parts = [volume(f"vol-{n}", str(n), zone=zone, holder=(volumes or {}).get(n, h)) for n, h in enumerate(holders)]
    return build_pools(CLUSTER, enis, parts, TagScheme())


class Table:
    """Plays the world from fixed tables; C(stop_at) are the steps to hand back to the test."""

    def __init__(self, reading: PoolReading, claims: dict[int, Claim] | None = None, **options: Any) -> None:
        self.reading, self.claims = reading, claims or {}
        self.states: dict[str, str] = options.pop("states", {})
        self.now = 0.0
        self.waits: list[steps.Wait] = []
        self.writes: list[steps.Answer] = options.pop("writes", [])
        self.asked: list[str] = []
        self.machine = ClaimMachine(Settings(ME, ZONE, CLUSTER, "kafka", **options), self.now)

    def end(self) -> steps.Done | steps.Fail:
        """Run until the end; every wait passes at once."""
        for _step in range(5000):
            step = self.machine.next_step(self.now)
            if isinstance(step, (steps.Done, steps.Fail)):
                return step
            self.asked.append(type(step).__name__)
            self.machine.feed(self.answer(step), self.now)
        raise AssertionError("no end")

    def answer(self, step: steps.Step) -> steps.Answer:
        """Answer from the tables; a write takes the next prepared answer, or wins."""
        if isinstance(step, steps.ReadPool):
            return steps.PoolRead(self.reading)
        if isinstance(step, steps.ReadClaims):
            return steps.ClaimsRead(self.claims)
        if isinstance(step, steps.DescribeInstances):
            return steps.InstancesRead({one: self.states[one] for one in step.instance_ids if one in self.states})
        if isinstance(step, steps.Wait):
            self.waits.append(step)
            self.now += step.seconds
            return steps.Waited()
        return self.writes.pop(0) if self.writes else steps.Won(0, "attach-1")

    def done(self) -> steps.Done:
        """Run until the end, which is Done."""
        step = self.end()
        assert isinstance(step, steps.Done), step
        return step

    def failed(self, reason: str) -> steps.Fail:
        """Run until the end, which is Fail for this reason."""
        step = self.end()
        assert isinstance(step, steps.Fail), step
        assert step.reason == reason, step
        return step


def claim(node_id: int, holder: str | None, version: int = 3, age: float = 1000.0, **more: Any) -> dict[int, Claim]:
    """Return one claim in the shape of a reading."""
    return {node_id: Claim(node_id, version, holder, -age, **more)}


def outcome(done: steps.Done) -> tuple[int, str, bool]:
    """Return what matters of an end."""
    return done.identity.node_id, done.outcome, done.changed


def test_free_identity_is_claimed_without_asking_for_instances() -> None:
    table = Table(pool(None))
    assert outcome(table.done()) == (0, "claimed", True)
    assert table.asked == ["ReadPool", "ReadClaims", "CreateClaim"]


def test_claim_that_names_me_is_the_answer() -> None:
    table = Table(pool(None, None), claim(1, ME, version=9))
    done = table.done()
    assert (*outcome(done), done.version) == (1, "already_held", False, 9)
    assert table.asked == ["ReadPool", "ReadClaims"]


def test_attached_eni_restores_a_missing_claim() -> None:
    assert outcome(Table(pool(None, ME)).done()) == (1, "restored", True)


def test_attached_volume_alone_restores_a_missing_claim() -> None:
    assert outcome(Table(pool(None, None, volumes={1: ME})).done()) == (1, "restored", True)


def test_claim_of_a_dead_holder_is_corrected_when_the_eni_is_mine() -> None:
    table = Table(pool(ME), claim(0, "i-dead"), states={"i-dead": "terminated"})
    assert outcome(table.done()) == (0, "restored", True)
    assert table.asked[-1] == "SetClaim"


def test_dead_holder_is_followed_at_the_version_read() -> None:
    table = Table(pool("i-dead"), claim(0, "i-dead", version=5), states={"i-dead": "terminated"})
    done = table.done()
    assert (*outcome(done), done.previous) == (0, "taken_over", True, "i-dead")
    assert table.asked == ["ReadPool", "ReadClaims", "DescribeInstances", "SetClaim"]
    assert isinstance(table.machine.step, steps.Done)


def test_claim_given_back_is_free_at_its_version() -> None:
    table = Table(pool(None), claim(0, None, version=4))
    assert outcome(table.done()) == (0, "claimed", True)
    assert table.asked[-1] == "SetClaim"


@pytest.mark.parametrize("state", ["pending", "running", "stopping", "stopped"])
def test_living_holder_keeps_and_nobody_waits(state: str) -> None:
    table = Table(pool("i-1"), claim(0, "i-1"), states={"i-1": state})
    assert f"i-1 ({state})" in table.failed("no_candidate").message
    assert [wait.reason for wait in table.waits] == ["confirming"]


@pytest.mark.parametrize("holder", ["claim", "eni", "volume"])
def test_any_hold_of_the_living_counts(holder: str) -> None:
    reading = pool("i-1" if holder == "eni" else None, volumes={0: "i-1"} if holder == "volume" else None)
    claims = claim(0, "i-1") if holder == "claim" else {}
    Table(reading, claims, states={"i-1": "running"}).failed("no_candidate")


def test_holder_on_its_way_out_is_waited_for_by_name_and_bounded() -> None:
    table = Table(pool("i-1"), claim(0, "i-1"), states={"i-1": "shutting-down"}, timeout_seconds=60, poll_seconds=7)
    failure = table.failed("no_candidate")
    assert failure.whom == ("i-1",)
    assert "Waited 60 s for i-1" in failure.message
    assert table.now == 60.0
    assert {(wait.reason, wait.whom) for wait in table.waits} == {("holder_leaving", ("i-1",))}


def test_wait_ends_when_the_holder_is_gone() -> None:
    table = Table(pool("i-1"), claim(0, "i-1"), states={"i-1": "shutting-down"})
    original = table.answer

    def answer(step: steps.Step) -> steps.Answer:
        if isinstance(step, steps.Wait) and table.now > 30:
            table.states["i-1"] = "terminated"
        return original(step)

    table.answer = answer
    assert outcome(table.done()) == (0, "taken_over", True)


@pytest.mark.parametrize("age", [0, 59, 1e9, -5000], ids=["new", "young", "old", "from the future"])
def test_unknown_holder_is_dead_after_a_grace_period_of_denials_whatever_the_claims_clock_says(age: float) -> None:
    table = Table(pool(None), claim(0, "i-1", age=age), grace_seconds=60, poll_seconds=10)
    assert outcome(table.done()) == (0, "taken_over", True)
    assert 60 <= table.now <= 70


def test_two_denials_within_the_grace_period_are_not_enough() -> None:
    table = Table(pool(None), claim(0, "i-1", age=1e9), grace_seconds=60, poll_seconds=10, timeout_seconds=50)
    table.failed("no_candidate")


def test_a_found_holder_starts_the_grace_period_again() -> None:
    table = Table(pool(None), claim(0, "i-1"), grace_seconds=60, poll_seconds=10)
    original = table.answer

    def answer(step: steps.Step) -> steps.Answer:
        table.states = {"i-1": "shutting-down"} if 20 <= table.now < 40 else {}
        return original(step)

    table.answer = answer
    assert outcome(table.done()) == (0, "taken_over", True)
    assert table.now >= 100


def test_a_denial_that_is_heard_late_counts_from_when_it_was_asked_for() -> None:
    book = InstanceBook(grace_seconds=60)
    book.note(("i-1",), {}, heard_at=1, asked_at=0)
    book.note(("i-1",), {}, heard_at=500, asked_at=5)
    assert book.life("i-1") is Life.LEAVING
    book.note(("i-1",), {}, heard_at=62, asked_at=61)
    assert book.life("i-1") is Life.DEAD


def test_unknown_holder_of_an_attachment_needs_the_grace_period_in_this_run() -> None:
    table = Table(pool("i-1"), grace_seconds=60, poll_seconds=10)
    table.done()
    assert table.now >= 60


def test_unreadable_claim_is_held() -> None:
    table = Table(pool(None), claim(0, None, readable=False))
    assert "cannot be read" in table.failed("no_candidate").message


def test_no_identity_in_my_zone() -> None:
    failure = Table(pool(None, zone="eu-central-1b")).failed("no_candidate")
    assert f"{CLUSTER} in {ZONE} for {ME}: the pool has none there" in failure.message


def test_any_holder_may_be_waited_for_on_demand() -> None:
    table = Table(pool("i-1"), states={"i-1": "running"}, wait_for="any", timeout_seconds=50)
    assert table.failed("no_candidate").whom == ("i-1",)
    assert table.now == 50


def test_losers_go_on_to_the_next_and_then_say_so() -> None:
    table = Table(pool(None, None), writes=[steps.Lost(), steps.Won(0)])
    assert outcome(table.done())[1:] == ("claimed", True)
    assert [attempt.result for attempt in table.machine.attempts] == ["lost", "won"]
    assert len({attempt.node_id for attempt in table.machine.attempts}) == 2
    forever = Table(pool(None), writes=[steps.Lost()] * 5000, timeout_seconds=20)
    assert "lost every race for orders-kafka-0" in forever.failed("lost_race").message


class Race(Table):
    """Somebody new takes the identity that the first write was for."""

    def answer(self, step: steps.Step) -> steps.Answer:
        """Answer from the tables; the first write is lost to an instance that nobody has asked about."""
        if isinstance(step, steps.SetClaim) and self.writes:
            self.claims = {**self.claims, **claim(step.identity.node_id, "i-new", version=4)}
        return super().answer(step)


def test_lost_race_for_a_dead_holders_identity_costs_no_further_ec2_call() -> None:
    race = Race(pool(None, None), {**claim(0, "i-dead"), **claim(1, "i-dead")}, writes=[steps.Lost()])
    race.states = {"i-dead": "terminated"}
    assert outcome(race.done())[1:] == ("taken_over", True)
    assert race.asked == ["ReadPool", "ReadClaims", "DescribeInstances", "SetClaim", "ReadClaims", "SetClaim"]


def test_loser_that_sees_who_won_does_not_wait_for_the_race() -> None:
    race = Race(pool(None), claim(0, "i-dead"), writes=[steps.Lost()])
    race.states = {"i-dead": "terminated", "i-new": "running"}
    failed = race.failed("no_candidate")
    assert "i-new (running)" in failed.message
    assert [wait.reason for wait in race.waits] == ["confirming"]
    assert race.asked.count("DescribeInstances") == 3


def test_lost_reply_of_a_claim_that_was_written() -> None:
    table = Table(pool(None, None), writes=[steps.Unknown("connection loss")])
    original = table.answer

    def answer(step: steps.Step) -> steps.Answer:
        if isinstance(step, steps.CreateClaim):
            table.claims = claim(step.identity.node_id, ME, version=0)
        return original(step)

    table.answer = answer
    done = table.done()
    assert (done.outcome, done.changed, done.version) == ("claimed", True, 0)
    assert table.asked == ["ReadPool", "ReadClaims", "CreateClaim", "ReadClaims"]


def test_lost_reply_of_a_claim_that_was_not_written_tries_the_same_again() -> None:
    table = Table(pool(None, None), writes=[steps.Unknown("connection loss")])
    table.done()
    assert len({attempt.node_id for attempt in table.machine.attempts}) == 1


def test_replies_that_are_always_lost_end() -> None:
    table = Table(pool(None), writes=[steps.Unknown("connection loss")] * 5000, timeout_seconds=30)
    assert "connection loss" in table.failed("zookeeper_unreachable").message


@pytest.mark.parametrize("reason", ["zookeeper_unreachable", "api_error"])
def test_unavailable_service_is_waited_for_and_then_named(reason: str) -> None:
    table = Table(pool(None), timeout_seconds=30)
    table.answer = lambda step: (
        Table.answer(table, step)
        if isinstance(step, (steps.Wait, steps.ReadPool))
        else steps.Unavailable(reason, "nobody answers", ("somebody",))
    )
    failure = table.failed(reason)
    assert "nobody answers" in failure.message
    assert table.now == 30


def test_refusal_ends_at_once() -> None:
    table = Table(pool(None))
    table.answer = lambda step: steps.Refused("auth", f"not yours: {step}")
    assert table.failed("auth").message == "not yours: ReadPool()"


def test_mine_and_a_living_others_is_a_conflict() -> None:
    table = Table(pool("i-1"), claim(0, ME), states={"i-1": "running"})
    assert "i-1 (running)" in table.failed("conflict").message
    other = Table(pool(ME), claim(0, "i-1"), states={"i-1": "stopped"})
    assert "eni-0" in other.failed("conflict").message


def test_mine_and_a_dying_others_attachment_is_mine() -> None:
    table = Table(pool("i-1"), claim(0, ME), states={"i-1": "shutting-down"})
    assert outcome(table.done()) == (0, "already_held", False)


def test_mine_and_a_dying_others_claim_waits() -> None:
    table = Table(pool(ME), claim(0, "i-1"), states={"i-1": "shutting-down"}, timeout_seconds=30)
    assert "claimed by i-1 (shutting-down)" in table.failed("timeout").message


def test_two_identities_of_mine_are_a_conflict() -> None:
    failure = Table(pool(ME, None), claim(1, ME)).failed("conflict")
    assert "orders-kafka-0: eni-0, vol-0; orders-kafka-1: claim" in failure.message


def test_mine_in_another_zone_is_a_pool_fault() -> None:
    assert "eni-0" in Table(pool(ME, zone="eu-central-1b")).failed("pool_fault").message


def test_claim_of_mine_outside_the_pool_is_a_pool_fault() -> None:
    assert "kafka 7" in Table(pool(None), claim(7, ME)).failed("pool_fault").message


def test_fault_of_my_identity_ends_and_a_fault_of_another_does_not() -> None:
    fault = Fault("duplicate_eni", "kafka", 5, ("eni-8", "eni-9"), "two of them (eni-8, eni-9).", (ZONE,), (ME,))
    whole = pool(None)
    assert "eni-8" in Table(replace(whole, faults=(fault,))).failed("pool_fault").message
    others = replace(whole, faults=(replace(fault, holders=("i-1",)),))
    assert outcome(Table(others).done()) == (0, "claimed", True)
    assert "eni-9" in Table(others, claim(5, ME)).failed("pool_fault").message


def test_nothing_free_and_a_fault_in_my_zone_is_a_pool_fault() -> None:
    fault = Fault("duplicate_eni", "kafka", 5, ("eni-8", "eni-9"), "two of them (eni-8, eni-9).", (ZONE,))
    reading = replace(pool(), faults=(fault,))
    assert "eni-8" in Table(reading).failed("pool_fault").message
    elsewhere = replace(pool(), faults=(replace(fault, availability_zones=("eu-central-1b",)),))
    Table(elsewhere).failed("no_candidate")


def test_in_use_without_an_instance_is_held() -> None:
    answer = eni("eni-0", "0")
    answer["Status"] = "in-use"
    reading = build_pools(CLUSTER, [answer], [volume("vol-0", "0")], TagScheme())
    assert "eni-0 is in-use without an instance" in Table(reading).failed("no_candidate").message
    parts = [volume("vol-0", "0", State="creating")]
    young = build_pools(CLUSTER, [eni("eni-0", "0")], parts, TagScheme())
    assert Table(young, timeout_seconds=20).failed("no_candidate").whom == ("orders-kafka-0",)


def test_wrong_answers_are_programming_errors() -> None:
    machine = ClaimMachine(Settings(ME, ZONE, CLUSTER, "kafka"), 0)
    with pytest.raises(TypeError):
        machine.feed(steps.Won(1), 0)
    table = Table(pool(None), writes=[steps.Done(pool(None).identities[0], "", True, None)])
    with pytest.raises(TypeError):
        table.end()


# ---- by attachment ---------------------------------------------------------------------------------------------------


def test_attachment_takes_what_ec2_gives() -> None:
    table = Table(pool(None), strategy="attachment")
    done = table.done()
    assert outcome(done) == (0, "claimed", True)
    assert (done.identity.eni.instance_id, done.identity.eni.attachment_id) == (ME, "attach-1")
    assert table.asked == ["ReadPool", "AttachEni"]


def test_attachment_already_mine() -> None:
    assert outcome(Table(pool(None, ME), strategy="attachment").done()) == (1, "already_held", False)


def test_attachment_completes_what_a_volume_began() -> None:
    assert outcome(Table(pool(None, None, volumes={1: ME}), strategy="attachment").done()) == (1, "restored", True)


def test_attachment_waits_until_ec2_has_freed_a_dead_holders_eni() -> None:
    table = Table(pool("i-1"), strategy="attachment", states={"i-1": "terminated"}, timeout_seconds=20)
    table.failed("no_candidate")
    assert "AttachEni" not in table.asked
    freed = Table(pool(None, volumes={0: "i-1"}), strategy="attachment", states={"i-1": "terminated"})
    assert outcome(freed.done()) == (0, "taken_over", True)


def test_attachment_lost_goes_to_the_next_after_reading_again() -> None:
    table = Table(pool(None, None), strategy="attachment", writes=[steps.Lost()])
    table.done()
    assert table.asked == ["ReadPool", "AttachEni", "ReadPool", "AttachEni"]


def test_index_that_is_occupied_for_good_is_a_conflict() -> None:
    table = Table(pool(None), strategy="attachment", writes=[steps.IndexOccupied()] * 5000, grace_seconds=30)
    assert f"Device index 1 of {ME}" in table.failed("conflict").message
    assert 30 <= table.now < 60


def test_attachment_cannot_complete_while_the_eni_is_with_a_dead_holder() -> None:
    reading = pool("i-1", volumes={0: ME})
    table = Table(reading, strategy="attachment", states={"i-1": "terminated"}, timeout_seconds=20)
    assert "cannot be completed yet" in table.failed("timeout").message


# ---- an identity that is held while ZooKeeper is away ----------------------------------------------------------------


class Outage(Table):
    """ZooKeeper answers with what is prepared, then not at all."""

    def answer(self, step: steps.Step) -> steps.Answer:
        """Answer from the tables, but for the claims."""
        if isinstance(step, steps.ReadClaims):
            if self.claims:
                told, self.claims = self.claims, {}
                return steps.ClaimsRead(told)
            return steps.Unavailable("zookeeper_unreachable", "Nobody answers.", ("ZooKeeper",))
        if isinstance(step, (steps.CreateClaim, steps.SetClaim)):
            return steps.Unknown("connection loss")
        return super().answer(step)


def test_attached_eni_is_kept_without_zookeeper_after_a_short_try() -> None:
    table = Outage(pool(None, ME))
    done = table.done()
    assert (*outcome(done), done.claim_pending) == (1, "already_held", False, True)
    assert 30 <= table.now <= 35
    at_once = Outage(pool(None, ME), held_wait_seconds=0)
    assert at_once.done().claim_pending
    assert at_once.now == 0


def test_claim_that_cannot_be_restored_is_pending() -> None:
    table = Outage(pool("i-1", ME), claim(0, "i-1"), states={"i-1": "running"}, held_wait_seconds=5)
    assert table.done().claim_pending
    assert "CreateClaim" in table.asked


@pytest.mark.parametrize(
    ("reading", "claims"),
    [
        (pool(None), {}),
        (pool("i-1"), {}),
        (pool(None, volumes={0: ME}), {}),
        (pool(ME, volumes={0: "i-1"}), {}),
        (pool(ME, ME), {}),
        (pool(ME, zone="eu-central-1b"), {}),
        (pool(ME), claim(0, "i-leaving")),
        (pool(ME), claim(0, None, readable=False)),
        (pool(ME, None), claim(1, "i-leaving")),
    ],
    ids=[
        "free",
        "another's",
        "only-the-volume",
        "volume-elsewhere",
        "two-enis",
        "other-zone",
        "claim-of-another",
        "claim-unreadable",
        "nothing-speaks-against",
    ],
)
def test_nothing_is_kept_against_evidence(reading: PoolReading, claims: dict[int, Claim]) -> None:
    table = Outage(reading, claims, states={"i-leaving": "shutting-down"}, timeout_seconds=120)
    end = table.end()
    if 1 in claims:
        assert isinstance(end, steps.Done)
    else:
        assert isinstance(end, steps.Fail)
        assert end.reason in ("zookeeper_unreachable", "conflict")


def test_eni_on_its_way_off_me_is_not_kept() -> None:
    reading = pool(ME)
    identity = reading.identities[0]
    leaving = replace(identity, eni=replace(identity.eni, attachment_status="detaching"))
    Outage(replace(reading, identities=(leaving,)), timeout_seconds=120).failed("zookeeper_unreachable")


def test_claims_of_two_identities_and_one_eni_wait_for_zookeeper() -> None:
    table = Outage(pool(ME, None), claim(1, ME), timeout_seconds=120)
    assert table.end().__class__ is steps.Fail
