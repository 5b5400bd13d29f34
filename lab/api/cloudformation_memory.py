# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab remembers of a stack beside what moto does: states, events, signals."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.cloudformation.models import Event

from lab.api.cloudformation_template import DEFAULT_SIGNAL_SECONDS, seconds_of
from lab.api.context import LabContext


@dataclass
class ResourceRecord:
    """One resource as DescribeStackResource shows it."""

    resource_type: str
    physical_id: str = ""
    status: str = ""
    reason: str | None = None
    changed_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class Signals:
    """What a resource waits for: ``count`` signals, of which ``percent`` must be successes, by ``deadline``."""

    count: int
    percent: int
    deadline: float
    received: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, definition: Mapping[str, Any]) -> Signals | None:
        """The wait that a CreationPolicy asks for, starting now; None without one."""
        policy = definition.get("CreationPolicy")
        if not policy:
            return None
        signal = policy.get("ResourceSignal", {})
        percent = policy.get("AutoScalingCreationPolicy", {}).get("MinSuccessfulInstancesPercent", 100)
        timeout = signal.get("Timeout")
        seconds = seconds_of(timeout) if timeout else DEFAULT_SIGNAL_SECONDS
        return cls(int(signal.get("Count", 1)), int(percent), time.monotonic() + seconds)

    def verdict(self, now: float) -> tuple[bool, str | None]:
        """Whether the wait is over, and if it failed the reason, as AWS words it."""
        failures = [unique for unique, status in self.received.items() if status == "FAILURE"]
        successes = len(self.received) - len(failures)
        if self.count - len(failures) < self.count * self.percent / 100:
            return True, (
                f"Received {len(failures)} FAILURE signal(s) out of {self.count}.  "
                f"Unable to satisfy {self.percent}% MinSuccessfulInstancesPercent requirement"
            )
        if len(self.received) >= self.count:
            return True, None
        if now >= self.deadline:
            missing = self.count - len(self.received)
            if successes >= self.count * self.percent / 100:
                return True, None
            return True, f"Failed to receive {missing} resource signal(s) within the specified duration"
        return False, None


@dataclass
class StackMemory:
    """One stack's state beside moto's."""

    records: dict[str, ResourceRecord] = field(default_factory=dict)
    resolved: dict[str, dict[str, Any]] = field(default_factory=dict)
    signals: dict[str, Signals] = field(default_factory=dict)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    exports: list[Any] = field(default_factory=list)
    capabilities: list[str] = field(default_factory=list)
    token: str | None = None
    on_failure: str = "ROLLBACK"
    deadline: float | None = None
    cancelled: bool = False


def memory_of(stack: Any) -> StackMemory:
    """The stack's memory, made on first use."""
    if not hasattr(stack, "lab_memory"):
        stack.lab_memory = StackMemory()
    memory: StackMemory = stack.lab_memory
    return memory


def stack_event(context: LabContext, stack: Any, status: str, reason: str | None = None) -> None:
    """Move the stack to ``status`` and record it; call with the lock held."""
    stack.status = status
    stack.stack_status_reason = reason
    _record(context, stack, stack.name, stack.stack_id, "AWS::CloudFormation::Stack", status, reason)


def resource_event(context: LabContext, stack: Any, logical_id: str, status: str, reason: str | None = None) -> None:
    """Move a resource to ``status`` and record it; call with the lock held."""
    record = memory_of(stack).records[logical_id]
    record.status, record.reason, record.changed_at = status, reason, datetime.now(UTC)
    _record(context, stack, logical_id, record.physical_id, record.resource_type, status, reason)


def _record(
    context: LabContext, stack: Any, logical_id: str, physical_id: str, kind: str, status: str, reason: str | None
) -> None:
    event = Event(
        stack_id=stack.stack_id,
        stack_name=stack.name,
        logical_resource_id=logical_id,
        physical_resource_id=physical_id,
        resource_type=kind,
        resource_status=status,
        resource_status_reason=reason,
        resource_properties=None,
    )
    event.client_request_token = memory_of(stack).token
    stack.events.append(event)
    extra = {"reason": reason} if reason else {}
    context.events.record("stack_event", stack=stack.name, resource=logical_id, status=status, **extra)
