# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stopping a broker: the order of the steps, and every way in which it ends."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.broker_stop import Order, Stop
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_reader import ReadError
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import Broker, View
from ansible_collections.holdfast.kafka.plugins.module_utils.service_watch import Service

from tests.unit.plugins.module_utils.roll_views import part, rules, view

OPEN = view([part([1, 2, 3])])
CLOSED = view([part([1, 2, 3], isr=[1, 2])])
GONE = view([part([1, 2, 3], isr=[2, 3])], brokers=[2, 3])
RUNS = Service("kafka.service", "loaded", "active", "running", "success", pid=7)
ENDING = dataclasses.replace(RUNS, active="deactivating", sub="stop-sigterm")
ENDED = dataclasses.replace(RUNS, active="inactive", sub="dead", pid=0)
KILLED = dataclasses.replace(ENDED, active="failed", result="timeout")
Look = View | ReadError


class World:
    """Cluster, unit, lock and clock in one, which writes down what was done."""

    unit = "kafka.service"

    def __init__(
        self, looks: list[Look], units: list[Service], silent: Iterable[int] = (), objection: str = ""
    ) -> None:
        self.looks, self.units, self.objection = looks, units, objection
        self.mute = frozenset(silent)
        self.done: list[str] = []
        self.now = 0.0
        self.lock_error: HoldfastError | None = None

    def _next(self, what: str) -> View:
        self.done.append(what)
        found = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(found, ReadError):
            raise found
        return found

    def read(self) -> View:
        return self._next("read")

    def read_in_full(self, witness: int | None = None) -> View:
        return self._next("read in full" if witness is None else f"read in full by {witness}")

    def silent(self, brokers: Iterable[Broker]) -> frozenset[int]:
        asked = [broker.node_id for broker in brokers]
        self.done.append(f"ask {asked}")
        return self.mute.intersection(asked)

    def look(self) -> Service:
        return self.units.pop(0) if len(self.units) > 1 else self.units[0]

    def stop(self) -> str:
        self.done.append("stop")
        return self.objection

    def last_words(self) -> str:
        return " Its last lines: closing"

    def prove(self) -> None:
        self.done.append("prove")
        if self.lock_error:
            raise self.lock_error

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def stop_of(world: World, locked: bool = True, pool: tuple[int, ...] = (1, 2, 3), **order: Any) -> Stop:
    wanted = Order(1, frozenset(order.pop("batch", [1])), **order)
    known = rules(pool)
    return Stop(wanted.checked(known), known, world, world, world.prove if locked else None, world)


def failed(stop: Stop) -> HoldfastError:
    with pytest.raises(HoldfastError) as caught:
        stop.run()
    return caught.value


def test_the_gate_is_read_last_and_the_lock_is_proven_before_the_stop() -> None:
    world = World([OPEN, OPEN, OPEN, GONE], [RUNS, ENDING, ENDED])
    stop = stop_of(world)
    stop.run()
    witnessed = ["read in full by 1", "read in full by 2"]
    assert world.done == ["read in full", "ask [2, 3]", "prove", *witnessed, "stop", "read"]
    told = stop.told.as_dict()
    assert (told["gate_open"], told["gate_reads"], told["closed_by"], told["controller_id"]) == (True, 3, [], 1)
    assert (told["stop_seconds"], told["clean"], told["deregister_seconds"]) == (0.5, True, 0)


@pytest.mark.parametrize(
    ("brokers", "controller", "batch", "asked"),
    [
        ((1, 2, 3), 3, [1], [3, 2]),
        ((1, 2, 3), 1, [1, 2], [1, 3]),
        # Its neighbour of the batch still runs and is better than nobody.
        ((1, 2), 2, [1, 2], [2, 1]),
        ((1,), 1, [1], [1]),
    ],
)
def test_the_controller_and_one_other_are_the_witnesses(
    brokers: tuple[int, ...], controller: int, batch: list[int], asked: list[int]
) -> None:
    world = World([view(brokers=brokers, controller=controller)], [RUNS, ENDED])
    stop = stop_of(world, batch=batch, pool=brokers, deregister_timeout_seconds=0.1)
    with contextlib.suppress(HoldfastError):
        stop.run()
    assert [what for what in world.done if " by " in what] == [f"read in full by {node_id}" for node_id in asked]


def test_without_a_lock_there_is_nothing_to_prove() -> None:
    world = World([OPEN, OPEN, OPEN, GONE], [RUNS, ENDED])
    stop_of(world, locked=False).run()
    assert "prove" not in world.done


def test_a_closed_gate_is_waited_for() -> None:
    world = World([CLOSED, ReadError("unreachable", "no"), OPEN, OPEN, OPEN, GONE], [RUNS, ENDED])
    stop = stop_of(world, poll_seconds=2)
    stop.run()
    assert (stop.told.gate_waited_seconds, stop.told.gate_reads) == (4, 5)


@pytest.mark.parametrize(
    ("looks", "silent", "said"),
    [
        ([CLOSED], [], "under_replicated: t-0 lacks the replica of broker 3"),
        # A broker that was just killed: its replicas look as if they were in sync.
        ([OPEN], [3], "broker_silent: broker 3"),
        # It closes between the reads, or one broker tells old news and the other does not.
        ([OPEN, CLOSED], [], "under_replicated"),
        ([OPEN, OPEN, CLOSED], [], "under_replicated"),
    ],
)
def test_a_gate_that_stays_closed_stops_nothing(looks: list[Look], silent: list[int], said: str) -> None:
    asked_for_the_lock = len(looks) > 1
    world = World(looks, [RUNS], silent)
    stop = stop_of(world, gate_timeout_seconds=9)
    error = failed(stop)
    assert (error.reason, stop.told.gate_open, stop.told.gate_waited_seconds) == ("gate_closed", False, 10)
    assert said in error.message
    assert ("prove" in world.done, "stop" in world.done) == (asked_for_the_lock, False)
    assert stop.told.as_dict()["closed_by"]


