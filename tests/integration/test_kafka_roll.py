# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan, stop and election of a Kafka roll against real brokers that are killed, frozen and brought back."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import cluster_lock, kafka_reader, lock_record
from ansible_collections.holdfast.kafka.plugins.module_utils.lock_store import LockStore
from ansible_collections.holdfast.kafka.plugins.modules import (
    kafka_broker_stop,
    kafka_replication_wait,
    kafka_roll_plan,
)
from kafka import TopicPartition
from kafka.admin import AlterConfigOp, ConfigResource, ConfigResourceType, KafkaAdminClient

from tests.integration.ansible_run import run_module
from tests.integration.kafka_topics import produce, topic
from tests.integration.services import KafkaCluster
from tests.integration.test_kafka_replication_wait import gone
from tests.integration.unit_stand_in import show_as_unit
from tests.unit.plugins.modules import in_process

ELECT = "holdfast.kafka.kafka_leader_election"
EVERYWHERE = {0: [1, 2, 3], 1: [2, 3, 1], 2: [3, 1, 2]}


def pool(cluster: KafkaCluster) -> dict[str, dict[str, str]]:
    return {str(node_id): {"address": one.host, "rack": one.rack} for node_id, one in cluster.brokers.items()}


def plan(cluster: KafkaCluster, **more: Any) -> dict[str, Any]:
    return in_process.run_module(
        kafka_roll_plan, {"bootstrap_servers": cluster.bootstrap_servers, "brokers": pool(cluster), **more}
    )


def stop(
    cluster: KafkaCluster, node_id: int, tmp_path: Path, patch: pytest.MonkeyPatch, check: bool = False, **more: Any
) -> dict[str, Any]:
    """Run the module for a broker as the roll runs it on the broker's host."""
    if cluster.brokers[node_id].alive:
        show_as_unit(cluster.brokers[node_id], tmp_path / f"bin-{node_id}", patch)
    arguments = {
        "bootstrap_servers": cluster.bootstrap_servers,
        "brokers": pool(cluster),
        "node_id": node_id,
        "poll_seconds": 0.5,
        "gate_timeout_seconds": 30,
        **more,
    }
    return in_process.run_module(kafka_broker_stop, arguments, check=check)


def settled(cluster: KafkaCluster) -> None:
    """Wait until every broker is registered and every replica in sync."""
    quick = {"node_ids": [1, 2, 3], "scope": "cluster", "stable_reads": 1, "poll_seconds": 0.5, "timeout_seconds": 60}
    arguments = {"bootstrap_servers": cluster.bootstrap_servers, **quick}
    assert in_process.run_module(kafka_replication_wait, arguments)["state"] == "reached"


@pytest.fixture
def orders(kafka_cluster: KafkaCluster) -> Iterator[KafkaCluster]:
    """The cluster, whole, with a topic that has a replica on each broker and can spare one."""
    with topic(kafka_cluster, "orders", EVERYWHERE):
        settled(kafka_cluster)
        yield kafka_cluster


def test_plan_and_stop_run_as_ansible_runs_them(orders: KafkaCluster) -> None:
    asked = {"bootstrap_servers": orders.bootstrap_servers, "brokers": pool(orders)}
    made = run_module("holdfast.kafka.kafka_roll_plan", asked)
    assert (made["failed"], sorted(one for batch in made["plan"]["batches"] for one in batch)) == (False, [1, 2, 3])
    # This machine has no unit of that name.
    nothing = run_module("holdfast.kafka.kafka_broker_stop", {**asked, "node_id": 1, "unit": "no-such-kafka.service"})
    assert (nothing["failed"], nothing["reason"], orders.brokers[1].alive) == (True, "service_failed", True)


@pytest.mark.parametrize("mode", ["serial", "rack"])
def test_the_controller_is_last_in_the_plan(orders: KafkaCluster, mode: str) -> None:
    result = plan(orders, mode=mode, seconds_per_broker=20)
    assert (result["failed"], result["changed"], result["plan"]["expected_seconds"]) == (False, False, 60)
    controller = result["plan"]["controller_id"]
    assert result["plan"]["batches"] == [*([n] for n in (1, 2, 3) if n != controller), [controller]]


