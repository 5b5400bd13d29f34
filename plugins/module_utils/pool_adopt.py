# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan by which a pool that is only named gets its tags: what would be tagged how, and every refusal. Pure.

Each resource is labelled by its name, and the pools are then built as if the tags were there already: what claimants
would call a fault tomorrow is a refusal today.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.herd import KAFKA_MAX_ID
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import (
    INITIALIZED_TAG,
    ExpectedVolumes,
    PoolReading,
    build_pools,
    live_attachments,
    parse_eni,
    parse_volume,
    tags_of,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_declared import (
    VARIABLE,
    DeclaredPools,
    difference,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme, every_label

Node = tuple[str, int]

ZOOKEEPER = "zookeeper"
#: What ZooKeeper's myid may be; every other role's ids are Kafka's.
ZOOKEEPER_IDS = range(1, 256)
#: Device names under which an instance boots from a volume.
ROOT_DEVICES = frozenset({"/dev/sda", "/dev/sda1", "/dev/xvda", "/dev/xvda1"})


@dataclass(frozen=True)
class Resource:
    """One interface or volume of the plan; C(missing) are the tags that it lacks."""

    resource_id: str
    kind: str
    name: str
    role: str
    node_id: int
    tags: dict[str, str]
    missing: dict[str, str]
    availability_zone: str
    holder: str | None


@dataclass(frozen=True)
class Refusal:
    """Why something is not adopted; C(node_id) is None when no identity can be named."""

    kind: str
    role: str
    node_id: int | None
    resource_ids: tuple[str, ...]
    message: str

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON shape that the module hands to plays."""
        return {**asdict(self), "resource_ids": list(self.resource_ids)}


@dataclass
class Plan:
    """All resources that were found, and all refusals."""

    resources: list[Resource] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def refused(self) -> set[Node]:
        """Return the identities that a refusal names."""
        return {(one.role, one.node_id) for one in self.refusals if one.node_id is not None}

    def adopted(self) -> list[Resource]:
        """Return the resources of the identities that nothing speaks against."""
        refused = self.refused
        return [one for one in self.resources if (one.role, one.node_id) not in refused]


class _Planner:
    def __init__(self, cluster: str, names: TagScheme, tags: TagScheme) -> None:
        self.cluster, self.names, self.tags = cluster, names, tags
        self.plan = Plan()
        self.would_be: dict[str, list[dict[str, Any]]] = {"eni": [], "volume": []}

    def _refuse(self, kind: str, role: str, node_id: int | None, ids: Iterable[str], message: str) -> None:
        self.plan.refusals.append(Refusal(kind, role, node_id, tuple(ids), message))

    def take(self, kind: str, answer: Mapping[str, Any]) -> None:
        """Label one resource by its name and check what it says already."""
        resource_id = answer["NetworkInterfaceId" if kind == "eni" else "VolumeId"]
        if kind == "volume" and answer.get("State") in ("deleting", "deleted"):
            return
        there = tags_of(answer)
        labels = every_label(self.names, there.get("Name", ""))
        mine = there.get(self.tags.cluster) == self.cluster and self.tags.role in there
        name = there.get("Name", "")
        if not labels and mine:
            # Adopted before, or made by the pool stack: it counts, and is left as it is.
            self.would_be[kind].append(dict(answer))
            return
        if not labels:
            told = f"{resource_id} is named {name!r}, which says neither role nor node id"
            self._refuse("name_unparsable", "?", None, [resource_id], told)
            return
        if len(labels) > 1:
            told = " and ".join(f"{one.role} {one.node_id}" for one in labels)
            self._refuse("name_ambiguous", "?", None, [resource_id], f"{resource_id} named {name!r} is {told}")
            return
        label = labels[0]
        assert label.role is not None
        assert label.node_id is not None
        node_id = int(label.node_id)
        if node_id > KAFKA_MAX_ID or (label.role == ZOOKEEPER and node_id not in ZOOKEEPER_IDS):
            told = f"{resource_id} is named {name!r}, whose number is no node id of {label.role}"
            self._refuse("name_unparsable", label.role, None, [resource_id], told)
            return
        wanted = {self.tags.cluster: self.cluster, self.tags.role: label.role, self.tags.node_id: label.node_id}
        if kind == "volume":
            index = label.volume if label.volume is not None else there.get(self.tags.volume, "0")
            wanted[self.tags.volume] = index
            if label.role == ZOOKEEPER:
                # A pool that is adopted has served: without this an empty server of it might vote (ADR 0014).
                wanted[INITIALIZED_TAG] = "true"
            self._check_attachments(resource_id, label.role, node_id, answer)
        self._compare(resource_id, label.role, node_id, there, wanted)
        part = parse_eni(answer) if kind == "eni" else parse_volume(answer)
        if kind == "eni" and part.instance_id and getattr(part, "device_index", None) == 0:
            told = f"{resource_id} is the primary interface of {part.instance_id}, which can never move to another"
            self._refuse("primary_interface", label.role, node_id, [resource_id], told)
        missing = {key: value for key, value in wanted.items() if key not in there}
        self.plan.resources.append(
            Resource(
                resource_id=resource_id,
                kind=kind,
                name=name,
                role=label.role,
                node_id=node_id,
                tags=wanted,
                missing=missing,
                availability_zone=part.availability_zone,
                holder=part.instance_id,
            )
        )
        tagged = [{"Key": key, "Value": value} for key, value in {**there, **wanted}.items()]
        self.would_be[kind].append({**answer, "TagSet" if kind == "eni" else "Tags": tagged})

    def _check_attachments(self, resource_id: str, role: str, node_id: int, answer: Mapping[str, Any]) -> None:
        """Refuse a volume that dies with its instance: one it boots from, or one to be deleted with it."""
        for one in live_attachments(answer):
            where = f"{resource_id} is attached to {one.get('InstanceId')} as {one.get('Device')}"
            if one.get("Device") in ROOT_DEVICES:
                told = f"{where}, from which the instance boots: that is no data volume"
                self._refuse("root_volume", role, node_id, [resource_id], told)
            elif one.get("DeleteOnTermination"):
                told = f"{where} with DeleteOnTermination=true, so EC2 would delete it together with the instance"
                self._refuse("deleted_on_termination", role, node_id, [resource_id], told)

    def _compare(
        self, resource_id: str, role: str, node_id: int, there: Mapping[str, str], wanted: Mapping[str, str]
    ) -> None:
        other = there.get(self.tags.cluster)
        if other is not None and other != self.cluster:
            told = f"{resource_id} is tagged as a part of cluster {other!r}, not {self.cluster!r}"
            self._refuse("foreign_cluster", role, node_id, [resource_id], told)
            return
        wrong = {key: there[key] for key, value in wanted.items() if key in there and there[key] != value}
        if wrong:
            told = ", ".join(f"{key} is {value!r} where its name says {wanted[key]!r}" for key, value in wrong.items())
            self._refuse("tags_contradict", role, node_id, [resource_id], f"{resource_id}: {told}")

    def check(self, expected: ExpectedVolumes, declared: DeclaredPools) -> PoolReading:
        """Build the pools as they would be, and refuse what would not be whole or is declared otherwise."""
        reading = build_pools(self.cluster, self.would_be["eni"], self.would_be["volume"], self.tags, expected)
        for fault in reading.faults:
            self._refuse(fault.kind, fault.role, fault.node_id, fault.resource_ids, fault.message)
        for identity in reading.identities:
            holders = identity.attached_instances()
            ids = (identity.eni.id, *(volume.id for volume in identity.volumes))
            if len(holders) > 1:
                whom = ", ".join(sorted(holders))
                told = f"{identity.name}: its parts are attached to several instances: {whom} ({', '.join(ids)})"
                self._refuse("parts_split", identity.role, identity.node_id, ids, told)
            one = declared.get(identity.role, {}).get(identity.node_id)
            told_otherwise = difference(identity, one) if declared else None
            if told_otherwise:
                told = f"{told_otherwise} ({', '.join(ids)})"
                self._refuse("declared_otherwise", identity.role, identity.node_id, ids, told)
        seen = {(identity.role, identity.node_id) for identity in reading.identities}
        seen |= {(fault.role, fault.node_id) for fault in reading.faults if fault.node_id is not None}
        for role, ones in sorted(declared.items()):
            for node_id in sorted(ones):
                if (role, node_id) not in seen:
                    told = f"{VARIABLE} names {role} {node_id}, of which nothing was found by name or by tag"
                    self._refuse("identity_missing", role, node_id, [], told)
        return reading


def plan_adoption(
    cluster: str,
    interfaces: Iterable[Mapping[str, Any]],
    volumes: Iterable[Mapping[str, Any]],
    names: TagScheme,
    declared: DeclaredPools,
    expected: ExpectedVolumes,
    ignored: Iterable[str] = (),
) -> Plan:
    """Plan the adoption of everything that was found by name or by this cluster's tags.

    C(names) is the scheme with C(name_patterns); its tag keys are those that will be written.
    """
    tags = TagScheme(names.cluster, names.role, names.node_id, names.volume)
    planner = _Planner(cluster, names, tags)
    left_out = set(ignored)
    for interface in sorted(interfaces, key=lambda item: str(item["NetworkInterfaceId"])):
        if interface["NetworkInterfaceId"] not in left_out:
            planner.take("eni", interface)
    for volume in sorted(volumes, key=lambda item: str(item["VolumeId"])):
        if volume["VolumeId"] not in left_out:
            planner.take("volume", volume)
    planner.check(expected, declared)
    planner.plan.resources.sort(key=lambda one: (one.role, one.node_id, one.kind, one.resource_id))
    return planner.plan


def batches(resources: Iterable[Resource]) -> list[tuple[dict[str, str], list[str]]]:
    """Return the CreateTags calls: resources that lack the same tags share one."""
    found: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for one in resources:
        if one.missing:
            found.setdefault(tuple(sorted(one.missing.items())), []).append(one.resource_id)
    return [(dict(key), ids) for key, ids in found.items()]
