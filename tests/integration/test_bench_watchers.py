# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks watch a cluster with, against real brokers that are stopped and started."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient

from benchmarks import load, produce, sampler
from lab.demo import fleet, workload
from tests.integration.kafka_topics import topic
from tests.integration.services import KafkaCluster, wait_for
from tests.integration.test_kafka_replication_wait import gone
from tests.rolls import traffic

EVERYWHERE = {0: [1, 2, 3], 1: [2, 3, 1], 2: [3, 1, 2]}
TIGHT = {0: [1, 2], 1: [2, 1]}


@pytest.fixture(autouse=True)
def _addresses_with_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers of tests share an address, so theirs come with ports."""

    def bootstrap(addresses: Sequence[str]) -> str:
        return ",".join(addresses)

    for module in (fleet, sampler, traffic, workload):
        monkeypatch.setattr(module, "bootstrap", bootstrap)


@dataclass
class Watched:
    """What was seen of one topic; complete after the block that watched."""

    sends: produce.Sends
    broken: sampler.Broken


@contextlib.contextmanager
def watched(cluster: KafkaCluster, name: str, folder: Path) -> Iterator[list[Watched]]:
    """Canary and sampler on one topic while inside; what they saw is in the list afterwards."""
    found: list[Watched] = []
    canary = traffic.Canary(cluster.bootstrap_servers, name, folder / "latency.txt")
    asking = sampler.Sampler(cluster.bootstrap_servers, {name: 2})
    canary.start()
    asking.start()
    wait_for("the first acks and answers", lambda: canary.acked > produce.FEWEST_SENDS and asking.samples, 60)
    began = time.monotonic()
    try:
        yield found
    finally:
        ended = asking.stop()
        canary.stop()
    assert not canary.is_alive()
    told = produce.sends(canary.output.read_text(encoding="utf-8").splitlines(), canary.sent)
    found.append(Watched(told, sampler.broken(asking.samples, began, ended)))


def restart(cluster: KafkaCluster, node_id: int) -> float:
    """Stop a broker cleanly and start it when the others know; return how long it was gone."""
    cluster.brokers[node_id].stop()
    began = time.monotonic()
    gone(cluster, node_id)
    time.sleep(2)
    seconds = time.monotonic() - began
    cluster.start()
    return seconds


def test_a_clean_restart_with_a_replica_to_spare_breaks_nothing(kafka_cluster: KafkaCluster, tmp_path: Path) -> None:
    with topic(kafka_cluster, "spare", EVERYWHERE), watched(kafka_cluster, "spare", tmp_path) as found:
        restart(kafka_cluster, 2)
    (seen,) = found
    assert (seen.broken.under_min_isr_seconds, seen.broken.offline_seconds) == (0, 0)
    assert (seen.sends.unacknowledged, seen.sends.acked > produce.FEWEST_SENDS) == (0, True)
    assert seen.sends.p50_milliseconds <= seen.sends.p99_milliseconds <= seen.sends.longest_wait_seconds * 1000


def test_without_one_its_writers_wait_for_as_long_as_it_is_gone(kafka_cluster: KafkaCluster, tmp_path: Path) -> None:
    with topic(kafka_cluster, "tight", TIGHT), watched(kafka_cluster, "tight", tmp_path) as found:
        seconds = restart(kafka_cluster, 2)
    (seen,) = found
    assert seen.broken.under_min_isr_seconds > seconds / 2
    assert seen.sends.longest_wait_seconds > seconds
    assert seen.sends.unacknowledged == 0


def test_a_load_is_written_and_leaves_nothing_behind(
    kafka_cluster: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "ALL", {1, 2, 3})
    servers = kafka_cluster.bootstrap_servers
    reader = contextlib.closing(KafkaConsumer(bootstrap_servers=servers))
    with reader as consumer, load.load(servers, tmp_path) as name:
        partitions = [TopicPartition(name, number) for number in range(12)]
        wait_for("a few records", lambda: sum(consumer.end_offsets(partitions).values()) > 50, 60)
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
        wait_for(f"deletion of {name}", lambda: name not in admin.list_topics(), 20)
