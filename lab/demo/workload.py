# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The producer and the check: Kafka's own VerifiableProducer and console consumer, compared by value."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError

from lab.artifacts.unpack import unpacked
from lab.demo.fleet import bootstrap

# Idempotent, so that a retry after a lost reply is not written twice; retries for as long as a replacement may take.
PRODUCER_SETTINGS = {
    "acks": "all",
    "enable.idempotence": "true",
    "retries": "2147483647",
    "delivery.timeout.ms": "300000",
    "request.timeout.ms": "10000",
    "max.block.ms": "300000",
    "max.in.flight.requests.per.connection": "5",
    "reconnect.backoff.max.ms": "2000",
    "metadata.max.age.ms": "5000",
}
STOP_SECONDS = 120
READ_IDLE_MILLISECONDS = 15_000
FILL_RECORD_BYTES = 10_000
FILL_SECONDS = 900


@dataclass(frozen=True)
class Verdict:
    """What was acknowledged and what was read back; ``lost`` are acknowledged values that nobody can read."""

    acked: int
    read_back: int
    lost: int
    failed_sends: int
    read_twice: int


def events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """What a verifiable client told, event by event. What is no JSON, such as a torn last line, is ignored."""
    for line in lines:
        with contextlib.suppress(json.JSONDecodeError):
            yield json.loads(line)


def outcomes(lines: Iterable[str]) -> tuple[set[str], int]:
    """Values the producer's output says were acknowledged, and how many sends failed."""
    acked: set[str] = set()
    failed = 0
    for event in events(lines):
        if event.get("name") == "producer_send_success":
            acked.add(str(event["value"]))
        elif event.get("name") == "producer_send_error":
            failed += 1
    return acked, failed


def judge(acked: set[str], failed_sends: int, values: list[str]) -> Verdict:
    """Compare by value. A value whose send failed may have been written all the same; that is no loss."""
    unique = set(values)
    return Verdict(
        acked=len(acked),
        read_back=len(acked & unique),
        lost=len(acked - unique),
        failed_sends=failed_sends,
        read_twice=len(values) - len(unique),
    )


def create_topic(addresses: list[str], name: str, partitions: int = 12, replication: int = 3, min_isr: int = 2) -> None:
    """Create the topic the workload writes to; one that exists is left as it is."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap(addresses), request_timeout_ms=30_000)
    try:
        settings = {"min.insync.replicas": str(min_isr), "unclean.leader.election.enable": "false"}
        with contextlib.suppress(TopicAlreadyExistsError):
            admin.create_topics([NewTopic(name, partitions, replication, topic_configs=settings)])
    finally:
        admin.close()


def delete_topic(addresses: list[str], name: str) -> None:
    """Delete a topic; one that is gone is no news."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap(addresses), request_timeout_ms=30_000)
    try:
        with contextlib.suppress(UnknownTopicOrPartitionError):
            admin.delete_topics([name])
    finally:
        admin.close()


def fill(brokers: list[str], topic: str, megabytes: float) -> float:
    """Write so much that every replica set of the topic together holds about so many megabytes more; return seconds.

    RuntimeError with the producer's words when it fails.
    """
    command = [
        _tool("kafka-producer-perf-test.sh"),
        *("--topic", topic, "--num-records", str(int(megabytes * 1_000_000 / FILL_RECORD_BYTES))),
        *("--record-size", str(FILL_RECORD_BYTES), "--throughput", "-1"),
        *("--producer-props", f"bootstrap.servers={bootstrap(brokers)}", "acks=all", "batch.size=131072"),
    ]
    began = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=FILL_SECONDS, check=False, env=_java_environment()
    )
    if done.returncode != 0:
        raise RuntimeError(f"{topic} could not be filled: {(done.stdout + done.stderr)[-500:]}")
    return time.monotonic() - began


class Producer:
    """A running VerifiableProducer; call from inside the lab's network."""

    def __init__(self, addresses: list[str], topic: str, folder: Path, messages_per_second: int = 200) -> None:
        self.addresses = addresses
        self.topic = topic
        self.folder = folder
        self.output = folder / f"producer-{topic}.jsonl"
        self.messages_per_second = messages_per_second
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start writing; returns once the first message is acknowledged (StageError-free bound of 60 s)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = self.folder / "producer.properties"
        settings.write_text("".join(f"{key}={value}\n" for key, value in PRODUCER_SETTINGS.items()), encoding="utf-8")
        command = [
            "kafka-verifiable-producer.sh",
            *("--bootstrap-server", bootstrap(self.addresses), "--topic", self.topic),
            *("--acks", "-1", "--max-messages", "-1", "--throughput", str(self.messages_per_second)),
            *("--producer.config", str(settings)),
        ]
        self._process = started(command, self.output)
        deadline = time.monotonic() + 60
        while not self.acked():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the producer acknowledged nothing; see {self.output.with_suffix('.err')}")
            time.sleep(0.5)

    def acked(self) -> int:
        """How many messages are acknowledged so far."""
        return len(self._outcomes()[0])

    def _outcomes(self) -> tuple[set[str], int]:
        with self.output.open(encoding="utf-8", errors="replace") as lines:
            return outcomes(lines)

    def stop(self) -> tuple[set[str], int]:
        """Stop writing in an orderly way (what is in flight is finished); return acknowledged values and failures."""
        process = self._process
        if process is not None and process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=10)
        return self._outcomes()


def _tool(name: str) -> str:
    # The archive was assembled long before; that it is there is no news.
    return str(unpacked("kafka", say=lambda _line: None) / "bin" / name)


def started(command: list[str], output: Path) -> subprocess.Popen[bytes]:
    """Start one of Kafka's tools as a session of its own, with what it says in files beside each other."""
    with output.open("wb") as out, output.with_suffix(".err").open("wb") as err:
        return subprocess.Popen(
            [_tool(command[0]), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            env=_java_environment(),
        )


def _java_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.endswith("_OPTS")}


def read_values(addresses: list[str], topic: str, folder: Path, timeout_seconds: float = 300) -> list[str]:
    """Every value of the topic from the beginning, as Kafka's console consumer prints them."""
    output = folder / f"consumer-{topic}.txt"
    command = [
        _tool("kafka-console-consumer.sh"),
        *("--bootstrap-server", bootstrap(addresses), "--topic", topic, "--from-beginning"),
        *("--timeout-ms", str(READ_IDLE_MILLISECONDS), "--consumer-property", "auto.offset.reset=earliest"),
    ]
    with output.open("wb") as out, output.with_suffix(".err").open("wb") as err:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            timeout=timeout_seconds,
            check=False,  # it ends by its idle timeout, which it counts as an error; what it printed is what counts
            env=_java_environment(),
        )
    return output.read_text(encoding="utf-8", errors="replace").split()


def verify(producer: Producer, say: Callable[[str], None]) -> Verdict:
    """Stop the producer, read everything back and compare."""
    acked, failed = producer.stop()
    say(f"    {len(acked)} messages acknowledged; reading everything back ...")
    return judge(acked, failed, read_values(producer.addresses, producer.topic, producer.folder))
