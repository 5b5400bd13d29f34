# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold of rolls, each story a function of the world that returns its figures or fails.

The stories run in this order on one cluster of six brokers in three zones, and each leaves it whole.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from kafka.admin import KafkaAdminClient, NewTopic

from lab.demo import cluster, fleet
from tests.rolls import instances
from tests.rolls.faults import FAULTS
from tests.rolls.traffic import Traffic
from tests.rolls.world import ALL, RACK, RESTART, Figures, World, reason, restarted

CONFIGURE = "kafka_rolling_configure"
REBALANCE = "kafka_leaders_rebalance"
DOES_NOT_START = ("ExecStartPre=/bin/false", "Restart=no")


def a_check_shows_the_plan_and_touches_nothing(world: World) -> Figures:
    """Right after the boot the roll would write what the boot has written, in check mode and without."""
    before = world.census()
    checked = world.play(RESTART, RACK, "--check")
    assert (checked.status, checked.changed) == (0, 0), checked.output[-3000:]
    assert "6 of 6 brokers in 3 batches" in checked.output
    for name, arguments in ((CONFIGURE, ["--check", "--diff"]), (CONFIGURE, [])):
        ended = world.play(name, {}, *arguments)
        assert (ended.status, ended.changed) == (0, 0), ended.output[-3000:]
        assert "0 of 6 brokers in 0 batches" in ended.output
    assert world.census() == before
    return {"check_seconds": round(checked.seconds, 1)}


def a_rack_at_a_time_loses_nothing(world: World) -> Figures:
    """Six brokers in three batches while a producer and a consumer run; no ZooKeeper server restarts."""
    before = world.census()
    with Traffic(cluster.addresses("kafka"), "rack", world.logs) as traffic:
        ended = world.play(RESTART, {**RACK, "roll_run_latency_file": str(traffic.canary.output)})
        verdict = traffic.verdict()
    assert ended.status == 0, ended.output[-5000:]
    latency = ended.report["produce_latency"]
    assert latency["measured"], latency
    assert sorted(map(len, ended.batches)) == [2, 2, 2], ended.batches
    zones = {holder.node_id: holder.availability_zone for holder in world.brokers()}
    assert all(len({zones[node_id] for node_id in batch}) == 1 for batch in ended.batches), ended.batches
    assert restarted(before, world.census()) == ALL
    assert verdict.lost == 0, verdict
    assert verdict.failed_sends == 0, verdict
    return {
        "batches": len(ended.batches),
        "roll_seconds": round(ended.seconds, 1),
        "produce_latency": latency,
        **dataclasses.asdict(verdict),
    }


def a_change_of_the_configuration_goes_round_once(world: World) -> Figures:
    """Static and dynamic settings; a check touches nothing, a second run changes nothing, the way back is the same."""
    before = world.census()
    wanted = {**RACK, "kafka_properties": {"num.io.threads": 7}, "kafka_dynamic_properties": {"background.threads": 12}}
    checked = world.play(CONFIGURE, wanted, "--check", "--diff")
    assert checked.status == 0, checked.output[-3000:]
    assert "+num.io.threads=7" in checked.output
    assert world.census() == before
    done = world.play(CONFIGURE, wanted)
    assert done.status == 0, done.output[-5000:]
    assert restarted(before, world.census()) == ALL
    again = world.play(CONFIGURE, wanted)
    assert (again.status, again.changed, again.batches) == (0, 0, []), again.output[-3000:]
    refused = world.play(CONFIGURE, {**wanted, "kafka_dynamic_properties": {"num.io.threads": 9}})
    assert refused.status != 0
    assert "num.io.threads: server.properties sets it too" in refused.output
    back = world.play(CONFIGURE, {**RACK, "kafka_dynamic_properties": {"background.threads": None}})
    assert (back.status, len(back.batches)) == (0, 3), back.output[-3000:]
    return {"configure_seconds": round(done.seconds, 1), "second_run_seconds": round(again.seconds, 1)}


