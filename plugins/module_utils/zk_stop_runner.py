# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop one ZooKeeper server when its ensemble can spare it, and see that the others go on serving.

Gate, lock and stop are one process on the server's own host, so that nothing comes between the look and the act but the
act's own milliseconds. Everything outside is a port.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from ansible_collections.holdfast.kafka.plugins.module_utils import zk_roll_gate
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.service_watch import Service
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_4lw import Server


class UnitPort(Protocol):
    """The server's systemd unit."""

    def look(self) -> Service:
        """Ask systemd how the unit stands."""

    def stop(self) -> str:
        """Ask systemd to stop the unit without waiting; return its words when it refuses, else nothing."""

    def last_words(self) -> str:
        """Return the newest lines of its journal for a failure's message."""


@dataclass(frozen=True)
class Bounds:
    """How long everything may take, in seconds."""

    gate_timeout_seconds: float
    stop_timeout_seconds: float
    rest_timeout_seconds: float
    poll_seconds: float


@dataclass(frozen=True)
class Order:
    """Whom to stop, and what is allowed."""

    node_id: int
    leader_allowed: bool
    interruption_allowed: bool
    bounds: Bounds


@dataclass
class StopRun:
    """One stop; ``result`` holds what is known so far, also when it fails."""

    order: Order
    ask: Callable[[], Mapping[int, Server]]
    unit: UnitPort
    prove_lock: Callable[[], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    result: dict[str, Any] = field(
        default_factory=lambda: {
            "changed": False,
            "outcome": "nothing_to_stop",
            "gate_reads": 0,
            "gate_waited_seconds": 0.0,
        }
    )

    def run(self, *, check: bool) -> dict[str, Any]:
        """Stop the server, or say in ``outcome`` why not; HoldfastError with what was seen last.

        In check mode the gate is read once and nothing is stopped.
        """
        service = self._look()
        seen = self._ask()
        self.result["mode"] = seen[self.order.node_id].mode
        if not self._runs(service):
            return self.result
        seen = self._gate(once=check)
        mode = seen[self.order.node_id].mode
        self.result["mode"] = mode
        if mode == "leader" and not self.order.leader_allowed:
            self.result["outcome"] = "deferred"
            return self.result
        self.result["outcome"] = "stopped"
        self.result["changed"] = True
        if check:
            return self.result
        self.result["changed"] = False
        self._stop()
        self._rest(seen)
        return self.result

    @staticmethod
    def _runs(service: Service) -> bool:
        # A unit that waits for its next start (activating) has no process yet, and would get one in the turn's middle.
        return service.active not in ("inactive", "failed")

    def _look(self) -> Service:
        service = self.unit.look()
        if service.load == "not-found":
            self._fail(
                "service_failed", f"{service.unit} is no unit of this host; is this server {self.order.node_id}?"
            )
        return service

    def _ask(self) -> Mapping[int, Server]:
        seen = self.ask()
        self.result["states"] = zk_roll_gate.states(seen)
        return seen

    def _gate(self, *, once: bool) -> Mapping[int, Server]:
        """Wait for an open gate, prove the lock, and look again: what opened it must hold when the lock is proven."""
        began = self.clock()
        proven = False
        while True:
            seen = self._ask()
            self.result["gate_reads"] += 1
            faults = zk_roll_gate.gate_faults(
                seen, self.order.node_id, interruption_allowed=self.order.interruption_allowed
            )
            waited = self.clock() - began
            self.result["gate_waited_seconds"] = round(waited, 1)
            if not faults and (proven or self._deferred(seen)):
                return seen
            if not faults:
                self.prove_lock()
                proven = True
                if once:
                    return seen
                continue
            proven = False
            if once or waited >= self.order.bounds.gate_timeout_seconds:
                said = "; ".join(faults)
                self._fail(
                    "gate_closed",
                    f"Server {self.order.node_id} was not stopped: {said} (after {waited:.0f} s). Bring the ensemble "
                    "into sync and start the playbook again; it resumes",
                    closed_by=faults,
                )
            self.sleep(self.order.bounds.poll_seconds)

    def _deferred(self, seen: Mapping[int, Server]) -> bool:
        return seen[self.order.node_id].mode == "leader" and not self.order.leader_allowed

    def _stop(self) -> None:
        began = self.clock()
        refused = self.unit.stop()
        if refused:
            self._fail("stop_failed", f"systemd did not stop server {self.order.node_id}: {refused}")
        self.result["changed"] = True
        while True:
            service = self._look()
            took = self.clock() - began
            self.result["stop_seconds"] = round(took, 2)
            if not self._runs(service):
                self.result["killed"] = service.result == "timeout"
                return
            if took >= self.order.bounds.stop_timeout_seconds:
                self._fail(
                    "stop_timeout",
                    f"{service.unit} is still {service.active} ({service.sub}, process {service.pid}) {took:.0f} s "
                    f"after the request to stop.{self.unit.last_words()}",
                )
            self.sleep(min(self.order.bounds.poll_seconds, 0.2))

    def _rest(self, before: Mapping[int, Server]) -> None:
        """Wait until the others serve; they cannot when they are no majority."""
        left = len(before) - 1
        if left < len(before) // 2 + 1:
            return
        began = self.clock()
        while True:
            faults = zk_roll_gate.rest_faults(self._ask(), self.order.node_id)
            took = self.clock() - began
            self.result["rest_seconds"] = round(took, 2)
            if not faults:
                return
            if took >= self.order.bounds.rest_timeout_seconds:
                self._fail(
                    "rest_not_serving",
                    f"Server {self.order.node_id} is stopped, and after {took:.0f} s the others are not in order "
                    f"without it: {'; '.join(faults)}. Start it again (systemctl start zookeeper)",
                    closed_by=faults,
                )
            self.sleep(min(self.order.bounds.poll_seconds, 0.5))

    def _fail(self, reason: str, message: str, **extra: Any) -> NoReturn:
        raise HoldfastError(reason, f"{message}.", **{**self.result, **extra})