def test_brokers_of_one_rack_go_together_unless_a_partition_forbids_it(orders: KafkaCluster) -> None:
    brokers = {
        node_id: {**entry, "rack": "one" if node_id != "3" else "two"} for node_id, entry in pool(orders).items()
    }
    with topic(orders, "calm", {0: [1, 3]}, min_insync_replicas=1):
        result = plan(orders, brokers=brokers, mode="rack")
        allowed = plan(orders, brokers=brokers, mode="rack", unavailable_topics_allowed=["orders"])
    assert sorted(map(len, result["plan"]["batches"])) == [1, 1, 1]
    assert result["plan"]["splits"] == [
        {
            "rack": "one",
            "batches": 2,
            "fewest": True,
            "max_parallel": None,
            "partitions": ["orders-0", "orders-1", "orders-2"],
            "partition_count": 3,
        }
    ]
    assert sorted(map(sorted, allowed["plan"]["batches"])) == [[1, 2], [3]]


def test_a_broker_that_was_just_killed_is_no_broker_in_sync(orders: KafkaCluster) -> None:
    orders.brokers[3].kill()
    at_once = plan(orders, target_node_ids=[1, 2], request_timeout_seconds=3)
    gone(orders, 3)
    later = plan(orders, target_node_ids=[1, 2])
    repair = plan(orders)
    assert (at_once["reason"], at_once["plan"]["batches"]) == ("refused", [])
    assert {"broker_silent", "broker_not_registered"} & set(at_once["plan"]["refusal_counts"])
    assert (later["reason"], later["plan"]["refusal_counts"]) == (
        "refused",
        {"broker_not_registered": 1, "under_replicated": 3},
    )
    assert "orders-0 lacks the replica of broker 3" in later["msg"]
    assert (repair["failed"], repair["plan"]["batches"][0]) == (False, [3])
    assert [one["action"] for one in repair["plan"]["brokers"]] == ["start", "restart", "restart"]


def test_topics_that_can_spare_nobody_are_refused_by_name(orders: KafkaCluster) -> None:
    with topic(orders, "single", {0: [2]}, 1), topic(orders, "greedy", {0: [1, 2]}, min_insync_replicas=3):
        result = plan(orders)
        allowed = plan(orders, unavailable_topics_allowed=["single", "greedy"])
        elsewhere = plan(orders, target_node_ids=[3])
    assert result["plan"]["refusal_counts"] == {"replication_not_above_min_isr": 2}
    told = {(one["topic"], one["min_insync_replicas"], tuple(one["node_ids"])) for one in result["plan"]["refusals"]}
    assert told == {("single", 1, (2,)), ("greedy", 3, (1, 2))}
    assert (allowed["failed"], elsewhere["failed"]) == (False, False)


def test_a_pool_that_is_not_the_clusters(orders: KafkaCluster) -> None:
    few = {node_id: entry for node_id, entry in pool(orders).items() if node_id != "3"}
    moved = {**pool(orders), "2": {"address": "127.0.0.1:1"}}
    assert plan(orders, brokers=few)["plan"]["refusal_counts"] == {"unexpected_broker": 1}
    assert plan(orders, brokers=moved)["plan"]["refusal_counts"] == {"wrong_host": 1}


THROTTLES = {
    ConfigResourceType.TOPIC: ("leader.replication.throttled.replicas", "follower.replication.throttled.replicas"),
    ConfigResourceType.BROKER: ("leader.replication.throttled.rate", "follower.replication.throttled.rate"),
}


def throttle(client: KafkaAdminClient, name: str, operation: AlterConfigOp, values: tuple[str, str]) -> None:
    """Set or delete what makes the copying of a topic slow."""
    owners = {ConfigResourceType.TOPIC: [name], ConfigResourceType.BROKER: ["1", "2", "3"]}
    for (kind, keys), value in zip(THROTTLES.items(), values, strict=True):
        for owner in owners[kind]:
            # The brokers know the rates and do not list them.
            resource = ConfigResource(kind, owner, dict.fromkeys(keys, (operation, value)))
            client.alter_configs([resource], raise_on_unknown=False)