def a_partition_without_a_replica_to_spare_refuses_the_roll(world: World) -> Figures:
    """RF 2 with min.insync.replicas 2: named, and nothing is touched; allowed by name, it is rolled."""
    before = world.census()
    brokers = cluster.addresses("kafka")
    admin = KafkaAdminClient(bootstrap_servers=fleet.bootstrap(brokers), request_timeout_ms=30_000)
    try:
        admin.create_topics([NewTopic("tight", 1, 2, topic_configs={"min.insync.replicas": "2"})])
        refused = world.play(RESTART, RACK)
        assert refused.status != 0
        assert "tight-0" in refused.output
        assert "replication_not_above_min_isr" in refused.output
        # What needs no restart is not set either by a roll that is refused.
        wanted = {"kafka_properties": {"num.io.threads": 7}, "kafka_dynamic_properties": {"background.threads": 12}}
        configured = world.play(CONFIGURE, {**RACK, **wanted})
        assert configured.status != 0
        assert "replication_not_above_min_isr" in configured.output
        assert "Set the cluster-wide dynamic settings" not in configured.output
        assert world.census() == before
        allowed = world.play(RESTART, {**RACK, "kafka_roll_unavailable_topics_allowed": ["tight"]}, "--check")
        assert allowed.status == 0, allowed.output[-3000:]
    finally:
        admin.delete_topics(["tight"])
        admin.close()
    return {"refused_seconds": round(refused.seconds, 1)}


def a_limit_narrows_whom_we_change(world: World) -> Figures:
    """One broker is restarted; a limit that matches no broker fails instead of ending green."""
    before = world.census()
    ended = world.play(RESTART, {}, "--limit", "demo-kafka-2")
    assert ended.status == 0, ended.output[-3000:]
    after = world.census()
    assert restarted(before, after) == {2}
    for limit in ("demo-zookeeper-1", "localhost"):
        nobody = world.play(RESTART, {}, "--limit", limit)
        assert nobody.status != 0, limit
        assert "nothing_to_roll" in nobody.output, nobody.output[-3000:]
    assert world.census() == after
    return {"limited_seconds": round(ended.seconds, 1)}


def a_roll_goes_on_after_a_failure_in_the_middle(world: World) -> Figures:
    """A broker of the second batch does not start: the third is not touched, the next run leaves the first alone."""
    before = world.census()
    planned = world.play(RESTART, RACK, "--check").output
    second = int(planned.partition("batch 2: restart ")[2].split()[0])
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with Traffic(cluster.addresses("kafka"), "resume", world.logs) as traffic:
        with world.drop_in(second, *DOES_NOT_START):
            failed = world.play(RESTART, RACK)
            assert failed.status != 0
            assert reason(failed.output) == "service_failed", failed.output[-3000:]
            assert len(failed.batches) == 2, failed.batches
            assert second in failed.batches[1], failed.batches
        done = set(failed.batches[0])
        third = ALL - done - set(failed.batches[1])
        assert not third & restarted(before, {**before, **dict(_census_of(world, third))})
        world.ssh(second, "systemctl start kafka")
        cluster.await_whole()
        first = {f"kafka-{node_id}": fleet.running_process(world.broker(node_id)) for node_id in done}
        resumed = world.play(RESTART, {**RACK, "kafka_roll_resume_since": began})
        assert resumed.status == 0, resumed.output[-5000:]
        verdict = traffic.verdict()
    after = world.census()
    assert {name: after[name] for name in first} == first, "what was done is left alone"
    assert {node_id for batch in resumed.batches for node_id in batch} >= third
    assert restarted(before, after) == ALL
    assert verdict.lost == 0, verdict
    return {
        "failed_seconds": round(failed.seconds, 1),
        "resumed_seconds": round(resumed.seconds, 1),
        "reason": reason(failed.output),
        **dataclasses.asdict(verdict),
    }


def _census_of(world: World, node_ids: set[int]) -> list[tuple[str, fleet.Process]]:
    return [(f"kafka-{node_id}", fleet.running_process(world.broker(node_id))) for node_id in sorted(node_ids)]


