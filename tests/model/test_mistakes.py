# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model finds what it is there to find: each planted mistake is caught, by the promise that it breaks."""

from __future__ import annotations

import pytest

from tests.model.configs import PLANTED
from tests.model.explore import explore
from tests.model.mistakes import MISTAKES
from tests.model.promises import PROMISES
from tests.model.world import Config


@pytest.mark.parametrize(("world", "promise"), PLANTED, ids=[f"{world.name}: {name}" for world, name in PLANTED])
def test_mistake_is_caught(world: Config, promise: str) -> None:
    outcome = explore(world, 100_000)
    print(f"{world.name} in {outcome.states} states\n{outcome.broken}")
    assert outcome.broken is not None, outcome.line()
    assert outcome.broken.promise == promise, str(outcome.broken)
    assert outcome.broken.trace
    assert all(outcome.broken.trace), "a step without words"


def test_every_mistake_is_planted_and_every_promise_fires() -> None:
    assert {world.name for world, _promise in PLANTED} == set(MISTAKES)
    assert {promise for _world, promise in PLANTED} == set(PROMISES)


def test_a_trace_is_a_shortest_one_and_reads_as_a_story() -> None:
    world = next(
        world for world, promise in PLANTED if (world.name, promise) == ("stopped-is-dead", "takeover-from-dead")
    )
    broken = explore(world, 100_000).broken
    assert broken is not None
    lines = str(broken).splitlines()
    assert lines[0] == f"takeover-from-dead: {PROMISES['takeover-from-dead']}"
    assert len(lines) - 1 == len(broken.trace) == 10
    assert "A is stopped" in str(broken)
    assert broken.trace[-1].startswith("B: set 0")
