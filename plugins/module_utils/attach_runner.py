# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attach one thing that this instance has a right to: wait for a dying holder, never take from a living one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from ansible_collections.holdfast.kafka.plugins.module_utils.attach_rules import Action, Reading, judge_attachment
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_errors import Meaning
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_rules import NOT_FOUND
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError

CONFLICT_READS = 2
REJECTED_ROUNDS = 2
#: How often a taken place is asked for again: it may be my own attachment, which EC2 does not show yet.
OCCUPIED_TRIES = 3
#: For so long, what EC2 does not know counts as not visible yet.
NOT_FOUND_SECONDS = 30.0
LETS_GO = " Nothing was taken by force: find out why it does not let go, then run this again."


class AttachPort(Protocol):
    """One ENI or volume, and how EC2 is asked about it."""

    name: str
    hint: str
    stuck: str
    one_place: bool

    def read(self) -> Reading:
        """Describe it."""

    def attach(self) -> Reading | None:
        """Ask EC2 to attach it; return the next reading if there is one without a describe."""

    def keep(self, reading: Reading) -> None:
        """Make it outlive its instance."""

    def holder_state(self, instance_id: str) -> str | None:
        """Return the instance's state, C(None) if EC2 does not know it."""

    def occupied(self) -> bool:
        """The place is taken: choose another; False if there is none."""

    def occupant(self) -> str:
        """Return who has the place, in words; empty if nobody knows."""


