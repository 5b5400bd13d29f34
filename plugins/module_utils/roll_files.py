# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of one run's record. HoldfastError says which one is missing, broken or cannot be written.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils import roll_events
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.roll_events import Event

EVENTS = "events.jsonl"


def read(directory: str) -> list[Event]:
    """Return a run's events."""
    path = Path(directory) / EVENTS
    try:
        return roll_events.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        text = f"There is no {path}: no run has begun there. Name the directory of a run below reports/rolls."
        raise HoldfastError("record_missing", text) from error
    except (OSError, ValueError) as error:
        raise HoldfastError("record_broken", f"{path} cannot be read: {error}.") from error


def append(
    directory: str, wall: float, kind: str, batch: int | None, node_ids: Sequence[int], detail: Any, write: bool = True
) -> Event:
    """Add an event, by one write that is on the disk when this returns; with C(run_start) make the directory."""
    place = Path(directory)
    beginning = kind == "run_start"
    try:
        if not write:
            known = [] if beginning and not (place / EVENTS).exists() else read(directory)
            return roll_events.next_event(known, wall, kind, batch, node_ids, detail)
        if beginning:
            place.mkdir(parents=True, exist_ok=True)
        elif not (place / EVENTS).is_file():
            read(directory)  # says that there is none
        with (place / EVENTS).open("a+", encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.seek(0)
            text = stream.read()
            event = roll_events.next_event(roll_events.parse(text), wall, kind, batch, node_ids, detail)
            # What a crash has cut off is no event; the next one begins on a line of its own.
            stream.truncate(len(text[: text.rfind("\n") + 1].encode()))
            stream.write(event.line() + "\n")
            stream.flush()
            os.fsync(stream.fileno())
    except roll_events.BrokenRecordError as error:
        raise HoldfastError("record_broken", f"{place / EVENTS} cannot be continued: {error}.") from error
    except OSError as error:
        raise HoldfastError("write_failed", f"{place / EVENTS} cannot be written: {error}.") from error
    except ValueError as error:
        raise HoldfastError("bad_parameter", f"{error}.") from error
    return event
