# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holders of identities beside what their Auto Scaling groups launch now, each thing asked for once.

What is read here is as old as this object: whoever terminates an instance by it makes a new one first.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ansible_collections.holdfast.kafka.plugins.module_utils import instance_target
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError

#: So many instances, or groups, may be named in one request of Auto Scaling; then no answer has a second page.
NAMED_AT_ONCE = 50


class ApiPort(Protocol):
    """One service of AWS; both methods may raise AwsError."""

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Make one call."""

    def pages(self, operation: str, key: str, **parameters: Any) -> list[dict[str, Any]]:
        """Make one describe and return all entries under the key."""


class Launches:
    """The groups of some instances, the groups' launch templates, and the instances themselves."""

    def __init__(self, ec2: ApiPort, scaling: ApiPort, instance_ids: Sequence[str]) -> None:
        self._ec2 = ec2
        self._instance_ids = list(dict.fromkeys(instance_ids))
        members = _in_parts(scaling, "auto_scaling_instances", "InstanceIds", self._instance_ids)
        self._names = {one["InstanceId"]: one["AutoScalingGroupName"] for one in members}
        names = sorted(set(self._names.values()))
        groups = _in_parts(scaling, "auto_scaling_groups", "AutoScalingGroupNames", names)
        self._groups = {group["AutoScalingGroupName"]: group for group in groups}
        self._templates: dict[tuple[str, str], dict[str, Any]] = {}
        self._instances: dict[str, dict[str, Any]] = {}

    def group_of(self, instance_id: str) -> Mapping[str, Any]:
        """Return the instance's group; HoldfastError when it has none."""
        name = self._names.get(instance_id)
        if name is None:
            raise HoldfastError(
                "no_group",
                f"{instance_id} is in no Auto Scaling group, so nobody would come for its identity. Put it under "
                "nodes_provision first, or replace it by hand.",
            )
        if name not in self._groups:
            raise HoldfastError("no_group", f"The group {name} of {instance_id} is being deleted.")
        return self._groups[name]

    def differences(self, instance_id: str) -> list[dict[str, str]]:
        """Say in what the instance is not what its group launches; HoldfastError when nobody can tell."""
        template = self._template(*instance_target.template_of(self.group_of(instance_id)))
        return instance_target.differences(self._instance(instance_id), template)

    def _template(self, template_id: str, version: str) -> dict[str, Any]:
        if (template_id, version) not in self._templates:
            answer = self._ec2.call(
                "describe_launch_template_versions", LaunchTemplateId=template_id, Versions=[version]
            )
            self._templates[template_id, version] = answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        return self._templates[template_id, version]

    def _instance(self, instance_id: str) -> dict[str, Any]:
        if not self._instances:
            ours = [one for one in self._instance_ids if one in self._names]
            reservations = self._ec2.pages("describe_instances", "Reservations", InstanceIds=ours)
            found = [instance for one in reservations for instance in one["Instances"]]
            self._instances = {instance["InstanceId"]: instance for instance in found}
        return self._instances[instance_id]


def _in_parts(scaling: ApiPort, what: str, option: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """Describe what is named, as many at once as may be."""
    key = "".join(word.capitalize() for word in what.split("_"))
    found: list[dict[str, Any]] = []
    for begin in range(0, len(names), NAMED_AT_ONCE):
        found += scaling.call(f"describe_{what}", **{option: names[begin : begin + NAMED_AT_ONCE]})[key]
    return found
