# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The claim znode's path and value. Pure.

A claim that is given back stays as a record without a holder: its version only ever grows, so a compare-and-set at a
version that was read can never hit another claim that was created in between.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Identity
from ansible_collections.holdfast.kafka.plugins.module_utils.utc_time import utc_time

FORMAT = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True)
class Claim:
    """A claim as read: C(version) is the znode's, C(modified_at) seconds since the epoch by ZooKeeper's clock."""

    node_id: int
    version: int
    instance_id: str | None
    modified_at: float
    readable: bool = True
    eni_id: str | None = None

    @property
    def given_back(self) -> bool:
        """Whether its holder gave it back."""
        return self.readable and self.instance_id is None


def claims_path(cluster: str, role: str) -> str:
    """Return the parent of a role's claims; raise ValueError for names that cannot be a path element."""
    for name in (cluster, role):
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be part of a ZooKeeper path: use letters, digits, '_', '.' and '-'.")
    return f"/holdfast/{cluster}/{role}/claims"


def encode(identity: Identity, instance_id: str | None, wall: float) -> bytes:
    """Return the znode's value that names C(instance_id) as the holder since C(wall) (C(None): given back)."""
    value = {
        "version": FORMAT,
        "cluster": identity.cluster,
        "role": identity.role,
        "node_id": identity.node_id,
        "instance_id": instance_id,
        "availability_zone": identity.availability_zone,
        "eni_id": identity.eni.id,
        "volume_ids": [volume.id for volume in identity.volumes],
        "claimed_at": utc_time(wall),
    }
    return json.dumps(value, separators=(",", ":")).encode()


def decode(node_id: int, value: bytes, version: int, modified_at: float) -> Claim:
    """Read a znode; what cannot be read for sure is a claim of somebody unknown, never a free identity."""
    unreadable = Claim(node_id, version, None, modified_at, readable=False)
    try:
        content: Any = json.loads(value)
    except ValueError:
        return unreadable
    if not isinstance(content, dict) or content.get("version") != FORMAT or content.get("node_id") != node_id:
        return unreadable
    holder = content.get("instance_id", "")
    if holder is not None and (not isinstance(holder, str) or not holder):
        return unreadable
    eni_id = content.get("eni_id")
    return Claim(node_id, version, holder, modified_at, True, eni_id if isinstance(eni_id, str) else None)