def a_broker_that_dies_outside_of_the_batch_stops_the_roll(world: World) -> Figures:
    """The roll waits for it, and ends without stopping anybody else when it does not come back."""
    before = world.census()
    with Traffic(cluster.addresses("kafka"), "outside", world.logs) as traffic:
        running = world.begin(
            RESTART, {**RACK, "kafka_roll_settle_stall_seconds": 30, "kafka_roll_gate_timeout_seconds": 20}
        )
        batch = running.await_event("stop_start")
        victim = min(ALL - batch - {world.controller_id()})
        world.ssh(victim, "systemctl kill -s KILL kafka; systemctl stop kafka")
        ended = running.wait()
        assert ended.status != 0, ended.output[-3000:]
        assert len(ended.batches) == 1, ended.batches
        # The gate may just have let the batch through; then the wait for the whole cluster misses the dead one.
        assert reason(ended.output) in {"gate_closed", "not_registered"}, ended.output[-3000:]
        world.ssh(victim, "systemctl start kafka")
        cluster.await_whole()
        verdict = traffic.verdict()
    assert restarted(before, world.census()) <= {victim, *batch}
    assert verdict.lost == 0, verdict
    return {
        "victim": victim,
        "roll_seconds": round(ended.seconds, 1),
        "reason": reason(ended.output),
        **dataclasses.asdict(verdict),
    }


def two_rolls_at_once_are_one_roll(world: World) -> Figures:
    """The second is refused by the lock, and the first ends well."""
    before = world.census()
    first = world.begin(RESTART, RACK)
    first.await_event("batch_start")
    second = world.play(RESTART, RACK)
    ended = first.wait()
    assert ended.status == 0, ended.output[-5000:]
    assert second.status != 0
    assert reason(second.output) == "locked", second.output[-3000:]
    assert second.batches == []
    assert restarted(before, world.census()) == ALL
    return {"refused_seconds": round(second.seconds, 1), "roll_seconds": round(ended.seconds, 1)}


def a_controller_that_moves_into_a_batch_puts_it_off(world: World) -> Figures:
    """The plan had it last; moved to the second batch during the first, that batch becomes the last."""
    planned = world.play(RESTART, RACK, "--check").output
    second = {int(word) for word in planned.partition("batch 2: ")[2].splitlines()[0].split() if word.isdigit()}
    running = world.begin(RESTART, RACK)
    running.await_event("in_sync")
    controller = world.move_controller(lambda node_id: node_id in second)
    ended = running.wait()
    assert ended.status == 0, ended.output[-5000:]
    assert set(ended.batches[-1]) == second, ended.batches
    assert sorted(node_id for batch in ended.batches for node_id in batch) == sorted(ALL)
    return {"controller": controller, "batches": len(ended.batches), "roll_seconds": round(ended.seconds, 1)}


def the_leaders_go_back_to_their_preferred_brokers(world: World) -> Figures:
    """A broker has been restarted and leads nothing: a check moves no leader, the play all, a second run none."""
    brokers = cluster.addresses("kafka")
    victim = min(ALL - {world.controller_id()})
    with Traffic(brokers, "leaders", world.logs) as traffic:
        world.ssh(victim, "systemctl restart kafka")
        cluster.await_whole()
        before, away = world.census(), fleet.not_preferred(brokers)
        assert away, "nobody took over from the restarted broker"
        checked = world.play(REBALANCE, {}, "--check")
        assert (checked.status, fleet.not_preferred(brokers)) == (0, away), checked.output[-3000:]
        assert f"{len(away)} partitions would be led" in checked.output, checked.output[-3000:]
        moved = world.play(REBALANCE)
        assert moved.status == 0, moved.output[-3000:]
        assert moved.changed == 1
        assert fleet.not_preferred(brokers) == []
        again = world.play(REBALANCE)
        assert (again.status, again.changed) == (0, 0), again.output[-3000:]
        verdict = traffic.verdict()
    assert world.census() == before
    assert (verdict.lost, verdict.failed_sends) == (0, 0), verdict
    return {"partitions": len(away), "rebalance_seconds": round(moved.seconds, 1), **dataclasses.asdict(verdict)}


STORIES: tuple[Callable[[World], Figures], ...] = (
    a_check_shows_the_plan_and_touches_nothing,
    a_rack_at_a_time_loses_nothing,
    a_change_of_the_configuration_goes_round_once,
    a_partition_without_a_replica_to_spare_refuses_the_roll,
    a_limit_narrows_whom_we_change,
    a_roll_goes_on_after_a_failure_in_the_middle,
    a_broker_that_dies_outside_of_the_batch_stops_the_roll,
    two_rolls_at_once_are_one_roll,
    a_controller_that_moves_into_a_batch_puts_it_off,
    the_leaders_go_back_to_their_preferred_brokers,
    *instances.STORIES,
    *FAULTS,
)
