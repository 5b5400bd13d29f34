# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long producing took while a roll lasted, as somebody's own producer has noted it. Pure.

A line of the file is two numbers: when a send was acknowledged, in seconds since 1970, and how many milliseconds it
took.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

#: A page shows no more; each point is the largest of its span.
MOST_POINTS = 240


@dataclass(frozen=True)
class Latency:
    """Samples as seconds since the run began and milliseconds; C(why) says why there are none."""

    samples: Sequence[tuple[float, float]] = ()
    unreadable_lines: int = 0
    why: str = ""

    def told(self) -> dict[str, Any]:
        """Return what the report says of it."""
        if not self.samples:
            return {"measured": False, "why": self.why, "unreadable_lines": self.unreadable_lines}
        sizes = sorted(milliseconds for _seconds, milliseconds in self.samples)
        return {
            "measured": True,
            "samples": len(sizes),
            "median_ms": _share(sizes, 0.5),
            "p99_ms": _share(sizes, 0.99),
            "largest_ms": sizes[-1],
            "unreadable_lines": self.unreadable_lines,
        }

    def points(self, whole: float) -> list[list[float]]:
        """Return what is drawn of a run of so many seconds: the largest sample of each span."""
        span = max(whole, 1.0) / MOST_POINTS
        largest: dict[int, tuple[float, float]] = {}
        for seconds, milliseconds in self.samples:
            place = int(seconds / span)
            if place not in largest or milliseconds > largest[place][1]:
                largest[place] = (seconds, milliseconds)
        return [list(largest[place]) for place in sorted(largest)]


def _share(sizes: Sequence[float], share: float) -> float:
    """Return the smallest value that this share of all does not exceed."""
    return sizes[max(0, math.ceil(share * len(sizes)) - 1)]


def read(lines: Iterable[str], began: float, whole: float) -> Latency:
    """Return the samples of a run that began then, in seconds since 1970, and took so many seconds."""
    samples, unreadable = [], 0
    for line in lines:
        try:
            at, milliseconds = map(float, line.split())
        except ValueError:
            at, milliseconds = math.nan, math.nan
        if not (math.isfinite(at) and math.isfinite(milliseconds) and milliseconds >= 0):
            unreadable += 1
        elif 0 <= at - began <= whole:
            samples.append((round(at - began, 3), milliseconds))
    why = "" if samples else "no line of the file is of the time of this run"
    return Latency(sorted(samples), unreadable, why)
