# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a roll: one line of JSON for each event, without secrets. Pure.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.secret_text import HIDDEN, without_secrets
from ansible_collections.holdfast.kafka.plugins.module_utils.utc_time import utc_time

#: What happens in a roll, in the order in which a batch goes through it.
KINDS = (
    "run_start",
    "plan",
    "refused",
    "batch_start",
    "stop_start",
    "deferred",
    "stopped",
    "started",
    "in_sync",
    "batch_end",
    "leaders",
    "failed",
    "run_end",
)
SECRET_KEY = re.compile(r"(?i)password|passwd|secret|token|credential|jaas|_pem$|private_key")
LONGEST_TEXT = 4000
LONGEST_LIST = 500


class BrokenRecordError(ValueError):
    """A line of the record is no event."""


@dataclass(frozen=True)
class Event:
    """What happened; C(seconds) are since the run's first event, C(at) is UTC by the controller's clock."""

    at: str
    seconds: float
    kind: str
    batch: int | None = None
    node_ids: tuple[int, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """Return the event as the record has it, without the line's end."""
        return json.dumps({**asdict(self), "node_ids": list(self.node_ids)}, separators=(",", ":"), sort_keys=True)


def cleaned(value: Any) -> Any:
    """Return what may be kept of a task's result: no secrets, no endless texts and lists, nothing but JSON."""
    if isinstance(value, Mapping):
        return {str(key): HIDDEN if _hidden(str(key), one) else cleaned(one) for key, one in value.items()}
    if isinstance(value, str):
        text = without_secrets(value)
        return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} ... ({len(text)} characters)"
    if isinstance(value, Sequence):
        kept = [cleaned(one) for one in value[:LONGEST_LIST]]
        return kept if len(value) <= LONGEST_LIST else [*kept, f"... ({len(value)} entries)"]
    return value if value is None or isinstance(value, bool | int | float) else cleaned(str(value))


def _hidden(key: str, value: Any) -> bool:
    return bool(SECRET_KEY.search(key)) and not isinstance(value, bool | int | float | None)


def next_event(
    before: Sequence[Event], wall: float, kind: str, batch: int | None, node_ids: Sequence[int], detail: Any
) -> Event:
    """Return the event that follows; ValueError for one that cannot be there."""
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(KINDS)}")
    if bool(before) == (kind == "run_start"):
        raise ValueError(f"{kind} cannot be event {len(before) + 1} of a run: run_start is the first, and only that")
    if before and before[-1].kind == "run_end":
        raise ValueError(f"{kind} cannot follow run_end: that run is over")
    seconds = 0.0
    if before:
        # A controller's clock that is set back must not turn the order around.
        seconds = max(wall - datetime.fromisoformat(before[0].at).timestamp(), before[-1].seconds)
    return Event(utc_time(wall, "milliseconds"), round(seconds, 3), kind, batch, tuple(node_ids), cleaned(detail))


def parse(text: str) -> list[Event]:
    """Read a record; BrokenRecordError names the line. A last line that was cut off by a crash is left out."""
    events = []
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if number == len(lines):
            break  # what follows the last line's end: nothing, or what a crash has left
        try:
            value = json.loads(line)
            event = Event(
                str(value["at"]),
                float(value["seconds"]),
                value["kind"],
                None if value["batch"] is None else int(value["batch"]),
                tuple(int(node_id) for node_id in value["node_ids"]),
                dict(value["detail"]),
            )
            datetime.fromisoformat(event.at)
        except (ValueError, KeyError, TypeError) as error:
            raise BrokenRecordError(f"line {number} is no event of a roll ({error!r})") from error
        if event.kind not in KINDS:
            raise BrokenRecordError(f"line {number} has the kind {event.kind!r}, which no roll writes")
        events.append(event)
    return events
