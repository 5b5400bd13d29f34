# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fewest batches: against every way to split a few brokers, and fast enough for many."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_roll_batches import Limit, Split, split
from hypothesis import given, settings
from hypothesis import strategies as st


def partitions_of(nodes: Sequence[int]) -> Iterator[list[list[int]]]:
    """Every way to put nodes into batches."""
    if not nodes:
        yield []
        return
    first, rest = nodes[0], nodes[1:]
    for smaller in partitions_of(rest):
        yield [[first], *smaller]
        for number in range(len(smaller)):
            yield [*smaller[:number], [first, *smaller[number]], *smaller[number + 1 :]]


def allowed(batches: Sequence[Sequence[int]], limits: Sequence[Limit], size: int) -> bool:
    return all(
        len(batch) <= size and all(len(limit.node_ids.intersection(batch)) <= limit.most for limit in limits)
        for batch in batches
    )


limit = st.builds(Limit, st.frozensets(st.integers(1, 7), min_size=1, max_size=4), st.integers(1, 3))


@settings(max_examples=300, deadline=None)
@given(st.sets(st.integers(1, 7), max_size=7), st.lists(limit, max_size=12), st.integers(1, 7))
def test_the_split_is_allowed_and_no_smaller_one_is(nodes: set[int], limits: list[Limit], size: int) -> None:
    found = split(sorted(nodes), limits, size)
    assert allowed(found.batches, limits, size)
    assert sorted(node for batch in found.batches for node in batch) == sorted(nodes)
    fewest = min(len(one) for one in partitions_of(sorted(nodes)) if allowed(one, limits, size))
    assert (len(found.batches), found.proven) == (fewest, True)
    assert split(sorted(nodes, reverse=True), list(reversed(limits)), size) == found


def test_a_first_split_that_is_not_the_fewest_is_improved() -> None:
    pairs = [(1, 5), (2, 4), (2, 7), (2, 8), (3, 4), (3, 5), (3, 8), (4, 7), (5, 6), (5, 7), (6, 7), (6, 8)]
    limits = [Limit(frozenset(pair), 1) for pair in pairs]
    assert split(range(1, 9), limits, 8) == Split(((1, 3, 7), (2, 6), (4, 5, 8)), proven=True)
    assert (len(split(range(1, 9), limits, 8, steps=1).batches), split(range(1, 9), limits, 8, steps=1).proven) == (
        4,
        False,
    )


def test_without_limits_the_size_alone_counts() -> None:
    assert split([5, 3, 1, 2, 4], [], 2).batches == ((1, 2), (3, 4), (5,))
    assert split([], [], 3).batches == ()


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_for_nobody(size: int) -> None:
    with pytest.raises(ValueError, match="holds nobody"):
        split([1], [], size)


def test_a_limit_that_allows_nobody() -> None:
    with pytest.raises(ValueError, match=r"none of \[1, 2\]"):
        split([1, 2], [Limit(frozenset({1, 2, 9}), 0)], 2)


def test_many_brokers_with_many_limits_take_a_bounded_number_of_steps_and_say_what_is_not_proven() -> None:
    chance = random.Random(7)
    pairs = {frozenset(chance.sample(range(167), 2)) for _ in range(7000)}
    limits = [Limit(pair, 1) for pair in pairs]
    found = split(range(167), limits, 167, steps=200_000)
    assert allowed(found.batches, limits, 167)
    assert not found.proven
    assert len(found.batches) < 45
