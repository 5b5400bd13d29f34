# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which instance a request comes from, told by its source address."""

from __future__ import annotations

from typing import Any

from lab.api.context import LabContext
from lab.api.faults_match import Occasion

GROUP_TAG = "aws:autoscaling:groupName"


def instance_at(context: LabContext, source: str) -> Any:
    """The instance that has the address (or that a test mapped to it), None if none has; call with the lock held."""
    backend = context.ec2
    if source in context.sources:
        wanted = context.sources[source]
        return next((i for i in backend.all_instances() if i.id == wanted and i.state != "terminated"), None)
    for eni in backend.enis.values():
        if eni.instance is not None and any(i["PrivateIpAddress"] == source for i in eni.private_ip_addresses):
            return eni.instance
    return None


def occasion_of(context: LabContext, instance: Any, *resources: str, action: str = "") -> Occasion:
    """An occasion that happens to ``instance`` (None: to none); call with the lock held."""
    if instance is None:
        return Occasion(action=action, resources=frozenset(resources))
    group = str(context.ec2.tags.get(instance.id, {}).get(GROUP_TAG, ""))
    return Occasion(action, instance.id, group, frozenset({*resources, instance.id}))
