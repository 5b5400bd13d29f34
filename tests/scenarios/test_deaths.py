# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes die through the EC2 API and come back as themselves, while everybody else goes on."""

from __future__ import annotations

from lab.demo import cluster, fleet, replacement, workload
from lab.demo.fleet import Holder
from lab.demo.stage import Stage, wait_until
from tests.scenarios.stories import nodes, survive


def _by_mode(mode: str) -> list[Holder]:
    return [holder for holder in nodes("zookeeper") if fleet.zookeeper_mode(holder.private_ip) == mode][:1]


def _controller() -> int:
    return fleet.controller_id(cluster.addresses("zookeeper"))


def test_a_zookeeper_follower_comes_back(stage: Stage) -> None:
    survive(stage, "follower", lambda: _by_mode("follower"))


def test_the_zookeeper_leader_comes_back(stage: Stage) -> None:
    survive(stage, "leader", lambda: _by_mode("leader"))


def test_a_broker_comes_back(stage: Stage) -> None:
    controller = _controller()
    done = survive(stage, "broker", lambda: [holder for holder in nodes("kafka") if holder.node_id != controller][:1])
    # How long it may take is the demonstration's to report: a busy machine is no failure.
    assert done[0].holdfast_seconds is not None


def test_the_controller_comes_back(stage: Stage) -> None:
    controller = _controller()
    survive(stage, "controller", lambda: [holder for holder in nodes("kafka") if holder.node_id == controller])


def test_two_brokers_at_once_come_back(stage: Stage) -> None:
    done = survive(stage, "two-brokers", lambda: nodes("kafka")[:2])
    assert len({one.replacement_instance for one in done}) == 2


def test_the_whole_cluster_comes_back_from_a_cold_start(stage: Stage) -> None:
    brokers = cluster.addresses("kafka")
    workload.create_topic(brokers, "cold-start", partitions=6)
    producer = workload.Producer(brokers, "cold-start", stage.logs)
    producer.start()
    acked, failed = producer.stop()
    before = {holder.name: holder for holder in fleet.holders(cluster.CLUSTER)}
    stage.say(f"terminating all {len(before)} instances at once")
    deaths = replacement.terminate(*before.values())
    seconds = wait_until("everybody's return", lambda: replacement.all_missing(cluster.CLUSTER, deaths), 600)
    stage.say(f"    whole again after {seconds:.0f} s")
    after = {holder.name: holder for holder in fleet.holders(cluster.CLUSTER)}
    assert {name: (one.private_ip, one.volume_ids) for name, one in before.items()} == {
        name: (one.private_ip, one.volume_ids) for name, one in after.items()
    }
    assert not {one.instance_id for one in before.values()} & {one.instance_id for one in after.values()}
    verdict = workload.judge(acked, failed, workload.read_values(brokers, "cold-start", stage.logs))
    assert verdict.acked > 0
    assert verdict.lost == 0, verdict
