# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's figures: the table a person reads and reports/demo.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.demo.replacement import Replacement
from lab.demo.workload import Verdict


@dataclass(frozen=True)
class Figures:
    """Everything the demo measured. ``steps_seconds`` are its own steps, by name."""

    replacements: list[Replacement]
    verdict: Verdict
    restarted_elsewhere: list[str]
    reconfigured_elsewhere: list[str]
    total_seconds: float
    steps_seconds: dict[str, float]

    def faults(self) -> list[str]:
        """Why this demo is not a success, one sentence each; empty when it is one."""
        found = []
        for one in self.replacements:
            if not one.same_identity:
                found.append(f"{one.role}-{one.node_id} did not come back as itself")
        if self.verdict.lost:
            found.append(f"{self.verdict.lost} acknowledged messages cannot be read back")
        if not self.verdict.acked:
            found.append("the producer got nothing acknowledged, so nothing is proven")
        if self.restarted_elsewhere:
            found.append(f"processes restarted elsewhere: {', '.join(self.restarted_elsewhere)}")
        if self.reconfigured_elsewhere:
            found.append(f"configurations changed elsewhere: {', '.join(self.reconfigured_elsewhere)}")
        return found

    def as_json(self) -> dict[str, Any]:
        """The report's keys, units in their names."""
        roles = {}
        for one in self.replacements:
            fields = asdict(one)
            roles[fields.pop("role")] = fields
        return {
            **roles,
            "acked": self.verdict.acked,
            "read_back": self.verdict.read_back,
            "lost": self.verdict.lost,
            "failed_sends": self.verdict.failed_sends,
            "read_twice": self.verdict.read_twice,
            "processes_restarted_elsewhere": len(self.restarted_elsewhere),
            "configurations_changed_elsewhere": len(self.reconfigured_elsewhere),
            "total_seconds": round(self.total_seconds, 1),
            "steps_seconds": self.steps_seconds,
        }


def table(figures: Figures) -> str:
    """What a person reads at the end."""
    columns = ["", *(f"{one.role}-{one.node_id}" for one in figures.replacements)]
    rows: list[list[str]] = []

    def row(label: str, values: list[Any]) -> None:
        rows.append([label, *("-" if value in (None, "") else str(value) for value in values)])

    for label, field in (
        ("terminated instance", "terminated_instance"),
        ("replacement instance", "replacement_instance"),
        ("address before", "ip_before"),
        ("address after", "ip_after"),
        ("volume before", "volume_before"),
        ("volume after", "volume_after"),
    ):
        row(label, [getattr(one, field) for one in figures.replacements])
    names = list(dict.fromkeys(name for one in figures.replacements for name in one.phases))
    for name in names:
        label = "  " + name.removesuffix("_seconds").replace("_", " ") + ", s"
        row(label, [one.phases.get(name) for one in figures.replacements])
    row("claim to service start, s", [one.holdfast_seconds for one in figures.replacements])
    row("terminated to whole again, s", [one.replace_seconds for one in figures.replacements])
    widths = [max(len(line[index]) for line in [columns, *rows]) for index in range(len(columns))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [columns, *rows]
    ]
    lines.insert(1, "-" * (sum(widths) + 2 * (len(widths) - 1)))
    verdict = figures.verdict
    lines += [
        "",
        f"messages acknowledged {verdict.acked}, read back {verdict.read_back}, lost {verdict.lost}",
        f"processes restarted elsewhere {len(figures.restarted_elsewhere)}, "
        f"configurations changed elsewhere {len(figures.reconfigured_elsewhere)}",
        f"{figures.total_seconds:.0f} s in all",
    ]
    return "\n".join(lines)


def write(figures: Figures, path: Path) -> None:
    """Write the report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures.as_json(), indent=2) + "\n", encoding="utf-8")
