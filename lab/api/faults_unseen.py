# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``instance_not_found_for``: an instance that was just launched is not described yet."""

from __future__ import annotations

import copy
import time
from typing import Any

from moto.ec2.exceptions import InvalidInstanceIdError
from moto.ec2.models.instances import InstanceBackend

from lab.api.context import LabContext
from lab.api.patching import PatchSet
from lab.api.sources import occasion_of

PATCHES = PatchSet()
KIND = "instance_not_found_for"


def maybe_hide(context: LabContext, instance: Any) -> None:
    """Ask for a launched instance whether it shall not be found for a while; call with the lock held."""
    fault = context.faults.strike(KIND, occasion_of(context, instance, action="RunInstances"))
    if fault is not None:
        instance.lab_unseen = (fault.fault_id, time.monotonic() + float(fault.parameters["seconds"]))


def _unseen(context: LabContext, instance: Any) -> bool:
    fault_id, until = getattr(instance, "lab_unseen", ("", 0.0))
    return time.monotonic() < until and any(fault.fault_id == fault_id for fault in context.faults.all(KIND))


def _refuse(context: LabContext, backend: Any, instance_ids: list[str]) -> None:
    unseen = [i.id for i in backend.all_instances() if i.id in (instance_ids or []) and _unseen(context, i)]
    if unseen:
        raise InvalidInstanceIdError(unseen)


@PATCHES.function(InstanceBackend, "get_reservations_by_instance_ids")
def _by_id(context: LabContext, original: Any, self: Any, instance_ids: list[str], filters: Any = None) -> Any:
    _refuse(context, self, instance_ids)
    return original(self, instance_ids, filters)


@PATCHES.function(InstanceBackend, "describe_instances")
def _described(context: LabContext, original: Any, self: Any, filters: Any = None) -> Any:
    seen = []
    for reservation in original(self, filters):
        shown = copy.copy(reservation)
        shown.instances = [i for i in reservation.instances if not _unseen(context, i)]
        if shown.instances:
            seen.append(shown)
    return seen


@PATCHES.function(InstanceBackend, "describe_instance_status")
def _statuses(
    context: LabContext, original: Any, self: Any, instance_ids: list[str], include_all_instances: bool, filters: Any
) -> Any:
    _refuse(context, self, instance_ids)
    return [i for i in original(self, instance_ids, include_all_instances, filters) if not _unseen(context, i)]
