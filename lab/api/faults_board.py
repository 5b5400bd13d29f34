# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults that are set in a running lab: kept here, asked by whatever they strike, gone with the server."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.api.events import EventJournal, now_iso
from lab.api.faults_match import Occasion, Rhythm, concerns

POLL_SECONDS = 0.05


@dataclass(eq=False)
class Fault:
    """One fault that is set; ``cleared`` ends whatever it holds up, ``memory`` is its own layer's."""

    fault_id: str
    kind: str
    parameters: dict[str, Any]
    given: tuple[str, ...]
    launched_before: frozenset[str]
    rhythm: Rhythm
    set_at: str = field(default_factory=now_iso)
    cleared: threading.Event = field(default_factory=threading.Event)
    memory: dict[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """The fault as `lab fault list --json` shows it: with the parameters that were given."""
        return {
            "id": self.fault_id,
            "kind": self.kind,
            "parameters": {key: self.parameters[key] for key in self.given},
            "set_at": self.set_at,
            "struck": self.rhythm.struck,
            "remaining": self.rhythm.remaining,
        }


class FaultBoard:
    """Keeps the faults in the order in which they were set; safe to use from any thread, with or without locks."""

    def __init__(self, events: EventJournal) -> None:
        self._events = events
        self._lock = threading.Lock()
        self._faults: dict[str, Fault] = {}
        self._numbers = itertools.count(1)

    def make(
        self, kind: str, parameters: dict[str, Any], given: tuple[str, ...], launched_before: frozenset[str]
    ) -> Fault:
        """A fault whose parameters were read already, not set yet; ``given`` are those that are not defaults."""
        with self._lock:
            number = f"f{next(self._numbers)}"
        return Fault(number, kind, parameters, given, launched_before, Rhythm(parameters))

    def set(self, fault: Fault) -> Fault:
        """Let the fault strike from now on."""
        with self._lock:
            self._faults[fault.fault_id] = fault
        shown = fault.describe()["parameters"]
        self._events.record("fault_set", fault=fault.fault_id, fault_kind=fault.kind, parameters=shown)
        return fault

    def clear(self, fault: Fault) -> None:
        """Forget the fault and let go of what it holds up."""
        with self._lock:
            self._faults.pop(fault.fault_id, None)
        fault.cleared.set()
        self._events.record("fault_cleared", fault=fault.fault_id, fault_kind=fault.kind, struck=fault.rhythm.struck)

    def all(self, kind: str | None = None) -> list[Fault]:
        """The faults that are set, of one kind if given, oldest first."""
        with self._lock:
            return [fault for fault in self._faults.values() if kind in (None, fault.kind)]

    def strike(
        self, kind: str, occasion: Occasion, where: Callable[[Mapping[str, Any]], bool] | None = None, **more: Any
    ) -> Fault | None:
        """Return the oldest fault of this kind that strikes now (the journal then knows), or None.

        ``where`` judges the fault's parameters further; ``more`` goes into the journal.
        """
        for fault in self.all(kind):
            if not concerns(fault.parameters, fault.launched_before, occasion):
                continue
            if where is not None and not where(fault.parameters):
                continue
            with self._lock:
                strikes = fault.rhythm.strikes()
            if strikes:
                self.record(fault, occasion, **more)
                return fault
        return None

    def strike_at_once(self, fault: Fault, occasion: Occasion) -> None:
        """Count and record that the fault struck by being set."""
        with self._lock:
            fault.rhythm.strikes()
        self.record(fault, occasion)

    def record(self, fault: Fault, occasion: Occasion, **more: Any) -> None:
        """Write into the journal that the fault struck: which kind, which instance, which call."""
        fields: dict[str, Any] = {"action": occasion.action, "instance_id": occasion.instance_id, **more}
        fields |= {"resource_ids": sorted(occasion.resources)} if occasion.resources else {}
        shown = {key: value for key, value in fields.items() if value not in ("", None)}
        self._events.record("fault_struck", fault=fault.fault_id, fault_kind=fault.kind, **shown)

    @staticmethod
    def hold(fault: Fault, seconds: float | None, pause: Callable[[float], None]) -> None:
        """Wait until the fault is cleared or the seconds are over; ``pause`` sleeps and raises when the lab stops."""
        ends = None if seconds is None else time.monotonic() + seconds
        while not fault.cleared.is_set():
            rest = POLL_SECONDS if ends is None else min(POLL_SECONDS, ends - time.monotonic())
            if rest <= 0:
                return
            pause(rest)
