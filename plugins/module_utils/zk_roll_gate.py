# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether one ZooKeeper server may be stopped now, and whether the others serve without it. No I/O.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.zk_4lw import Server, quorum
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_roll_plan import SMALLEST_ENSEMBLE


def rest_faults(servers: Mapping[int, Server], node_id: int) -> list[str]:
    """Say what keeps the servers beside C(node_id) from being an ensemble that serves and is in sync."""
    others = [server for one, server in sorted(servers.items()) if one != node_id]
    if not others:
        return []
    faults = [str(fault) for fault in quorum(others, len(others))["faults"]] if len(others) > 1 else []
    if len(others) == 1 and others[0].mode not in ("leader", "follower"):
        faults.append(f"{others[0].host} does not serve")
    return faults


def gate_faults(servers: Mapping[int, Server], node_id: int, *, interruption_allowed: bool) -> list[str]:
    """Say why C(node_id) must not be stopped now; an empty list opens the gate.

    A server in the quorum may go when every server serves and all followers are in sync. One that serves nobody may go
    when the others are an ensemble in sync without it: it is the one to repair.
    """
    me = servers[node_id]
    if me.mode is None and len(servers) > 1:
        return rest_faults(servers, node_id)
    faults: list[str] = [str(fault) for fault in quorum(list(servers.values()), len(servers))["faults"]]
    if len(servers) < SMALLEST_ENSEMBLE and not interruption_allowed:
        faults.append(f"an ensemble of {len(servers)} has no majority without {me.host}")
    return faults


def states(servers: Mapping[int, Server]) -> dict[str, Any]:
    """What each server said, by id, for results and evidence."""
    return {
        str(node_id): server.mode or (server.error or {}).get("message", "in no quorum")
        for node_id, server in sorted(servers.items())
    }
