# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pool as EC2's tags tell it: whole identities, and faults by resource id. Pure: describe answers in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.herd import KAFKA_MAX_ID
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import Labels, TagScheme

#: The tag that a ZooKeeper server leaves on its volume once it has served in the ensemble.
INITIALIZED_TAG = "holdfast:initialized"

#: How many volumes make an identity whole, by role, or by role and node id.
ExpectedVolumes = Mapping[str, int | Mapping[int, int]]


@dataclass(frozen=True)
class Eni:
    """A network interface of a pool; C(instance_id) is EC2's word on who has it now."""

    id: str
    mac: str
    private_ip: str
    subnet_id: str
    availability_zone: str
    status: str
    instance_id: str | None = None
    attachment_id: str | None = None
    attachment_status: str | None = None
    device_index: int | None = None
    delete_on_termination: bool | None = None


@dataclass(frozen=True)
class Volume:
    """A data volume of a pool; C(index) is the data directory it carries."""

    id: str
    index: int
    size_gib: int
    availability_zone: str
    status: str
    instance_id: str | None = None
    device: str | None = None
    attachment_status: str | None = None
    delete_on_termination: bool | None = None
    #: whether the volume's tag says that a ZooKeeper ensemble has served from it
    initialized: bool = False


@dataclass(frozen=True)
class Identity:
    """One whole identity: exactly one ENI and the expected volumes, all in one Availability Zone."""

    node_id: int
    cluster: str
    role: str
    availability_zone: str
    name: str
    eni: Eni
    volumes: tuple[Volume, ...]

    def parts(self) -> tuple[Eni | Volume, ...]:
        """Return the ENI and the volumes."""
        return (self.eni, *self.volumes)

    def attached_instances(self) -> set[str]:
        """Return every instance that has a part of this identity attached."""
        return {part.instance_id for part in self.parts() if part.instance_id}

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON shape that modules hand to plays; C(instance_id) is the ENI's holder."""
        return {
            **asdict(self),
            "volumes": [asdict(volume) for volume in self.volumes],
            "instance_id": self.eni.instance_id,
        }


@dataclass(frozen=True)
class Fault:
    """Why something tagged as a pool's part is not a whole identity."""

    kind: str
    role: str
    node_id: int | None
    resource_ids: tuple[str, ...]
    message: str
    availability_zones: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON shape that modules hand to plays."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class PoolReading:
    """One reading of all pools of a cluster."""

    cluster: str
    identities: tuple[Identity, ...]
    faults: tuple[Fault, ...] = ()

    def of_role(self, role: str) -> list[Identity]:
        """Return the whole identities of one role by rising node id."""
        return sorted((item for item in self.identities if item.role == role), key=lambda item: item.node_id)

    def faults_of(self, role: str) -> list[Fault]:
        """Return the faults of one role."""
        return [fault for fault in self.faults if fault.role == role]

    def pools(self) -> dict[str, list[dict[str, Any]]]:
        """Return every role's identities in their JSON shape."""
        roles = sorted({item.role for item in self.identities})
        return {role: [item.as_dict() for item in self.of_role(role)] for role in roles}


@dataclass
class _Parts:
    enis: list[Eni] = field(default_factory=list)
    volumes: list[Volume] = field(default_factory=list)
    name: str = ""


def tags_of(resource: Mapping[str, Any]) -> dict[str, str]:
    """Return a describe answer's tags; interfaces carry C(TagSet), everything else C(Tags)."""
    return {tag["Key"]: tag["Value"] for tag in resource.get("TagSet") or resource.get("Tags") or []}


