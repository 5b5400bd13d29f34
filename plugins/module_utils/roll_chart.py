# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drawings of a roll's page: a timeline of its nodes, and a figure over time, as SVG. Pure.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, LEFT, RIGHT, ROW, BAR = 960, 92, 16, 26, 16
#: What a bar shows, from which moment of a node to which.
PHASES = (
    ("gate", "waiting at the gate", "batch_start_seconds", "stop_start_seconds"),
    ("down", "down", "stop_start_seconds", "started_seconds"),
    ("sync", "catching up", "started_seconds", "in_sync_seconds"),
)
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
CHART_HEIGHT = 120


def duration(seconds: float | None) -> str:
    """Write a time as a person says it."""
    if seconds is None:
        return "-"
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def timeline(report: Mapping[str, Any]) -> str:
    """Draw each node's way through its batch, one row a node."""
    nodes = report["nodes"]
    if not nodes:
        return '<p class="none">No node was touched.</p>'
    whole = max(report["seconds"], 1.0)
    height = ROW * len(nodes) + 34
    parts = []
    for batch in report["batches"]:
        rows = [number for number, node in enumerate(nodes) if node["batch"] == batch["batch"]]
        if rows and batch["batch"] % 2 == 0:
            parts.append(_rect("band", 0, ROW * rows[0], WIDTH, ROW * len(rows)))
    parts += _axis(whole, ROW * len(nodes))
    for number, node in enumerate(nodes):
        parts.append(_text("name", LEFT - 8, ROW * number + 17, f"{node['node_id']} · batch {node['batch']}", "end"))
        parts += _bars(node, whole, ROW * number + (ROW - BAR) / 2)
    what = f"Timeline of {len(nodes)} nodes in {len(report['batches'])} batches over {duration(whole)}"
    return _svg(height, what, parts)


def chart(
    points: Sequence[Sequence[float]], whole: float, what: str, stepped: bool, breaks: Sequence[float] = ()
) -> str:
    """Draw a figure over time; C(stepped) holds each value until the next, or until what was known is so no more."""
    if not points:
        return '<p class="none">Not measured in this run.</p>'
    whole = max(whole, 1.0)
    top = max(max(value for _seconds, value in points), 1.0)
    floor = CHART_HEIGHT - 8

    def place(seconds: float, value: float) -> tuple[float, float]:
        return _x(seconds, whole), floor - (floor - 14) * value / top

    path: list[str] = []
    for number, (seconds, value) in enumerate(points):
        x, y = place(seconds, value)
        held = _first_between(breaks, points[number - 1][0], seconds) if number and stepped else None
        if held is not None:
            path.append(f"H{_x(held, whole):.1f}M{x:.1f} {y:.1f}")
        elif stepped and number:
            path.append(f"H{x:.1f}V{y:.1f}")
        else:
            path.append(f"{'L' if number else 'M'}{x:.1f} {y:.1f}")
    if stepped:
        held = _first_between(breaks, points[-1][0], whole)
        path.append(f"H{_x(whole if held is None else held, whole):.1f}")
    parts = [
        *_axis(whole, floor),
        _text("name", LEFT - 8, 20, f"{top:g}", "end"),
        _text("name", LEFT - 8, floor, "0", "end"),
    ]
    parts.append(f'<path class="line" d="{"".join(path)}"/>')
    parts += [
        f'<circle class="dot" cx="{place(*point)[0]:.1f}" cy="{place(*point)[1]:.1f}" r="2.5"/>' for point in points
    ]
    return _svg(CHART_HEIGHT + 18, f"{what} over {duration(whole)}, at most {top:g}", parts)


def _first_between(moments: Sequence[float], after: float, until: float) -> float | None:
    return min((moment for moment in moments if after < moment <= until), default=None)


def _bars(node: Mapping[str, Any], whole: float, y: float) -> list[str]:
    found = []
    for css, words, begin, end in PHASES:
        start, stop = node[begin], node[end]
        if start is None:
            continue
        if css == "down" and stop is None:
            stop = node["in_sync_seconds"]
        # Whatever never ended is drawn to the run's end.
        open_end = stop is None and css != "gate"
        stop = whole if open_end else stop
        if stop is None or stop < start:
            continue
        x = _x(start, whole)
        told = f"node {node['node_id']}: {words}, {duration(stop - start)}{', and not over' if open_end else ''}"
        bar = _rect(css, x, y, max(_x(stop, whole) - x, 1.5), BAR, told)
        found.append(bar)
        if open_end:
            break
    return found


def _axis(whole: float, height: float) -> list[str]:
    step = next((step for step in STEPS if whole / step <= 9), STEPS[-1])
    found = []
    for number in range(int(whole / step) + 1):
        x = _x(number * step, whole)
        found.append(f'<line class="grid" x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{height:.0f}"/>')
        label = f"{number * step} s" if step < 60 else f"{number * step // 60} min"
        found.append(_text("tick", x, height + 18, label, "middle"))
    return found


def _x(seconds: float, whole: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * seconds / whole


def _rect(css: str, x: float, y: float, width: float, height: float, title: str = "") -> str:
    inner = f"<title>{escape(title)}</title>" if title else ""
    return f'<rect class="{css}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}">{inner}</rect>'


def _text(css: str, x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: float, what: str, parts: Sequence[str]) -> str:
    body = "".join(parts)
    label = escape(what)
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{label}"><title>{label}</title>{body}</svg>'
