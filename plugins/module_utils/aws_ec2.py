# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few EC2 verbs that Holdfast uses. Thin: no decision is made here, and nothing is created, detached or deleted."""

from __future__ import annotations

from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import Api, known_error
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import (
    Eni,
    ExpectedVolumes,
    PoolReading,
    Volume,
    build_pools,
    live_attachments,
    parse_eni,
    parse_volume,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme


class Ec2:
    """EC2 as the claim and the attachments need it."""

    def __init__(self, module: Any) -> None:
        self.api = Api(module, "ec2")

    @property
    def requests(self) -> list[str]:
        """Every request so far, by operation name."""
        return self.api.requests

    def read_pools(self, cluster: str, scheme: TagScheme, expected: ExpectedVolumes | None = None) -> PoolReading:
        """Read all pools of a cluster with one DescribeNetworkInterfaces and one DescribeVolumes."""
        filters = scheme.filters(cluster)
        interfaces = self.api.pages("describe_network_interfaces", "NetworkInterfaces", Filters=filters)
        volumes = self.api.pages("describe_volumes", "Volumes", Filters=filters)
        return build_pools(cluster, interfaces, volumes, scheme, expected)

    def describe_parts(self, filters: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the interfaces and the volumes that match, as EC2 describes them."""
        interfaces = self.api.pages("describe_network_interfaces", "NetworkInterfaces", Filters=filters)
        return interfaces, self.api.pages("describe_volumes", "Volumes", Filters=filters)

    def tag(self, resource_ids: list[str], tags: dict[str, str]) -> None:
        """Set tags on resources with one CreateTags."""
        self.api.call("create_tags", Resources=resource_ids, Tags=[{"Key": k, "Value": v} for k, v in tags.items()])

    def instance_states(self, instance_ids: tuple[str, ...]) -> dict[str, str]:
        """Return the state of each instance; one that EC2 does not know is absent (the filter makes that no error)."""
        filters = [{"Name": "instance-id", "Values": list(instance_ids)}]
        reservations = self.api.pages("describe_instances", "Reservations", Filters=filters)
        instances = [instance for item in reservations for instance in item.get("Instances") or []]
        return {item["InstanceId"]: item["State"]["Name"] for item in instances}

    def eni(self, eni_id: str) -> Eni:
        """Describe one ENI."""
        found = self.api.pages("describe_network_interfaces", "NetworkInterfaces", NetworkInterfaceIds=[eni_id])
        if len(found) != 1:
            raise known_error("describe_network_interfaces", "NoAnswer", f"no answer for {eni_id}")
        return parse_eni(found[0])

    def volume(self, volume_id: str) -> Volume:
        """Describe one volume."""
        found = self.api.pages("describe_volumes", "Volumes", VolumeIds=[volume_id])
        if len(found) != 1:
            raise known_error("describe_volumes", "NoAnswer", f"no answer for {volume_id}")
        holders = sorted({item["InstanceId"] for item in live_attachments(found[0]) if item.get("InstanceId")})
        if len(holders) > 1:
            raise known_error("describe_volumes", "MultiAttached", f"{volume_id} is attached to {', '.join(holders)}")
        return parse_volume(found[0])

    def eni_at(self, instance_id: str, device_index: int) -> str | None:
        """Return the ENI that EC2 shows at this index of an instance, C(None) if it shows none."""
        filters = [{"Name": "attachment.instance-id", "Values": [instance_id]}]
        found = self.api.pages("describe_network_interfaces", "NetworkInterfaces", Filters=filters)
        here = [parse_eni(item) for item in found]
        return next((eni.id for eni in here if eni.device_index == device_index), None)

    def attach_eni(self, eni_id: str, instance_id: str, device_index: int) -> str:
        """Attach an ENI and return the attachment's id."""
        answer = self.api.call(
            "attach_network_interface", NetworkInterfaceId=eni_id, InstanceId=instance_id, DeviceIndex=device_index
        )
        return str(answer["AttachmentId"])

    def keep_eni_on_termination(self, eni_id: str, attachment_id: str) -> None:
        """Make an attached ENI outlive its instance."""
        attachment = {"AttachmentId": attachment_id, "DeleteOnTermination": False}
        self.api.call("modify_network_interface_attribute", NetworkInterfaceId=eni_id, Attachment=attachment)

    def attach_volume(self, volume_id: str, instance_id: str, device: str) -> None:
        """Attach a volume under an EC2 device name."""
        self.api.call("attach_volume", VolumeId=volume_id, InstanceId=instance_id, Device=device)

    def keep_volume_on_termination(self, instance_id: str, device: str) -> None:
        """Make an attached volume outlive its instance."""
        mapping = [{"DeviceName": device, "Ebs": {"DeleteOnTermination": False}}]
        self.api.call("modify_instance_attribute", InstanceId=instance_id, BlockDeviceMappings=mapping)
