# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of the rolls: reports/rolls.json and the table that a person reads. No I/O but the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.faults.report import earlier_results, save

REPORT = "rolls.json"


def totals(told: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums over all stories."""
    figures = [one["figures"] for one in told]
    return {
        "stories": len(told),
        "as_expected": sum(one["passed"] for one in told),
        "not_as_expected": [one["name"] for one in told if not one["passed"]],
        "acked": sum(one.get("acked", 0) for one in figures),
        "lost": sum(one.get("lost", 0) for one in figures),
        "failed_sends": sum(one.get("failed_sends", 0) for one in figures),
        "longest_produce_pause_seconds": max(
            (one["longest_produce_pause_seconds"] for one in figures if "longest_produce_pause_seconds" in one),
            default=None,
        ),
    }


def earlier(folder: Path) -> list[dict[str, Any]]:
    """The stories of the report that is there; none when there is none."""
    return earlier_results(folder, REPORT, "stories")


def write(told: list[dict[str, Any]], folder: Path) -> Path:
    """Write the report, totals on top."""
    return save(folder / REPORT, {"totals": totals(told), "stories": told})


def table(told: list[dict[str, Any]]) -> str:
    """What a person reads at the end; Markdown, as docs/rolls.md shows it."""
    lines = [
        "| story | what must hold | a roll said | acked | lost | failed sends | longest pause, s | took, s | ok |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in told:
        figures = one["figures"]
        word = f"`{figures['reason']}`" if figures.get("reason") else "-"
        measured = [figures.get(key, "-") for key in ("acked", "lost", "failed_sends", "longest_produce_pause_seconds")]
        verdict = "yes" if one["passed"] else f"**no**: {one['failure'][:200]}"
        cells = (one["name"].replace("_", " "), one["what"], word, *measured, f"{one['seconds']:.0f}", verdict)
        lines.append("| " + " | ".join(" ".join(str(cell).split()).replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines)
