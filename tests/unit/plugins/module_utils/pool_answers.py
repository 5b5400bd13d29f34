# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Describe answers of EC2, built by hand for the tests of pure logic and of modules."""

from __future__ import annotations

from typing import Any

CLUSTER = "orders"
ZONE = "eu-central-1a"


def tags(role: str, node_id: str, name: str | None = None, **more: str) -> list[dict[str, str]]:
    """Return the tags of a pool's part."""
    pairs = {
        "Name": name or f"{CLUSTER}-{role}-{node_id}",
        "holdfast:cluster": CLUSTER,
        "holdfast:role": role,
        "holdfast:node-id": node_id,
        **more,
    }
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def eni(
    eni_id: str, node_id: str = "1", *, role: str = "kafka", zone: str = ZONE, holder: str | None = None
) -> dict[str, Any]:
    """Return one entry of DescribeNetworkInterfaces."""
    answer: dict[str, Any] = {
        "NetworkInterfaceId": eni_id,
        "MacAddress": f"02:00:00:00:00:{int(eni_id[-1], 36):02x}",
        "PrivateIpAddress": "10.77.1.21",
        "SubnetId": "subnet-1",
        "AvailabilityZone": zone,
        "Status": "in-use" if holder else "available",
        "TagSet": tags(role, node_id),
    }
    if holder:
        answer["Attachment"] = {
            "InstanceId": holder,
            "AttachmentId": f"attach-{eni_id}",
            "Status": "attached",
            "DeviceIndex": 1,
            "DeleteOnTermination": False,
        }
    return answer


def volume(
    volume_id: str,
    node_id: str = "1",
    index: str | None = "0",
    *,
    role: str = "kafka",
    zone: str = ZONE,
    holder: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return one entry of DescribeVolumes."""
    labels = {} if index is None else {"holdfast:volume": index}
    answer: dict[str, Any] = {
        "VolumeId": volume_id,
        "Size": 100,
        "AvailabilityZone": zone,
        "State": "in-use" if holder else "available",
        "Tags": tags(role, node_id, **labels),
        "Attachments": [],
        **more,
    }
    if holder:
        attachment = {"InstanceId": holder, "Device": "/dev/sdf", "State": "attached", "DeleteOnTermination": False}
        answer["Attachments"] = [attachment]
    return answer
