# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold of an upgrade, each story a function of the world that returns its figures or fails.

The stories run in this order on one cluster of three servers and three brokers. Both begin with 3.8 and end with 3.9.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from lab.demo import cluster, fleet, replacement
from lab.demo.stage import wait_until
from tests.rolls.stories import DOES_NOT_START, Figures
from tests.rolls.traffic import Traffic
from tests.rolls.world import Ended, World, restarted

ALL = {1, 2, 3}
UPGRADE = "kafka_rolling_upgrade"
OLD, NEW = "3.8.1", "3.9.1"
ZOOKEEPER_UPGRADE = "zookeeper_rolling_upgrade"
ZOOKEEPER_OLD, ZOOKEEPER_NEW = "3.8.4", "3.9.3"
#: What has to be assembled beside the lab's own releases.
RELEASES = {"kafka": OLD, "zookeeper": ZOOKEEPER_NEW}
PIN = "inter.broker.protocol.version"


def wanting(version: str, protocol: str | None = None) -> dict[str, Any]:
    """The variables of group_vars as somebody has edited them; without a protocol those of the inventory."""
    edited = {} if protocol is None else {"kafka_properties": {PIN: protocol} if protocol else {}}
    return {"kafka_version": version, **edited}


def gathered(world: World, version: str) -> None:
    """Let the artifacts be those of a release."""
    ended = world.play("artifacts_gather", wanting(version))
    assert ended.status == 0, ended.output[-3000:]


def versions(world: World) -> dict[int, str]:
    """The release of the jar that each broker's process holds open."""
    command = (
        "ls -l /proc/$(systemctl show -p MainPID --value kafka)/fd | grep -o 'kafka_2.13-[0-9.]*[0-9].jar' | head -1"
    )
    return {
        one.node_id: world.ssh(one.node_id, command).strip().removeprefix("kafka_2.13-").removesuffix(".jar")
        for one in world.brokers()
    }


def refused(world: World, wanted: dict[str, Any], reason: str, *arguments: str) -> Ended:
    """Start an upgrade that has to be refused, and touch nothing."""
    before = world.census()
    ended = world.play(UPGRADE, wanted, *arguments)
    assert ended.status != 0, ended.output[-3000:]
    assert f'"reason": "{reason}"' in ended.output or f"reason: {reason}" in ended.output, ended.output[-3000:]
    assert ended.batches == []
    assert world.census() == before
    return ended


def done(world: World, wanted: dict[str, Any], *arguments: str) -> Ended:
    """Start an upgrade that has to end well."""
    ended = world.play(UPGRADE, wanted, *arguments)
    assert ended.status == 0, ended.output[-5000:]
    return ended


def nothing_is_due(world: World, wanted: dict[str, Any]) -> float:
    """A second run changes nothing; return its seconds."""
    before = world.census()
    again = done(world, wanted)
    assert (again.changed, again.batches) == (0, []), again.output[-3000:]
    assert world.census() == before
    return round(again.seconds, 1)


def an_upgrade_that_could_go_wrong_is_refused(world: World) -> Figures:
    """Jumps, releases without an archive, and a protocol that a replaced node would speak alone."""
    assert set(versions(world).values()) == {OLD}
    refused(world, wanting("4.0.0"), "upgrade_unsupported")
    refused(world, wanting("3.7.2"), "upgrade_unsupported")
    refused(world, wanting(NEW), "artifact_missing")
    refused(world, {**wanting(NEW), "node_artifacts_kafka_version": OLD}, "pins_disagree")
    gathered(world, NEW)
    refused(world, wanting(NEW, ""), "protocol_not_pinned")
    refused(world, wanting(NEW, "3.9"), "protocol_not_pinned")
    before = world.census()
    checked = done(world, wanting(NEW), "--check")
    assert "binaries: due: brokers 1, 2, 3 to 3.9.1, speaking protocol 3.8" in checked.output
    assert "3 of 3 brokers in 3 batches" in checked.output
    assert "format: never" in checked.output
    assert world.census() == before
    return {"check_seconds": round(checked.seconds, 1)}


def the_binaries_go_up_and_back_while_the_protocol_stays(world: World) -> Figures:
    """The second of three does not start; the next run goes on with it, and the way back is open afterwards."""
    before = world.census()
    planned = world.play(UPGRADE, wanting(NEW), "--check").output
    second = int(planned.partition("batch 2: restart ")[2].split()[0])
    with Traffic(cluster.addresses("kafka"), "binaries", world.logs) as traffic:
        with world.drop_in(second, *DOES_NOT_START):
            failed = world.play(UPGRADE, wanting(NEW))
            assert failed.status != 0
            assert [len(batch) for batch in failed.batches] == [1, 1], failed.batches
        first = failed.batches[0][0]
        third = (ALL - {first, second}).pop()
        halfway = {f"kafka-{one}": fleet.running_process(world.broker(one)) for one in (first, third)}
        assert restarted(before, {**before, **halfway}) == {first}
        resumed = done(world, wanting(NEW))
        assert [second] in resumed.batches, resumed.batches
        assert {one for batch in resumed.batches for one in batch} == {second, third}
        after = world.census()
        assert after[f"kafka-{first}"] == halfway[f"kafka-{first}"], "what was done is left alone"
        assert set(versions(world).values()) == {NEW}
        again = nothing_is_due(world, wanting(NEW))
        refused(world, wanting(OLD), "upgrade_unsupported")
        gathered(world, OLD)
        back = done(world, {**wanting(OLD), "kafka_roll_downgrade_allowed": True})
        assert set(versions(world).values()) == {OLD}
        verdict = traffic.verdict()
    assert verdict.lost == 0, verdict
    return {
        "failed_seconds": round(failed.seconds, 1),
        "resumed_seconds": round(resumed.seconds, 1),
        "second_run_seconds": again,
        "way_back_seconds": round(back.seconds, 1),
        **dataclasses.asdict(verdict),
    }


