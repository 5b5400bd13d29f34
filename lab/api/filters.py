# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the Describe calls the product and amazon.aws use: all documented ones that the lab can answer.

A filter matches if any of the object's values matches any of the filter's values; ``*`` and ``?`` are wildcards,
a backslash takes their meaning away (EC2's user guide, "List and filter your resources"). A name that a call does not
know is ``InvalidParameterValue``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

import moto.ec2.utils as moto_utils
from moto.ec2.exceptions import FilterNotImplementedError
from moto.ec2.models.amis import Ami, AmiBackend
from moto.ec2.models.elastic_block_store import EBSBackend, Volume
from moto.ec2.models.elastic_network_interfaces import NetworkInterface, NetworkInterfaceBackend
from moto.ec2.models.instances import Instance, InstanceBackend

from lab.api.context import LabContext
from lab.api.errors import refuse, unknown_filter
from lab.api.patching import PatchSet

PATCHES = PatchSet()

Getter = Callable[[Any], Any]


@lru_cache(maxsize=4096)
def _pattern(text: str) -> re.Pattern[str]:
    out, escaped = [], False
    for character in text:
        if escaped:
            out.append(re.escape(character))
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            out.append({"*": ".*", "?": "."}.get(character) or re.escape(character))
    return re.compile("".join(out), re.DOTALL)


def as_texts(value: Any) -> list[str]:
    """The value(s) of an object as EC2 writes them; pure."""
    if value is None:
        return []
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, datetime):
        return [value.strftime("%Y-%m-%dT%H:%M:%S.000Z")]
    if isinstance(value, str):
        return [value]
    if isinstance(value, Iterable):
        return [text for item in value for text in as_texts(item)]
    return [str(value)]


def matches(value: Any, wanted: Any) -> bool:
    """Whether any of ``value`` matches any of ``wanted``; pure."""
    patterns = [_pattern(str(w)) for w in ([wanted] if isinstance(wanted, str) else wanted or [])]
    return any(p.fullmatch(text) for text in as_texts(value) for p in patterns)


def _nics(getter: Getter) -> Getter:
    return lambda instance: [getter(eni) for eni in instance.nics.values()]


def _attached(getter: Getter) -> Getter:
    return lambda thing: getter(thing) if thing.attachment else None


def _volumes(getter: Getter) -> Getter:
    return lambda volume: getter(volume.attachment) if volume.attachment else None


def _blocks(getter: Getter) -> Getter:
    return lambda instance: [getter(block) for block in instance.block_device_mapping.values()]