def parse_eni(answer: Mapping[str, Any]) -> Eni:
    """Turn one entry of DescribeNetworkInterfaces into an Eni."""
    attachment = answer.get("Attachment") or {}
    status = answer.get("Status", "unknown")
    gone = attachment.get("Status") == "detached"
    return Eni(
        id=answer["NetworkInterfaceId"],
        mac=answer.get("MacAddress", ""),
        private_ip=answer.get("PrivateIpAddress", ""),
        subnet_id=answer.get("SubnetId", ""),
        availability_zone=answer.get("AvailabilityZone", ""),
        status=status,
        instance_id=None if gone else attachment.get("InstanceId"),
        attachment_id=None if gone else attachment.get("AttachmentId"),
        attachment_status=attachment.get("Status"),
        device_index=None if gone else attachment.get("DeviceIndex"),
        delete_on_termination=None if gone else attachment.get("DeleteOnTermination"),
    )


def parse_volume(answer: Mapping[str, Any], index: int = 0) -> Volume:
    """Turn one entry of DescribeVolumes into a Volume; the caller has excluded several attachments at once."""
    attachment = next(iter(live_attachments(answer)), {})
    return Volume(
        id=answer["VolumeId"],
        index=index,
        size_gib=answer.get("Size", 0),
        availability_zone=answer.get("AvailabilityZone", ""),
        status=answer.get("State", "unknown"),
        instance_id=attachment.get("InstanceId"),
        device=attachment.get("Device"),
        attachment_status=attachment.get("State"),
        delete_on_termination=attachment.get("DeleteOnTermination"),
        initialized=tags_of(answer).get(INITIALIZED_TAG) == "true",
    )


