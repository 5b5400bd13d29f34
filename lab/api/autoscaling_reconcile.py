# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Auto Scaling's loop: look at each group's members, replace what is not healthy, meet the desired capacity.

Members are moto's ``InstanceState`` objects. One that terminates does not count any more, so its replacement starts
while it is still shutting down, as on AWS.
"""

from __future__ import annotations

import time
from typing import Any

from moto.autoscaling.models import ASG_NAME_TAG, InstanceState, autoscaling_backends
from moto.core.exceptions import ServiceException

from lab.api import faults_scaling
from lab.api.autoscaling_memory import Activity, memory_of, stamp, suspended
from lab.api.context import LabContext

GONE = ("shutting-down", "terminated")
NOT_RUNNING = ("stopping", "stopped", *GONE)
COUNTED = ("Pending", "InService")
EC2_CHECK = "an EC2 health check indicating it has been terminated or stopped."
USER_CHECK = "a user health-check."
FIRST_RETRY_SECONDS = 0.5
MAX_RETRY_SECONDS = 30.0


def backend_of(context: LabContext) -> Any:
    """moto's Auto Scaling backend of the lab."""
    return autoscaling_backends[context.account_id][context.region]


def reconcile_all(context: LabContext) -> None:
    """One pass over every group."""
    with context.lock:
        for group in list(backend_of(context).autoscaling_groups.values()):
            reconcile(context, group)


def reconcile(context: LabContext, group: Any) -> None:
    """One pass over a group; call with the lock held."""
    memory = memory_of(group)
    for member in list(group.instance_states):
        _observe(group, member)
    if memory.deleting:
        _empty(context, group)
        return
    if not suspended(group, "ReplaceUnhealthy") and not suspended(group, "Terminate"):
        for member in [m for m in group.instance_states if _replaceable(m)]:
            if faults_scaling.leaving(member):
                if not faults_scaling.time_to_go(context, group, member):
                    continue
            else:
                _vacate(group, member)
                if faults_scaling.strikes(context, group, member):
                    continue
            cause = getattr(member, "lab_cause", USER_CHECK)
            retire(context, group, member, f"At {stamp()} an instance was taken out of service in response to {cause}")
    counted = [m for m in group.instance_states if m.lifecycle_state in COUNTED and not faults_scaling.leaving(m)]
    wanted = (group.desired_capacity or 0) + faults_scaling.surplus(context, group)
    if len(counted) < wanted and not suspended(group, "Launch"):
        _launch_missing(context, group, len(counted), wanted)
    elif len(counted) > wanted and not suspended(group, "Terminate"):
        _shrink(context, group, counted, wanted)


def _replaceable(member: Any) -> bool:
    return member.lifecycle_state == "InService" and member.health_status == "Unhealthy"


def _observe(group: Any, member: Any) -> None:
    """Bring what Auto Scaling believes of a member up to date with EC2."""
    state = member.instance.state
    activity: Activity | None = getattr(member, "lab_activity", None)
    if member.lifecycle_state == "Terminating":
        if state == "terminated":
            _drop(group, member)
            if activity:
                activity.finish()
    elif member.lifecycle_state == "Pending":
        if state == "running":
            member.lifecycle_state = "InService"
            member.lab_in_service_at = time.monotonic()
            if activity:
                activity.finish()
        elif state in NOT_RUNNING:
            if activity:
                reason = getattr(member.instance, "state_reason", None)
                activity.finish("Failed", getattr(reason, "message", None) or f"Instance became {state} while pending.")
            member.lifecycle_state, member.health_status, member.lab_cause = "InService", "Unhealthy", EC2_CHECK
    elif _newly_not_running(group, member, state):
        member.health_status, member.lab_cause = "Unhealthy", EC2_CHECK


def _newly_not_running(group: Any, member: Any, state: str) -> bool:
    healthy = member.lifecycle_state == "InService" and member.health_status == "Healthy"
    return healthy and state in NOT_RUNNING and not suspended(group, "HealthCheck")


def retire(context: LabContext, group: Any, member: Any, cause: str) -> Activity:
    """Take a member out of service and terminate it; call with the lock held."""
    instance = member.instance
    member.lifecycle_state = "Terminating"
    activity = Activity(
        group_name=group.name,
        description=f"Terminating EC2 instance: {instance.id}",
        cause=cause,
        zone=member.availability_zone,
        subnet_id=instance.subnet_id or "",
    )
    member.lab_activity = memory_of(group).add(activity)
    context.events.record("scaling_activity", group=group.name, description=activity.description, cause=cause)
    if instance.state not in GONE:
        context.ec2.terminate_instances([instance.id])
    if instance.state == "terminated":
        _drop(group, member)
        activity.finish()
    return activity


def _drop(group: Any, member: Any) -> None:
    group.instance_states = [m for m in group.instance_states if m is not member]


def _vacate(group: Any, member: Any) -> None:
    """Remember the subnet whose instance is to be replaced, so that the next one starts there."""
    memory_of(group).vacancies.append(member.instance.subnet_id)


