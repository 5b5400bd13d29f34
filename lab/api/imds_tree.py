# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance's metadata as a tree: dictionaries are directories, strings are leaves.

Names and formats follow EC2's user guide, "Instance metadata categories".
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from typing import Any

from lab.api.context import LabContext

Tree = dict[str, Any]

VERSIONS = (
    "1.0",
    "2007-01-19",
    "2008-02-01",
    "2009-04-04",
    "2011-01-01",
    "2012-01-12",
    "2014-02-25",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-09-24",
    "2024-04-11",
    "latest",
)


def merge(left: Tree, right: Tree) -> Tree:
    """Both trees in one; where both have a leaf the right one stands; pure."""
    merged = dict(left)
    for name, value in right.items():
        ours = merged.get(name)
        merged[name] = merge(ours, value) if isinstance(ours, dict) and isinstance(value, dict) else value
    return merged


def find(tree: Tree, path: str) -> str | Tree | None:
    """Return the leaf or directory at ``path`` ('' is the root), None if there is none; pure."""
    node: Any = tree
    for part in (p for p in path.split("/") if p):
        if not isinstance(node, dict) or part not in node:
            return None
        node = node[part]
    return node


def listing(node: Tree) -> str:
    """A directory as EC2 lists it: a name per line, directories with a final '/'; pure."""
    return "\n".join(f"{name}/" if isinstance(value, dict) else name for name, value in sorted(node.items()))


def visible_nics(context: LabContext, instance: Any) -> list[Any]:
    """The interfaces the instance is told about: attached, and longer ago than the metadata service lags."""
    lag = context.delays.imds_lag_seconds
    now = time.monotonic()
    shown = []
    for index, eni in sorted(instance.nics.items()):
        attached = getattr(eni, "attachment_status", None) == "attached"
        if index == 0 or (attached and now - getattr(eni, "lab_attached_at", now) >= lag):
            shown.append(eni)
    return shown


def role_of(instance: Any) -> tuple[Any, Any] | None:
    """The instance's (profile, role), None without one."""
    association = instance.ec2_backend.iam_instance_profile_associations.get(instance.id)
    if association is None or not association.iam_instance_profile.roles:
        return None
    return association.iam_instance_profile, association.iam_instance_profile.roles[0]


def user_data(instance: Any) -> bytes | None:
    """The user data as it was sent, None if there is none."""
    value = instance.user_data
    if not value:
        return None
    raw = value if isinstance(value, bytes) else str(value).encode()
    try:
        return base64.b64decode(raw, validate=True)
    except binascii.Error:
        return raw


def identity_document(context: LabContext, instance: Any) -> str:
    """``dynamic/instance-identity/document``."""
    document = {
        "accountId": context.account_id,
        "architecture": instance.architecture,
        "availabilityZone": instance.placement.zone,
        "billingProducts": None,
        "devpayProductCodes": None,
        "marketplaceProductCodes": None,
        "imageId": instance.image_id,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "kernelId": None,
        "pendingTime": instance.launch_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "privateIp": instance.private_ip_address,
        "ramdiskId": None,
        "region": context.region,
        "version": "2017-09-30",
    }
    return json.dumps(document, indent=2)


def _interface(eni: Any, vpc_cidr: str) -> Tree:
    groups = list(eni.group_set)
    return {
        "device-number": str(eni.device_index),
        "interface-id": eni.id,
        "local-hostname": eni.private_dns_name,
        "local-ipv4s": "\n".join(item["PrivateIpAddress"] for item in eni.private_ip_addresses),
        "mac": eni.mac_address,
        "owner-id": eni.owner_id,
        "security-group-ids": "\n".join(group.id for group in groups),
        "security-groups": "\n".join(group.name for group in groups),
        "subnet-id": eni.subnet.id,
        "subnet-ipv4-cidr-block": eni.subnet.cidr_block,
        "vpc-id": eni.vpc_id,
        "vpc-ipv4-cidr-block": vpc_cidr,
        "vpc-ipv4-cidr-blocks": vpc_cidr,
    }


def _devices(instance: Any) -> Tree:
    root = instance.root_device_name
    tree = {"ami": root, "root": root}
    others = [device for device in sorted(instance.block_device_mapping) if device != root]
    return tree | {f"ebs{number}": device.removeprefix("/dev/") for number, device in enumerate(others, 1)}


def _keys(instance: Any) -> Tree:
    pair = instance.ec2_backend.key_pairs.get(instance.key_name) if instance.key_name else None
    if pair is None:
        return {}
    material = pair.material_public
    text = material.decode() if isinstance(material, bytes) else str(material)
    return {"public-keys": {"0": {"openssh-key": text.strip() + "\n"}}}


def _iam(instance: Any) -> Tree:
    found = role_of(instance)
    if found is None:
        return {}
    profile, role = found
    info = {
        "Code": "Success",
        "LastUpdated": instance.launch_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "InstanceProfileArn": profile.arn,
        "InstanceProfileId": profile.id,
    }
    # the credentials themselves are minted when they are asked for, see ImdsServer
    return {"iam": {"info": json.dumps(info, indent=2), "security-credentials": {role.name: ""}}}


def metadata(context: LabContext, instance: Any) -> Tree:
    """The tree below ``meta-data/``; call with the lock held."""
    backend = instance.ec2_backend
    nics = visible_nics(context, instance)
    primary = nics[0]
    subnet = primary.subnet
    vpc_cidr = backend.get_vpc(primary.vpc_id).cidr_block
    tree: Tree = {
        "ami-id": instance.image_id,
        "ami-launch-index": str(instance.ami_launch_index),
        "ami-manifest-path": "(unknown)",
        "block-device-mapping": _devices(instance),
        "hostname": primary.private_dns_name,
        "instance-action": "none",
        "instance-id": instance.id,
        "instance-life-cycle": "on-demand",
        "instance-type": instance.instance_type,
        "local-hostname": primary.private_dns_name,
        "local-ipv4": primary.private_ip_address,
        "mac": primary.mac_address,
        "network": {"interfaces": {"macs": {eni.mac_address: _interface(eni, vpc_cidr) for eni in nics}}},
        "placement": {
            "availability-zone": instance.placement.zone,
            "availability-zone-id": subnet.availability_zone_id,
            "region": context.region,
        },
        "profile": "default-hvm",
        "reservation-id": next((r.id for r in backend.reservations.values() if instance in r.instances), ""),
        "security-groups": "\n".join(group.name for group in primary.group_set),
        "services": {"domain": "amazonaws.com", "partition": "aws"},
        **_keys(instance),
        **_iam(instance),
    }
    tags = backend.tags.get(instance.id, {})
    if instance.metadata_options.instance_metadata_tags == "enabled" and tags:
        tree["tags"] = {"instance": {key: value for key, value in tags.items() if not key.startswith("aws:")}}
    for part in context.metadata_parts:
        tree = merge(tree, part(instance))
    return tree
