# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a ZooKeeper server that was waited for is in no quorum, and whose fault that is. No I/O.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.holdfast.kafka.plugins.module_utils.service_watch import Fault
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_4lw import Server


def serves(server: Server, expected: int) -> bool:
    """Whether the server is in the quorum. One that runs alone in an ensemble is in none."""
    return server.mode in ("leader", "follower", "observer") or (server.mode == "standalone" and expected == 1)


def states(servers: Sequence[Server]) -> str:
    """What each server said last, in one line."""
    return "; ".join(f"{one.host}: {one.mode or (one.error or {}).get('message', 'in no quorum')}" for one in servers)


def judge(me: Server, peers: Sequence[Server], waited_seconds: float) -> Fault:
    """Say why the wait ended without a quorum.

    A server that answers while too few peers do is healthy: replacing it would cost the ensemble one more server.
    """
    expected = len(peers) + 1
    majority = expected // 2 + 1
    answering = sum(peer.reachable for peer in peers)
    said = f"after {waited_seconds:.0f} s: {states([me, *peers])}"
    if not me.reachable:
        return Fault("not_answering", f"ZooKeeper {me.host} does not answer {said}", own=True)
    if answering + 1 < majority:
        missing = f"{answering} of its {len(peers)} peers answer, {majority - 1} must"
        return Fault("no_quorum", f"ZooKeeper {me.host} runs, but {missing}, {said}", own=False)
    if not any(serves(peer, expected) for peer in peers):
        return Fault("no_quorum", f"ZooKeeper {me.host} and a majority run and elect no leader {said}", own=False)
    return Fault("not_joined", f"ZooKeeper {me.host} runs beside a quorum and does not join it {said}", own=True)