def an_upgrade_goes_through_and_is_final(world: World) -> Figures:
    """One broker by a limit; a node that dies comes back pinned; the others, the protocol, no way back."""
    gathered(world, NEW)
    with Traffic(cluster.addresses("kafka"), "upgrade", world.logs) as traffic:
        canary = done(world, wanting(NEW), "--limit", "demo-kafka-2")
        assert versions(world) == {1: OLD, 2: NEW, 3: OLD}
        refused(world, wanting(NEW, "3.9"), "protocol_not_pinned", "--limit", "demo-kafka-2")
        deaths = replacement.terminate(world.broker(2))
        replaced = wait_until("the node's return", lambda: replacement.all_missing(cluster.CLUSTER, deaths), 300)
        cluster.await_whole()
        assert versions(world) == {1: OLD, 2: OLD, 3: OLD}, "the image has the old release still"
        assert PIN + "=3.8" in world.ssh(2, "cat /etc/kafka/server.properties")
        binaries = done(world, wanting(NEW))
        assert set(versions(world).values()) == {NEW}
        refused(world, {**wanting(NEW, "3.9"), "kafka_roll_image_check": True}, "image_outdated")
        before = world.census()
        lifted = done(world, wanting(NEW, "3.9"))
        assert restarted(before, world.census()) == ALL
        assert "protocol: due: brokers 1, 2, 3 to protocol 3.9" in lifted.output
        verdict = traffic.verdict()
    again = nothing_is_due(world, wanting(NEW, "3.9"))
    for wanted in (wanting(OLD, "3.8"), wanting(OLD, ""), wanting(NEW, "3.8")):
        refused(world, {**wanted, "kafka_roll_downgrade_allowed": True}, "protocol_finalized")
    assert verdict.lost == 0, verdict
    assert set(fleet.registrations(cluster.addresses("zookeeper"), ALL)) == ALL
    return {
        "canary_seconds": round(canary.seconds, 1),
        "replaced_seconds": round(replaced, 1),
        "binaries_seconds": round(binaries.seconds, 1),
        "protocol_seconds": round(lifted.seconds, 1),
        "second_run_seconds": again,
        **dataclasses.asdict(verdict),
    }


def zookeeper_wanting(version: str) -> dict[str, Any]:
    """The variables of group_vars as somebody has edited them for ZooKeeper; Kafka's are those of its own upgrade."""
    return {**wanting(NEW, "3.9"), "zookeeper_version": version, "node_artifacts_zookeeper_version": version}


def zookeeper_versions(world: World) -> set[str]:
    """The release of the jar that each server's process holds open."""
    command = (
        "ls -l /proc/$(systemctl show -p MainPID --value zookeeper)/fd | grep -o 'zookeeper-[0-9.]*[0-9].jar' | head -1"
    )
    told = {fleet.ssh(one.private_ip, command).strip() for one in world.ensemble()}
    return {name.removeprefix("zookeeper-").removesuffix(".jar") for name in told}


def the_ensemble_goes_up_a_series_and_back_and_up(world: World) -> Figures:
    """One server at a time while a producer writes, no broker restarts; the way back needs a word."""
    assert zookeeper_versions(world) == {ZOOKEEPER_OLD}
    brokers = cluster.addresses("kafka")
    up, down = zookeeper_wanting(ZOOKEEPER_NEW), zookeeper_wanting(ZOOKEEPER_OLD)
    before = world.census()
    servers = sorted(one.name for one in world.ensemble())
    figures: Figures = {}
    with Traffic(brokers, "ensemble", world.logs) as traffic:
        for name, wanted, version in (
            ("up", up, ZOOKEEPER_NEW),
            ("back", down, ZOOKEEPER_OLD),
            ("again", up, ZOOKEEPER_NEW),
        ):
            gather = world.play("artifacts_gather", wanted)
            assert gather.status == 0, gather.output[-3000:]
            if name == "back":
                unasked = world.play(ZOOKEEPER_UPGRADE, wanted)
                assert unasked.status != 0
                assert "upgrade_unsupported" in unasked.output, unasked.output[-3000:]
                wanted = {**wanted, "zookeeper_roll_downgrade_allowed": True}
            rolled = world.play(ZOOKEEPER_UPGRADE, wanted)
            assert rolled.status == 0, rolled.output[-5000:]
            assert zookeeper_versions(world) == {version}
            figures[f"{name}_seconds"] = round(rolled.seconds, 1)
        verdict = traffic.verdict()
    after = world.census()
    assert fleet.restarted(before, after, set()) == servers
    nothing = world.play(ZOOKEEPER_UPGRADE, up)
    assert (nothing.status, nothing.changed) == (0, 0), nothing.output[-3000:]
    assert world.census() == after
    assert (verdict.lost, verdict.failed_sends) == (0, 0), verdict
    return {**figures, **dataclasses.asdict(verdict)}


STORIES: tuple[Callable[[World], Figures], ...] = (
    an_upgrade_that_could_go_wrong_is_refused,
    the_binaries_go_up_and_back_while_the_protocol_stays,
    an_upgrade_goes_through_and_is_final,
    the_ensemble_goes_up_a_series_and_back_and_up,
)
