# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rolls' producer and consumer say is read right."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError
from kafka.future import Future

from tests.rolls import traffic
from tests.rolls.world import reason


def sent(timestamp: int, name: str = "producer_send_success") -> str:
    return json.dumps({"timestamp": timestamp, "name": name, "value": "1"})


def test_the_longest_pause_is_between_two_acknowledgements() -> None:
    lines = [sent(1000), sent(1200), sent(1300, "producer_send_error"), sent(4700), sent(4800), '{"torn']
    assert traffic.pauses(lines) == 3.5


def test_without_two_acknowledgements_there_is_no_pause() -> None:
    assert traffic.pauses([sent(1000)]) == 0
    assert traffic.pauses([]) == 0


def test_only_records_count_as_consumed() -> None:
    lines = [json.dumps({"name": "record_data", "value": "7"}), json.dumps({"name": "records_consumed"}), '{"torn']
    assert traffic.consumed(lines) == {"7"}


def test_the_last_reason_is_told() -> None:
    assert reason("reason: locked ... (task 'x', reason: gate_closed)") == "gate_closed"
    assert reason("well") == ""


class SlowProducer:
    """Acknowledges what it was given when it is closed, and refuses the fourth send and every seventh's future."""

    def __init__(self, **_settings: Any) -> None:
        self.under_way: list[tuple[int, Future]] = []

    def partitions_for(self, _topic: str) -> set[int]:
        return {2, 0, 1}

    def send(self, _topic: str, _value: bytes, partition: int) -> Future:
        self.under_way.append((partition, Future()))
        if len(self.under_way) == 4:
            raise KafkaTimeoutError
        return self.under_way[-1][1]

    def close(self) -> None:
        assert [partition for partition, _ in self.under_way[:4]] == [0, 1, 2, 0]
        for number, (_, future) in enumerate(self.under_way, 1):
            if number % 7:
                future.success(None)
            else:
                future.failure(KafkaTimeoutError())


def test_a_canary_does_not_wait_for_one_ack_before_it_sends_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "KafkaProducer", SlowProducer)
    monkeypatch.setattr(traffic, "CANARY_SECONDS", 0.005)
    canary = traffic.Canary(["192.0.2.1"], "topic", tmp_path / "latency.txt")
    canary.start()
    deadline = time.monotonic() + 30
    while canary.sent < 14 and time.monotonic() < deadline:
        time.sleep(0.005)
    canary.stop()
    assert not canary.is_alive()
    waits = [float(line.split()[1]) for line in canary.output.read_text(encoding="utf-8").splitlines()]
    assert canary.sent >= 14
    assert canary.failed == 1 + canary.sent // 7
    assert len(waits) == canary.acked == canary.sent - canary.failed
    assert waits == sorted(waits, reverse=True), "all were acknowledged at once, and the first was due first"
    assert waits[0] >= 13 * 5


def test_a_canary_that_never_flew_ends() -> None:
    traffic.Canary(["192.0.2.1"], "topic", Path("nowhere")).stop()
