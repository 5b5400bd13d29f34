# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Walks through worlds that are too large to explore: the same code, the same promises, chosen by hypothesis."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.model import promises
from tests.model.configs import AFTER_A_WIPE, PLANTED, config
from tests.model.explore import explore
from tests.model.moves import Moves
from tests.model.world import GHOST, NO_ZNODE, UNREADABLE, Config, State

FAULTS = "crash kill stop forget stale late young replies api expire outage deadline"
LARGE_WORLDS = (
    config("many", "aaabbbcc", "aaaabbbbcc", FAULTS, spread="mixed"),
    config("many-wiped", "aaabb", "aaaabbb", f"{FAULTS} wipe", spread="mixed", excused=AFTER_A_WIPE),
    config(
        "many-old-claims",
        "aaabb",
        "aaaabbb",
        FAULTS,
        spread="mixed",
        claims=(GHOST, GHOST, UNREADABLE, GHOST, NO_ZNODE),
    ),
    config(
        "many-attached", "aaabb", "aaaabbb", "crash kill stop forget stale late api deadline", strategy="attachment"
    ),
)
SETTLING_MOVES = 6000


@cache
def moves_of(world: Config) -> Moves:
    """One automaton for all walks through a world, so that the real code is asked once per local state."""
    moves = Moves(world, most_views=4)
    moves.telling = True
    return moves


class Walk:
    """One history; it knows what was told, for a person who has to read it."""

    def __init__(self, world: Config) -> None:
        self.world, self.moves = world, moves_of(world)
        self.state: State = world.begin()
        self.told: list[str] = []

    def go(self, choice: int, calm: bool = False) -> bool:
        """Take one of the possible moves; False if there is none."""
        possible = [move for move in self.moves.of(self.state) if move.calm or not calm]
        if not possible:
            return False
        move = possible[choice % len(possible)]
        self.told.append(move.told)
        self.state = move.state
        broken = move.broken or promises.of_state(self.world, self.moves.automata, self.state)
        assert broken is None, f"{broken}: {promises.PROMISES[broken]}\n" + "\n".join(self.told)
        return True

    def settle(self, start: int) -> None:
        """Take calm moves, by turns, until nobody is without an identity that is free."""
        for number in range(SETTLING_MOVES):
            if promises.is_goal(self.world, self.moves.automata, self.state):
                return
            self.go(start + number * 7919, calm=True)
        raise AssertionError("never-stranded\n" + "\n".join(self.told[-200:]))


@pytest.mark.parametrize("world", LARGE_WORLDS, ids=lambda world: world.name)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(choices=st.lists(st.integers(0, 2**20), min_size=50, max_size=150), start=st.integers(0, 2**20))
def test_promises_hold_on_walks_through_large_worlds(world: Config, choices: list[int], start: int) -> None:
    walk = Walk(world)
    for choice in choices:
        walk.go(choice)
    walk.settle(start)


@pytest.mark.parametrize(
    ("world", "promise"), PLANTED[:1] + PLANTED[-4:], ids=lambda value: getattr(value, "name", value)
)
def test_a_walk_notices_what_an_exploration_finds(world: Config, promise: str) -> None:
    broken = explore(world, 100_000).broken
    assert broken is not None
    walk = Walk(world)
    for told in broken.trace[:-1]:
        walk.go([move.told for move in walk.moves.of(walk.state)].index(told))
    last = [move.told for move in walk.moves.of(walk.state)].index(broken.trace[-1])
    with pytest.raises(AssertionError, match=f"^{promise}: "):
        walk.go(last)
