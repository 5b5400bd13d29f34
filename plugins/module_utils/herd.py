# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spread claimants over identities so that they do not all reach for the same one first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

KAFKA_MAX_ID = 2**31 - 1


def rank(instance_id: str, node_id: int) -> str:
    """Return a stable sort key of one identity for one claimant."""
    return hashlib.sha256(f"{instance_id},{node_id}".encode()).hexdigest()


def spread(instance_id: str, node_ids: Iterable[int]) -> list[int]:
    """Order the node ids in this claimant's own, stable order."""
    return sorted(node_ids, key=lambda node_id: rank(instance_id, node_id))


def derived_node_id(instance_id: str, reserved_max_id: int) -> int:
    """Derive a node id above C(reserved_max_id) from the instance id alone, always the same one."""
    room = KAFKA_MAX_ID - reserved_max_id
    if reserved_max_id < 0 or room < 1:
        raise ValueError(f"reserved id {reserved_max_id} leaves no room below {KAFKA_MAX_ID}")
    digest = int.from_bytes(hashlib.sha256(instance_id.encode()).digest()[:8], "big")
    return reserved_max_id + 1 + digest % room
