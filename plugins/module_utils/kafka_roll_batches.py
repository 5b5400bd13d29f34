# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Split brokers into the fewest batches of which none takes too much from a partition. No I/O, no clock.

This is the colouring of a hypergraph, for which nobody knows a fast exact way. So a good split is made first, a bound
from below says whether fewer are thinkable, and a search for fewer is bounded by its steps. The same input gives the
same batches on every machine.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

#: Elementary steps of the search for a better split; about a second.
STEPS = 2_000_000


@dataclass(frozen=True)
class Limit:
    """At most ``most`` of ``node_ids`` may be in one batch."""

    node_ids: frozenset[int]
    most: int


@dataclass(frozen=True)
class Split:
    """Batches, and whether it is proven that there cannot be fewer."""

    batches: tuple[tuple[int, ...], ...]
    proven: bool


def split(node_ids: Sequence[int], limits: Iterable[Limit], size: int, steps: int = STEPS) -> Split:
    """Return batches of at most ``size`` brokers that keep every limit.

    ValueError when a limit allows nobody, because then no batch can hold its brokers.
    """
    if size < 1:
        raise ValueError(f"a batch of at most {size} brokers holds nobody")
    nodes = sorted(set(node_ids))
    if not nodes:
        return Split((), proven=True)
    binding = _binding(nodes, limits)
    if not binding:
        return Split(tuple(tuple(nodes[at : at + size]) for at in range(0, len(nodes), size)), proven=True)
    search = _Search(nodes, binding, size)
    best = search.colour(len(nodes), None)
    assert best is not None, "a batch for each broker keeps every limit"
    low = _at_least(nodes, binding, size)
    while max(best) + 1 > low and search.steps < steps:
        fewer = search.colour(max(best), steps)
        if fewer is None:
            low = max(best) + 1 if search.steps < steps else low
            break
        best = fewer
    batches: list[list[int]] = [[] for _ in range(max(best) + 1)]
    for node_id, colour in zip(nodes, best, strict=True):
        batches[colour].append(node_id)
    return Split(tuple(sorted(map(tuple, batches))), proven=len(batches) <= low)


def _binding(nodes: Sequence[int], limits: Iterable[Limit]) -> list[Limit]:
    """Return the limits that can be broken by these nodes, each group once, in a fixed order."""
    wanted = frozenset(nodes)
    least: dict[frozenset[int], int] = {}
    for limit in limits:
        group = limit.node_ids & wanted
        if group and limit.most < 1:
            raise ValueError(f"none of {sorted(group)} may be in any batch")
        if len(group) > limit.most:
            least[group] = min(limit.most, least.get(group, limit.most))
    return [Limit(group, least[group]) for group in sorted(least, key=sorted)]


def _at_least(nodes: Sequence[int], limits: Sequence[Limit], size: int) -> int:
    """Return a number of batches below which there is nothing."""
    bound = max([-(-len(nodes) // size), *(-(-len(limit.node_ids) // limit.most) for limit in limits)])
    apart: dict[int, set[int]] = {node_id: set() for node_id in nodes}
    for limit in limits:
        if limit.most == 1:
            for node_id in limit.node_ids:
                apart[node_id] |= limit.node_ids - {node_id}
    # Brokers of which no two may be together need a batch each.
    order = sorted(nodes, key=lambda node_id: (-len(apart[node_id]), node_id))
    for first in order[:20]:
        clique = {first}
        for other in order:
            if clique <= apart[other]:
                clique.add(other)
        bound = max(bound, len(clique))
    return bound


@dataclass
class _Search:
    """A search in depth: the broker with the fewest batches left goes next."""

    nodes: Sequence[int]
    limits: Sequence[Limit]
    size: int
    steps: int = 0
    _of: list[list[int]] = field(init=False)
    _groups: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        index = {node_id: number for number, node_id in enumerate(self.nodes)}
        self._groups = [sorted(index[node_id] for node_id in limit.node_ids) for limit in self.limits]
        self._of = [[] for _ in self.nodes]
        for number, group in enumerate(self._groups):
            for node in group:
                self._of[node].append(number)

    def colour(self, batches: int, steps: int | None) -> list[int] | None:
        """Return each broker's batch with at most ``batches`` of them; None when there is no way, or no time."""
        count = len(self.nodes)
        self._colour = [-1] * count
        self._sizes = [0] * batches
        self._used = [[0] * batches for _ in self.limits]
        self._blocked = [[0] * batches for _ in range(count)]
        self._closed = [0] * count
        stack = [(self._next(), 0)]
        while True:
            node, first = stack.pop()
            if self._colour[node] >= 0:
                self._take(node, -1)
            if steps is not None and self.steps >= steps:
                return None
            # All batches beyond the first unused one are the same.
            opened = min(batches, sum(1 for size in self._sizes if size) + 1)
            choice = next((c for c in range(first, opened) if self._fits(node, c)), None)
            self.steps += opened
            if choice is not None:
                self._put(node, choice)
                stack.append((node, choice + 1))
                if len(stack) == count:
                    return list(self._colour)
                stack.append((self._next(), 0))
            elif not stack:
                return None

    def _fits(self, node: int, colour: int) -> bool:
        return self._sizes[colour] < self.size and not self._blocked[node][colour]

    def _next(self) -> int:
        self.steps += len(self.nodes)
        free = (node for node in range(len(self.nodes)) if self._colour[node] < 0)
        return max(free, key=lambda node: (self._closed[node], len(self._of[node]), -node))

    def _put(self, node: int, colour: int) -> None:
        self._colour[node] = colour
        self._sizes[colour] += 1
        for number in self._of[node]:
            used = self._used[number]
            used[colour] += 1
            if used[colour] == self.limits[number].most:
                self._block(number, colour, 1)

    def _take(self, node: int, free: int) -> None:
        colour = self._colour[node]
        self._colour[node] = free
        self._sizes[colour] -= 1
        for number in self._of[node]:
            used = self._used[number]
            if used[colour] == self.limits[number].most:
                self._block(number, colour, -1)
            used[colour] -= 1

    def _block(self, number: int, colour: int, by: int) -> None:
        self.steps += len(self._groups[number])
        for node in self._groups[number]:
            before = self._blocked[node][colour]
            self._blocked[node][colour] = before + by
            self._closed[node] += (before + by > 0) - (before > 0)
