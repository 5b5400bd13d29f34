# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rolls' producer and consumer say is read right."""

from __future__ import annotations

import json

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
