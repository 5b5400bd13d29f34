# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kafka_cluster_info against real brokers."""

from __future__ import annotations

import pytest

from tests.integration.ansible_run import run_module
from tests.integration.kafka_topics import topic
from tests.integration.services import KafkaCluster, ZooKeeperEnsemble, wait_for
from tests.ports import free_ports

MODULE = "holdfast.kafka.kafka_cluster_info"
EVERYWHERE = {0: [1, 2, 3], 1: [2, 3, 1]}


@pytest.mark.parametrize("check", [False, True])
def test_a_healthy_cluster(kafka_cluster: KafkaCluster, check: bool) -> None:
    with topic(kafka_cluster, "orders", EVERYWHERE):
        result = run_module(
            MODULE,
            {"bootstrap_servers": kafka_cluster.bootstrap_servers, "expected_node_ids": [1, 2, 3]},
            check=check,
        )
    assert result["healthy"] is True
    assert result["changed"] is False
    assert [(b["node_id"], b["host"], b["port"], b["rack"]) for b in result["brokers"]] == [
        (node_id, "127.0.0.1", broker.port, broker.rack) for node_id, broker in kafka_cluster.brokers.items()
    ]
    assert result["controller_id"] in (1, 2, 3)
    assert [broker["replicas"] for broker in result["brokers"]] == [2, 2, 2]
    assert sum(broker["leaders"] for broker in result["brokers"]) == result["partition_count"] == 2
    assert (result["under_replicated"], result["offline"], result["under_min_isr"]) == ([], [], [])


def test_a_killed_broker_shows_in_every_list_it_belongs_to(kafka_cluster: KafkaCluster) -> None:
    with (
        topic(kafka_cluster, "orders", EVERYWHERE, min_insync_replicas=3),
        topic(kafka_cluster, "calm", {0: [1, 2, 3]}, min_insync_replicas=2),
        topic(kafka_cluster, "single", {0: [3]}, min_insync_replicas=1),
    ):
        kafka_cluster.brokers[3].kill()
        arguments = {"bootstrap_servers": kafka_cluster.bootstrap_servers, "expected_node_ids": [1, 2, 3]}
        just_killed = run_module(MODULE, arguments)
        wait_for("the ISRs without 3", lambda: len(run_module(MODULE, arguments)["under_replicated"]) == 3, 60)
        result = run_module(MODULE, arguments)
    assert just_killed["failed"] is False
    assert result["missing_node_ids"] == [3]
    assert result["healthy"] is False
    assert [(p["topic"], p["partition"], p["missing"]) for p in result["under_replicated"]] == [
        ("calm", 0, [3]),
        ("orders", 0, [3]),
        ("orders", 1, [3]),
    ]
    assert [(p["topic"], p["leader"]) for p in result["offline"]] == [("single", None)]
    assert [(p["topic"], p["partition"], p["min_insync_replicas"]) for p in result["under_min_isr"]] == [
        ("orders", 0, 3),
        ("orders", 1, 3),
    ]


def test_brokers_are_found_by_zookeeper_alone(kafka_cluster: KafkaCluster, zookeeper_server: ZooKeeperEnsemble) -> None:
    result = run_module(MODULE, {"zookeeper_hosts": zookeeper_server.hosts})
    assert [broker["node_id"] for broker in result["brokers"]] == [1, 2, 3]
    assert [(b["node_id"], b["port"], b["rack"]) for b in result["registered"]] == [
        (node_id, broker.port, broker.rack) for node_id, broker in kafka_cluster.brokers.items()
    ]


def test_nobody_registered(kafka_cluster: KafkaCluster, zookeeper_server: ZooKeeperEnsemble) -> None:
    result = run_module(MODULE, {"zookeeper_hosts": zookeeper_server.hosts, "zookeeper_chroot": "/elsewhere"})
    assert (result["failed"], result["reason"], result["registered"]) == (True, "unreachable", [])


@pytest.mark.parametrize("way", ["bootstrap_servers", "zookeeper_hosts"])
def test_nobody_there(way: str) -> None:
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    result = run_module(MODULE, {way: [nobody], "request_timeout_seconds": 1})
    assert (result["failed"], result["reason"]) == (True, "unreachable")
    assert nobody in result["msg"]
