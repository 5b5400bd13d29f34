# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One process of a boot as an automaton that is read off the real code.

It claims, attaches the ENI, attaches the volume and serves; after a failure it gives the claim back.

A local state waits for one answer of EC2, ZooKeeper or the host. C(Automata.step) feeds the answer to the real Runner,
AttachRun or release() and says which local states may follow. Equal states and answers are computed once.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

from ansible_collections.holdfast.kafka.plugins.module_utils import (
    attach_runner,
    claim_machine,
    release_runner,
)
from ansible_collections.holdfast.kafka.plugins.module_utils import claim_steps as steps
from ansible_collections.holdfast.kafka.plugins.module_utils.attach_rules import Reading
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_machine import ClaimMachine, Settings
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim, decode
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_rules import InstanceBook
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Eni, Identity, PoolReading, Volume
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme

from tests.model import world
from tests.model.ports import (
    VERSION,
    Answer,
    AttachPort,
    Claims,
    Ec2,
    ReleasePort,
    Request,
    SuspendedError,
)
from tests.model.world import GHOST, GHOST_ID, NO_ZNODE, NOBODY, OFF, UNREADABLE, Config

ROLE, CLUSTER = "kafka", "c"
NEVER = 10.0**9
GRACE_SECONDS = world.SLOT_SECONDS * world.GRACE_SLOTS
#: Attributes of the machine that no decision rests on, or whose value the model fixes.
NOT_STATE = ("settings", "attempts", "deadline", "held_deadline", "asked_at", "over")


@dataclass
class Local:
    """Where a process is; C(request) is what it waits for, C(node) the identity it was given."""

    kind: str
    instance: int
    request: Request
    node: int | None = None
    machine: ClaimMachine | None = None
    volume_holder: int = NOBODY
    top: tuple[Any, ...] = ()
    script: tuple[Answer, ...] = ()
    key: tuple[Any, ...] = field(default=())


@dataclass(frozen=True)
class Next:
    """One local state that may follow: what the real code decided, and whether a time limit made it."""

    local: int
    told: str
    hurried: bool = False


def _hidden(run: attach_runner.AttachRun) -> tuple[tuple[str, Any], ...]:
    """What a run remembers from round to round, whatever it is called."""
    return tuple((name, frozen(value)) for name, value in sorted(vars(run).items()) if name.startswith("_"))


def _asks(request: Request) -> str:
    return "asks: " + " ".join(map(str, request))


def _age(book: InstanceBook, oldest: float) -> None:
    """Move the denials one slot into the past, as far as that can still make a difference to a decision.

    Only differences count: of a denial's two ends, and of its beginning and the next question. A denial whose last end
    is C(oldest) stays, since every later question is a grace period away.
    """
    for one, since in book.denied_since.items():
        until = max(book.denied_until[one], since)
        if until - world.SLOT_SECONDS >= oldest:
            book.denied_since[one] = since - world.SLOT_SECONDS
            book.denied_until[one] = until - world.SLOT_SECONDS


def _without_old_ends(machine: ClaimMachine) -> None:
    """Take away what the next answer replaces, and what is longer than a grace period."""
    book = machine.book
    asked = machine.step.instance_ids if isinstance(machine.step, steps.DescribeInstances) else ()
    for one, since in book.denied_since.items():
        if one not in book.states:
            since = max(since, (machine.asked_at if one in asked else 0.0) - GRACE_SECONDS)
            book.denied_since[one] = book.denied_until[one] = since
        else:
            until = max(book.denied_until[one], since)
            book.denied_since[one], book.denied_until[one] = max(since, until - GRACE_SECONDS), until


def frozen(value: Any) -> Any:
    """Turn the machine's values into something hashable."""
    if isinstance(value, dict):
        return tuple(sorted((key, frozen(item)) for key, item in value.items()))
    if isinstance(value, (set, frozenset)):
        return tuple(sorted(value))
    if isinstance(value, list):
        return tuple(frozen(item) for item in value)
    return value


