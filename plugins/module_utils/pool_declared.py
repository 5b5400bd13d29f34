# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pools as the inventory declares them, against the pools as EC2's tags tell them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Identity, PoolReading

VARIABLE = "holdfast_pools"


@dataclass(frozen=True)
class Declared:
    """One identity as the inventory declares it; C(volumes) is their number, C(None) if it does not say."""

    node_id: int
    availability_zone: str
    private_ip: str
    volumes: int | None


DeclaredPools = Mapping[str, Mapping[int, Declared]]


def _declared(role: str, item: Any) -> Declared:
    try:
        volumes = item.get("volumes")
        count = None if volumes is None else len(volumes)
        return Declared(int(item["node_id"]), str(item["availability_zone"]), str(item["private_ip"]), count)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        text = f"{VARIABLE}.{role} holds {item!r}, which lacks a proper node_id, availability_zone or private_ip"
        raise ValueError(f"{text}.") from error


def parse_declared(pools: Mapping[str, Any] | None) -> DeclaredPools:
    """Read C(holdfast_pools); raise ValueError on what is no pool, and on a node id that is there twice."""
    found: dict[str, dict[int, Declared]] = {}
    for role, items in (pools or {}).items():
        if not isinstance(items, list):
            message = f"{VARIABLE}.{role} is {items!r}; it must be a list of identities."
            raise ValueError(message)  # noqa: TRY004 (the caller knows one error for what is no pool)
        found[role] = {}
        for item in items:
            one = _declared(role, item)
            if one.node_id in found[role]:
                raise ValueError(f"{VARIABLE}.{role} names node id {one.node_id} twice.")
            found[role][one.node_id] = one
    return found


def volume_counts(declared: DeclaredPools) -> dict[str, dict[int, int]]:
    """Return how many volumes make each identity whole, by role and node id, as far as that is declared."""
    return {
        role: {node_id: one.volumes for node_id, one in ones.items() if one.volumes is not None}
        for role, ones in declared.items()
    }


def difference(identity: Identity, one: Declared | None) -> str | None:
    """Return how the inventory declares an identity otherwise than the tags tell it, or None."""
    what = f"{identity.role} {identity.node_id}"
    actual = f"{identity.eni.private_ip} in {identity.availability_zone} ({identity.eni.id})"
    if one is None:
        return f"{what} is {actual} by the pool's tags and not in {VARIABLE} at all"
    if (one.private_ip, one.availability_zone) != (identity.eni.private_ip, identity.availability_zone):
        told = f"{one.private_ip} in {one.availability_zone}"
        return f"{what} is {actual} by the pool's tags and {told} by {VARIABLE}"
    return None


def mismatch(reading: PoolReading, declared: DeclaredPools, role: str) -> str | None:
    """Return the sentence on all whole identities that the inventory declares otherwise or not at all, or None.

    Looks at the declared roles and at C(role). An identity that is not whole is reported as a fault, not here.
    """
    found = [
        difference(identity, declared.get(one_role, {}).get(identity.node_id))
        for one_role in sorted({*declared, role})
        for identity in reading.of_role(one_role)
    ]
    told = "; ".join(text for text in found if text)
    if not told:
        return None
    return f"The inventory is not the one of cluster {reading.cluster}, so nothing was claimed: {told}."


def lacking(reading: PoolReading, declared: DeclaredPools) -> list[str]:
    """Return the declared identities that the pool does not hold whole: to be told, but they stop nobody else."""
    return [
        f"{role} {node_id}"
        for role, ones in sorted(declared.items())
        for node_id in sorted(set(ones) - {identity.node_id for identity in reading.of_role(role)})
    ]
