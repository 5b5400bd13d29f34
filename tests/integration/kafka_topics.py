# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Topics for tests against a real cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError

from tests.integration.services import KafkaCluster, wait_for


@contextlib.contextmanager
def topic(
    cluster: KafkaCluster, name: str, assignment: Mapping[int, Sequence[int]], min_insync_replicas: int = 2
) -> Iterator[str]:
    """Make a topic with the given replicas by partition, wait until it is in sync, and delete it afterwards."""
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers)) as client:
        new = NewTopic(
            name,
            replica_assignments={partition: list(nodes) for partition, nodes in assignment.items()},
            topic_configs={"min.insync.replicas": str(min_insync_replicas)},
        )
        wait_for(f"creation of {name}", lambda: _created(client, new), 20)
        wait_for(f"topic {name} in sync", lambda: _in_sync(client, name, len(assignment)), 20)
    try:
        yield name
    finally:
        cluster.start()
        # A topic that stays is in the way of every test after this one.
        wait_for(f"the order to delete {name}", lambda: _deleted(cluster, name), 60)
        # Each broker learns it on its own; the next test may ask any of them.
        for server in cluster.bootstrap_servers:
            with contextlib.closing(KafkaAdminClient(bootstrap_servers=[server])) as client:
                wait_for(f"deletion of {name}", partial(_gone, client, name), 20)


def _deleted(cluster: KafkaCluster, name: str) -> bool:
    """Order the deletion; False when that fails, as with a controller whose session has expired while it was paused."""
    try:
        with contextlib.closing(KafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers)) as client:
            client.delete_topics([name])
    except UnknownTopicOrPartitionError:
        return True
    except KafkaError:
        return False
    return True


def _gone(client: KafkaAdminClient, name: str) -> bool:
    return name not in client.list_topics()


def _created(client: KafkaAdminClient, new: NewTopic) -> bool:
    """Create the topic; False while the one of the same name is still being deleted."""
    try:
        client.create_topics([new])
    except TopicAlreadyExistsError:
        return False
    return True


def _in_sync(client: KafkaAdminClient, name: str, partitions: int) -> bool:
    described = client.describe_topics([name])[0]["partitions"]
    return len(described) == partitions and all(
        set(entry["isr_nodes"]) == set(entry["replica_nodes"]) for entry in described
    )


def produce(cluster: KafkaCluster, name: str, count: int, size: int) -> None:
    """Send ``count`` records of ``size`` bytes with acks=all and wait until all are acknowledged."""
    with contextlib.closing(KafkaProducer(bootstrap_servers=cluster.bootstrap_servers, acks="all")) as producer:
        futures = [producer.send(name, bytes(size)) for _ in range(count)]
        producer.flush()
        for future in futures:
            future.get(30)
