# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every benchmark reports: quantities by name with their spread, and bounds that were reached or missed. No I/O.

A row's name ends with its unit, as in C(roll_seconds); one that ends with none counts something.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


class NotMeasuredError(RuntimeError):
    """A benchmark could not measure what it is for; the message is one sentence."""


@dataclass(frozen=True)
class Unit:
    """How a person reads a quantity: its sign, and how many of what is measured make one of it."""

    sign: str
    size: float = 1

    def shown(self, value: float) -> str:
        """The number alone: no fraction of what is counted, and no more digits than a measurement is worth."""
        number = value / self.size
        if not self.sign:
            return f"{number:g}"
        return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"

    def __str__(self) -> str:
        """What follows the number."""
        return f" {self.sign}" if self.sign else ""


COUNT = Unit("")
UNITS = {"seconds": Unit("s"), "milliseconds": Unit("ms"), "bytes": Unit("MiB", 1 << 20)}


def unit_of(name: str) -> Unit:
    """The unit that a row's name ends with."""
    return UNITS.get(name.rpartition("_")[2], COUNT)


@dataclass(frozen=True)
class Spread:
    """One quantity over all rounds."""

    median: float
    least: float
    most: float
    rounds: int

    def shown(self, unit: Unit) -> str:
        """The median, and from where to where."""
        return f"{unit.shown(self.median)} ({unit.shown(self.least)} - {unit.shown(self.most)})"


@dataclass(frozen=True)
class Bound:
    """A value, mostly a median, and what it should not exceed; ``unit`` is a key of UNITS, or empty for a count."""

    name: str
    limit: float
    value: float
    unit: str = "seconds"

    @property
    def reached(self) -> bool:
        """Whether the value is within the bound."""
        return self.value <= self.limit

    def __str__(self) -> str:
        """One line for a person."""
        word, unit = "reached" if self.reached else "MISSED", UNITS.get(self.unit, COUNT)
        return f"{word}: {self.name} {unit.shown(self.value)}{unit}, bound {unit.shown(self.limit)}{unit}"


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
        """Medians, each with its least and its most; then the bounds, and under what conditions."""
        columns = list(self.spreads)
        names = list(dict.fromkeys(name for rows in self.spreads.values() for name in rows))
        lines = [["median (least - most)", *columns]]
        for name in names:
            unit = unit_of(name)
            found = [self.spreads[column].get(name) for column in columns]
            words = name.rpartition("_")[0] if unit.sign else name
            label = words.replace("_", " ") + (f", {unit.sign}" if unit.sign else "")
            lines.append([label, *("-" if one is None else one.shown(unit) for one in found)])
        widths = [max(len(line[index]) for line in lines) for index in range(len(columns) + 1)]
        shown = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        shown.insert(1, "-" * max(map(len, shown)))
        told = [f"{name.replace('_', ' ')}: {value}" for name, value in self.conditions.items()]
        return "\n".join([*shown, "", *map(str, self.bounds), *told])


def spread(name: str, values: Iterable[float | None]) -> Spread:
    """The spread of one quantity; raise NotMeasuredError when a round has no value or there is no round."""
    found = list(values)
    numbers = [value for value in found if value is not None]
    if not numbers or len(numbers) < len(found):
        raise NotMeasuredError(f"{name} was measured in {len(numbers)} of {len(found)} rounds")
    return Spread(round(statistics.median(numbers), 3), min(numbers), max(numbers), len(numbers))
