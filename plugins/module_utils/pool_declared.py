# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pools as the inventory declares them, against the pools as EC2's tags tell them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.herd import KAFKA_MAX_ID
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Identity, PoolReading

VARIABLE = "holdfast_pools"


@dataclass(frozen=True)
class Declared:
    """One identity as the inventory declares it; C(volumes) is their number, C(None) if it does not say."""

    node_id: int
    availability_zone: str
    private_ip: str
    volumes: int | None


class _NoPoolError(ValueError):
    """A declaration with a sentence of its own."""


DeclaredPools = Mapping[str, Mapping[int, Declared]]


def _node_id(role: str, value: Any) -> int:
    """Return a node id that is a whole number, or the text of one as an unquoted template gives it."""
    if isinstance(value, str) and re.fullmatch("[0-9]{1,10}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= KAFKA_MAX_ID:
        message = f"{VARIABLE}.{role} has the node_id {value!r}; it must be a whole number of 0 to {KAFKA_MAX_ID}."
        raise _NoPoolError(message)
    return value


def _volume_count(role: str, node_id: int, volumes: Any) -> int | None:
    if volumes is None:
        return None
    if not isinstance(volumes, list) or not volumes:
        message = (
            f"{VARIABLE}.{role} gives node_id {node_id} the volumes {volumes!r}; it must be a list of at least one."
        )
        raise _NoPoolError(message)
    return len(volumes)


def _declared(role: str, item: Any) -> Declared:
    try:
        node_id = _node_id(role, item["node_id"])
        count = _volume_count(role, node_id, item.get("volumes"))
        return Declared(node_id, str(item["availability_zone"]), str(item["private_ip"]), count)
    except _NoPoolError:
        raise
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
