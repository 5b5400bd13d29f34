# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudFormation's resources where moto loses properties: how each type is made, changed, removed, and when ready.

Types that are not named here are made and removed by moto's own code and cannot be changed in an update.
All functions are called with the lock held.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from moto.ec2.utils import convert_tag_spec, parse_user_data
from moto.iam.models import iam_backends
from moto.utilities.utils import get_partition

from lab.api.autoscaling import begin_delete
from lab.api.autoscaling_memory import memory_of as group_memory
from lab.api.autoscaling_reconcile import backend_of
from lab.api.context import LabContext

Properties = Mapping[str, Any]
MAX_LAUNCH_FAILURES = 4


class ResourceError(Exception):
    """A resource cannot be made, changed or removed; the message becomes the event's reason."""


@dataclass
class Naming:
    """What a new resource is called and tagged with."""

    name: str
    logical_id: str
    stack_tags: dict[str, str]


def tags_of(properties: Properties, naming: Naming) -> dict[str, str]:
    """The template's tags and the stack's, as CloudFormation propagates them."""
    own = {tag["Key"]: str(tag["Value"]) for tag in properties.get("Tags", [])}
    return {**naming.stack_tags, "aws:cloudformation:logical-id": naming.logical_id, **own}


def _retag(context: LabContext, resource_id: str, properties: Properties, naming: Naming) -> None:
    """Make the resource's tags those of the template, keeping tags that others have set beside them."""
    wanted = tags_of(properties, naming)
    context.ec2.create_tags([resource_id], wanted)


# --- network interfaces and volumes ---------------------------------------------------------------------------------


def _create_interface(context: LabContext, properties: Properties, naming: Naming) -> Any:
    eni = context.ec2.create_network_interface(
        properties["SubnetId"],
        properties.get("PrivateIpAddress"),
        properties.get("PrivateIpAddresses"),
        list(properties.get("GroupSet", [])),
        description=properties.get("Description"),
    )
    eni.add_tags(tags_of(properties, naming))
    return eni


def _update_interface(context: LabContext, eni: Any, old: Properties, new: Properties, naming: Naming) -> None:
    groups = [context.ec2.get_security_group_from_id(group_id) for group_id in new.get("GroupSet", [])]
    eni._group_set = groups
    eni.description = new.get("Description")
    _retag(context, eni.id, new, naming)


def _delete_interface(context: LabContext, eni: Any) -> None:
    if eni.id in context.ec2.enis:
        context.ec2.delete_network_interface(eni.id)


def _create_volume(context: LabContext, properties: Properties, naming: Naming) -> Any:
    def number(name: str) -> int | None:
        return int(properties[name]) if properties.get(name) is not None else None

    volume = context.ec2.create_volume(
        size=number("Size"),
        zone_name=properties["AvailabilityZone"],
        volume_type=properties.get("VolumeType", "gp2"),
        iops=number("Iops"),
        throughput=number("Throughput"),
        encrypted=str(properties.get("Encrypted", "")).lower() == "true",
        kms_key_id=properties.get("KmsKeyId"),
        snapshot_id=properties.get("SnapshotId"),
    )
    volume.add_tags(tags_of(properties, naming))
    return volume


def _update_volume(context: LabContext, volume: Any, old: Properties, new: Properties, naming: Naming) -> None:
    _retag(context, volume.id, new, naming)


def _delete_volume(context: LabContext, volume: Any) -> None:
    if volume.id in context.ec2.volumes:
        context.ec2.delete_volume(volume.id)


def _volume_ready(context: LabContext, volume: Any) -> bool:
    return str(volume.status) in ("available", "in-use")


# --- security groups ------------------------------------------------------------------------------------------------


