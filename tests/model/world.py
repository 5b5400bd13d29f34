# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The world of the model as small, hashable values: EC2's truth and what its reads may still show, claims, processes.

Time is counted in slots. What EC2 showed before a change may be read until the end of the slot after it, and the grace
period is two slots, so the model assumes that EC2's reads lag by at most half the grace period.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ansible_collections.holdfast.kafka.plugins.module_utils.herd import spread

from tests.model.mistakes import NONE, Mistake

SLOT_SECONDS = 30.0
GRACE_SLOTS = 2
STALE_SLOTS = 2

# Instances: what EC2 makes of them. A process may still run while its instance is shutting down.
ABSENT, RUNNING, STOPPED, SHUTTING_DOWN, DYING, TERMINATED, FORGOTTEN = range(7)
WORDS = (None, "running", "stopped", "shutting-down", "shutting-down", "terminated", None)
LIVING = (RUNNING, STOPPED, SHUTTING_DOWN)

# Claims: an instance's number, or one of these.
NOBODY = -1
NO_ZNODE, GIVEN_BACK, UNREADABLE, GHOST = -1, -2, -3, 90
GHOST_ID = "i-0ghost"

OFF = 0
#: Faults that a configuration may bound; the others are answers to a request.
LIMITABLE = frozenset({"kill", "crash", "stop", "outage", "wipe", "operator"})

Window = tuple[tuple[Any, int], ...]


class Thing(NamedTuple):
    """Something EC2 has a word on: its truth, and older answers that reads may still give, each with its age."""

    value: Any
    old: Window = ()


class Run(NamedTuple):
    """A process of an instance: its local state, and for which node ids the claim it read is still the same znode."""

    local: int
    fresh: int = 0


class State(NamedTuple):
    """One state of the world."""

    instances: tuple[Thing, ...]
    enis: tuple[Thing, ...]
    volumes: tuple[Thing, ...]
    claims: tuple[int, ...]
    serves: bool
    runs: tuple[Run, ...]
    left: tuple[int, ...] = ()


@dataclass(frozen=True)
class Config:
    """What is explored: sizes, strategy, and which faults happen, as often and whenever they like.

    ``faults``: crash, kill, stop, forget, stale, young, replies, api, outage, wipe, expire, operator, deadline.
    ``at_most`` limits how often some faults happen in one history, where there would be too many states otherwise.
    """

    name: str
    zones: tuple[str, ...]
    instances: tuple[str, ...]
    strategy: str = "zookeeper"
    faults: frozenset[str] = frozenset()
    runs_each: int = 1
    claims: tuple[int, ...] = ()
    at_most: tuple[tuple[str, int], ...] = ()
    spread: str = "herd"
    mistake: Mistake = NONE
    excused: frozenset[str] = frozenset()
    ids: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        unlimited = {fault for fault, _most in self.at_most} - LIMITABLE
        if unlimited:
            raise ValueError(f"{self.name}: {', '.join(sorted(unlimited))} cannot be limited")
        object.__setattr__(self, "ids", instance_ids(len(self.instances), len(self.zones), self.spread))

    @property
    def stale_slots(self) -> int:
        """For how many slots an older answer may be read; without young instances only its end matters, not when."""
        return STALE_SLOTS if self.has("young") else 1

    @property
    def identities(self) -> range:
        """The node ids."""
        return range(len(self.zones))

    def has(self, fault: str) -> bool:
        """Whether this fault happens."""
        return fault in self.faults

    def may(self, state: State, fault: str) -> bool:
        """Whether this fault may happen (once more) in this state."""
        return fault in self.faults and all(
            number > 0 for (name, _most), number in zip(self.at_most, state.left, strict=True) if name == fault
        )

    def spent(self, state: State, fault: str) -> State:
        """Return the state with one fault less to come."""
        if not state.left:
            return state
        left = tuple(number - (name == fault) for (name, _most), number in zip(self.at_most, state.left, strict=True))
        return state._replace(left=left)

    def owner(self, run: int) -> int:
        """The instance of a process."""
        return run // self.runs_each

    def runs_of(self, instance: int) -> range:
        """The processes of an instance."""
        return range(instance * self.runs_each, (instance + 1) * self.runs_each)

    def begin(self) -> State:
        """Nothing is launched, everything is free."""
        free = tuple(Thing(NOBODY) for _each in self.zones)
        return State(
            instances=tuple(Thing(ABSENT) for _each in self.instances),
            enis=free,
            volumes=free,
            claims=self.claims or tuple(NO_ZNODE for _each in self.zones),
            serves=True,
            runs=tuple(Run(OFF) for _each in range(len(self.instances) * self.runs_each)),
            left=tuple(number for _fault, number in self.at_most),
        )


def instance_ids(number: int, identities: int, how: str) -> tuple[str, ...]:
    """Find instance ids that all reach for the identities in the same order (``herd``), or just some (``mixed``)."""
    found: list[str] = []
    trial = 0
    while len(found) < number:
        one = f"i-{trial:05x}"
        trial += 1
        if how != "herd" or identities > 4 or spread(one, range(identities)) == list(range(identities)):
            found.append(one)
    return tuple(found)


def changed(thing: Thing, value: Any, lags: bool) -> Thing:
    """Return the thing with a new truth; reads may go on showing the old one for a while."""
    if value == thing.value:
        return thing
    if not lags:
        return Thing(value, thing.old)
    old = dict(thing.old)
    old[thing.value] = 0
    old.pop(value, None)
    return Thing(value, tuple(sorted(old.items(), key=repr)))


def aged(thing: Thing, stale_slots: int) -> Thing:
    """Return the thing one slot later."""
    if not thing.old:
        return thing
    return Thing(thing.value, tuple((value, age + 1) for value, age in thing.old if age + 1 < stale_slots))


def views(thing: Thing) -> tuple[Any, ...]:
    """Every answer a read may give, the true one first."""
    return (thing.value, *(value for value, _age in thing.old))


def replaced(items: tuple[Any, ...], index: int, item: Any) -> tuple[Any, ...]:
    """Return the tuple with one item exchanged."""
    return (*items[:index], item, *items[index + 1 :])