def test_a_gate_without_time_is_looked_at_once() -> None:
    world = World([CLOSED, OPEN], [RUNS])
    assert failed(stop_of(world, gate_timeout_seconds=0)).reason == "gate_closed"
    assert world.done == ["read in full"]


@pytest.mark.parametrize(
    ("reason", "reads"), [("auth", 1), ("bad_parameter", 1), ("unreachable", 3), ("kafka_error", 3)]
)
def test_a_cluster_that_cannot_be_read_stops_nothing(reason: str, reads: int) -> None:
    world = World([ReadError(reason, "the broker says no")], [RUNS])
    error = failed(stop_of(world, gate_timeout_seconds=4))
    assert (error.reason, world.done) == (reason, ["read in full"] * reads)
    assert "nothing was stopped: the broker says no" in error.message


def test_a_lost_lock_stops_nothing() -> None:
    world = World([OPEN], [RUNS])
    world.lock_error = HoldfastError("lock_lost", "another run has it")
    assert failed(stop_of(world)).reason == "lock_lost"
    assert "stop" not in world.done


def test_a_process_that_does_not_end() -> None:
    world = World([OPEN], [RUNS, ENDING])
    stop = stop_of(world, stop_timeout_seconds=30)
    error = failed(stop)
    assert (error.reason, stop.told.clean, stop.ordered) == ("stop_timeout", None, True)
    assert "told to stop 30 s ago and is deactivating (stop-sigterm) with pid 7" in error.message
    assert "closing" in error.message


def test_a_process_that_somebody_starts_again() -> None:
    world = World([OPEN], [RUNS, dataclasses.replace(RUNS, pid=8)])
    error = failed(stop_of(world))
    assert (error.reason, "somebody started it again" in error.message) == ("stop_timeout", True)


def test_a_process_that_systemd_had_to_kill_is_stopped_and_not_clean() -> None:
    stop = stop_of(World([OPEN, OPEN, OPEN, GONE], [RUNS, KILLED]))
    stop.run()
    assert stop.told.clean is False


def test_a_broker_that_stays_listed() -> None:
    stop = stop_of(World([OPEN], [RUNS, ENDED]), deregister_timeout_seconds=20)
    error = failed(stop)
    assert (error.reason, stop.told.clean) == ("still_registered", True)
    assert "after 20 s the cluster still lists it at 10.0.0.2:9092" in error.message


def test_nobody_tells_whether_it_is_still_listed() -> None:
    error = failed(stop_of(World([OPEN, OPEN, OPEN, ReadError("unreachable", "no")], [RUNS, ENDED])))
    assert (error.reason, "nobody could tell" in error.message) == ("unreachable", True)


def test_the_whole_pool_has_nobody_left_to_ask() -> None:
    stop = stop_of(World([view(brokers=[1])], [RUNS, ENDED]), pool=(1,))
    stop.run()
    assert (stop.told.clean, stop.told.deregister_seconds) == (True, None)


@pytest.mark.parametrize(
    ("reason", "seen", "objection", "said"),
    [
        ("service_failed", dataclasses.replace(RUNS, load="not-found"), "", "is no unit of this host"),
        ("service_failed", Service("kafka.service", active="unknown"), "", "does not say how"),
        ("stop_failed", RUNS, "Access denied", "systemd does not stop kafka.service: Access denied"),
    ],
)
def test_a_unit_that_cannot_be_stopped(reason: str, seen: Service, objection: str, said: str) -> None:
    stop = stop_of(World([OPEN], [seen], objection=objection))
    error = failed(stop)
    assert (error.reason, said in error.message, stop.ordered) == (reason, True, False)


@pytest.mark.parametrize(("seen", "due"), [(RUNS, True), (ENDING, True), (ENDED, False), (KILLED, False)])
def test_only_what_lives_is_stopped(seen: Service, due: bool) -> None:
    assert stop_of(World([OPEN], [seen])).due() is due


def test_a_unit_that_waits_for_its_restart_lives() -> None:
    waiting = dataclasses.replace(RUNS, active="activating", sub="auto-restart", pid=0)
    assert stop_of(World([OPEN], [waiting])).due() is True


@pytest.mark.parametrize(
    ("looks", "silent", "is_open"), [([OPEN], [], True), ([CLOSED], [], False), ([OPEN], [2], False)]
)
def test_check_mode_looks_once(looks: list[Look], silent: list[int], is_open: bool) -> None:
    world = World(looks, [RUNS], silent)
    stop = stop_of(world)
    stop.look_once()
    assert (stop.told.gate_open, world.done.count("read in full"), "stop" in world.done) == (is_open, 1, False)
    assert "prove" in world.done


def test_check_mode_without_an_answer() -> None:
    with pytest.raises(HoldfastError) as caught:
        stop_of(World([ReadError("unreachable", "no")], [RUNS])).look_once()
    assert caught.value.reason == "unreachable"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch": [2]}, "batch_node_ids has only 2"),
        ({"batch": [1, 9]}, "batch_node_ids names broker 9"),
        ({"pool": (2, 3)}, "node_id names broker 1"),
        ({"gate_timeout_seconds": -1}, "gate_timeout_seconds is -1"),
        ({"poll_seconds": 0}, "poll_seconds is 0"),
        ({"stop_timeout_seconds": float("inf")}, "stop_timeout_seconds is inf"),
        ({"deregister_timeout_seconds": float("nan")}, "deregister_timeout_seconds is nan"),
    ],
)
def test_an_order_that_can_never_be_done(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        stop_of(World([OPEN], [RUNS]), **change)
