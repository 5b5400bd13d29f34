# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A steady load, and replication that needs a while to catch up with it; call from inside the lab's network.

A megabyte a second goes to a topic of which each of six brokers has half. A broker that is behind may copy three times
what it has to follow, so after ten seconds of absence it needs about five to be in sync again. Without that, a restart
in the lab has next to nothing to copy, which no cluster in use has.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient

from lab.demo import fleet, workload
from lab.demo.stage import wait_until
from tests.rolls.throttle import throttled
from tests.rolls.world import ALL

RECORD_BYTES = 10_000
RECORDS_PER_SECOND = 100
FOLLOWED_SHARE = 0.5
CATCH_UP_BYTES_PER_SECOND = int(3 * FOLLOWED_SHARE * RECORD_BYTES * RECORDS_PER_SECOND)
ENDLESS = 10**9
END_SECONDS = 30
FIRST_SECONDS = 60


@contextlib.contextmanager
def load(addresses: list[str], folder: Path) -> Iterator[str]:
    """While inside, the load is on and has written; gives its topic, which is deleted at the end."""
    topic = f"load-{time.time_ns() // 10**6}"
    output = folder / f"{topic}.log"
    command = [
        "kafka-producer-perf-test.sh",
        *("--topic", topic, "--num-records", str(ENDLESS)),
        *("--record-size", str(RECORD_BYTES), "--throughput", str(RECORDS_PER_SECOND)),
        *("--producer-props", f"bootstrap.servers={fleet.bootstrap(addresses)}", "acks=all"),
        *("delivery.timeout.ms=300000", "request.timeout.ms=10000", "metadata.max.age.ms=5000"),
    ]
    workload.create_topic(addresses, topic)
    try:
        with (
            contextlib.closing(KafkaAdminClient(bootstrap_servers=fleet.bootstrap(addresses))) as admin,
            throttled(admin, topic, sorted(ALL), CATCH_UP_BYTES_PER_SECOND),
        ):
            process = workload.started(command, output)
            try:
                wait_until("the load's first records", lambda: _nothing_written(addresses, topic), FIRST_SECONDS)
                yield topic
                if process.poll() is not None:
                    raise RuntimeError(f"the load ended too early; see {output} and {output.with_suffix('.err')}")
            finally:
                with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(END_SECONDS)
    finally:
        workload.delete_topic(addresses, topic)


def _nothing_written(addresses: list[str], topic: str) -> str | None:
    """What is missing of a load that writes; None when a record is there."""
    with contextlib.closing(KafkaConsumer(bootstrap_servers=fleet.bootstrap(addresses))) as consumer:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        written = sum(consumer.end_offsets(partitions).values()) if partitions else 0
    return None if written else f"{topic} has no record"
