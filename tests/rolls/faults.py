# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults in the middle of a roll, as stories like the others: what must hold, and the word that the roll ends with."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import time
from typing import Any

from kafka.admin import KafkaAdminClient, NewTopic

from lab.demo import cluster, fleet, workload
from lab.demo.fleet import Process
from lab.demo.stage import wait_until
from tests.rolls.throttle import throttled
from tests.rolls.traffic import Traffic
from tests.rolls.world import ALL, RACK, RESTART, Ended, Figures, World, reason, restarted

# So long a unit's start takes, for what has to happen while its broker is down.
SLOW_START_SECONDS = 20
SLOW_START = (f"ExecStartPre=/bin/sleep {SLOW_START_SECONDS}",)
# The shortest that a lock may live without a renewal; a quiet roll renews it more often.
EXPIRE_SECONDS = 60
BACKLOG_MEGABYTES = 60
THROTTLED_BYTES_PER_SECOND = 1_000_000
STALL_SECONDS = 30


def _brokers_of(census: dict[str, Process]) -> dict[str, Process]:
    return {name: process for name, process in census.items() if name.startswith("kafka-")}


def _down(world: World) -> set[int]:
    return ALL - set(fleet.registrations(cluster.addresses("zookeeper"), ALL))


def _told(ended: Ended, expected: str) -> str:
    """The word that a roll ended with, which must be the expected one."""
    assert ended.status != 0, ended.output[-3000:]
    found = reason(ended.output)
    assert found == expected, f"{found}: {ended.output[-3000:]}"
    return found


def a_slow_catch_up_is_waited_for(world: World) -> Figures:
    """A follower copies for longer than the bound without progress: it is waited for, and the end is foretold."""
    victim = min(ALL - {world.controller_id()})
    others = sorted(ALL - {victim})[:2]
    brokers = cluster.addresses("kafka")
    topic = f"slow-{time.time_ns() // 10**6}"
    patience = {"kafka_health_stall_timeout_seconds": STALL_SECONDS, "kafka_roll_settle_stall_seconds": STALL_SECONDS}
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=fleet.bootstrap(brokers))) as admin:
        replicas = {number: [victim, *others] for number in range(3)}
        admin.create_topics([NewTopic(topic, replica_assignments=replicas, topic_configs={"min.insync.replicas": "2"})])
        cluster.await_whole()
        before = world.census()
        slowly = throttled(admin, topic, [victim], THROTTLED_BYTES_PER_SECOND)
        with Traffic(brokers, "catch-up", world.logs) as traffic, slowly:
            with world.drop_in(victim, *SLOW_START):
                running = world.begin(RESTART, patience, "--limit", f"demo-kafka-{victim}")
                running.await_event("stop_start")
                world.await_unregistered({victim})
                workload.fill(brokers, topic, BACKLOG_MEGABYTES)
                ended = running.wait()
            verdict = traffic.verdict()
        admin.delete_topics([topic])
    assert ended.status == 0, ended.output[-5000:]
    assert restarted(before, world.census()) == {victim}
    at = {event["kind"]: event["seconds"] for event in ended.events}
    caught_up = at["in_sync"] - at["started"]
    assert caught_up > STALL_SECONDS, f"it took {caught_up:.0f} s, so no bound was tested"
    estimates = re.findall(r"about (\d+) (s|min) left", ended.output)
    assert estimates, ended.output[-3000:]
    assert verdict.lost == 0, verdict
    return {"catch_up_seconds": round(caught_up, 1), "estimates_told": len(estimates), **dataclasses.asdict(verdict)}


def a_killed_controller_leaves_a_cluster_that_the_next_run_judges(world: World) -> Figures:
    """Killed while a batch is down: locked until somebody gives the lock back, then the missing come first."""
    before = world.census()
    with Traffic(cluster.addresses("kafka"), "killed", world.logs) as traffic:
        running = world.begin(RESTART, RACK)
        second = running.await_event("stop_start", batch=2, timeout_seconds=600)
        world.await_unregistered(second)
        running.kill()
        first = set(running.batches[0])
        refused = world.play(RESTART, RACK)
        _told(refused, "locked")
        down = _down(world)
        assert down, "the killed run had started its batch again, so nothing was tested"
        since = re.findall(r"since (\d{4}-\d\d-\d\dT[\d:]+Z)", refused.output)
        assert since, refused.output[-3000:]
        kept = _processes(world, first)
        force = {"lock_release_force": True, "lock_release_by": "me", "lock_release_reason": "its controller is dead"}
        released = world.play("lock_release", force)
        assert released.status == 0, released.output[-3000:]
        resumed = world.play(RESTART, {**RACK, "kafka_roll_resume_since": since[0]})
        assert resumed.status == 0, resumed.output[-5000:]
        verdict = traffic.verdict()
    after = world.census()
    assert set(resumed.batches[0]) == down, resumed.batches
    assert {name: after[name] for name in kept} == kept, "what was done is left alone"
    assert restarted(before, after) == ALL
    assert verdict.lost == 0, verdict
    return {
        "down_after_the_kill": sorted(down),
        "resumed_seconds": round(resumed.seconds, 1),
        "reason": "locked",
        **dataclasses.asdict(verdict),
    }