def _rule(properties: Properties) -> dict[str, Any]:
    ranges = []
    for key in ("CidrIp", "CidrIpv6"):
        if properties.get(key):
            item = {key: properties[key]}
            if properties.get("Description"):
                item["Description"] = properties["Description"]
            ranges.append(item)
    source = properties.get("SourceSecurityGroupId")
    return {
        "ip_protocol": str(properties["IpProtocol"]),
        "from_port": properties.get("FromPort"),
        "to_port": properties.get("ToPort"),
        "ip_ranges": ranges,
        "source_groups": [{"GroupId": source}] if source else [],
    }


def _create_group(context: LabContext, properties: Properties, naming: Naming) -> Any:
    group = context.ec2.create_security_group(
        name=naming.name, description=properties.get("GroupDescription", ""), vpc_id=properties.get("VpcId")
    )
    group.add_tags(tags_of(properties, naming))
    for rule in properties.get("SecurityGroupIngress", []):
        context.ec2.authorize_security_group_ingress(group.id, **_rule(rule))
    return group


def _update_group(context: LabContext, group: Any, old: Properties, new: Properties, naming: Naming) -> None:
    before, after = old.get("SecurityGroupIngress", []), new.get("SecurityGroupIngress", [])
    for rule in [rule for rule in before if rule not in after]:
        context.ec2.revoke_security_group_ingress(group.id, **_rule(rule))
    for rule in [rule for rule in after if rule not in before]:
        context.ec2.authorize_security_group_ingress(group.id, **_rule(rule))
    _retag(context, group.id, new, naming)


def _delete_group(context: LabContext, group: Any) -> None:
    users = [eni.id for eni in context.ec2.enis.values() if any(g.id == group.id for g in eni._group_set)]
    if users:
        raise ResourceError(f"resource {group.id} has a dependent object ({', '.join(sorted(users))})")
    context.ec2.delete_security_group(group_id=group.id)


class IngressRule:
    """A rule that is a resource of its own."""

    def __init__(self, name: str, properties: Properties) -> None:
        self.physical_resource_id = name
        self.properties = dict(properties)


def _create_ingress(context: LabContext, properties: Properties, naming: Naming) -> Any:
    context.ec2.authorize_security_group_ingress(properties["GroupId"], **_rule(properties))
    return IngressRule(naming.name, properties)


def _update_ingress(context: LabContext, rule: Any, old: Properties, new: Properties, naming: Naming) -> None:
    _delete_ingress(context, rule)
    context.ec2.authorize_security_group_ingress(new["GroupId"], **_rule(new))
    rule.properties = dict(new)


def _delete_ingress(context: LabContext, rule: Any) -> None:
    if context.ec2.get_security_group_from_id(rule.properties["GroupId"]) is not None:
        context.ec2.revoke_security_group_ingress(rule.properties["GroupId"], **_rule(rule.properties))


# --- identity -------------------------------------------------------------------------------------------------------


def iam_of(context: LabContext) -> Any:
    """moto's IAM backend of the lab's account."""
    return iam_backends[context.account_id][get_partition(context.region)]