class Automata:
    """All local states of one configuration, found as they are reached."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.locals: list[Local] = [Local("off", -1, ())]
        self._ids: dict[tuple[Any, ...], int] = {("off",): OFF}
        self._steps: dict[tuple[int, Answer], tuple[Next, ...]] = {}
        self._ticks: dict[int, int] = {}
        self._starts: dict[int, int] = {}
        self._readings: dict[Answer, PoolReading] = {}
        self.remembers_claims = config.has("outage") or config.has("replies")

    # ---- the words of the world, as the real code reads them ---------------------------------------------------------

    def name(self, instance: int) -> str | None:
        """The instance's id."""
        if instance == GHOST:
            return GHOST_ID
        return self.config.ids[instance] if instance >= 0 else None

    def number(self, instance_id: str | None) -> int:
        """The instance's number."""
        if instance_id is None:
            return NOBODY
        return GHOST if instance_id == GHOST_ID else self.config.ids.index(instance_id)

    def pool(self, holders: Answer) -> PoolReading:
        """The pool's reading in which these instances have the ENIs and volumes."""
        if holders not in self._readings:
            found = [self._identity(node, *pair) for node, pair in enumerate(holders)]
            self._readings[holders] = PoolReading(CLUSTER, tuple(found))
        return self._readings[holders]

    def _identity(self, node: int, eni_holder: int, volume_holder: int) -> Identity:
        zone, has_eni, has_volume = self.config.zones[node], self.name(eni_holder), self.name(volume_holder)
        used = ("available", "in-use")
        eni = Eni(f"eni-{node}", f"02:{node}", "10.0.0.1", "subnet-1", zone, used[has_eni is not None], has_eni)
        volume = Volume(f"vol-{node}", 0, 1, zone, used[has_volume is not None], has_volume)
        return Identity(node, CLUSTER, ROLE, zone, f"{CLUSTER}-{ROLE}-{node}", eni, (volume,))

    def claim_map(self, codes: Answer) -> dict[int, Claim]:
        """The claims as ZooKeeper's port returns them; what cannot be read went through the real decoder."""
        found = {}
        for node, code in enumerate(codes):
            if code == UNREADABLE:
                found[node] = decode(node, b"{", VERSION, 0.0)
            elif code != NO_ZNODE:
                found[node] = Claim(node, VERSION, self.name(code), 0.0)
        return found

    # ---- local states ------------------------------------------------------------------------------------------------

    def _intern(self, local: Local, key: tuple[Any, ...]) -> int:
        if key not in self._ids:
            local.key = key
            self._ids[key] = len(self.locals)
            self.locals.append(local)
        return self._ids[key]

    def start(self, instance: int) -> int:
        """The local state of a process that has just begun."""
        if instance not in self._starts:
            settings = Settings(
                self.config.ids[instance],
                self.config.instances[instance],
                CLUSTER,
                ROLE,
                self.config.strategy,
                grace_seconds=GRACE_SECONDS,
            )
            machine = self.config.mistake.machine(settings, 0.0)
            machine.book = self.config.mistake.book(GRACE_SECONDS)
            machine.deadline = NEVER
            self._starts[instance] = self._decide(instance, machine)[0].local
        return self._starts[instance]

    def step(self, local_id: int, answer: Answer) -> tuple[Next, ...]:
        """The local states that may follow when the pending request is answered so."""
        key = (local_id, answer)
        if key not in self._steps:
            local = self.locals[local_id]
            found = {"claim": self._claim, "attach": self._attach, "release": self._release}[local.kind](local, answer)
            unique = {following.local: following for following in reversed(found)}
            self._steps[key] = tuple(reversed(unique.values()))
        return self._steps[key]

    def held(self, local_id: int, answer: Answer) -> int:
        """The local state in which this answer has come and the process has not heard it yet."""
        local = self.locals[local_id]
        waiting = copy.copy(local)
        waiting.request = ("hear", answer)
        return self._intern(waiting, ("hear", local.key, answer))

    def later(self, local_id: int) -> int:
        """The same local state one slot later."""
        if local_id not in self._ticks:
            local = self.locals[local_id]
            if local.kind != "claim":
                self._ticks[local_id] = local_id
            else:
                self._ticks[local_id] = self._later(local)
        return self._ticks[local_id]

    def _later(self, local: Local) -> int:
        machine = self._copied(local.machine)
        if machine.occupied_since is not None:
            machine.occupied_since = max(machine.occupied_since - world.SLOT_SECONDS, -GRACE_SECONDS)
        asks = isinstance(machine.step, steps.DescribeInstances)
        if asks and machine.asked_at - world.SLOT_SECONDS >= -GRACE_SECONDS:
            machine.asked_at -= world.SLOT_SECONDS
            _age(machine.book, oldest=-float("inf"))
        elif not asks:
            _age(machine.book, oldest=-GRACE_SECONDS)
        _without_old_ends(machine)
        moved = copy.copy(local)
        moved.machine = machine
        key = self._machine_key(local.instance, machine)
        return self._intern(moved, ("hear", key, local.request[1]) if local.request[0] == "hear" else key)

    # ---- the claim: ClaimMachine behind the real Runner --------------------------------------------------------------

    @staticmethod
    def _copied(machine: ClaimMachine | None) -> ClaimMachine:
        assert machine is not None
        twin = copy.copy(machine)
        for name, value in vars(machine).items():
            if isinstance(value, (dict, set, list)):
                setattr(twin, name, copy.copy(value))
        twin.book = copy.copy(machine.book)
        for name, value in vars(machine.book).items():
            if isinstance(value, dict):
                setattr(twin.book, name, dict(value))
        return twin

    def _machine_key(self, instance: int, machine: ClaimMachine) -> tuple[Any, ...]:
        values = [(name, frozen(value)) for name, value in vars(machine).items() if name not in (*NOT_STATE, "book")]
        asked = machine.asked_at if isinstance(machine.step, steps.DescribeInstances) else 0.0
        return ("claim", instance, tuple(values), frozen(vars(machine.book)), asked)

    def _claim(self, local: Local, answer: Answer) -> list[Next]:
        machine = self._copied(local.machine)
        runner = self.config.mistake.runner(
            machine.settings, Ec2(self, answer), TagScheme(), lambda _hosts: Claims(self, answer), 1, ["zk:2181"]
        )
        runner.machine = machine
        runner.reading = machine.reading
        with mock.patch.object(claim_machine, "judge", self.config.mistake.judge):
            machine.feed(runner._carry_out(machine.step), 0.0)
            return self._decide(local.instance, machine)

    def _decide(self, instance: int, machine: ClaimMachine) -> list[Next]:
        """Let the machine decide until it asks something; a wait passes at once, or is the one the deadline ends."""
        found: list[Next] = []
        for _round in range(10):
            machine.unknown_writes = min(machine.unknown_writes, 2)
            reads = machine.book.denied_reads
            reads.update({one: min(count, 2) for one, count in reads.items()})
            if not self.remembers_claims:
                machine.last_claims = {}
            machine.attempts.clear()
            if machine.blocked is not None and self.config.has("outage"):
                found += self._hurried(instance, machine, held_deadline=0.0)
            machine.held_deadline = None if machine.held_deadline is None else NEVER
            step = machine.next_step(0.0)
            _without_old_ends(machine)
            if not isinstance(step, steps.Wait):
                return [self._after(instance, machine, step), *found]
            if self.config.has("deadline"):
                found += self._hurried(instance, machine, deadline=0.0)
            machine.feed(steps.Waited(), 0.0)
        raise AssertionError(f"the machine does not come to ask anything: {machine.step}")

    def _hurried(self, instance: int, machine: ClaimMachine, **times: float) -> list[Next]:
        """What follows if a time limit has just passed."""
        twin = self._copied(machine)
        for name, value in times.items():
            setattr(twin, name, value)
        step = twin.next_step(0.0)
        if not isinstance(step, (steps.Done, steps.Fail)):
            return []
        return [replace(self._after(instance, twin, step), hurried=True)]

    def _after(self, instance: int, machine: ClaimMachine, step: steps.Step) -> Next:
        if isinstance(step, steps.Fail):
            return Next(self._given_up(instance), f"fails: {step.reason}: {step.message}")
        if isinstance(step, steps.Done):
            identity = step.identity
            volume = self.number(identity.volumes[0].instance_id)
            told = f"is done: node {identity.node_id}, {step.outcome}" + (" (pending)" if step.claim_pending else "")
            eni = self.number(identity.eni.instance_id)
            return Next(self._begin_attach(instance, "eni", identity.node_id, eni, volume), told)
        request = self._request(step)
        local = Local("claim", instance, request, machine=machine)
        return Next(self._intern(local, self._machine_key(instance, machine)), _asks(request))

    def _request(self, step: steps.Step) -> Request:
        if isinstance(step, steps.ReadPool):
            return ("pool",)
        if isinstance(step, steps.ReadClaims):
            return ("claims",)
        if isinstance(step, steps.DescribeInstances):
            return ("states", *(self.number(one) for one in step.instance_ids))
        if isinstance(step, steps.CreateClaim):
            return ("create", step.identity.node_id)
        if isinstance(step, steps.SetClaim):
            assert step.version in (VERSION, -1), "a version that was never read"
            return ("set", step.identity.node_id, step.version == -1)
        assert isinstance(step, steps.AttachEni)
        return ("attach", "eni", step.identity.node_id)

    # ---- attaching: AttachRun, one round of its loop at a time -------------------------------------------------------

    def reading_of(self, part: str, node: int, holder: int) -> Reading:
        mine = self.name(holder)
        return Reading(f"{part}-{node}", "in-use" if mine else "available", mine, None, 1, False if mine else None)

    def _begin_attach(self, instance: int, part: str, node: int, holder: int, volume: int) -> int:
        fresh = attach_runner.AttachRun(AttachPort(self, Local("attach", instance, (), node), part), "", 1.0, 1.0)
        first = Local("attach", instance, ("begin", part), node, None, volume, (holder, *_hidden(fresh)))
        return self._attach_on(first)[0].local

    def _attach(self, local: Local, answer: Answer) -> list[Next]:
        if answer == ("error",) and local.request[0] == "read" and local.script[-1:] == (answer,):
            return [Next(self._ids[local.key], "asks again")]  # a second error in a row tells the loop nothing new
        more = copy.copy(local)
        more.script = (*local.script, answer)
        return self._attach_on(more)

    def _attach_on(self, local: Local) -> list[Next]:
        found = [self._round(local, late=False)]
        if self.config.has("deadline"):
            found.append(replace(self._round(local, late=True), hurried=True))
        return found

    def _round(self, local: Local, late: bool) -> Next:
        """Run the real loop from its top with the answers so far, until it asks, ends or comes round again."""
        part = local.request[1] if local.request[0] == "begin" else local.key[3]
        assert local.node is not None
        me = self.config.ids[local.instance]
        port = AttachPort(self, local, part)
        run = attach_runner.AttachRun(port, me, 1.0, 1.0, sleep=lambda _seconds: None, monotonic=lambda: 0.0)
        run.monotonic = (lambda: NEVER) if late else run.monotonic
        for name, value in local.top[1:]:
            setattr(run, name, dict(value) if isinstance(getattr(run, name), dict) else value)
        rounds: list[Reading] = []

        def judged(reading: Reading, who: str, state: str | None) -> Any:
            if rounds:
                raise SuspendedError(("again", reading))
            rounds.append(reading)
            return self.config.mistake.judge_attachment(reading, who, state)

        try:
            with mock.patch.object(attach_runner, "judge_attachment", judged):
                run.run(self.reading_of(part, local.node, local.top[0]))
        except SuspendedError as asked:
            if asked.request[0] == "again":
                again = copy.copy(local)
                reading = asked.request[1]
                again.top, again.script = (self.number(reading.instance_id), *_hidden(run)), ()
                again.request = ("begin", part)
                return self._round(again, late=False)
            key = ("attach", local.instance, local.node, part, local.volume_holder, local.top, local.script)
            waits = copy.copy(local)
            waits.request = asked.request
            return Next(self._intern(waits, key), _asks(asked.request))
        except HoldfastError as error:
            return Next(self._given_up(local.instance), f"fails: {error.reason}: {error.message}")
        if part == "eni":
            following = self._begin_attach(local.instance, "vol", local.node, local.volume_holder, NOBODY)
            return Next(following, f"has attached eni-{local.node}")
        serving = Local("serve", local.instance, (), local.node)
        served = self._intern(serving, ("serve", local.instance, local.node))
        return Next(served, f"serves as node {local.node}")

    # ---- giving back: release() from its beginning with the answers so far -------------------------------------------

    def _given_up(self, instance: int) -> int:
        if self.config.strategy != "zookeeper":
            return OFF
        return self._release_on(Local("release", instance, ())).local

    def _release(self, local: Local, answer: Answer) -> list[Next]:
        more = copy.copy(local)
        more.script = (*local.script, answer)
        return [self._release_on(more)]

    def _release_on(self, local: Local) -> Next:
        port: Any = ReleasePort(self, local)
        params = {
            "cluster": CLUSTER,
            "role": ROLE,
            "expected_pools": {},
            "expected_volumes": 1,
            "zookeeper_hosts": ["zk:2181"],
        }
        patched: dict[str, Any] = {"find_volume": port.find_volume, "find_interface": port.find_interface}
        patched["judge_release"] = self.config.mistake.judge_release
        try:
            with mock.patch.multiple(release_runner, **patched):
                verdict = release_runner.release(
                    params, self.config.ids[local.instance], TagScheme(), port, port, lambda _hosts: port, False
                )
        except SuspendedError as asked:
            waits = copy.copy(local)
            waits.request = asked.request
            return Next(self._intern(waits, ("release", local.instance, local.script)), _asks(asked.request))
        except HoldfastError as error:
            return Next(OFF, f"ends: {error.reason}")
        return Next(OFF, f"ends: claim {verdict.outcome}")
