# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Races, lost replies, stale reads and deaths: what the claim promises holds, and the checks find planted mistakes."""

from __future__ import annotations

import random

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_steps import DescribeInstances, Done
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.plugins.module_utils.claim_world import Bugs, Claimant, World

REPLIES = ("heard", "heard", "heard", "lost", "dropped")


class Claiming(RuleBasedStateMachine):
    """Any number of claimants of a few identities, in any order of events."""

    strategy = "zookeeper"
    bugs = Bugs()

    @initialize(zones=st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=4))
    def begin(self, zones: list[str]) -> None:
        """Create the pool."""
        self.world = World(zones, self.strategy, self.bugs)

    def _claimant(self, number: int) -> Claimant:
        return self.world.claimants[number % len(self.world.claimants)]

    def _any(self) -> bool:
        return bool(self.world.claimants)

    @rule(zone=st.sampled_from(["a", "a", "b"]))
    def launch(self, zone: str) -> None:
        """Start an instance."""
        if len(self.world.claimants) < 8:
            self.world.launch(zone)

    @precondition(_any)
    @rule(number=st.integers(0, 7), back=st.integers(0, 6), reply=st.sampled_from(REPLIES))
    def move(self, number: int, back: int, reply: str) -> None:
        """Advance one claimant by half a step."""
        self.world.move(self._claimant(number), back, reply)

    @precondition(_any)
    @rule(number=st.integers(0, 7), moves=st.integers(2, 14), back=st.integers(0, 2))
    def run_on(self, number: int, moves: int, back: int) -> None:
        """Let one claimant run on."""
        for _each in range(moves):
            self.world.move(self._claimant(number), back)

    @precondition(_any)
    @rule(
        number=st.integers(0, 7),
        what=st.sampled_from(["attach", "release", "reboot", "kill", "bury", "forget", "stop"]),
    )
    def happen(self, number: int, what: str) -> None:
        """Let something happen to one instance."""
        getattr(self.world, what)(self._claimant(number))

    @rule(serves=st.booleans())
    def zookeeper(self, serves: bool) -> None:
        """Let ZooKeeper go away or come back."""
        if hasattr(self, "world"):
            self.world.zookeeper(serves)

    @rule(seconds=st.sampled_from([0.5, 5.0, 30.0, 90.0]))
    def tick(self, seconds: float) -> None:
        """Let time pass."""
        self.world.tick(seconds)

    @invariant()
    def one_holder(self) -> None:
        """Never two live holders of one identity."""
        if hasattr(self, "world"):
            self.world.check_one_holder()

    def teardown(self) -> None:
        """Nobody is stuck, and a second run changes nothing."""
        if hasattr(self, "world"):
            self.world.calm_down()
            self.world.check_nobody_stuck()
            self.world.check_runs_again_the_same()


class ClaimingByAttachment(Claiming):
    """The same, with EC2's attach as the arbiter."""

    strategy = "attachment"


TestByZooKeeper = Claiming.TestCase
TestByZooKeeper.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestByAttachment = ClaimingByAttachment.TestCase
TestByAttachment.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


def wander(seed: int, strategy: str, bugs: Bugs, events: int = 120) -> None:
    """Drive one world by chance; raises AssertionError when a promise is broken."""
    chance = random.Random(seed)
    world = World([chance.choice("aab") for _each in range(chance.randint(1, 3))], strategy, bugs)
    for _each in range(chance.randint(2, 4)):
        world.launch("a")
    for _event in range(events):
        claimant = chance.choice(world.claimants)
        what = chance.random()
        if what < 0.70:
            world.move(claimant, chance.choice((0, 0, 1, 4)), chance.choice(REPLIES))
        elif what < 0.78:
            world.tick(chance.choice((1.0, 5.0, 30.0)))
        elif what < 0.785:
            world.zookeeper(not world.zookeeper_serves)
        elif what < 0.80 and len(world.claimants) < 8:
            world.launch(chance.choice("aab"))
        else:
            moves = (
                world.attach,
                world.release,
                world.reboot,
                world.kill,
                world.bury,
                world.bury,
                world.forget,
                world.stop,
            )
            chance.choice(moves)(claimant)
        world.check_one_holder()
    world.calm_down()
    world.check_nobody_stuck()
    world.check_runs_again_the_same()


def wander_until_found(strategy: str, bugs: Bugs, seeds: int = 5000) -> None:
    """Drive one world after the other until a promise is broken."""
    for seed in range(seeds):
        wander(seed, strategy, bugs)


@pytest.mark.parametrize("strategy", ["zookeeper", "attachment"])
def test_promises_hold_on_a_thousand_walks(strategy: str) -> None:
    for seed in range(1000):
        wander(seed, strategy, Bugs())


@pytest.mark.parametrize(
    ("strategy", "bugs"),
    [
        ("zookeeper", Bugs(use_what_was_read=True)),
        ("attachment", Bugs(use_what_was_read=True)),
        ("zookeeper", Bugs(not_found_is_dead=True)),
        ("zookeeper", Bugs(takeover_without_version=True)),
        ("zookeeper", Bugs(stopped_is_dead=True)),
        ("zookeeper", Bugs(outage_frees=True)),
    ],
    ids=[
        "zookeeper-no-compare",
        "attachment-no-compare",
        "not-found-is-dead",
        "takeover-no-version",
        "stopped-is-dead",
        "outage-frees",
    ],
)
def test_checks_find_planted_mistakes(strategy: str, bugs: Bugs) -> None:
    with pytest.raises(AssertionError, match=r"holders|is now"):
        wander_until_found(strategy, bugs)


@pytest.mark.parametrize("attached", [True, False])
def test_reboot_during_an_outage_keeps_what_is_attached_and_takes_nothing(attached: bool) -> None:
    world = World(["a", "a"])
    one = world.launch("a")
    while one.running:
        world.move(one)
    node_id = one.believes
    if attached:
        world.attach(one)
    world.zookeeper(False)
    world.reboot(one)
    stranger = world.launch("a")
    began = world.now
    for _each in range(20000):
        if not any([world.move(one), world.move(stranger)]):
            world.tick(1.0 if one.running else 0.0)
    assert stranger.believes is None
    if attached:
        assert isinstance(one.step, Done)
        assert (one.step.claim_pending, one.step.changed, one.believes) == (True, False, node_id)
        assert world.now - began < 60
    else:
        assert one.failed is not None
        assert one.failed.reason == "zookeeper_unreachable"
    world.calm_down()
    world.check_nobody_stuck()
    world.check_runs_again_the_same()


def claim_given_back_and_taken_while_somebody_decides(bugs: Bugs) -> World:
    """Play the one schedule in which a claim's version could come to mean another claim."""
    world = World(["a"], "zookeeper", bugs)
    first = world.launch("a")
    while first.running:
        world.move(first)
    slow = world.launch("a")
    while not isinstance(slow.step, DescribeInstances):
        world.move(slow)
    world.release(first)
    world.kill(first)
    world.bury(first)
    second = world.launch("a")
    while second.running:
        world.move(second)
    for _each in range(40):
        world.move(slow)
    return world


def test_version_of_a_claim_never_means_another_claim() -> None:
    world = claim_given_back_and_taken_while_somebody_decides(Bugs())
    world.check_one_holder()
    assert world.holders(0) == ["i-0002"]


def test_checks_find_a_release_that_deletes() -> None:
    world = claim_given_back_and_taken_while_somebody_decides(Bugs(release_deletes=True))
    with pytest.raises(AssertionError, match="2 holders"):
        world.check_one_holder()