def _document(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _create_role(context: LabContext, properties: Properties, naming: Naming) -> Any:
    role = iam_of(context).create_role(
        role_name=naming.name,
        assume_role_policy_document=_document(properties["AssumeRolePolicyDocument"]),
        path=properties.get("Path", "/"),
        permissions_boundary=properties.get("PermissionsBoundary", ""),
        description=properties.get("Description", ""),
        tags=[{"Key": t["Key"], "Value": str(t["Value"])} for t in properties.get("Tags", [])],
        max_session_duration=properties.get("MaxSessionDuration", 3600),
    )
    _apply_role(context, role, properties)
    return role


def _apply_role(context: LabContext, role: Any, properties: Properties) -> None:
    iam = iam_of(context)
    role.assume_role_policy_document = _document(properties["AssumeRolePolicyDocument"])
    role.description = properties.get("Description", "")
    role.policies = {p["PolicyName"]: _document(p["PolicyDocument"]) for p in properties.get("Policies", [])}
    wanted = set(properties.get("ManagedPolicyArns", []))
    for arn in set(role.managed_policies) - wanted:
        iam.detach_role_policy(arn, role.name)
    for arn in wanted - set(role.managed_policies):
        iam.attach_role_policy(arn, role.name)


def _update_role(context: LabContext, role: Any, old: Properties, new: Properties, naming: Naming) -> None:
    _apply_role(context, role, new)
    role.tags = [{"Key": t["Key"], "Value": str(t["Value"])} for t in new.get("Tags", [])]


def _delete_role(context: LabContext, role: Any) -> None:
    iam = iam_of(context)
    for arn in list(role.managed_policies):
        iam.detach_role_policy(arn, role.name)
    role.policies = {}
    iam.delete_role(role.name)


def _create_profile(context: LabContext, properties: Properties, naming: Naming) -> Any:
    return iam_of(context).create_instance_profile(
        name=naming.name, path=properties.get("Path", "/"), role_names=list(properties["Roles"])
    )


def _delete_profile(context: LabContext, profile: Any) -> None:
    iam_of(context).delete_instance_profile(profile.name, ignore_attached_roles=True)


# --- launch templates and groups ------------------------------------------------------------------------------------


def _template_data(properties: Properties) -> dict[str, Any]:
    data = dict(properties["LaunchTemplateData"])
    data["UserData"] = parse_user_data(data.get("UserData"))
    return data


def _create_template(context: LabContext, properties: Properties, naming: Naming) -> Any:
    specification = convert_tag_spec(properties.get("TagSpecifications", []), tag_key="Tags")
    return context.ec2.create_launch_template(
        naming.name, properties.get("VersionDescription"), _template_data(properties), specification
    )


def _update_template(context: LabContext, template: Any, old: Properties, new: Properties, naming: Naming) -> None:
    template.create_version(_template_data(new), new.get("VersionDescription"))


def _delete_template(context: LabContext, template: Any) -> None:
    if template.id in context.ec2.launch_templates:
        context.ec2.delete_launch_template(template.name, None)


def _group_tags(properties: Properties, naming: Naming) -> list[dict[str, Any]]:
    system = {**naming.stack_tags, "aws:cloudformation:logical-id": naming.logical_id}
    tags = {key: {"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in system.items()}
    for tag in properties.get("Tags", []):
        propagate = str(tag.get("PropagateAtLaunch", False)).lower() == "true"
        tags[tag["Key"]] = {"Key": tag["Key"], "Value": str(tag["Value"]), "PropagateAtLaunch": propagate}
    return list(tags.values())


def _sizes(properties: Properties) -> dict[str, int | None]:
    names = {"desired_capacity": "DesiredCapacity", "max_size": "MaxSize", "min_size": "MinSize"}
    return {k: int(properties[name]) if properties.get(name) is not None else None for k, name in names.items()}


def _create_asg(context: LabContext, properties: Properties, naming: Naming) -> Any:
    return backend_of(context).create_auto_scaling_group(
        naming.name,
        availability_zones=properties.get("AvailabilityZones", []),
        launch_config_name=properties.get("LaunchConfigurationName"),
        launch_template=properties.get("LaunchTemplate", {}),
        vpc_zone_identifier=",".join(properties.get("VPCZoneIdentifier", [])) or None,
        default_cooldown=properties.get("Cooldown"),
        health_check_period=properties.get("HealthCheckGracePeriod"),
        health_check_type=properties.get("HealthCheckType"),
        load_balancers=[],
        target_group_arns=[],
        placement_group=None,
        termination_policies=properties.get("TerminationPolicies", []),
        tags=_group_tags(properties, naming),
        new_instances_protected_from_scale_in=bool(properties.get("NewInstancesProtectedFromScaleIn", False)),
        **_sizes(properties),
    )


def _update_asg(context: LabContext, group: Any, old: Properties, new: Properties, naming: Naming) -> None:
    """In place: members stay as they are, only what is launched from now on follows the new template."""
    backend_of(context).update_auto_scaling_group(
        group.name,
        availability_zones=[],
        launch_config_name=new.get("LaunchConfigurationName"),
        launch_template=new.get("LaunchTemplate", {}),
        vpc_zone_identifier=",".join(new.get("VPCZoneIdentifier", [])) or None,
        health_check_period=int(new.get("HealthCheckGracePeriod", 0)),
        health_check_type=new.get("HealthCheckType"),
        **_sizes(new),
    )
    group.tags = _group_tags(new, naming)


def _delete_asg(context: LabContext, group: Any) -> None:
    if backend_of(context).autoscaling_groups.get(group.name) is group:
        begin_delete(group)


def _asg_gone(context: LabContext, group: Any) -> bool:
    return backend_of(context).autoscaling_groups.get(group.name) is not group


def _asg_ready(context: LabContext, group: Any) -> bool:
    in_service = [m for m in group.instance_states if m.lifecycle_state == "InService"]
    if len(in_service) >= (group.desired_capacity or 0):
        return True
    memory = group_memory(group)
    if memory.failures >= MAX_LAUNCH_FAILURES:
        last = next(a for a in reversed(memory.activities) if a.status_code == "Failed")
        raise ResourceError(
            "Group did not stabilize. {current/minSize/maxSize} group size = "
            f"{{{len(in_service)}/{group.min_size}/{group.max_size}}}. Failed Scaling Activity: {last.status_message}"
        )
    return False


def _always(context: LabContext, resource: Any) -> bool:
    return True


@dataclass(frozen=True)
class Kind:
    """How the lab handles a resource type; ``updatable`` are the properties that an update may change."""

    create: Callable[[LabContext, Properties, Naming], Any]
    delete: Callable[[LabContext, Any], None]
    update: Callable[[LabContext, Any, Properties, Properties, Naming], None] | None = None
    updatable: frozenset[str] = frozenset()
    ready: Callable[[LabContext, Any], bool] = _always
    gone: Callable[[LabContext, Any], bool] = _always


KINDS: dict[str, Kind] = {
    "AWS::EC2::NetworkInterface": Kind(
        _create_interface, _delete_interface, _update_interface, frozenset({"Tags", "GroupSet", "Description"})
    ),
    "AWS::EC2::Volume": Kind(_create_volume, _delete_volume, _update_volume, frozenset({"Tags"}), ready=_volume_ready),
    "AWS::EC2::SecurityGroup": Kind(
        _create_group, _delete_group, _update_group, frozenset({"Tags", "SecurityGroupIngress"})
    ),
    "AWS::EC2::SecurityGroupIngress": Kind(
        _create_ingress,
        _delete_ingress,
        _update_ingress,
        frozenset({"IpProtocol", "FromPort", "ToPort", "CidrIp", "SourceSecurityGroupId", "Description"}),
    ),
    "AWS::IAM::Role": Kind(
        _create_role,
        _delete_role,
        _update_role,
        frozenset({"AssumeRolePolicyDocument", "Policies", "ManagedPolicyArns", "Description", "Tags"}),
    ),
    "AWS::IAM::InstanceProfile": Kind(_create_profile, _delete_profile),
    "AWS::EC2::LaunchTemplate": Kind(
        _create_template,
        _delete_template,
        _update_template,
        frozenset({"LaunchTemplateData", "VersionDescription"}),
    ),
    "AWS::AutoScaling::AutoScalingGroup": Kind(
        _create_asg,
        _delete_asg,
        _update_asg,
        frozenset(
            {
                "DesiredCapacity",
                "HealthCheckGracePeriod",
                "HealthCheckType",
                "LaunchTemplate",
                "MaxSize",
                "MinSize",
                "Tags",
                "VPCZoneIdentifier",
            }
        ),
        ready=_asg_ready,
        gone=_asg_gone,
    ),
}
