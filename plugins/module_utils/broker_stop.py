# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop one broker of a batch: through the gate, with the lock in hand, until the cluster no longer lists it.

Nothing here knows Ansible; the cluster, the unit, the lock and the clock are given.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.holdfast.kafka.plugins.module_utils import kafka_roll_gate, kafka_roll_rules
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_reader import ReadError
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_roll_rules import Refusal, Rules
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import Broker, View
from ansible_collections.holdfast.kafka.plugins.module_utils.number_bounds import require_numbers
from ansible_collections.holdfast.kafka.plugins.module_utils.service_watch import Service

#: How often systemd is asked while the process ends.
LOOK_SECONDS = 0.5
#: What no later read of the cluster would cure.
LASTING = ("auth", "bad_parameter")


class Cluster(Protocol):
    """The cluster as it is now; every method may raise ReadError, but ``silent``."""

    def read(self) -> View:
        """Return brokers and partitions."""

    def read_in_full(self, witness: int | None = None) -> View:
        """Return also each topic's min.insync.replicas and the reassignments, as any broker or this one has them."""

    def silent(self, brokers: Iterable[Broker]) -> frozenset[int]:
        """Return those that do not answer."""


class Unit(Protocol):
    """The broker's systemd unit on this host."""

    unit: str

    def look(self) -> Service:
        """Return what systemd says of it."""

    def stop(self) -> str:
        """Tell systemd to stop it; return what systemd has against that."""

    def last_words(self) -> str:
        """Return the end of its journal as a sentence."""


class Clock(Protocol):
    """Time that only goes forward."""

    def monotonic(self) -> float:
        """Return seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


@dataclass(frozen=True)
class Order:
    """Which broker to stop, with whom, and how long each step may take."""

    node_id: int
    batch: frozenset[int]
    gate_timeout_seconds: float = 120.0
    poll_seconds: float = 2.0
    stop_timeout_seconds: float = 660.0
    deregister_timeout_seconds: float = 60.0

    def checked(self, rules: Rules) -> Order:
        """Return the order; ValueError says what in it can never be done."""
        kafka_roll_rules.known([self.node_id], rules.members, "node_id")
        kafka_roll_rules.known(self.batch, rules.members, "batch_node_ids")
        if self.node_id not in self.batch:
            batch = ", ".join(map(str, sorted(self.batch)))
            raise ValueError(f"node_id is {self.node_id}, and batch_node_ids has only {batch}")
        require_numbers(vars(self), ["gate_timeout_seconds"], 0)
        require_numbers(vars(self), ("poll_seconds", "stop_timeout_seconds", "deregister_timeout_seconds"), 0.1)
        return self


@dataclass
class Told:
    """What is known of the stop so far, for the result, whichever way it ends."""

    gate_reads: int = 0
    gate_waited_seconds: float = 0.0
    gate_open: bool | None = None
    closed_by: list[Refusal] = field(default_factory=list)
    controller_id: int | None = None
    stop_seconds: float | None = None
    clean: bool | None = None
    deregister_seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data; seconds with one decimal."""
        facts = {key: round(value, 1) if isinstance(value, float) else value for key, value in vars(self).items()}
        facts["closed_by"] = [refusal.as_dict() for refusal in kafka_roll_rules.kept(self.closed_by)]
        return facts


