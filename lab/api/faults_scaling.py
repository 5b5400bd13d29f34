# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``launch_before_gone``: Auto Scaling brings the replacement while the instance that it replaces still runs."""

from __future__ import annotations

import time
from typing import Any

from lab.api.context import LabContext
from lab.api.faults_board import Fault
from lab.api.sources import occasion_of

KIND = "launch_before_gone"


def strikes(context: LabContext, group: Any, member: Any) -> bool:
    """Say whether the member, which is to be replaced, goes only after its replacement came; lock held.

    It strikes once for a member. One that does not run any more has nothing to overlap with.
    """
    if hasattr(member, "lab_leaving"):
        return False
    fault = context.faults.strike(KIND, occasion_of(context, member.instance))
    if fault is None:
        return False
    fault.memory.setdefault("groups", set()).add(group.name)
    if member.instance.state != "running":
        return False
    member.lab_leaving, member.lab_replaced_at = fault.fault_id, None
    return True


def leaving(member: Any) -> bool:
    """Whether the member is replaced already and only not gone yet."""
    unhealthy = member.lifecycle_state == "InService" and member.health_status == "Unhealthy"
    return unhealthy and hasattr(member, "lab_leaving")


def time_to_go(context: LabContext, group: Any, member: Any) -> bool:
    """Say whether a leaving member is to be terminated now: the fault is over, or the replacement has been in service.

    Call with the lock held.
    """
    fault = _fault(context, member.lab_leaving)
    if fault is None or member.instance.state != "running":
        return True
    healthy = [
        m
        for m in group.instance_states
        if m.lifecycle_state == "InService" and m.health_status == "Healthy" and not leaving(m)
    ]
    if len(healthy) < (group.desired_capacity or 0):
        return False
    if member.lab_replaced_at is None:
        member.lab_replaced_at = time.monotonic()
    return time.monotonic() - float(member.lab_replaced_at) >= float(fault.parameters["seconds"])


def surplus(context: LabContext, group: Any) -> int:
    """How many more than desired a group shall have now, because a replacement was struck."""
    struck = [fault for fault in context.faults.all(KIND) if group.name in fault.memory.get("groups", ())]
    return max((int(fault.parameters["extra"]) for fault in struck), default=0)


def _fault(context: LabContext, fault_id: str) -> Fault | None:
    return next((fault for fault in context.faults.all(KIND) if fault.fault_id == fault_id), None)