def _empty(context: LabContext, group: Any) -> None:
    """Terminate every member of a group that is to go, and forget the group with its last one."""
    for member in list(group.instance_states):
        if member.lifecycle_state != "Terminating":
            retire(context, group, member, memory_of(group).capacity_cause)
    if not group.instance_states:
        backend_of(context).autoscaling_groups.pop(group.name, None)
        context.events.record("autoscaling_group_deleted", group=group.name)


def _shrink(context: LabContext, group: Any, counted: list[Any], wanted: int) -> None:
    """Scale in: the zone with the most members first, then the oldest template, then the oldest member."""
    candidates = [m for m in counted if not m.protected_from_scale_in]
    left = len(counted)
    while left > wanted and candidates:
        zones = [m.availability_zone for m in candidates]
        victim = min(candidates, key=lambda m: (-zones.count(m.availability_zone), getattr(m, "lab_version", 0)))
        candidates.remove(victim)
        now = stamp()
        cause = (
            f"{memory_of(group).capacity_cause}  At {now} an instance was taken out of service in response to a "
            f"difference between desired and actual capacity, shrinking the capacity from {left} to {left - 1}.  "
            f"At {now} instance {victim.instance.id} was selected for termination."
        )
        retire(context, group, victim, cause.strip())
        left -= 1


def _launch_missing(context: LabContext, group: Any, have: int, wanted: int) -> None:
    memory = memory_of(group)
    if time.monotonic() < memory.retry_at:
        return
    for number in range(have, wanted):
        if memory.vacancies:
            cause = (
                f"At {stamp()} an instance was launched in response to an unhealthy instance needing to be replaced."
            )
        else:
            cause = (
                f"{memory.capacity_cause}  At {stamp()} an instance was started in response to a difference between "
                f"desired and actual capacity, increasing the capacity from {number} to {number + 1}."
            ).strip()
        if not _launch(context, group, cause):
            return
        memory.failures = 0


def _choose_subnet(context: LabContext, group: Any) -> str:
    """The subnet that an unhealthy member left, else the one with the fewest members."""
    subnets = (group.vpc_zone_identifier or "").split(",") if group.vpc_zone_identifier else []
    if not subnets:
        zones = group.availability_zones
        subnets = [s.id for s in context.ec2.describe_subnets() if s.availability_zone in zones]
    vacancies = memory_of(group).vacancies
    while vacancies:
        subnet_id = vacancies.pop(0)
        if subnet_id in subnets:
            return str(subnet_id)
    members = [m.instance.subnet_id for m in group.instance_states if m.lifecycle_state in COUNTED]
    return str(min(subnets, key=members.count))


def launch_arguments(group: Any, subnet_id: str) -> dict[str, Any]:
    """The arguments of RunInstances that the group's template and tags amount to."""
    tags = {**group.get_propagated_tags(), ASG_NAME_TAG: group.name}
    arguments: dict[str, Any] = {
        "instance_type": group.instance_type,
        "is_instance_type_default": False,
        "subnet_id": subnet_id,
        "tags": {"instance": tags},
    }
    if group.ec2_launch_template:
        version = group.ec2_launch_template.get_version(group.launch_template_version)
        tags["aws:ec2launchtemplate:id"] = group.ec2_launch_template.id
        tags["aws:ec2launchtemplate:version"] = str(version.number)
        arguments["launch_template"] = {
            "LaunchTemplateId": group.ec2_launch_template.id,
            "Version": str(version.number),
        }
        behavior = version.data.get("InstanceInitiatedShutdownBehavior")
        if behavior:
            arguments["instance_initiated_shutdown_behavior"] = behavior
    else:
        arguments["launch_config"] = group.launch_config
        arguments["key_name"] = group.launch_config.key_name
        arguments["iam_instance_profile_name"] = group.launch_config.iam_instance_profile
    return arguments


def _launch(context: LabContext, group: Any, cause: str) -> bool:
    """Start one instance; a refusal becomes a failed activity and a pause before the next try."""
    memory = memory_of(group)
    vacancies = list(memory.vacancies)
    activity = memory.add(Activity(group_name=group.name, description="Launching a new EC2 instance", cause=cause))
    try:
        subnet_id = _choose_subnet(context, group)
        reservation = context.ec2.run_instances(
            group.image_id, 1, group.user_data, group.security_groups, **launch_arguments(group, subnet_id)
        )
    except ServiceException as error:
        memory.vacancies[:] = vacancies
        message = f"{error.message} Launching EC2 instance failed."
        activity.finish("Failed", message)
        context.events.record("scaling_activity", group=group.name, description=activity.description, error=message)
        memory.retry_at = time.monotonic() + min(FIRST_RETRY_SECONDS * 2**memory.failures, MAX_RETRY_SECONDS)
        memory.failures += 1
        return False
    instance = reservation.instances[0]
    instance.autoscaling_group = group
    activity.description = f"Launching a new EC2 instance: {instance.id}"
    activity.zone, activity.subnet_id = instance.placement.zone, subnet_id
    member = InstanceState(
        instance, lifecycle_state="Pending", protected_from_scale_in=group.new_instances_protected_from_scale_in
    )
    member.lab_activity = activity
    if group.ec2_launch_template:
        member.lab_version = group.ec2_launch_template.get_version(group.launch_template_version).number
    group.instance_states.append(member)
    context.events.record("scaling_activity", group=group.name, description=activity.description, cause=cause)
    return True
