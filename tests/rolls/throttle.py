# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replication that is slow on purpose, by Kafka's own throttle: it holds back only followers that are out of sync."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from kafka.admin import AlterConfigOp, ConfigResource, ConfigResourceType, KafkaAdminClient


@contextlib.contextmanager
def throttled(admin: KafkaAdminClient, topic: str, followers: Iterable[int], bytes_per_second: int) -> Iterator[None]:
    """While inside, each of these brokers copies a topic slowly when it is behind."""
    wanted = [(ConfigResourceType.TOPIC, topic, "follower.replication.throttled.replicas", "*")]
    for follower in followers:
        rate = ("follower.replication.throttled.rate", str(bytes_per_second))
        wanted.append((ConfigResourceType.BROKER, str(follower), *rate))

    def alter(operation: AlterConfigOp) -> None:
        for kind, owner, key, value in wanted:
            # A broker knows the rate and does not list it.
            admin.alter_configs([ConfigResource(kind, owner, {key: (operation, value)})], raise_on_unknown=False)

    alter(AlterConfigOp.SET)
    try:
        yield
    finally:
        alter(AlterConfigOp.DELETE)