@dataclass
class Stop:
    """One stop. ``prove`` raises HoldfastError when the run's lock is lost; None when there is no lock."""

    order: Order
    rules: Rules
    cluster: Cluster
    unit: Unit
    prove: Callable[[], object] | None = None
    clock: Clock = time
    told: Told = field(default_factory=Told)
    #: Whether systemd was told to stop the unit.
    ordered: bool = False

    def due(self) -> bool:
        """Whether there is a process to stop; HoldfastError when the unit cannot be asked or is none."""
        return not self._look().ended

    def look_once(self) -> None:
        """Evaluate gate and lock once and stop nothing, as check mode does."""
        try:
            view = self._read()
            if self._is_open(view, self.rules):
                self._is_open(view, self._heard(view))
        except ReadError as error:
            raise self._unread(error) from error
        if self.prove is not None:
            self.prove()

    def run(self) -> None:
        """Pass the gate, stop, and see the broker leave; HoldfastError says what is in the way."""
        self._pass()
        began = self.clock.monotonic()
        self._end()
        self.told.stop_seconds = self.clock.monotonic() - began
        self.leave()

    def leave(self) -> None:
        """Wait until the cluster no longer lists the broker, if there is anybody outside of the batch to say so."""
        if self.order.batch.issuperset(self.rules.members):
            return
        began = self.clock.monotonic()
        while True:
            problem = self._listed()
            if problem is None:
                self.told.deregister_seconds = self.clock.monotonic() - began
                return
            if self.clock.monotonic() - began >= self.order.deregister_timeout_seconds:
                raise problem
            self.clock.sleep(min(self.order.poll_seconds, 1.0))

    def _pass(self) -> None:
        """Wait until the gate is open; HoldfastError when it stays closed or the lock is lost."""
        began = self.clock.monotonic()
        while True:
            failure: HoldfastError | None = None
            is_open = False
            try:
                is_open = self._open()
            except ReadError as error:
                failure = self._unread(error)
                if error.reason in LASTING:
                    raise failure from error
            self.told.gate_waited_seconds = self.clock.monotonic() - began
            if is_open:
                return
            if self.told.gate_waited_seconds >= self.order.gate_timeout_seconds:
                raise failure or self._closed()
            self.clock.sleep(self.order.poll_seconds)

    def _open(self) -> bool:
        view = self._read()
        if not self._is_open(view, self.rules):
            return False
        rules = self._heard(view)
        if not self._is_open(view, rules):
            return False
        if self.prove is not None:
            self.prove()
        # Asking the others and ZooKeeper took its time; what decides is read last.
        return all(self._is_open(self._read(witness), rules) for witness in self._witnesses(view))

    def _witnesses(self, view: View) -> list[int]:
        """Return the controller and one other broker: one that is cut off and tells old news is outvoted."""
        others = [broker.node_id for broker in view.brokers if broker.node_id != view.controller_id]
        others.sort(key=lambda node_id: (node_id in self.order.batch, node_id))
        controller = [] if view.controller_id is None else [view.controller_id]
        return [*controller, *others[:1]]

    def _read(self, witness: int | None = None) -> View:
        self.told.gate_reads += 1
        return self.cluster.read_in_full(witness)

    def _is_open(self, view: View, rules: Rules) -> bool:
        self.told.controller_id = view.controller_id
        self.told.closed_by = kafka_roll_gate.closed_by(view, rules, self.order.batch)
        self.told.gate_open = not self.told.closed_by
        return self.told.gate_open

    def _heard(self, view: View) -> Rules:
        """Ask those on whose replicas the batch's partitions will rest, and return the rules with the silent ones."""
        batch = self.order.batch
        needed = {n for p in view.partitions if not batch.isdisjoint(p.replicas) for n in p.replicas} - batch
        asked = [broker for broker in view.brokers if broker.node_id in needed]
        return dataclasses.replace(self.rules, silent=self.cluster.silent(asked))

    def _look(self) -> Service:
        seen = self.unit.look()
        if seen.load == "not-found":
            raise HoldfastError("service_failed", f"{seen.unit} is no unit of this host; nothing was stopped")
        if seen.active in ("", "unknown"):
            raise HoldfastError("service_failed", f"systemd does not say how {seen.unit} is; look at it on the host")
        return seen

    def _end(self) -> None:
        """Stop the process and wait until it has ended."""
        before = self._look()
        objection = self.unit.stop()
        if objection:
            raise HoldfastError("stop_failed", f"systemd does not stop {self.unit.unit}: {objection}")
        self.ordered = True
        began = self.clock.monotonic()
        while True:
            seen = self._look()
            if seen.ended:
                self.told.clean = seen.active == "inactive" and seen.result in ("", "success")
                return
            waited = self.clock.monotonic() - began
            again = seen.runs and before.pid and seen.pid != before.pid
            if again or waited >= self.order.stop_timeout_seconds:
                how = f"is {seen.active} ({seen.sub}) with pid {seen.pid}"
                said = f"{seen.unit} was told to stop {waited:.0f} s ago and {how}"
                said += f" instead of {before.pid}: somebody started it again" if again else ""
                raise HoldfastError("stop_timeout", f"{said}.{self.unit.last_words()}")
            self.clock.sleep(LOOK_SECONDS)

    def _listed(self) -> HoldfastError | None:
        """Return what keeps the broker from having left; None when it has."""
        node_id = self.order.node_id
        try:
            found = [broker for broker in self.cluster.read().brokers if broker.node_id == node_id]
        except ReadError as error:
            told = f"broker {node_id} has ended, and nobody could tell whether the cluster still lists it: {error}"
            return HoldfastError(error.reason, told)
        if not found:
            return None
        bound = self.order.deregister_timeout_seconds
        where = f"{found[0].host}:{found[0].port}"
        told = f"broker {node_id} has ended and after {bound:g} s the cluster still lists it at {where}"
        return HoldfastError("still_registered", f"{told}; its session lives on, or another process has this node id")

    def _closed(self) -> HoldfastError:
        waited = f"{self.told.gate_waited_seconds:.0f} s"
        who = kafka_roll_rules.brokers_text(sorted(self.order.batch))
        said = (
            f"the gate before stopping {who} was closed for {waited}, and broker {self.order.node_id} was not stopped"
        )
        return HoldfastError("gate_closed", f"{said}: {kafka_roll_rules.summary(self.told.closed_by)}")

    def _unread(self, error: ReadError) -> HoldfastError:
        return HoldfastError(error.reason, f"the gate could not be evaluated and nothing was stopped: {error}")
