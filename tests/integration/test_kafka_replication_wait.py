# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kafka_replication_wait against real brokers: it ends when it should, and each failure fires."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

from kafka.admin import KafkaAdminClient

from tests.integration.ansible_run import run_module
from tests.integration.kafka_topics import produce, topic
from tests.integration.services import KafkaCluster, wait_for
from tests.ports import free_ports

MODULE = "holdfast.kafka.kafka_replication_wait"
EVERYWHERE = {0: [1, 2, 3], 1: [2, 3, 1]}


def wait(cluster: KafkaCluster, check: bool = False, verbosity: int = 0, **arguments: Any) -> dict[str, Any]:
    quick = {"poll_seconds": 0.5, "stable_reads": 2, "timeout_seconds": 60}
    return run_module(MODULE, {"bootstrap_servers": cluster.bootstrap_servers, **quick, **arguments}, check, verbosity)


def gone(cluster: KafkaCluster, node_id: int) -> None:
    """Wait until the cluster knows that the broker is gone and no ISR holds it."""
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers)) as client:

        def is_gone() -> bool:
            brokers = [broker["broker_id"] for broker in client.describe_cluster()["brokers"]]
            partitions = [entry for described in client.describe_topics() for entry in described["partitions"]]
            # The last replica of a partition stays in its ISR for ever.
            in_sync = [entry for entry in partitions if node_id in entry["isr_nodes"] and entry["leader_id"] >= 0]
            return node_id not in brokers and not in_sync

        wait_for(f"broker {node_id} gone", is_gone, 30)


def test_a_whole_cluster_is_reached_at_once(kafka_cluster: KafkaCluster) -> None:
    with topic(kafka_cluster, "orders", EVERYWHERE):
        result = wait(kafka_cluster, node_ids=[1, 2, 3], expected_hosts={"1": "127.0.0.1"})
    assert (result["failed"], result["changed"], result["state"]) == (False, False, "reached")
    assert result["reads"] == 2
    assert result["replicas_in_sync"] == result["replicas_total"] == 6
    assert "resume" not in result
    assert "resume" not in result["invocation"]["module_args"]


def test_a_killed_broker_that_comes_back_is_waited_for_and_progress_is_shown(kafka_cluster: KafkaCluster) -> None:
    with topic(kafka_cluster, "orders", EVERYWHERE):
        broker = kafka_cluster.brokers[2]
        broker.kill()
        produce(kafka_cluster, "orders", count=500, size=10_000)
        done: list[dict[str, Any]] = []
        # The wait runs in a thread, the broker is started from here: see services.py on who may start one.
        waiter = threading.Thread(target=lambda: done.append(wait(kafka_cluster, node_ids=[2], verbosity=1)))
        waiter.start()
        time.sleep(8)
        broker.start()
        waiter.join(60)
    assert done, "the wait did not end"
    result = done[0]
    assert result["state"] == "reached"
    assert result["waited_seconds"] > 4
    assert "[localhost] broker 2: waiting for broker 2 to register" in result["stdout_text"]


def test_a_just_killed_broker_is_not_taken_for_one_in_sync(kafka_cluster: KafkaCluster) -> None:
    with topic(kafka_cluster, "orders", EVERYWHERE):
        kafka_cluster.brokers[2].pause()
        result = wait(kafka_cluster, node_ids=[2], timeout_seconds=6, request_timeout_seconds=3, stable_reads=1)
    assert (result["failed"], result["state"]) == (True, "failed")
    assert result["reason"] in ("unreachable", "not_registered")
    assert "broker 2" in result["msg"]


def test_wrong_host(kafka_cluster: KafkaCluster) -> None:
    result = wait(kafka_cluster, node_ids=[1], expected_hosts={"1": "127.0.0.9"}, stall_timeout_seconds=2)
    assert result["reason"] == "wrong_host"
    assert result["wrong_hosts"] == [{"node_id": 1, "expected": "127.0.0.9", "found": "127.0.0.1"}]
    assert "broker 1 announces 127.0.0.1 where 127.0.0.9 was expected" in result["msg"]


def test_a_broker_that_stays_away(kafka_cluster: KafkaCluster) -> None:
    with topic(kafka_cluster, "orders", EVERYWHERE), topic(kafka_cluster, "calm", {0: [1, 2]}):
        assert wait(kafka_cluster, check=True, node_ids=[3])["state"] == "reached"
        kafka_cluster.brokers[3].stop()
        gone(kafka_cluster, 3)
        foreseen = wait(kafka_cluster, check=True, node_ids=[3])
        unregistered = wait(kafka_cluster, node_ids=[3], timeout_seconds=2)
        # The cluster's scope looks at every replica and asks no broker to be registered.
        ended = {
            "timeout": wait(kafka_cluster, scope="cluster", timeout_seconds=2),
            "stalled": wait(kafka_cluster, scope="cluster", stall_timeout_seconds=2),
        }
    assert (foreseen["failed"], foreseen["state"], foreseen["reads"]) == (False, "waiting", 1)
    assert "waiting for broker 3 to register" in foreseen["progress"]
    assert (unregistered["reason"], unregistered["unregistered"]) == ("not_registered", [3])
    for reason, result in ended.items():
        assert (result["failed"], result["reason"]) == (True, reason)
        assert [(p["topic"], p["partition"], p["missing"]) for p in result["lagging"]] == [
            ("orders", 0, [3]),
            ("orders", 1, [3]),
        ]
    for result in (unregistered, *ended.values()):
        assert "orders-0, orders-1" in result["msg"]
        assert "calm" not in result["msg"]


def test_offline(kafka_cluster: KafkaCluster) -> None:
    with topic(kafka_cluster, "single", {0: [3]}, min_insync_replicas=1):
        kafka_cluster.brokers[3].stop()
        gone(kafka_cluster, 3)
        result = wait(kafka_cluster, scope="cluster", timeout_seconds=3)
    assert result["reason"] == "offline"
    assert "without a leader: single-0" in result["msg"]


def test_unreachable(kafka_cluster: KafkaCluster) -> None:
    nobody = [f"127.0.0.1:{free_ports(1)[0]}"]
    result = wait(kafka_cluster, bootstrap_servers=nobody, node_ids=[1], timeout_seconds=2, request_timeout_seconds=0.5)
    assert result["reason"] == "unreachable"
    assert nobody[0] in result["msg"]
