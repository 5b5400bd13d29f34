# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ZooKeeper without a quorum, sessions that expire in the middle of a claim, and claims of somebody unknown."""

from __future__ import annotations

import json
import time

from lab.demo import fleet
from tests.faults import machine_view
from tests.faults.model import Expected, Fault
from tests.faults.world import World

# The claimants' session timeout is 10 s; the server rounds up to its tick.
FROZEN_SECONDS = 18.0
UNKNOWN = "i-0123456789abcdef0"
# node_identity_grace_period_seconds: so long after a claim "not found" is no death.
GRACE_SECONDS = 60.0
OUTAGE_SECONDS = 15.0


def _no_quorum(world: World) -> None:
    """Two of three servers are away when a broker dies; its replacement waits for them and then goes on."""
    away = world.ensemble()[:2]
    for server in away:
        fleet.ssh(server.private_ip, "systemctl stop zookeeper")
    try:
        world.terminate()
        successor = world.next_instance()
        world.await_that("the claim to wait", lambda: "Claim an identity" in world.console(successor))
        time.sleep(OUTAGE_SECONDS)
        if world.holder().instance_id is not None:
            world.seen.problems.append("an identity was attached without a claim")
    finally:
        for server in away:
            fleet.ssh(server.private_ip, "systemctl start zookeeper")
    world.mended()
    world.await_return()
    if str(world.holder().instance_id) != successor:
        world.seen.problems.append(f"{successor} gave up although the outage was shorter than its bound")


def _expired(world: World) -> None:
    """The claimant stands still in the middle of its claim, until ZooKeeper has expired its session."""
    with world.delays(shutting_down_seconds=45):
        world.terminate()
        successor = world.next_instance()
        # It finds its predecessor shutting down, and waits with an open session: the middle of a claim.
        world.await_that("the session of the claim", lambda: _has_session(world, successor))
        machine_view.freeze(world.stage.config, successor, True)
        try:
            world.say(f"    {successor} stands still for {FROZEN_SECONDS:.0f} s")
            time.sleep(FROZEN_SECONDS)
        finally:
            machine_view.freeze(world.stage.config, successor, False)
        expired = _expirations(world)
        world.seen.notes.append(f"ZooKeeper expired {expired} sessions meanwhile")
        if not expired:
            world.seen.problems.append("no session expired, so nothing was tested")
    world.await_return()
    if str(world.holder().instance_id) != successor:
        world.seen.problems.append(f"{successor} gave up after its session had expired")


def _has_session(world: World, instance_id: str) -> bool:
    """Whether a process of the instance has an established connection to ZooKeeper's port (2181, hexadecimal 0885)."""
    pid = machine_view.leader(world.stage.config, instance_id)
    if pid is None:
        return False
    lines = machine_view.tcp_table(pid)
    return any(line[2].endswith(":0885") and line[3] == "01" for line in lines)


def _expirations(world: World) -> int:
    """How many sessions the ensemble has expired since the fault began, by its own logs."""
    found = 0
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(world.began))
    for server in world.ensemble():
        command = (
            f"journalctl -u zookeeper --no-pager -o cat --utc --since '{since}' | grep -c 'Expiring session' || true"
        )
        found += int(fleet.ssh(server.private_ip, command).strip() or 0)
    return found


def _unknown_claim(world: World) -> None:
    """The claim names an instance that EC2 never heard of: it counts as living until the grace period is over."""
    with world.suspended("Launch"):
        world.terminate_and_await_death()
        claim = world.claim()
        version = claim.pop("znode_version")
        claim["instance_id"] = UNKNOWN
        with fleet.zookeeper([one.private_ip for one in world.ensemble()]) as asked:
            asked.set(world.claim_path(), json.dumps(claim).encode(), version=version)
    written = time.time()
    successor = world.next_instance()
    world.await_that(
        "the claim to be taken over", lambda: world.claim()["instance_id"] == successor, GRACE_SECONDS + 180
    )
    waited = time.time() - written
    world.seen.notes.append(f"taken over {waited:.0f} s after it was written")
    if waited < GRACE_SECONDS:
        world.seen.problems.append(f"taken over after {waited:.0f} s, within the grace period of {GRACE_SECONDS:.0f} s")
    world.await_return()


FAULTS = (
    Fault(
        "zookeeper-without-quorum",
        "two of three ZooKeeper servers are stopped when the broker dies, and come back later",
        _no_quorum,
        Expected("recovers", disturbs=("zookeeper",)),
    ),
    Fault(
        "session-expired",
        f"the claimant stands still for {FROZEN_SECONDS:.0f} s in the middle of its claim and its session expires",
        _expired,
        Expected("recovers"),
    ),
    Fault(
        "claim-of-unknown",
        "the dead broker's claim names an instance that EC2 does not know",
        _unknown_claim,
        Expected("recovers"),
    ),
)
