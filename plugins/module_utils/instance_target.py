# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an identity's holder is what its group launches now, and whether the group would replace it. No I/O.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Identity

#: Processes without which a group ends no instance, or brings no successor.
NEEDED_PROCESSES = ("Launch", "Terminate")
#: What of an instance is compared with the launch template; key of both, and how people call it.
COMPARED = (("ImageId", "image"), ("InstanceType", "instance type"))


def holder_of(identity: Identity) -> str:
    """Return the instance that has the identity's interface; HoldfastError when nobody has, or it is on its way."""
    holders = {part.instance_id for part in identity.parts()} - {None, ""}
    if not identity.eni.instance_id:
        raise HoldfastError(
            "free",
            f"Nobody holds {identity.name} ({identity.eni.id}), so there is nothing to replace. Wait for its instance.",
        )
    if len(holders) > 1:
        told = ", ".join(sorted(str(one) for one in holders))
        raise HoldfastError("parts_split", f"The parts of {identity.name} are attached to different instances: {told}.")
    return str(identity.eni.instance_id)


def require_replaceable(instance_id: str, group: Mapping[str, Any]) -> None:
    """Raise HoldfastError when the group would not bring a successor for the instance."""
    name = group["AutoScalingGroupName"]
    suspended = sorted({one["ProcessName"] for one in group.get("SuspendedProcesses") or []} & set(NEEDED_PROCESSES))
    if suspended:
        raise HoldfastError(
            "group_suspended",
            f"The group {name} of {instance_id} has suspended {', '.join(suspended)}: its instance would not "
            "come back. Resume them first.",
        )
    members = {one["InstanceId"]: one for one in group.get("Instances") or []}
    state = members.get(instance_id, {}).get("LifecycleState", "unknown")
    if state != "InService":
        raise HoldfastError(
            "not_in_service",
            f"{instance_id} is {state} in its group {name}, and only one that is InService is replaced. Wait, or bring "
            "it back into service.",
        )
    if int(group["DesiredCapacity"]) < len(members):
        raise HoldfastError(
            "group_too_small",
            f"The group {name} wants {group['DesiredCapacity']} instances and has {len(members)}: without "
            f"{instance_id} it has enough, so nobody would come for the identity. Provision the nodes again.",
        )


def template_of(group: Mapping[str, Any]) -> tuple[str, str]:
    """Return id and version of the group's launch template; HoldfastError when it has another way to launch."""
    template = group.get("LaunchTemplate") or {}
    if not template.get("LaunchTemplateId"):
        raise HoldfastError(
            "no_launch_template",
            f"The group {group['AutoScalingGroupName']} has no launch template of its own, so nobody knows what "
            "it would launch. Groups of nodes_provision have one.",
        )
    return str(template["LaunchTemplateId"]), str(template.get("Version") or "$Default")


def differences(instance: Mapping[str, Any], template: Mapping[str, Any]) -> list[dict[str, str]]:
    """Say in what the instance is not what the template launches; what the template leaves open does not differ."""
    found: list[dict[str, str]] = []
    for key, what in COMPARED:
        wanted, has = template.get(key), instance.get(key)
        if wanted and wanted != has:
            found.append({"what": what, "has": str(has), "wanted": str(wanted)})
    return found


def return_fault(identity: Identity, former: str, states: Mapping[str, str]) -> str | None:
    """Say what keeps the identity from being held by another instance; None when it is."""
    now = identity.eni.instance_id
    if now == former:
        return f"{former} ({states.get(former, 'unknown to EC2')}) still has {identity.name}"
    if not now:
        return f"nobody has {identity.name} yet; {former} is {states.get(former, 'unknown to EC2')}"
    away = [volume.id for volume in identity.volumes if volume.instance_id != now]
    return f"{now} has the interface of {identity.name} and not yet {', '.join(away)}" if away else None


def last_activity(activities: Sequence[Mapping[str, Any]]) -> str:
    """Return the newest scaling activity in one sentence, for a wait that ended."""
    if not activities:
        return "the group has had no activity"
    newest = activities[0]
    return f"the group's last activity: {newest.get('StatusCode', '')} {newest.get('Description', '')}".strip()
