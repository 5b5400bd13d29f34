# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From timestamps to phases: how long each part of a replacement took. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

# phase -> (name of its begin, name of its end); `terminated` and `whole` are seen from outside, the rest is the
# node's own boot record. `whole` is the last one's name in the report: in the quorum, or in the ISR.
PHASES: tuple[tuple[str, str, str], ...] = (
    ("launch_seconds", "terminated", "system_start"),
    ("cloud_init_seconds", "system_start", "cloud_init_end"),
    ("pull_seconds", "cloud_init_end", "claim_start"),
    ("claim_seconds", "claim_start", "claim_end"),
    ("attach_seconds", "claim_end", "attach_end"),
    ("configure_seconds", "attach_end", "configure_end"),
    ("start_seconds", "configure_end", "service_start"),
    ("whole_seconds", "service_start", "whole"),
)
WHOLE = {"zookeeper": "in_quorum_seconds", "kafka": "in_isr_seconds"}


def epoch(text: str) -> float:
    """Epoch seconds of an ISO 8601 time."""
    return datetime.fromisoformat(text).timestamp()


def phases(role: str, terminated: float, boot: Mapping[str, str], whole: float) -> dict[str, float | None]:
    """Seconds by phase; None for one whose begin or end was not recorded."""
    times: dict[str, float] = {name: epoch(value) for name, value in boot.items()}
    times["terminated"], times["whole"] = terminated, whole
    found: dict[str, float | None] = {}
    for name, begin, end in PHASES:
        key = WHOLE[role] if name == "whole_seconds" else name
        found[key] = round(times[end] - times[begin], 1) if begin in times and end in times else None
    return found


def own_part(boot: Mapping[str, str]) -> float | None:
    """Seconds from the claim's start to the service's start: what of a replacement is Holdfast's own."""
    if "claim_start" not in boot or "service_start" not in boot:
        return None
    return round(epoch(boot["service_start"]) - epoch(boot["claim_start"]), 1)