NETWORK_INTERFACE: dict[str, Getter] = {
    "addresses.primary": lambda e: [item.get("Primary", False) for item in e.private_ip_addresses],
    "addresses.private-ip-address": lambda e: [item["PrivateIpAddress"] for item in e.private_ip_addresses],
    "attachment.attach-time": lambda e: e.attach_time,
    "attachment.attachment-id": lambda e: e.attachment_id,
    "attachment.delete-on-termination": _attached(lambda e: bool(e.delete_on_termination)),
    "attachment.device-index": _attached(lambda e: e.device_index),
    "attachment.instance-id": _attached(lambda e: e.instance.id),
    "attachment.instance-owner-id": _attached(lambda e: e.owner_id),
    "attachment.status": _attached(lambda e: e.attachment.status),
    "availability-zone": lambda e: e.availability_zone,
    "description": lambda e: e.description,
    "group-id": lambda e: [group.id for group in e.group_set],
    "group-name": lambda e: [group.name for group in e.group_set],
    "interface-type": lambda e: e.interface_type,
    "mac-address": lambda e: e.mac_address,
    "network-interface-id": lambda e: e.id,
    "owner-id": lambda e: e.owner_id,
    "private-dns-name": lambda e: getattr(e, "private_dns_name", None),
    "private-ip-address": lambda e: [item["PrivateIpAddress"] for item in e.private_ip_addresses],
    "requester-id": lambda e: e.requester_id,
    "requester-managed": lambda e: e.requester_managed,
    "source-dest-check": lambda e: bool(e.source_dest_check),
    "status": lambda e: e.status,
    "subnet-id": lambda e: e.subnet.id,
    "vpc-id": lambda e: e.vpc_id,
}
VOLUME: dict[str, Getter] = {
    "attachment.attach-time": _volumes(lambda a: a.attach_time),
    "attachment.delete-on-termination": _volumes(lambda a: a.delete_on_termination),
    "attachment.device": _volumes(lambda a: a.device),
    "attachment.instance-id": _volumes(lambda a: a.instance.id),
    "attachment.status": _volumes(lambda a: a.status),
    "availability-zone": lambda v: v.availability_zone,
    "create-time": lambda v: v.create_time,
    "encrypted": lambda v: bool(v.encrypted),
    "iops": lambda v: v.iops,
    "kms-key-id": lambda v: v.kms_key_id,
    "multi-attach-enabled": lambda v: bool(v.multi_attach_enabled),
    "size": lambda v: v.size,
    "snapshot-id": lambda v: v.snapshot_id,
    "status": lambda v: v.status,
    "volume-id": lambda v: v.id,
    "volume-type": lambda v: v.volume_type,
}
INSTANCE: dict[str, Getter] = {
    "architecture": lambda i: i.architecture,
    "availability-zone": lambda i: i.placement.zone,
    "block-device-mapping.attach-time": _blocks(lambda b: b.attach_time),
    "block-device-mapping.delete-on-termination": _blocks(lambda b: bool(b.delete_on_termination)),
    "block-device-mapping.device-name": lambda i: list(i.block_device_mapping),
    "block-device-mapping.status": _blocks(lambda b: b.status),
    "block-device-mapping.volume-id": _blocks(lambda b: b.volume_id),
    "client-token": lambda i: i.client_token,
    "dns-name": lambda i: i.public_dns_name,
    "group-id": lambda i: [group.id for group in i.security_groups],
    "group-name": lambda i: [group.name for group in i.security_groups],
    "hypervisor": lambda i: i.hypervisor,
    "iam-instance-profile.arn": lambda i: (i.iam_instance_profile or {}).get("Arn"),
    "image-id": lambda i: i.image_id,
    "instance-id": lambda i: i.id,
    "instance-lifecycle": lambda i: i.lifecycle,
    "instance-state-code": lambda i: i.state_code,
    "instance-state-name": lambda i: i.state,
    "instance-type": lambda i: i.instance_type,
    "instance.group-id": lambda i: [group.id for group in i.security_groups],
    "instance.group-name": lambda i: [group.name for group in i.security_groups],
    "ip-address": lambda i: i.public_ip,
    "key-name": lambda i: i.key_name,
    "launch-time": lambda i: i.launch_time,
    "metadata-options.http-tokens": lambda i: i.metadata_options.http_tokens,
    "monitoring-state": lambda i: i.monitoring_state,
    "network-interface.addresses.private-ip-address": _nics(NETWORK_INTERFACE["addresses.private-ip-address"]),
    "network-interface.attachment.attachment-id": _nics(lambda e: e.attachment_id),
    "network-interface.attachment.delete-on-termination": _nics(lambda e: bool(e.delete_on_termination)),
    "network-interface.attachment.device-index": _nics(lambda e: e.device_index),
    "network-interface.attachment.status": _nics(NETWORK_INTERFACE["attachment.status"]),
    "network-interface.availability-zone": _nics(lambda e: e.availability_zone),
    "network-interface.mac-address": _nics(lambda e: e.mac_address),
    "network-interface.network-interface-id": _nics(lambda e: e.id),
    "network-interface.private-dns-name": _nics(NETWORK_INTERFACE["private-dns-name"]),
    "network-interface.status": _nics(lambda e: e.status),
    "network-interface.subnet-id": _nics(lambda e: e.subnet.id),
    "network-interface.vpc-id": _nics(lambda e: e.vpc_id),
    "owner-id": lambda i: i.owner_id,
    "platform": lambda i: i.platform,
    "private-dns-name": lambda i: i.private_dns_name,
    "private-ip-address": lambda i: i.private_ip,
    "root-device-name": lambda i: i.root_device_name,
    "root-device-type": lambda i: i.root_device_type,
    "source-dest-check": lambda i: bool(i.source_dest_check),
    "state-reason-code": lambda i: i.state_reason.code,
    "subnet-id": lambda i: i.subnet_id,
    "tenancy": lambda i: i.placement.tenancy,
    "virtualization-type": lambda i: i.virtualization_type,
    "vpc-id": lambda i: i.vpc_id,
}
IMAGE: dict[str, Getter] = {
    "architecture": lambda a: a.architecture,
    "creation-date": lambda a: a.creation_date,
    "description": lambda a: a.description,
    "hypervisor": lambda a: a.hypervisor,
    "image-id": lambda a: a.id,
    "image-type": lambda a: a.image_type,
    "is-public": lambda a: a.is_public,
    "name": lambda a: a.name,
    "owner-alias": lambda a: a.owner_alias,
    "owner-id": lambda a: a.owner_id,
    "platform": lambda a: a.platform,
    "root-device-name": lambda a: a.root_device_name,
    "root-device-type": lambda a: a.root_device_type,
    "source-instance-id": lambda a: a.source_instance_id,
    "state": lambda a: a.state,
    "virtualization-type": lambda a: a.virtualization_type,
}
TABLES: dict[type, dict[str, Getter]] = {
    NetworkInterface: NETWORK_INTERFACE,
    Volume: VOLUME,
    Instance: INSTANCE,
    Ami: IMAGE,
}


