# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that hold a transition up: the rest of it runs later, and what else the instance has to do goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.api.context import LabContext
from lab.api.faults_board import FaultBoard
from lab.api.sources import occasion_of


def held_up(
    context: LabContext, kind: str, instance: Any, resources: tuple[str, ...], what: str, rest: Callable[[], None]
) -> bool:
    """Say whether a fault of this kind strikes; then ``rest`` runs on the instance's queue once it has let go.

    It lets go after its ``seconds``, or when it is cleared. ``rest`` must look again whether it is still wanted.
    """
    with context.lock:
        occasion = occasion_of(context, instance, *resources)
    fault = context.faults.strike(kind, occasion, what=what)
    if fault is None:
        return False

    def wait() -> None:
        FaultBoard.hold(fault, fault.parameters.get("seconds"), context.workers.pause)
        context.submit(instance.id, what, rest)

    context.schedule(0, wait)
    return True
