# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an identity may get, or lose, an instance that no Auto Scaling group owns, and what EC2 is asked for. No I/O.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.identity_conditions import Condition
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Identity, PoolReading, tags_of

#: Says on an instance for whom it was launched, from its first moment; the node's own tags follow when it holds.
LAUNCHED_FOR = "holdfast:launched-for"
#: What of a condition lets another instance take the identity.
OPEN = ("free", "vacant")
#: What a boot that is under way may look like: its instance is waited for, and nobody else is launched.
UNDER_WAY = ("claimed_not_attached", "attached_without_eni", "half_attached", "claim_missing", "deleted_on_termination")
#: An instance in one of these can still hold, or come to hold, an identity.
LIVING = ("pending", "running", "stopping", "stopped")


def volume_ids(reading: PoolReading, role: str, node_id: int) -> list[str]:
    """Return every volume that carries the identity's tags, whole or not."""
    found = {part for fault in reading.faults_of(role) if fault.node_id == node_id for part in fault.resource_ids}
    found |= {one.id for item in reading.of_role(role) if item.node_id == node_id for one in item.volumes}
    return sorted(part for part in found if part.startswith("vol-"))


def bare_interface(reading: PoolReading, role: str, node_id: int) -> str | None:
    """Return the interface of an identity that lacks nothing but its volumes, else None."""
    faults = [fault for fault in reading.faults_of(role) if fault.node_id == node_id]
    if [fault.kind for fault in faults] != ["eni_without_volume"]:
        return None
    return faults[0].resource_ids[0]


def require_whole(reading: PoolReading, role: str, node_id: int) -> Identity:
    """Return the identity; raise HoldfastError when it is not whole or not there."""
    name = f"{reading.cluster}-{role}-{node_id}"
    for identity in reading.of_role(role):
        if identity.node_id == node_id:
            return identity
    faults = [one.message for one in reading.faults_of(role) if one.node_id == node_id]
    if faults:
        raise HoldfastError("pool_fault", f"{name} is not whole: {' '.join(faults)}")
    raise HoldfastError("identity_missing", f"The pool has no identity {name}.")


def require_open(condition: Condition) -> None:
    """Raise HoldfastError, with the condition's own word, unless nobody holds the identity."""
    if condition.kind not in OPEN:
        raise HoldfastError(condition.kind, f"{condition.message}. Nothing was launched. Next: {condition.next_step}")


def serving(groups: Iterable[Mapping[str, Any]], wanted: Mapping[str, str], zone: str) -> list[Mapping[str, Any]]:
    """Return the groups that carry the tags and launch in the zone: their instances come for its identities."""
    return [
        group
        for group in groups
        if zone in group.get("AvailabilityZones", ())
        and wanted.items() <= {tag["Key"]: tag.get("Value") for tag in group.get("Tags") or []}.items()
    ]


def members(groups: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the instances of groups."""
    return {one["InstanceId"] for group in groups for one in group.get("Instances") or []}


def require_no_race(
    identity_name: str, node_id: int, groups: Sequence[Mapping[str, Any]], near: Sequence[Identity]
) -> None:
    """Raise HoldfastError when the groups want more instances than the zone has identities beside this one.

    C(near) are the role's whole identities of the groups' zones. Those that somebody outside of the groups holds are
    no room for a group's instance; and neither is the identity that is asked for, or two would come for it.
    """
    inside = members(groups)
    room = [
        one for one in near if one.node_id != node_id and (one.eni.instance_id is None or one.eni.instance_id in inside)
    ]
    desired = sum(int(group["DesiredCapacity"]) for group in groups)
    if desired > len(room):
        told = ", ".join(f"{group['AutoScalingGroupName']} wants {group['DesiredCapacity']}" for group in groups)
        raise HoldfastError(
            "group_would_race",
            f"{told}, and beside {identity_name} the zone has identities for {len(room)}: a group's instance would "
            f"come for {identity_name} too, and one of the two would boot in vain. Nothing was launched. Let the group "
            f"bring it, or set auto_scaling: false for it in holdfast_pools and make the group smaller first.",
        )


def template_request(
    groups: Sequence[Mapping[str, Any]], template_id: str | None, version: str | None
) -> dict[str, str]:
    """Return the launch template to launch from: the one named, or that of the zone's group."""
    if template_id:
        return {"LaunchTemplateId": template_id, "Version": version or "$Default"}
    for group in groups:
        template = group.get("LaunchTemplate") or {}
        if template.get("LaunchTemplateId"):
            return {
                "LaunchTemplateId": template["LaunchTemplateId"],
                "Version": version or template.get("Version") or "$Default",
            }
    raise HoldfastError(
        "no_launch_template",
        "No Auto Scaling group of the role launches in the identity's zone, so nobody says from which template. "
        "Run nodes_provision, or name one (launch_template_id).",
    )


def launch_request(
    template: Mapping[str, str], overrides: Mapping[str, str | None], subnet_id: str, tags: Mapping[str, str]
) -> dict[str, Any]:
    """Return what RunInstances is asked for; what is not overridden comes from the template."""
    pairs = [{"Key": key, "Value": str(value)} for key, value in sorted(tags.items())]
    return {
        "LaunchTemplate": dict(template),
        "SubnetId": subnet_id,
        "MinCount": 1,
        "MaxCount": 1,
        "TagSpecifications": [{"ResourceType": "instance", "Tags": pairs}],
        **{key: value for key, value in overrides.items() if value},
    }


def volume_request(
    wanted: Mapping[str, Any], zone: str, encrypted: bool, kms_key_arn: str, tags: Mapping[str, str]
) -> dict[str, Any]:
    """Return what CreateVolume is asked for, from an entry of C(holdfast_pools)."""
    request: dict[str, Any] = {
        "AvailabilityZone": zone,
        "Size": int(wanted["size_gib"]),
        "VolumeType": wanted.get("type", "gp3"),
        "Encrypted": encrypted,
        "TagSpecifications": [
            {"ResourceType": "volume", "Tags": [{"Key": k, "Value": str(v)} for k, v in sorted(tags.items())]}
        ],
    }
    for key, name in (("iops", "Iops"), ("throughput", "Throughput")):
        if wanted.get(key) is not None:
            request[name] = int(wanted[key])
    return {**request, "KmsKeyId": kms_key_arn} if kms_key_arn else request


def only_candidate(name: str, instances: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the one instance, None without any; raise HoldfastError when it is not clear which one is meant."""
    if len(instances) > 1:
        told = ", ".join(sorted(f"{one['InstanceId']} ({one['State']['Name']})" for one in instances))
        raise HoldfastError(
            "two_instances",
            f"{told} all have to do with {name}: they hold a part of it, claim it, or carry its tags. Nothing was "
            "touched. Find out which one serves and terminate the others.",
        )
    return instances[0] if instances else None


def tagged_for(instance: Mapping[str, Any], node_id: int, tag_node_id: str) -> bool:
    """Whether an instance of the cluster and role says that it is, or was launched for, the identity."""
    tags = tags_of(instance)
    return str(node_id) in (tags.get(LAUNCHED_FOR), tags.get(tag_node_id))
