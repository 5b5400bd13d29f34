# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Auto Scaling's API over the reconcile loop: what a call changes is wanted, the loop brings it about."""

from __future__ import annotations

import time
from typing import Any

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup, InstanceState
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult

from lab.api.autoscaling_memory import memory_of, stamp
from lab.api.autoscaling_reconcile import COUNTED, reconcile_all, retire
from lab.api.context import LabContext
from lab.api.patching import PatchSet

PATCHES = PatchSet()


def install(context: LabContext) -> None:
    """Apply the patches and start the loop."""
    PATCHES.apply()
    # moto dispatches by method name; these it lacks.
    AutoScalingResponse.disable_metrics_collection = _disable_metrics_collection
    context.every(lambda: context.delays.asg_reconcile_seconds, lambda: reconcile_all(context))
    context.register_status("autoscaling_groups", lambda: _status(context))
    context.register_metadata(lambda instance: _metadata(context, instance))


def _status(context: LabContext) -> list[dict[str, Any]]:
    from lab.api.autoscaling_reconcile import backend_of

    return [
        {
            "name": group.name,
            "desired": group.desired_capacity,
            "members": {m.instance.id: f"{m.lifecycle_state}/{m.health_status}" for m in group.instance_states},
            "suspended": sorted(p["ProcessName"] for p in group.suspended_processes),
        }
        for group in backend_of(context).autoscaling_groups.values()
    ]


def _metadata(context: LabContext, instance: Any) -> dict[str, Any]:
    """What only an instance of a group has: the state that Auto Scaling brings it to."""
    from lab.api.autoscaling_reconcile import backend_of

    for group in backend_of(context).autoscaling_groups.values():
        for member in group.instance_states:
            if member.instance.id == instance.id:
                wanted = "Terminated" if member.lifecycle_state == "Terminating" else "InService"
                return {"autoscaling": {"target-lifecycle-state": wanted}}
    return {}


def begin_delete(group: Any) -> None:
    """Let the loop terminate the group's members and then forget the group; call with the lock held."""
    memory = memory_of(group)
    before = group.desired_capacity or 0
    memory.deleting = True
    memory.capacity_cause = (
        f"At {stamp()} a user request force deleted AutoScalingGroup changing the desired capacity from {before} to 0."
    )
    group.min_size = group.max_size = group.desired_capacity = 0
    group.status = "Delete in progress"