def live_attachments(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a volume's attachments that are not over."""
    return [item for item in answer.get("Attachments") or [] if item.get("State") != "detached"]


def _number(text: str | None) -> int | None:
    """Parse a canonical non-negative decimal; anything else (signs, blanks, leading zeros) is not a number here."""
    if text is None or not text.isascii() or not text.isdigit() or str(int(text)) != text:
        return None
    return int(text) if int(text) <= KAFKA_MAX_ID else None


class _Builder:
    """Sorts resources into identities and collects what does not fit."""

    def __init__(self, cluster: str, scheme: TagScheme) -> None:
        self.cluster = cluster
        self.scheme = scheme
        self.parts: dict[tuple[str, int], _Parts] = {}
        self.faults: list[Fault] = []
        self.broken: set[tuple[str, int]] = set()

    def fault(self, kind: str, role: str, node_id: int | None, message: str, resources: Iterable[Eni | Volume]) -> None:
        """Report a fault; the identity it belongs to is no candidate any more."""
        found = sorted(resources, key=lambda item: item.id)
        ids = tuple(item.id for item in found)
        self.faults.append(
            Fault(
                kind=kind,
                role=role,
                node_id=node_id,
                resource_ids=ids,
                message=f"{self.cluster} {role} {'?' if node_id is None else node_id}: {message} ({', '.join(ids)}).",
                availability_zones=tuple(sorted({item.availability_zone for item in found})),
                holders=tuple(sorted({item.instance_id for item in found if item.instance_id})),
            )
        )
        if node_id is not None:
            self.broken.add((role, node_id))

    def _place(self, labels: Labels, resource: Eni | Volume) -> _Parts | None:
        role = labels.role or "?"
        node_id = _number(labels.node_id)
        if node_id is None:
            told = "no node id" if labels.node_id is None else f"node id {labels.node_id!r}, which is not a number"
            self.fault("bad_node_id", role, None, f"the resource carries {told}", [resource])
            return None
        parts = self.parts.setdefault((role, node_id), _Parts())
        parts.name = parts.name or labels.name
        return parts

    def add_eni(self, answer: Mapping[str, Any]) -> None:
        """Take in one entry of DescribeNetworkInterfaces."""
        labels = self.scheme.labels(tags_of(answer), self.cluster)
        if labels is None:
            return
        eni = parse_eni(answer)
        parts = self._place(labels, eni)
        if parts is not None:
            parts.enis.append(eni)

    def add_volume(self, answer: Mapping[str, Any]) -> None:
        """Take in one entry of DescribeVolumes; a deleted volume is no part of anything."""
        labels = self.scheme.labels(tags_of(answer), self.cluster)
        if labels is None or answer.get("State") in ("deleting", "deleted"):
            return
        index = _number(labels.volume)
        volume = parse_volume(answer, -1 if index is None else index)
        parts = self._place(labels, volume)
        if parts is None:
            return
        parts.volumes.append(volume)
        role, node_id = labels.role or "?", _number(labels.node_id)
        if index is None:
            told = "no volume index" if labels.volume is None else f"volume index {labels.volume!r}, not a number"
            self.fault("bad_volume_index", role, node_id, f"the volume carries {told}", [volume])
        if len(live_attachments(answer)) > 1:
            self.fault("volume_multi_attached", role, node_id, "the volume is attached more than once", [volume])
        if volume.status == "error":
            self.fault("volume_error", role, node_id, "EC2 reports the volume's state as error", [volume])

    def check(self, role: str, node_id: int, parts: _Parts, expected: int | None) -> None:
        """Report everything that keeps one node id from being a whole identity."""
        everything: list[Eni | Volume] = [*parts.enis, *parts.volumes]
        if len(parts.enis) > 1:
            self.fault("duplicate_eni", role, node_id, "more than one network interface", parts.enis)
        if not parts.enis:
            self.fault("volume_without_eni", role, node_id, "volumes without a network interface", parts.volumes)
        if not parts.volumes and expected != 0:
            self.fault("eni_without_volume", role, node_id, "a network interface without a volume", parts.enis)
        indexes = sorted(volume.index for volume in parts.volumes if volume.index >= 0)
        twice = [volume for volume in parts.volumes if volume.index >= 0 and indexes.count(volume.index) > 1]
        if twice:
            self.fault("duplicate_volume", role, node_id, "more than one volume of the same index", twice)
        elif parts.volumes and (role, node_id) not in self.broken:
            wanted = list(range(len(indexes) if expected is None else expected))
            if indexes != wanted:
                message = f"volume indexes {indexes} where {wanted} are expected"
                self.fault("unexpected_volumes", role, node_id, message, parts.volumes)
        zones = sorted({part.availability_zone for part in everything})
        if len(zones) > 1:
            where = f"parts in several Availability Zones: {', '.join(zones)}"
            self.fault("zone_mismatch", role, node_id, where, everything)

    def identity(self, role: str, node_id: int, parts: _Parts) -> Identity:
        """Build a whole identity."""
        eni = parts.enis[0]
        volumes = tuple(sorted(parts.volumes, key=lambda volume: volume.index))
        name = parts.name or f"{self.cluster}-{role}-{node_id}"
        return Identity(node_id, self.cluster, role, eni.availability_zone, name, eni, volumes)


def build_pools(
    cluster: str,
    interfaces: Iterable[Mapping[str, Any]],
    volumes: Iterable[Mapping[str, Any]],
    scheme: TagScheme,
    expected_volumes: ExpectedVolumes | None = None,
) -> PoolReading:
    """Build all pools of a cluster from the two describe answers.

    C(expected_volumes) says how many volumes make an identity whole: one number per role, or one per node id of a role.
    Who is not named there needs at least one, with indexes counted from 0 without a gap.
    """
    builder = _Builder(cluster, scheme)
    for answer in interfaces:
        builder.add_eni(answer)
    for answer in volumes:
        builder.add_volume(answer)
    identities = []
    for (role, node_id), parts in sorted(builder.parts.items()):
        wanted = (expected_volumes or {}).get(role)
        builder.check(role, node_id, parts, wanted.get(node_id) if isinstance(wanted, Mapping) else wanted)
        if (role, node_id) not in builder.broken:
            identities.append(builder.identity(role, node_id, parts))
    return PoolReading(cluster, tuple(identities), tuple(builder.faults))


def with_holder(identity: Identity, instance_id: str, attachment_id: str, device_index: int) -> Identity:
    """Return the identity as it is after EC2 accepted the attachment of its ENI."""
    eni = replace(
        identity.eni,
        status="in-use",
        instance_id=instance_id,
        attachment_id=attachment_id,
        attachment_status="attaching",
        device_index=device_index,
        delete_on_termination=False,
    )
    return replace(identity, eni=eni)
