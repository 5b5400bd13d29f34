# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every benchmark reports: seconds by name with their spread, and bounds that were reached or missed. No I/O."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


class NotMeasuredError(RuntimeError):
    """A benchmark could not measure what it is for; the message is one sentence."""


@dataclass(frozen=True)
class Spread:
    """One quantity over all rounds."""

    median: float
    least: float
    most: float
    rounds: int

    def __str__(self) -> str:
        """The median, and from where to where."""
        return f"{self.median:.1f} ({self.least:.1f} - {self.most:.1f})"


@dataclass(frozen=True)
class Bound:
    """A median and what it should not exceed."""

    name: str
    limit_seconds: float
    median_seconds: float

    @property
    def reached(self) -> bool:
        """Whether the median is within the bound."""
        return self.median_seconds <= self.limit_seconds

    def __str__(self) -> str:
        """One line for a person."""
        word = "reached" if self.reached else "MISSED"
        return f"{word}: {self.name} {self.median_seconds:.1f} s, bound {self.limit_seconds:.0f} s"


@dataclass(frozen=True)
class Figures:
    """What one benchmark measured: ``spreads`` by table column and row, and everything that was read in ``rounds``."""

    spreads: Mapping[str, Mapping[str, Spread]]
    bounds: tuple[Bound, ...] = ()
    rounds: tuple[Mapping[str, Any], ...] = ()
    conditions: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The report's keys; units are in the names of the rows."""
        return {
            "conditions": dict(self.conditions),
            "spreads": {
                column: {row: asdict(spread) for row, spread in rows.items()} for column, rows in self.spreads.items()
            },
            "bounds": [{**asdict(bound), "reached": bound.reached} for bound in self.bounds],
            "rounds": [dict(one) for one in self.rounds],
        }

    def table(self) -> str:
        """Medians, each with its least and its most."""
        columns = list(self.spreads)
        names = list(dict.fromkeys(name for rows in self.spreads.values() for name in rows))
        lines = [["median (least - most), s", *columns]]
        for name in names:
            cells = [str(self.spreads[column].get(name, "-")) for column in columns]
            lines.append([name.removesuffix("_seconds").replace("_", " "), *cells])
        widths = [max(len(line[index]) for line in lines) for index in range(len(columns) + 1)]
        shown = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        shown.insert(1, "-" * max(map(len, shown)))
        return "\n".join([*shown, "", *map(str, self.bounds)])


def spread(name: str, values: Iterable[float | None]) -> Spread:
    """The spread of one quantity; raise NotMeasuredError when a round has no value or there is no round."""
    found = list(values)
    numbers = [value for value in found if value is not None]
    if not numbers or len(numbers) < len(found):
        raise NotMeasuredError(f"{name} was measured in {len(numbers)} of {len(found)} rounds")
    return Spread(round(statistics.median(numbers), 1), min(numbers), max(numbers), len(numbers))
