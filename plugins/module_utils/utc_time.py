# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How times are written. Pure.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from datetime import UTC, datetime


def utc_time(epoch_seconds: float, precision: str = "seconds") -> str:
    """Write a time in UTC, as 2030-01-02T03:04:05Z; C(precision) V(milliseconds) gives 2030-01-02T03:04:05.678Z."""
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec=precision).replace("+00:00", "Z")