def _processes(world: World, node_ids: set[int]) -> dict[str, Process]:
    return {f"kafka-{node_id}": fleet.running_process(world.broker(node_id)) for node_id in node_ids}


def a_run_that_slept_past_its_expiry_stops_nobody(world: World) -> Figures:
    """Its controller is suspended, another run takes the lock over; awake, it ends and touches nothing."""
    before = world.census()
    with Traffic(cluster.addresses("kafka"), "expired", world.logs) as traffic:
        asleep = world.begin(RESTART, {**RACK, "roll_run_lock_expire_seconds": EXPIRE_SECONDS})
        first = asleep.await_event("in_sync")
        asleep.pause()
        try:
            early = world.play(RESTART, RACK)
            _told(early, "locked")
            time.sleep(EXPIRE_SECONDS)
            other = world.begin(RESTART, RACK)
            other.await_event("stop_start")
        finally:
            asleep.go_on()
        woken = asleep.wait()
        ended = other.wait()
        verdict = traffic.verdict()
    _told(woken, "lock_lost")
    assert woken.batches == [sorted(first)], woken.batches
    assert ended.status == 0, ended.output[-5000:]
    assert ended.events[0]["detail"]["took_over_from"], ended.events[0]
    assert restarted(before, world.census()) == ALL
    assert verdict.lost == 0, verdict
    return {"roll_seconds": round(ended.seconds, 1), "reason": "lock_lost", **dataclasses.asdict(verdict)}


def a_full_disk_on_a_restart_stops_the_roll(world: World) -> Figures:
    """A volume is full when its broker starts again: no further batch; with space freed the next run goes on."""
    before = world.census()
    bounds = {"kafka_health_restart_limit": 2, "kafka_health_stall_timeout_seconds": 120}
    planned = world.play(RESTART, RACK, "--check").output
    victim = int(planned.partition("batch 1: restart ")[2].split()[0])
    with Traffic(cluster.addresses("kafka"), "full", world.logs) as traffic:
        with world.drop_in(victim, *SLOW_START):
            running = world.begin(RESTART, {**RACK, **bounds})
            batch = running.await_event("stop_start")
            world.await_unregistered({victim})
            with world.full_disk(victim):
                failed = running.wait()
                told = _told(failed, "crash_loop")
        assert "No space is left on /var/lib/kafka/0" in failed.output, failed.output[-3000:]
        assert failed.batches == [sorted(batch)], failed.batches
        rest = ALL - batch
        untouched = _processes(world, rest)
        assert all(before[name] == process for name, process in untouched.items())
        evidence = json.loads((_record(failed) / f"evidence/demo-kafka-{victim}.json").read_text(encoding="utf-8"))
        assert evidence["filesystems"]["/var/lib/kafka/0"]["free_bytes"] == 0, evidence["filesystems"]
        assert any("No space left on device" in line for line in evidence["journal"]), evidence["journal"][-20:]
        began = failed.events[0]["at"]
        resumed = world.play(RESTART, {**RACK, "kafka_roll_resume_since": began})
        assert resumed.status == 0, resumed.output[-5000:]
        verdict = traffic.verdict()
    assert restarted(before, world.census()) == ALL
    assert verdict.lost == 0, verdict
    return {
        "victim": victim,
        "failed_seconds": round(failed.seconds, 1),
        "resumed_seconds": round(resumed.seconds, 1),
        "reason": told,
        **dataclasses.asdict(verdict),
    }


def _record(ended: Ended) -> Any:
    assert ended.record is not None, ended.output[-3000:]
    return ended.record


def a_zookeeper_leader_that_dies_does_not_end_the_roll(world: World) -> Figures:
    """Killed while a batch is down: lock, gate and brokers find the next leader, and the roll ends well."""
    before = world.census()
    with Traffic(cluster.addresses("kafka"), "leader", world.logs) as traffic:
        running = world.begin(RESTART, RACK)
        running.await_event("stop_start")
        leader = next(one for one in world.ensemble() if fleet.zookeeper_mode(one.private_ip) == "leader")
        fleet.ssh(leader.private_ip, "systemctl kill -s KILL zookeeper")
        ended = running.wait()
        assert ended.status == 0, ended.output[-5000:]
        wait_until("the whole ensemble", lambda: fleet.quorum_missing(cluster.addresses("zookeeper")), 120)
        verdict = traffic.verdict()
    after = world.census()
    assert fleet.restarted(before, after, {f"kafka-{one}" for one in ALL}) == [leader.name]
    assert restarted(_brokers_of(before), _brokers_of(after)) == ALL
    assert sorted(node_id for batch in ended.batches for node_id in batch) == sorted(ALL)
    assert verdict.lost == 0, verdict
    return {"leader": leader.name, "roll_seconds": round(ended.seconds, 1), **dataclasses.asdict(verdict)}


FAULTS = (
    a_killed_controller_leaves_a_cluster_that_the_next_run_judges,
    a_run_that_slept_past_its_expiry_stops_nobody,
    a_full_disk_on_a_restart_stops_the_roll,
    a_zookeeper_leader_that_dies_does_not_end_the_roll,
    a_slow_catch_up_is_waited_for,
)