def _tags(thing: Any) -> dict[str, str]:
    return dict(thing.ec2_backend.tags.get(thing.id, {}))


def check_names(kind: type, filters: Any) -> None:
    """Raise ``InvalidParameterValue`` for a filter that the describe call of ``kind`` does not have."""
    for name in filters or {}:
        if name not in TABLES[kind] and name not in ("tag-key", "tag-value") and not name.startswith("tag:"):
            raise unknown_filter(name)


def passes(thing: Any, name: str, wanted: Any) -> bool:
    """Whether the object passes one filter."""
    if name.startswith("tag:"):
        return matches(_tags(thing).get(name[4:]), wanted)
    if name == "tag-key":
        return matches(list(_tags(thing)), wanted)
    if name == "tag-value":
        return matches(list(_tags(thing).values()), wanted)
    getter = TABLES[type(thing)].get(name)
    if getter is None:
        raise unknown_filter(name)
    return matches(getter(thing), wanted)


@PATCHES.function(moto_utils, "is_filter_matching")
def _is_filter_matching(_context: LabContext, original: Any, thing: Any, name: str, wanted: Any) -> bool:
    if type(thing) in TABLES:
        return passes(thing, name, wanted)
    try:
        return bool(original(thing, name, wanted))
    except FilterNotImplementedError:
        raise unknown_filter(name) from None


@PATCHES.function(moto_utils, "passes_filter_dict")
def _passes_filter_dict(_context: LabContext, _original: Any, instance: Any, filters: dict[str, Any]) -> bool:
    return all(passes(instance, name, wanted) for name, wanted in filters.items())


@PATCHES.function(NetworkInterfaceBackend, "get_all_network_interfaces")
def _interfaces(_context: LabContext, original: Any, self: Any, eni_ids: Any = None, filters: Any = None) -> Any:
    check_names(NetworkInterface, filters)
    return original(self, eni_ids, filters)


@PATCHES.function(EBSBackend, "describe_volumes")
def _describe_volumes(
    _context: LabContext, original: Any, self: Any, volume_ids: Any = None, filters: Any = None
) -> Any:
    check_names(Volume, filters)
    for volume_id in volume_ids or []:
        if volume_id not in self.volumes:
            raise refuse("InvalidVolume.NotFound", f"The volume '{volume_id}' does not exist.")
    return original(self, volume_ids, filters)


@PATCHES.function(InstanceBackend, "all_reservations")
def _reservations(_context: LabContext, original: Any, self: Any, filters: Any = None) -> Any:
    check_names(Instance, filters)
    return original(self, filters)


@PATCHES.function(InstanceBackend, "get_reservations_by_instance_ids")
def _reservations_by_id(_context: LabContext, original: Any, self: Any, instance_ids: Any, filters: Any = None) -> Any:
    check_names(Instance, filters)
    return original(self, instance_ids, filters)


@PATCHES.function(AmiBackend, "describe_images")
def _describe_images(_context: LabContext, original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    filters = kwargs.get("filters") if "filters" in kwargs else (args[1] if len(args) > 1 else None)
    check_names(Ami, filters)
    return original(self, *args, **kwargs)