def test_a_reassignment_that_goes_on_is_refused(orders: KafkaCluster) -> None:
    with (
        topic(orders, "moving", {0: [1, 2]}, min_insync_replicas=1),
        contextlib.closing(KafkaAdminClient(bootstrap_servers=orders.bootstrap_servers)) as client,
    ):
        produce(orders, "moving", count=800, size=10_000)
        throttle(client, "moving", AlterConfigOp.SET, ("*", "1"))
        client.alter_partition_reassignments({TopicPartition("moving", 0): [1, 2, 3]})
        result = plan(orders, target_node_ids=[1, 2])
        client.alter_partition_reassignments({TopicPartition("moving", 0): None})
        throttle(client, "moving", AlterConfigOp.DELETE, ("*", "1"))
        settled(orders)
        after = plan(orders)
    assert result["plan"]["refusal_counts"]["reassignment_in_progress"] == 1
    assert "moving-0 is being reassigned" in result["msg"]
    assert after["failed"] is False


def test_stopped_once_gated_afterwards_and_given_its_leaders_back(
    orders: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreseen = stop(orders, 1, tmp_path, monkeypatch, check=True)
    assert (foreseen["changed"], foreseen["gate_open"], orders.brokers[1].alive) == (True, True, True), foreseen
    first = stop(orders, 1, tmp_path, monkeypatch)
    assert (first["failed"], first["changed"], first["clean"], first["gate_reads"]) == (False, True, True, 3)
    assert not orders.brokers[1].alive
    again = stop(orders, 1, tmp_path, monkeypatch)
    assert (again["failed"], again["changed"], again["gate_open"]) == (False, False, None)

    other = stop(orders, 2, tmp_path, monkeypatch, gate_timeout_seconds=1)
    assert (other["reason"], other["changed"], orders.brokers[2].alive) == ("gate_closed", False, True)
    closed = {(one["reason"], one["topic"], one["partition"]) for one in other["closed_by"]}
    assert closed >= {("under_replicated", "orders", 0), ("not_enough_in_sync", "orders", 0)}
    assert "broker_not_registered: broker 1" in other["msg"]

    away = run_module(ELECT, {"bootstrap_servers": orders.bootstrap_servers, "timeout_seconds": 2})
    assert (away["reason"], away["not_elected_count"]) == ("not_elected", 1)
    assert "broker 1 is out of sync" in away["msg"]
    orders.start()
    settled(orders)
    elect = {"bootstrap_servers": orders.bootstrap_servers}
    foreseen = run_module(ELECT, elect, check=True)
    moved = run_module(ELECT, elect)
    second = run_module(ELECT, elect)
    assert (foreseen["changed"], foreseen["moved"]) == (True, moved["moved"])
    assert (moved["changed"], moved["moved_count"], moved["moved"][0]["to"]) == (True, 1, 1)
    assert (second["changed"], second["moved_count"]) == (False, 0)


def options_of(cluster: KafkaCluster) -> dict[str, Any]:
    """How the modules connect to the cluster, with little patience."""
    defaults = {name: option.get("default") for name, option in kafka_reader.argument_spec().items()}
    given = {"bootstrap_servers": cluster.bootstrap_servers, "request_timeout_seconds": 2}
    return kafka_reader.client_options({**defaults, **given})


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_the_gate_is_closed_while_another_broker_is_registered_and_silent(
    orders: KafkaCluster, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = kafka_reader.read_in_full(options_of(orders))
    victim, other = (broker.node_id for broker in view.brokers if broker.node_id != view.controller_id)
    getattr(orders.brokers[victim], how)()
    # Its session lives, so the metadata are still those of a moment ago.
    assert kafka_reader.silent({**options_of(orders), "request_timeout_ms": 10_000}, view.brokers) == {victim}
    result = stop(orders, other, tmp_path, monkeypatch, gate_timeout_seconds=8, request_timeout_seconds=2)
    assert (result["failed"], result["changed"], orders.brokers[other].alive) == (True, False, True)
    assert result["reason"] == "gate_closed", result["msg"]
    assert {"broker_silent", "broker_not_registered"} & {one["reason"] for one in result["closed_by"]}


def test_a_witness_answers_itself(orders: KafkaCluster) -> None:
    with contextlib.closing(kafka_reader.Reader(options_of(orders))) as reader:
        assert [len(reader.read_in_full(witness).brokers) for witness in (1, 2, 3, None)] == [3, 3, 3, 3]
        orders.brokers[3].pause()
        with pytest.raises(kafka_reader.ReadError):
            reader.read_in_full(3)
        assert len(reader.read_in_full(1).partitions) >= 3


def test_the_gate_is_waited_for(orders: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders.brokers[3].stop()
    gone(orders, 3)
    done: list[dict[str, Any]] = []
    waiter = threading.Thread(
        target=lambda: done.append(stop(orders, 1, tmp_path, monkeypatch, gate_timeout_seconds=90))
    )
    waiter.start()
    threading.Event().wait(6)
    assert orders.brokers[1].alive
    orders.brokers[3].start()
    waiter.join(120)
    (result,) = done
    assert (result["failed"], result["clean"], orders.brokers[1].alive) == (False, True, False)
    assert result["gate_waited_seconds"] > 1


def test_two_of_a_batch_stop_while_a_third_may_not(
    kafka_cluster: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with topic(kafka_cluster, "loose", EVERYWHERE, min_insync_replicas=1):
        settled(kafka_cluster)
        for node_id in (1, 2):
            result = stop(kafka_cluster, node_id, tmp_path, monkeypatch, batch_node_ids=[1, 2])
            assert (result["failed"], result["changed"]) == (False, True), result["msg"]
        last = stop(kafka_cluster, 3, tmp_path, monkeypatch, batch_node_ids=[1, 2, 3], gate_timeout_seconds=0)
    assert (last["reason"], last["changed"]) == ("gate_closed", False)
    assert "loose-0 would keep 0 of 3 replicas in sync" in last["msg"]


def test_a_lock_that_was_taken_over_stops_nobody(
    orders: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = orders.zookeeper.hosts
    path = lock_record.lock_path(f"c{uuid.uuid4().hex[:8]}")
    owner = lock_record.Owner("run-1", "jane@laptop", "kafka_rolling_restart", "2026-01-01T00:00:00Z", 600)
    with contextlib.closing(LockStore(hosts, path)) as store:
        token = cluster_lock.acquire(store, owner).token.as_dict()
        locked: dict[str, Any] = {"lock": token, "zookeeper_hosts": hosts}
        foreseen = stop(orders, 1, tmp_path, monkeypatch, check=True, **locked)
        cluster_lock.release_by_force(store, "joe", "a test", "2026-01-01T00:01:00Z")
        lost = stop(orders, 1, tmp_path, monkeypatch, **locked)
        assert (foreseen["failed"], foreseen["gate_open"]) == (False, True)
        assert (lost["reason"], lost["changed"], orders.brokers[1].alive) == ("lock_lost", False, True)
        locked["lock"] = cluster_lock.acquire(store, owner).token.as_dict()
        held = stop(orders, 1, tmp_path, monkeypatch, **locked)
    assert (held["failed"], held["changed"], orders.brokers[1].alive) == (False, True, False)


def test_a_process_that_ignores_its_stop(orders: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders.brokers[1].pause()
    bounds: dict[str, Any] = {"stop_timeout_seconds": 2, "request_timeout_seconds": 3, "gate_timeout_seconds": 60}
    result = stop(orders, 1, tmp_path, monkeypatch, bootstrap_servers=orders.bootstrap_servers[1:], **bounds)
    assert (result["reason"], result["changed"], orders.brokers[1].alive) == ("stop_timeout", True, True)
    # It ends once it is thawed; whoever starts the cluster again must not take it for one that runs.
    orders.brokers[1].stop()


def test_a_session_that_outlives_its_broker(
    orders: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show_as_unit(orders.brokers[1], tmp_path / "killer", monkeypatch)
    script = tmp_path / "killer" / "systemctl"
    script.write_text(script.read_text().replace("-TERM", "-KILL"))
    monkeypatch.setattr("tests.integration.test_kafka_roll.show_as_unit", lambda *_arguments: None)
    early = stop(orders, 1, tmp_path, monkeypatch, deregister_timeout_seconds=0.2)
    late = stop(orders, 1, tmp_path, monkeypatch, deregister_timeout_seconds=30)
    assert (early["reason"], early["changed"]) == ("still_registered", True)
    assert f"lists it at {orders.brokers[1].host}" in early["msg"]
    assert (late["failed"], late["changed"]) == (False, False)
    assert late["deregister_seconds"] > 0
