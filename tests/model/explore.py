# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Explicit-state exploration: every reachable state, breadth first, so that a trace to a broken promise is shortest."""

from __future__ import annotations

import gc
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from tests.model import promises
from tests.model.moves import Move, Moves
from tests.model.world import Config, State


class TooLargeError(Exception):
    """The bound was reached: nothing is proved."""


@dataclass
class Broken:
    """A promise that does not hold, and the shortest history that shows it."""

    promise: str
    trace: list[str]

    def __str__(self) -> str:
        lines = [f"{self.promise}: {promises.PROMISES[self.promise]}"]
        return "\n".join(lines + [f"  {number:>3}. {told}" for number, told in enumerate(self.trace, 1)])


@dataclass
class Outcome:
    """What an exploration found; without C(complete) it has proved nothing."""

    config: Config
    states: int = 0
    transitions: int = 0
    local_states: int = 0
    goals: int = 0
    depth: int = 0
    complete: bool = False
    cpu_seconds: float = 0.0
    broken: Broken | None = None

    def line(self) -> str:
        """One line for a person."""
        said = "complete" if self.complete else "NOT COMPLETE"
        verdict = f"BROKEN {self.broken.promise}" if self.broken else "every promise holds"
        return (
            f"{self.config.name:<24} {self.states:>9} states {self.transitions:>10} transitions  "
            f"depth {self.depth:>3}  {self.cpu_seconds:6.1f} s  {said}: {verdict}"
        )


@dataclass
class _Graph:
    """What is kept of every state: where it was first reached from, and which states calm moves lead to."""

    index: dict[State, int] = field(default_factory=dict)
    order: list[State] = field(default_factory=list)
    parents: array[int] = field(default_factory=lambda: array("l"))
    depths: array[int] = field(default_factory=lambda: array("l"))
    calm_begin: array[int] = field(default_factory=lambda: array("l"))
    calm_to: array[int] = field(default_factory=lambda: array("l"))

    def add(self, state: State, parent: int) -> int:
        """Take in a state; its number."""
        number = len(self.order)
        self.index[state] = number
        self.order.append(state)
        self.parents.append(parent)
        self.depths.append(self.depths[parent] + 1 if parent >= 0 else 0)
        return number


def explore(config: Config, most_states: int, progress: Callable[[str], None] | None = None) -> Outcome:
    """Reach every state of the configuration; stop at the first broken promise; raise TooLargeError at the bound."""
    began = time.process_time()
    gc.disable()  # nothing here is a cycle, and the collector would visit every state again and again
    try:
        return _explore(config, most_states, progress, began)
    finally:
        gc.enable()


def _explore(config: Config, most_states: int, progress: Callable[[str], None] | None, began: float) -> Outcome:
    moves, graph, outcome = Moves(config), _Graph(), Outcome(config)
    graph.add(config.begin(), -1)
    goals = array("b")
    number = 0
    while number < len(graph.order):
        state = graph.order[number]
        graph.calm_begin.append(len(graph.calm_to))
        goals.append(promises.is_goal(config, moves.automata, state))
        for move in moves.of(state):
            outcome.transitions += 1
            if move.broken:
                outcome.broken = Broken(move.broken, _trace(moves, graph, number, move))
                return _ended(outcome, moves, graph, began)
            there = graph.index.get(move.state)
            if there is None:
                there = graph.add(move.state, number)
                broken = promises.of_state(config, moves.automata, move.state)
                if broken:
                    outcome.broken = Broken(broken, _trace(moves, graph, number, move))
                    return _ended(outcome, moves, graph, began)
            if move.calm and there != number:
                graph.calm_to.append(there)
        number += 1
        if len(graph.order) > most_states:
            _ended(outcome, moves, graph, began)
            raise TooLargeError(f"{config.name}: more than {most_states} states; {outcome.line()}")
        if progress and number % 50000 == 0:
            progress(f"{config.name}: {number} of {len(graph.order)} states so far")
    graph.calm_begin.append(len(graph.calm_to))
    outcome.goals = sum(goals)
    stranded = _first_stranded(graph, goals)
    if stranded is not None:
        outcome.broken = Broken("never-stranded", _trace(moves, graph, stranded))
    outcome.complete = not moves.selected
    return _ended(outcome, moves, graph, began)


def _ended(outcome: Outcome, moves: Moves, graph: _Graph, began: float) -> Outcome:
    outcome.states = len(graph.order)
    outcome.local_states = len(moves.automata.locals)
    outcome.depth = max(graph.depths)
    outcome.cpu_seconds = round(time.process_time() - began, 1)
    return outcome


def _trace(moves: Moves, graph: _Graph, number: int, last: Move | None = None) -> list[str]:
    """The moves that led to a state first, told again from the start."""
    path = [number]
    while graph.parents[path[-1]] >= 0:
        path.append(graph.parents[path[-1]])
    path.reverse()
    steps = [(before, graph.order[after]) for before, after in pairwise(path)]
    moves.telling = True
    told = [next(move.told for move in moves.of(graph.order[before]) if move.state == after) for before, after in steps]
    if last is not None:
        found = (move for move in moves.of(graph.order[number]) if move.state == last.state)
        told.append(next(move.told for move in found if move.broken == last.broken))
    return told


def _first_stranded(graph: _Graph, goals: array[int]) -> int | None:
    """The first state from which calm moves reach no goal.

    If calm moves lead from every state to a goal, then no calm cycle without a goal can be left for good: a history in
    which every calm move that stays possible happens at last reaches one.
    """
    size = len(graph.order)
    begins = array("l", bytes(8 * (size + 2)))
    for there in graph.calm_to:
        begins[there + 2] += 1
    for number in range(2, size + 2):
        begins[number] += begins[number - 1]
    back = array("l", bytes(8 * len(graph.calm_to)))
    for number in range(size):
        for edge in range(graph.calm_begin[number], graph.calm_begin[number + 1]):
            there = graph.calm_to[edge]
            back[begins[there + 1]] = number
            begins[there + 1] += 1
    reached = array("b", goals)
    todo = [number for number in range(size) if goals[number]]
    while todo:
        number = todo.pop()
        for edge in range(begins[number], begins[number + 1]):
            before = back[edge]
            if not reached[before]:
                reached[before] = 1
                todo.append(before)
    return next((number for number in range(size) if not reached[number]), None)
