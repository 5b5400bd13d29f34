# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's journal: what the API was asked and what became of it, in order, bounded."""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime
from typing import Any


def now_iso() -> str:
    """The current time as ISO 8601 in UTC, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class EventJournal:
    """Events as dictionaries with ``sequence``, ``time`` and ``kind``; the oldest are forgotten beyond ``limit``."""

    def __init__(self, limit: int = 20000) -> None:
        self._lock = threading.Lock()
        self._events: deque[dict[str, Any]] = deque(maxlen=limit)
        self._sequence = 0

    def record(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Append an event and return it."""
        with self._lock:
            self._sequence += 1
            event = {"sequence": self._sequence, "time": now_iso(), "kind": kind, **fields}
            self._events.append(event)
            return event

    @property
    def last_sequence(self) -> int:
        """The number of the newest event, 0 if there is none."""
        with self._lock:
            return self._sequence

    def since(self, sequence: int = 0, kind: str | None = None) -> list[dict[str, Any]]:
        """Events after ``sequence``, of one ``kind`` if given, oldest first."""
        with self._lock:
            return [e for e in self._events if e["sequence"] > sequence and kind in (None, e["kind"])]
