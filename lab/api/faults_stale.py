# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``api_stale``: EC2 describes what was, not what is; everything that one call describes is of the same moment."""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.core.model_instances import model_data
from moto.ec2.models import ec2_backends

from lab.api.context import LabContext
from lab.api.faults_board import Fault
from lab.api.faults_hooks import Hook

LOOK_SECONDS = 0.05
SNAPSHOTS_PER_AGE = 10
Snapshots = deque[tuple[float, Any]]


def install(context: LabContext) -> None:
    """Take snapshots for as long as a fault needs them."""

    def begin(fault: Fault) -> None:
        fault.memory["snapshots"] = deque([(time.monotonic(), snapshot(context))])

    def end(fault: Fault) -> None:
        fault.memory.clear()

    def look() -> None:
        for fault in context.faults.all("api_stale"):
            keep(context, fault, time.monotonic())

    context.fault_hooks["api_stale"] = Hook(begin, end)
    context.every(LOOK_SECONDS, look)


def snapshot(context: LabContext) -> Any:
    """A copy of everything that EC2 knows."""
    with context.lock:
        models: list[Any] = [model for of_service in model_data.values() for model in of_service.values()]
        known = [(model, len(model.instances_tracked)) for model in models]
        try:
            return copy.deepcopy(context.ec2)
        finally:
            # moto remembers every object that was ever made; the copies must not pile up there
            for model, number in known:
                del model.instances_tracked[number:]


def keep(context: LabContext, fault: Fault, now: float) -> None:
    """Add a snapshot if it is time for one, and drop those that nobody will ask for again."""
    snapshots: Snapshots | None = fault.memory.get("snapshots")
    if snapshots is None:
        return
    age = float(fault.parameters["seconds"])
    if now - snapshots[-1][0] >= age / SNAPSHOTS_PER_AGE:
        snapshots.append((now, snapshot(context)))
    while len(snapshots) > 1 and snapshots[1][0] <= now - age:
        snapshots.popleft()


@contextmanager
def answering_from(context: LabContext, fault: Fault | None) -> Iterator[None]:
    """Within, EC2 is as it was; the oldest snapshot when none is old enough. Call with the lock held."""
    snapshots: Snapshots | None = fault.memory.get("snapshots") if fault else None
    if not snapshots:
        yield
        return
    regions: Any = ec2_backends[context.account_id]
    present = regions[context.region]
    regions[context.region] = snapshots[0][1]
    try:
        yield
    finally:
        regions[context.region] = present
