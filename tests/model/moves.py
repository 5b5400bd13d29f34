# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that can happen next: a process gets an answer, an instance changes, a service fails, time passes.

A move is calm when it needs no fault: fresh reads, replies that arrive, terminations that end, processes that start
again, services that come back. Liveness is asked of the calm moves alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from tests.model import promises
from tests.model.runs import Answer, Automata, Local
from tests.model.world import (
    ABSENT,
    DYING,
    FORGOTTEN,
    GHOST,
    GIVEN_BACK,
    LIVING,
    NO_ZNODE,
    NOBODY,
    OFF,
    RUNNING,
    SHUTTING_DOWN,
    STOPPED,
    TERMINATED,
    WORDS,
    Config,
    Run,
    State,
    Thing,
    aged,
    changed,
    replaced,
    views,
)

#: Above this many different answers to one read, a walk takes a selection; an exploration refuses to be so incomplete.
MOST_VIEWS = 256
NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Move(NamedTuple):
    """One successor; C(broken) names the promise that the move itself broke."""

    told: str
    state: State
    calm: bool
    broken: str | None = None


class Effect(NamedTuple):
    """What a request did to the world, and the answer to it."""

    answer: Answer
    state: State
    calm: bool = True
    broken: str | None = None
    told: str = ""


class Moves:
    """The successors of a state."""

    def __init__(self, config: Config, most_views: int | None = None) -> None:
        self.config = config
        self.most_views = MOST_VIEWS if most_views is None else most_views
        self.automata = Automata(config)
        self.selected = False
        self.telling = False

    def of(self, state: State) -> list[Move]:
        """Every move that is possible in this state."""
        found: list[Move] = []
        for run, process in enumerate(state.runs):
            if process.local != OFF:
                found += self._process(state, run)
        found += self._instances(state)
        found += self._services(state)
        later = self._later(state)
        if later != state:
            found.append(Move("half a grace period passes", later, True))
        return found

    # ---- processes ---------------------------------------------------------------------------------------------------

    def _process(self, state: State, run: int) -> Iterator[Move]:
        owner = self.config.owner(run)
        local = self.automata.locals[state.runs[run].local]
        if local.request:
            for effect in self._effects(state, run, owner, local):
                yield from self._moves(state, run, local, effect)
        begun = Run(self.automata.start(owner))
        if state.runs[run] != begun and self.config.may(state, "crash"):
            died = self.config.spent(_with_run(state, run, self._off(state, owner)), "crash")
            yield Move(f"{self._who(run)}: the process dies", died, False)

    def _moves(self, state: State, run: int, local: Local, effect: Effect) -> Iterator[Move]:
        asked = f"{self._who(run)}: {effect.told or _words(local.request)}" if self.telling else ""
        process = effect.state.runs[run]
        if local.request[0] == "states" and local.kind == "claim" and self._denies(effect.answer):
            held = Run(self.automata.held(process.local, effect.answer), process.fresh)
            yield Move(f"{asked} (heard later)", _with_run(effect.state, run, held), False, effect.broken)
        for following in self.automata.step(process.local, effect.answer):
            after = self.automata.locals[following.local]
            keeps = Run(following.local, process.fresh if self._rests_on_claims(after) else 0)
            if following.local == OFF:
                keeps = self._off(state, self.config.owner(run))
            moved = _with_run(effect.state, run, keeps)
            broken = effect.broken or promises.on_move(self.config, self.automata, moved, run, local, after)
            told = f"{asked} -> {_words(effect.answer)}; {following.told}" if self.telling else ""
            yield Move(told, moved, effect.calm and not following.hurried, broken)

    def _off(self, state: State, owner: int) -> Run:
        """A process that is over: where its instance runs, the next one is about to begin."""
        return Run(self.automata.start(owner) if state.instances[owner].value == RUNNING else OFF)

    @staticmethod
    def _denies(answer: Answer) -> bool:
        return answer[0] == "states" and any(word is None for _one, word in answer[1])

    def _rests_on_claims(self, local: Local) -> bool:
        """Whether the process still goes by the claims it has read."""
        if local.kind == "claim":
            assert local.machine is not None
            return local.machine.claims is not None
        return local.kind == "release" and len(local.script) >= 3

    def _who(self, run: int) -> str:
        number = run % self.config.runs_each
        return (
            f"{'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[self.config.owner(run)]}{number + 1 if self.config.runs_each > 1 else ''}"
        )

    def _effects(self, state: State, run: int, owner: int, local: Local) -> Iterator[Effect]:
        kind, *rest = local.request
        if kind == "hear":
            yield Effect(rest[0], state, told="hears the answer")
        elif kind == "pool":
            yield from self._read_pool(state)
        elif kind == "states":
            yield from self._read_states(state, tuple(rest))
        elif kind == "read":
            part, node = rest
            parts = state.enis if part == "eni" else state.volumes
            for holder in self._views(parts[node]):
                yield Effect(("part", holder), state, holder == parts[node].value)
            yield from self._api_error(state)
        elif kind == "host":
            mine = _attached_to(state, owner)
            yield Effect(("host", mine, frozenset(name for name in mine if name.startswith("eni"))), state)
            if mine and self.config.has("stale"):
                yield Effect(("host", mine, frozenset()), state, calm=False)
        elif kind == "attach":
            yield from self._attach(state, run, owner, local, *rest)
        else:
            yield from self._zookeeper(state, run, owner, local)

    # ---- EC2's answers -----------------------------------------------------------------------------------------------

    def _views(self, thing: Thing) -> tuple[int, ...]:
        return views(thing)

    def _combined(self, things: list[Thing]) -> list[tuple[tuple[object, ...], bool]]:
        """Every answer that a read of these things may give, each with whether it is the truth."""
        truth = tuple(thing.value for thing in things)
        options = [views(thing) for thing in things]
        number = 1
        for one in options:
            number *= len(one)
        if number > self.most_views:
            self.selected = True
            oldest = tuple(one[-1] for one in options)
            singles = [replaced(truth, index, one[-1]) for index, one in enumerate(options) if len(one) > 1]
            return [(answer, answer == truth) for answer in [truth, oldest, *singles]]
        return [(answer, answer == truth) for answer in product(*options)]

    def _read_pool(self, state: State) -> Iterator[Effect]:
        for answer, true in self._combined([*state.enis, *state.volumes]):
            number = len(state.enis)
            pairs = tuple(zip(answer[:number], answer[number:], strict=True))
            yield Effect(("pool", pairs), state, true)
        yield from self._api_error(state)

    def _read_states(self, state: State, asked: tuple[int, ...]) -> Iterator[Effect]:
        things = [Thing(FORGOTTEN) if one == GHOST else state.instances[one] for one in asked]
        for answer, true in self._combined(things):
            words = tuple((one, WORDS[int(str(value))]) for one, value in zip(asked, answer, strict=True))
            yield Effect(("states", words), state, true)
        yield from self._api_error(state)

    def _api_error(self, state: State) -> Iterator[Effect]:
        if self.config.has("api"):
            yield Effect(("error",), state, calm=False)

    def _attach(self, state: State, run: int, owner: int, local: Local, part: str, node: int) -> Iterator[Effect]:
        broken = promises.on_attach(self.config, state, owner, local, part, node)
        parts = state.enis if part == "eni" else state.volumes
        force = self.config.mistake.force and parts[node].value != NOBODY
        elsewhere = part == "eni" and any(
            other != node and eni.value == owner for other, eni in enumerate(state.enis) if not force
        )
        if state.instances[owner].value != RUNNING:
            yield Effect(("not-ready",), state, broken=broken)
        elif parts[node].value != NOBODY and not force:
            yield Effect(("lost",), state, broken=broken)
        elif elsewhere:
            yield Effect(("occupied",), state, broken=broken)
        else:
            after = self._given(state, part, node, owner)
            yield Effect(("ok",), after, broken=broken)
            if part == "eni" and local.kind == "attach":
                yield Effect(("proved",), after, broken=broken)
            if self.config.has("api"):
                yield Effect(("unknown",), after, False, broken, f"attaches {part}-{node}, and the reply is lost")
        if self.config.has("api"):
            yield Effect(("unknown",), state, False, broken, f"attach of {part}-{node} gets lost")

    def _given(self, state: State, part: str, node: int, holder: int) -> State:
        parts = state.enis if part == "eni" else state.volumes
        after = replaced(parts, node, changed(parts[node], holder, self.config.has("stale")))
        return state._replace(enis=after) if part == "eni" else state._replace(volumes=after)

    # ---- ZooKeeper ---------------------------------------------------------------------------------------------------

    def _zookeeper(self, state: State, run: int, owner: int, local: Local) -> Iterator[Effect]:
        kind = local.request[0]
        if not state.serves:
            yield Effect(("error",), state)
            return
        if kind == "claims":
            everything = (1 << len(state.claims)) - 1
            known = _with_run(state, run, Run(state.runs[run].local, everything))
            yield Effect(("claims", state.claims), known)
            return
        node = local.request[1]
        there, same = state.claims[node], bool(state.runs[run].fresh >> node & 1)
        wins = self.config.mistake.no_compare
        if kind == "create":
            wins = wins or there == NO_ZNODE
        else:
            wins = wins or same or (kind == "set" and local.request[2] and there != NO_ZNODE)
        after = self._claimed(state, run, node, GIVEN_BACK if kind == "give_back" else owner) if wins else state
        broken = promises.on_claim(self.config, state, owner, kind, node) if wins else None
        yield Effect(("ok",) if wins else ("lost",), after, broken=broken)
        if self.config.has("replies"):
            yield Effect(("unknown",), after, False, broken, f"{_words(local.request)}: the reply is lost")
            if wins:
                yield Effect(("unknown",), state, False, None, f"{_words(local.request)}: the request is lost")
        if self.config.has("expire"):
            yield Effect(("lost",), state, False, None, f"{_words(local.request)}: the session is another one")

    def _claimed(self, state: State, run: int, node: int, code: int) -> State:
        runs = state.runs
        if state.claims[node] != NO_ZNODE or not self.config.mistake.claims_outlive_sessions:
            left = ~(1 << node)
            runs = tuple(Run(one.local, one.fresh & left) if one.fresh else one for one in state.runs)
        return state._replace(claims=replaced(state.claims, node, code), runs=runs)

    def _services(self, state: State) -> Iterator[Move]:
        if not state.serves:
            yield Move("ZooKeeper is back", state._replace(serves=True), True)
        elif self.config.may(state, "outage"):
            yield Move("ZooKeeper goes away", self.config.spent(state._replace(serves=False), "outage"), False)
        if self.config.may(state, "wipe") and any(code != NO_ZNODE for code in state.claims):
            wiped = state._replace(claims=tuple(NO_ZNODE for _code in state.claims))
            if not self.config.mistake.claims_outlive_sessions:
                wiped = wiped._replace(runs=tuple(Run(process.local) for process in state.runs))
            yield Move("ZooKeeper loses everything", self.config.spent(wiped, "wipe"), False)

    # ---- instances and time ------------------------------------------------------------------------------------------

    def _instances(self, state: State) -> Iterator[Move]:
        may = self.config.may
        for number, thing in enumerate(state.instances):
            name = NAMES[number]
            if thing.value == ABSENT:
                if self._is_next(state, number):
                    yield Move(f"{name} is launched", self._up(state, number, "young"), True)
            elif thing.value == RUNNING:
                if may(state, "stop"):
                    yield Move(f"{name} is stopped", self._down(state, number, STOPPED, "stop"), False)
                if may(state, "kill"):
                    leaving = self.config.spent(self._into(state, number, SHUTTING_DOWN), "kill")
                    yield Move(f"{name} begins to shut down", leaving, False)
                yield from self._meddled(state, number, name)
            elif thing.value == STOPPED:
                yield Move(f"{name} is started again", self._up(state, number), False)
                if may(state, "kill"):
                    yield Move(f"{name} begins to terminate", self._down(state, number, DYING, "kill"), False)
            elif thing.value == SHUTTING_DOWN:
                yield Move(f"{name}: its processes are gone", self._down(state, number, DYING), True)
            else:
                yield from self._ending(state, number, name, thing.value)

    def _up(self, state: State, number: int, fault: str = "late") -> State:
        runs = {run: Run(self.automata.start(number)) for run in self.config.runs_of(number)}
        up = self._into(state, number, RUNNING, fault)
        return up._replace(runs=tuple(runs.get(run, process) for run, process in enumerate(up.runs)))

    def _down(self, state: State, number: int, value: int, fault: str = "") -> State:
        gone = self.config.runs_of(number)
        down = self.config.spent(self._into(state, number, value), fault)
        return down._replace(runs=tuple(Run(OFF) if run in gone else process for run, process in enumerate(down.runs)))

    def _is_next(self, state: State, number: int) -> bool:
        """Equal instances are launched in the order of their numbers: any other order is the same history renamed."""
        zone = self.config.instances[number]
        before = [one for one in range(number) if self.config.instances[one] == zone]
        return self.config.spread != "herd" or all(state.instances[one].value != ABSENT for one in before)

    def _meddled(self, state: State, number: int, name: str) -> Iterator[Move]:
        if not self.config.may(state, "operator"):
            return
        for node, eni in enumerate(state.enis):
            if eni.value == number and not eni.old and not state.volumes[node].old:
                after = self.config.spent(self._given(state, "eni", node, NOBODY), "operator")
                yield Move(f"somebody detaches eni-{node} of {name}", after, False)

    def _ending(self, state: State, number: int, name: str, value: int) -> Iterator[Move]:
        held = _attached_to(state, number)
        for resource in sorted(held):
            part, node = resource.split("-")
            yield Move(f"{resource} of {name} comes free", self._given(state, part, int(node), NOBODY), True)
        if value == DYING:
            yield Move(f"{name} is terminated", self._into(state, number, TERMINATED), True)
        elif value == TERMINATED and self.config.has("forget") and not held and not state.instances[number].old:
            yield Move(f"EC2 forgets {name}", self._into(state, number, FORGOTTEN), False)

    def _into(self, state: State, number: int, value: int, fault: str = "late") -> State:
        lags = self.config.has(fault) and WORDS[state.instances[number].value] != WORDS[value]
        return state._replace(
            instances=replaced(state.instances, number, changed(state.instances[number], value, lags))
        )

    def _later(self, state: State) -> State:
        slots = self.config.stale_slots
        return State(
            tuple(aged(thing, slots) for thing in state.instances),
            tuple(aged(thing, slots) for thing in state.enis),
            tuple(aged(thing, slots) for thing in state.volumes),
            state.claims,
            state.serves,
            tuple(Run(self.automata.later(process.local), process.fresh) for process in state.runs),
            state.left,
        )


def _with_run(state: State, run: int, process: Run) -> State:
    return state._replace(runs=replaced(state.runs, run, process))


def _attached_to(state: State, instance: int) -> frozenset[str]:
    found = {f"eni-{node}" for node, eni in enumerate(state.enis) if eni.value == instance}
    return frozenset(found | {f"vol-{node}" for node, volume in enumerate(state.volumes) if volume.value == instance})


def _words(items: tuple[object, ...]) -> str:
    return " ".join(str(item) for item in items)


__all__ = ["LIVING", "Move", "Moves"]