def member_of(backend: Any, instance_id: str) -> tuple[Any, Any]:
    """The group and the member with this instance; raise AWS' refusal if no group has it."""
    for group in backend.autoscaling_groups.values():
        for member in group.instance_states:
            if member.instance.id == instance_id:
                return group, member
    raise ValidationError(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")


@PATCHES.function(FakeAutoScalingGroup, "set_desired_capacity")
def _set_desired(context: LabContext, original: Any, self: Any, new_capacity: int | None) -> None:
    """Only a wish: the loop starts and terminates."""
    known = hasattr(self, "desired_capacity")
    before = self.desired_capacity if known else 0
    wanted = self.min_size if new_capacity is None else new_capacity
    wanted = wanted or 0
    if self.max_size is not None and wanted > self.max_size:
        raise ValidationError(
            f"New SetDesiredCapacity value {wanted} is above max value {self.max_size} for the AutoScalingGroup."
        )
    if self.min_size is not None and wanted < self.min_size:
        raise ValidationError(
            f"New SetDesiredCapacity value {wanted} is below min value {self.min_size} for the AutoScalingGroup."
        )
    self.desired_capacity = wanted
    if not known:
        how = "a user request created an AutoScalingGroup"
    else:
        how = (
            "a user request update of AutoScalingGroup constraints to "
            f"min: {self.min_size}, max: {self.max_size}, desired: {wanted}"
        )
    if wanted != before:
        memory_of(self).capacity_cause = f"At {stamp()} {how} changing the desired capacity from {before} to {wanted}."


@PATCHES.function(FakeAutoScalingGroup, "update")
def _update(context: LabContext, original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    """As moto's, but sizes that contradict each other are refused or followed, as AWS does."""
    lowest = self.min_size if kwargs.get("min_size") is None else kwargs["min_size"]
    highest = self.max_size if kwargs.get("max_size") is None else kwargs["max_size"]
    if lowest > highest:
        raise ValidationError("Max bound must be greater than or equal to min bound")
    if kwargs.get("desired_capacity") is None:
        kwargs["desired_capacity"] = min(max(self.desired_capacity, lowest), highest)
    if not kwargs.get("mixed_instances_policy"):
        kwargs["mixed_instances_policy"] = self.mixed_instances_policy
    original(self, *args, **kwargs)


@PATCHES.function(AutoScalingBackend, "create_auto_scaling_group")
def _create(context: LabContext, original: Any, self: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    if name in self.autoscaling_groups:
        raise AutoscalingClientError(
            "AlreadyExists",
            f"AutoScalingGroup by this name already exists - A group with the name {name} already exists",
        )
    return original(self, name, *args, **kwargs)


@PATCHES.function(AutoScalingBackend, "notify_terminate_instances")
def _notify(context: LabContext, original: Any, self: Any, instance_ids: list[str]) -> None:
    """Nothing: the health check of the loop sees it."""


@PATCHES.function(AutoScalingResponse, "delete_auto_scaling_group")
def _delete(context: LabContext, original: Any, self: Any) -> Any:
    name = self._get_param("AutoScalingGroupName")
    group = self.autoscaling_backend.autoscaling_groups.get(name)
    if group is None:
        raise ValidationError(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
    if group.instance_states and not self._get_bool_param("ForceDelete", False):
        raise AutoscalingClientError(
            "ResourceInUse",
            "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) "
            "still in the group.",
        )
    begin_delete(group)
    return EmptyResult()


@PATCHES.function(AutoScalingBackend, "delete_auto_scaling_group")
def _delete_backend(context: LabContext, original: Any, self: Any, group_name: str) -> None:
    if group_name in self.autoscaling_groups:
        begin_delete(self.autoscaling_groups[group_name])


@PATCHES.function(AutoScalingResponse, "set_instance_health")
def _set_health(context: LabContext, original: Any, self: Any) -> Any:
    """Within the group's grace period a call that respects it changes nothing (the default is to respect it)."""
    status = self._get_param("HealthStatus")
    if status not in ("Healthy", "Unhealthy"):
        raise ValidationError("Valid instance health states are: [Healthy, Unhealthy].")
    group, member = member_of(self.autoscaling_backend, self._get_param("InstanceId"))
    if status == "Unhealthy" and self._get_bool_param("ShouldRespectGracePeriod", True):
        since = getattr(member, "lab_in_service_at", None)
        if since is None or time.monotonic() - since < (group.health_check_grace_period or 0):
            return EmptyResult()
    member.health_status = status
    if status == "Unhealthy":
        member.lab_cause = "a user health-check."
    context.events.record("instance_health", instance_id=member.instance.id, health=status, group=group.name)
    return EmptyResult()


@PATCHES.function(AutoScalingResponse, "terminate_instance_in_auto_scaling_group")
def _terminate(context: LabContext, original: Any, self: Any) -> Any:
    group, member = member_of(self.autoscaling_backend, self._get_param("InstanceId"))
    cause = f"At {stamp()} instance {member.instance.id} was taken out of service in response to a user request"
    if self._get_bool_param("ShouldDecrementDesiredCapacity", False):
        desired = group.desired_capacity
        if desired - 1 < group.min_size:
            raise ValidationError(
                f"Currently, desiredSize equals minSize ({group.min_size}). Terminating instance without replacement "
                "will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or "
                "lower group's min size."
            )
        group.desired_capacity = desired - 1
        cause += f", shrinking the capacity from {desired} to {desired - 1}"
    else:
        memory_of(group).vacancies.append(member.instance.subnet_id)
    return ActionResult({"Activity": retire(context, group, member, cause + ".").as_dict()})


@PATCHES.function(AutoScalingResponse, "describe_scaling_activities")
def _activities(context: LabContext, original: Any, self: Any) -> Any:
    """Newest first, in pages."""
    name, wanted = self._get_param("AutoScalingGroupName"), self._get_param("ActivityIds", [])
    groups = self.autoscaling_backend.autoscaling_groups
    if name and name not in groups:
        raise ValidationError(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
    chosen = [groups[name]] if name else list(groups.values())
    found = [a for group in chosen for a in memory_of(group).activities if not wanted or a.activity_id in wanted]
    found = sorted(found, key=lambda a: a.start_time, reverse=True)
    start = int(self._get_param("NextToken") or 0)
    size = min(self._get_int_param("MaxRecords", 100), 100)
    answer: dict[str, Any] = {"Activities": [a.as_dict() for a in found[start : start + size]]}
    if len(found) > start + size:
        answer["NextToken"] = str(start + size)
    return ActionResult(answer)


@PATCHES.getter(InstanceState, "launch_template")
def _member_template(context: LabContext, original: Any, self: Any) -> Any:
    """The version that the member was started from, not the template's default."""
    template = original(self)
    if template and hasattr(self, "lab_version"):
        template["Version"] = str(self.lab_version)
    return template


@PATCHES.function(FakeAutoScalingGroup, "active_instances")
def _active_instances(context: LabContext, original: Any, self: Any) -> list[Any]:
    return [m for m in self.instance_states if m.lifecycle_state in COUNTED]


def _disable_metrics_collection(self: Any) -> Any:
    """DisableMetricsCollection, which moto lacks."""
    group = self.autoscaling_backend.autoscaling_groups[self._get_param("AutoScalingGroupName")]
    metrics = self._get_param("Metrics", [])
    group.metrics = [m for m in group.metrics if metrics and m not in metrics]
    return EmptyResult()
