# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of a fault run: reports/faults.json and the table that a person reads. No I/O but the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REPORT = "faults.json"


def totals(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums over all faults."""
    seconds = [one["recovered_seconds"] for one in results if one["recovered_seconds"] is not None]
    return {
        "faults": len(results),
        "as_expected": sum(one["as_expected"] for one in results),
        "not_as_expected": [one["name"] for one in results if not one["as_expected"]],
        "acked": sum(one["acked"] for one in results),
        "lost": sum(one["lost"] for one in results),
        "double_identity": sum(one["double_identity"] for one in results),
        "not_recovered": sum(one["recovered_seconds"] is None for one in results),
        "longest_recovered_seconds": max(seconds, default=None),
    }


def merged(results: list[dict[str, Any]], earlier: list[dict[str, Any]], order: list[str]) -> list[dict[str, Any]]:
    """These results and, for faults not played now, the earlier ones; in the table's order, unknown names dropped."""
    by_name = {one["name"]: one for one in [*earlier, *results]}
    return [by_name[name] for name in order if name in by_name]


def earlier_results(folder: Path, report: str = REPORT, key: str = "faults") -> list[dict[str, Any]]:
    """The results of the report that is there; none when there is none."""
    path = folder / report
    return list(json.loads(path.read_text(encoding="utf-8"))[key]) if path.is_file() else []


def write(results: list[dict[str, Any]], folder: Path) -> Path:
    """Write the report, totals on top."""
    return save(folder / REPORT, {"totals": totals(results), "faults": results})


def save(path: Path, content: dict[str, Any]) -> Path:
    """Write a report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def table(results: list[dict[str, Any]]) -> str:
    """What a person reads at the end; Markdown, as docs/faults.md shows it."""
    lines = [
        "| fault | expected | seen | acked | lost | double identity | recovered, s | as expected |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in results:
        seconds = "-" if one["recovered_seconds"] is None else f"{one['recovered_seconds']:.0f}"
        verdict = "yes" if one["as_expected"] else "**no**: " + "; ".join(one["differences"])[:300]
        cells = (one["name"], one["expected"], one["seen"], one["acked"], one["lost"], one["double_identity"], seconds)
        lines.append("| " + " | ".join(str(cell).replace("|", "/") for cell in (*cells, verdict)) + " |")
    return "\n".join(lines)
