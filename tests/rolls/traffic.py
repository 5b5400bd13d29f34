# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A producer and a consumer that run through a roll, and what they say about it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from kafka import KafkaProducer
from kafka.errors import KafkaError

from lab.demo import workload
from lab.demo.fleet import bootstrap

CATCH_UP_SECONDS = 120.0
CANARY_SECONDS = 0.02


@dataclass(frozen=True)
class Verdict:
    """What a roll did to the traffic; ``lost`` are acknowledged values that the consumer never saw."""

    acked: int
    failed_sends: int
    lost: int
    longest_produce_pause_seconds: float


def pauses(lines: Iterable[str]) -> float:
    """The longest time between two acknowledgements in a VerifiableProducer's output, in seconds."""
    longest, last = 0, 0
    for event in workload.events(lines):
        if event.get("name") == "producer_send_success":
            longest = max(longest, int(event["timestamp"]) - last) if last else 0
            last = int(event["timestamp"])
    return longest / 1000


def consumed(lines: Iterable[str]) -> set[str]:
    """The values in a verbose VerifiableConsumer's output."""
    return {str(event["value"]) for event in workload.events(lines) if event.get("name") == "record_data"}


class Canary(threading.Thread):
    """Sends at fixed moments to one partition after the other, and in C(output) how long each waited for its ack.

    The next one does not wait for the one before, and a wait begins when the send was due: a pause of a second is as
    many late sends as there would have been in it, and not one. A line is the time of the ack, in seconds since 1970,
    and the milliseconds.
    """

    def __init__(self, addresses: list[str], topic: str, output: Path) -> None:
        super().__init__(daemon=True)
        self.addresses, self.topic, self.output = addresses, topic, output
        self.ended = threading.Event()
        self.sent = self.acked = self.failed = 0

    def run(self) -> None:
        """Send until told to end, then wait for what is under way."""
        with (
            self.output.open("w", encoding="utf-8") as out,
            contextlib.closing(
                KafkaProducer(
                    bootstrap_servers=bootstrap(self.addresses),
                    acks="all",
                    request_timeout_ms=10_000,
                    metadata_max_age_ms=5_000,
                    reconnect_backoff_max_ms=2_000,
                )
            ) as producer,
        ):
            partitions = sorted(producer.partitions_for(self.topic))
            due = time.monotonic()
            while not self.ended.wait(max(0.0, due - time.monotonic())):
                self._send(producer, partitions[self.sent % len(partitions)], due, out)
                due += CANARY_SECONDS

    def stop(self) -> None:
        """End it; returns when what was under way is acknowledged, or after as long as a consumer may take."""
        self.ended.set()
        if self.ident is not None:
            self.join(CATCH_UP_SECONDS)

    def _send(self, producer: KafkaProducer, partition: int, due: float, out: TextIO) -> None:
        def note(_metadata: object) -> None:
            self.acked += 1
            out.write(f"{time.time():.3f} {(time.monotonic() - due) * 1000:.1f}\n")
            out.flush()

        def fail(_error: object) -> None:
            self.failed += 1

        self.sent += 1
        try:
            future = producer.send(self.topic, b"canary", partition=partition)
        except KafkaError as error:
            fail(error)
        else:
            future.add_callback(note).add_errback(fail)


class Traffic:
    """A VerifiableProducer and a VerifiableConsumer on one topic; call from inside the lab's network."""

    def __init__(self, addresses: list[str], topic: str, folder: Path) -> None:
        # A name of its own in each run: the values begin at 0 again, and an old one must not stand for a new one.
        topic = f"{topic}-{time.time_ns() // 10**6}"
        self.addresses, self.topic, self.folder = addresses, topic, folder
        self.producer = workload.Producer(addresses, topic, folder, messages_per_second=100)
        self.output = folder / f"consumer-{topic}.jsonl"
        self.canary = Canary(addresses, topic, folder / f"latency-{topic}.txt")
        self._consumer: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Traffic:
        workload.create_topic(self.addresses, self.topic)
        self.producer.start()
        command = [
            "kafka-verifiable-consumer.sh",
            *("--bootstrap-server", bootstrap(self.addresses), "--topic", self.topic, "--group-id", self.topic),
            *("--reset-policy", "earliest", "--verbose"),
        ]
        self._consumer = workload.started(command, self.output)
        self.canary.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.canary.ended.set()
        self.producer.stop()
        if self._consumer is not None and self._consumer.poll() is None:
            os.killpg(self._consumer.pid, signal.SIGKILL)
            self._consumer.wait(10)

    def _seen(self) -> set[str]:
        with self.output.open(encoding="utf-8", errors="replace") as lines:
            return consumed(lines)

    def verdict(self) -> Verdict:
        """Stop writing, let the consumer catch up, and judge."""
        self.canary.ended.set()
        acked, failed = self.producer.stop()
        self.canary.stop()
        deadline = time.monotonic() + CATCH_UP_SECONDS
        while (missing := acked - self._seen()) and time.monotonic() < deadline:
            time.sleep(1)
        with self.producer.output.open(encoding="utf-8", errors="replace") as lines:
            longest = pauses(lines)
        return Verdict(len(acked), failed, len(missing), longest)