@dataclass
class AttachRun:
    """One bounded run for one resource."""

    port: AttachPort
    me: str
    timeout_seconds: float
    poll_seconds: float
    check_mode: bool = False
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    changed: bool = False
    predicted: bool = False
    waited: float = 0.0

    def __post_init__(self) -> None:
        self.deadline = self.monotonic() + self.timeout_seconds
        self._conflicts = 0
        self._sent = False
        self._accepted = 0
        self._doubted = False
        self._occupied_tries = 0
        self._missing_since: float | None = None
        #: By instance: what EC2 called one holder says nothing of the next.
        self._states: dict[str, str] = {}

    def first_reading(self) -> Reading:
        """Describe the resource; raise HoldfastError."""
        return self._read()

    def run(self, known: Reading | None = None) -> Reading:
        """Return the last reading, in which the holder is me (with C(predicted): would be); raise HoldfastError."""
        reading = known or self._read()
        while True:
            action = judge_attachment(reading, self.me, self._states.get(reading.instance_id or ""))
            if action is Action.DONE:
                self.changed = self.changed or self._sent
                return reading
            if self.check_mode and action in (Action.KEEP, Action.ATTACH, Action.WAIT):
                self.changed = self.predicted = True
                return reading
            if action is Action.KEEP:
                reading = self._keep(reading)
            elif action is Action.ATTACH:
                reading = self._reread_in_doubt() if self._accepted and not self._doubted else self._attach()
            elif action is Action.ASK:
                self._ask(reading)
            else:
                self._conflict_or_wait(action, reading)
                reading = self._read()

    def _conflict_or_wait(self, action: Action, reading: Reading) -> None:
        holder = reading.instance_id or "something that is no instance"
        state = self._states.get(holder) or reading.attachment_status or reading.status
        if action is Action.CONFLICT:
            self._conflicts += 1
            if self._conflicts >= CONFLICT_READS:
                text = f"{self.port.name} is attached to {holder} ({state}), which lives; it is not taken from it."
                raise HoldfastError("conflict", f"{text} Terminate {holder}, or correct the claim.")
        else:
            self._conflicts = 0
        if action is Action.SETTLE and reading.attachment_status == "attaching":
            text = f"{self.port.name} is attaching to {self.me} at {reading.place}"
            self._pause(text, "attach_stuck", f" Nothing was detached by force. {self.port.stuck}")
        else:
            self._pause(f"{self.port.name} is {reading.status}, held by {holder} ({state})", remedy=LETS_GO)

    def _pause(self, state: str, reason: str = "timeout", remedy: str = "") -> None:
        left = self.deadline - self.monotonic()
        if left <= 0:
            raise HoldfastError(reason, f"{state}, after {self.timeout_seconds:.0f} s of waiting.{remedy}")
        pause = min(left, self.poll_seconds)
        self.sleep(pause)
        self.waited += pause
        self._states = {key: state for key, state in self._states.items() if state == "terminated"}

    def _read(self) -> Reading:
        while True:
            try:
                reading = self.port.read()
            except AwsError as error:
                if error.word is not Meaning.RETRY and not self._may_show_yet(error):
                    raise HoldfastError(error.reason, f"{self.port.name} cannot be read: {error}.") from error
                self._pause_for_api(error)
            else:
                return reading

    def _may_show_yet(self, error: AwsError) -> bool:
        """Whether what EC2 denies may only not be visible yet: it was named by a reading or by a person just now."""
        if error.word is not Meaning.NOT_FOUND:
            return False
        now = self.monotonic()
        if self._missing_since is None:
            self._missing_since = now
        return now < min(self._missing_since + NOT_FOUND_SECONDS, self.deadline)

    def _pause_for_api(self, error: AwsError) -> None:
        if self.monotonic() >= self.deadline:
            raise HoldfastError(error.reason, f"{self.port.name}: {error}.") from error
        self._pause(f"{self.port.name}: {error}")

    def _ask(self, reading: Reading) -> None:
        assert reading.instance_id is not None
        try:
            self._states[reading.instance_id] = self.port.holder_state(reading.instance_id) or NOT_FOUND
        except AwsError as error:
            if error.word is not Meaning.RETRY:
                raise HoldfastError(error.reason, f"The holder of {self.port.name} cannot be read: {error}.") from error
            self._pause_for_api(error)

    def _keep(self, reading: Reading) -> Reading:
        try:
            self.port.keep(reading)
        except AwsError as error:
            if error.word in (Meaning.RETRY, Meaning.NOT_READY) or self._may_show_yet(error):
                self._pause_for_api(error)
                return self._read()
            raise HoldfastError(error.reason, f"{self.port.name} would be deleted with {self.me}: {error}.") from error
        self.changed = True
        return replace(reading, delete_on_termination=False)

    def _reread_in_doubt(self) -> Reading:
        """EC2 accepted the attachment, and the reading shows none: it may be old, so look again before it counts."""
        self._doubted = True
        self._pause(f"{self.port.name} was accepted for {self.me} and is available again")
        return self._read()

    def _attach(self) -> Reading:
        if self._accepted >= REJECTED_ROUNDS:
            text = f"EC2 accepted {self.port.name} for {self.me} {self._accepted} times, and it was available again"
            raise HoldfastError("attach_rejected", f"{text} each time: {self.port.hint}")
        try:
            self._sent = True
            reading = self.port.attach()
            self._accepted += 1
            self._doubted = False
            return reading or self._read()
        except AwsError as error:
            if error.word is Meaning.OCCUPIED:
                return self._occupied(error)
            if error.word in (Meaning.RETRY, Meaning.NOT_READY) or self._may_show_yet(error):
                self._pause_for_api(error)
            elif error.word is not Meaning.LOST:
                raise HoldfastError(
                    error.reason, f"{self.port.name} cannot be attached to {self.me}: {error}."
                ) from error
            reading = self._read()
            if error.word is Meaning.LOST and reading.instance_id is None:
                text = f"{self.port.name} is {reading.status} when read, and yet {error}"
                self._pause(text, error.reason)
            return reading

    def _occupied(self, error: AwsError) -> Reading:
        reading = self._read()
        if reading.instance_id is not None or self.port.occupied():
            return reading
        self._occupied_tries += 1
        tried = self._occupied_tries >= OCCUPIED_TRIES or self.monotonic() >= self.deadline
        if tried or not self.port.one_place:
            whose = self._occupant()
            text = f"{self.port.name} has no place on {self.me}{whose}: {error}."
            raise HoldfastError("conflict", text) from error
        self._pause(f"{self.port.name} has no place on {self.me}: {error}")
        return self._read()

    def _occupant(self) -> str:
        """Say who is there; that nobody can be asked must not hide what the failure is about."""
        try:
            found = self.port.occupant()
        except AwsError:
            return ""
        return f", where {found} is" if found else ""
