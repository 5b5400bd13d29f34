# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of a roll that never was, for the tests of what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.roll_events import Event, next_event
from ansible_collections.holdfast.kafka.plugins.module_utils.roll_latency import Latency

#: Seconds, kind, batch, nodes and detail of one event.
Story = tuple[float, str, int | None, Sequence[int], dict[str, Any]]
BEGAN = 1_767_225_600.0  # 2026-01-01T00:00:00Z
START = {"run_id": "20260101T000000Z-4f1c", "cluster": "orders", "playbook": "kafka_rolling_restart", "by": "jane"}
PLAN = {
    "batches": [[1, 2], [3]],
    "expected_seconds": 90.0,
    "skipped": [{"node_id": 4, "why": "at the target"}],
    "controller_id": 3,
}
STOP = {"stop_seconds": 1.8, "gate_waited_seconds": 1.5}
BATCH_1: list[Story] = [
    (2.0, "batch_start", 1, [1, 2], {}),
    (2.5, "stop_start", 1, [1, 2], {"under_replicated": []}),
    (
        6.0,
        "stopped",
        1,
        [1, 2],
        {"nodes": {"1": STOP, "2": {**STOP, "gate_waited_seconds": 1.0}}, "under_replicated": 12},
    ),
    (14.0, "started", 1, [1, 2], {}),
    (20.0, "in_sync", 1, [1, 2], {"under_replicated": 0}),
    (20.1, "batch_end", 1, [1, 2], {}),
]
BATCH_2: list[Story] = [
    (20.2, "batch_start", 2, [3], {}),
    (20.4, "stop_start", 2, [3], {}),
    (22.0, "stopped", 2, [3], {}),
]
BAD = {
    "reason": "stalled",
    "error": "broker 3 <stays> out of sync",
    "task": "Wait for broker 3",
    "services": {"orders-kafka-3": "failed"},
}
HEAD: list[Story] = [
    (0.0, "run_start", None, [], START),
    (1.0, "plan", None, [], PLAN),
]
WHOLE = [
    *HEAD,
    *BATCH_1,
    *BATCH_2,
    (28.0, "started", 2, [3], {}),
    (31.0, "in_sync", 2, [3], {"under_replicated": 0}),
    (31.1, "batch_end", 2, [3], {}),
    (33.0, "leaders", None, [], {"moved": 7}),
    (33.5, "run_end", None, [], {}),
]
#: What somebody's producer has noted meanwhile.
NOTED = Latency([(1.0, 3.0), (7.0, 8.5), (20.0, 3.5)])
FAILED = [*HEAD, *BATCH_1, *BATCH_2, (90.0, "failed", 2, [3], BAD)]
REFUSED = [HEAD[0], (1.0, "refused", None, [], {"reason": "refused", "error": "orders-0 is offline", "task": "Plan"})]


def told(story: Sequence[Story]) -> list[Event]:
    """Return the story as events."""
    events: list[Event] = []
    for seconds, kind, batch, node_ids, detail in story:
        events.append(next_event(events, BEGAN + seconds, kind, batch, node_ids, detail))
    return events
