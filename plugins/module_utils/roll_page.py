# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A roll's report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere. Pure.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.roll_chart import PHASES, chart, duration, timeline
from ansible_collections.holdfast.kafka.plugins.module_utils.roll_events import Event
from ansible_collections.holdfast.kafka.plugins.module_utils.roll_summary import down

VERDICTS = {
    "succeeded": ("good", "Succeeded"),
    "failed": ("bad", "Failed"),
    "refused": ("bad", "Refused before anything was stopped"),
    "running": ("open", "Not finished: the run goes on, or its controller died"),
}
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
:root{color-scheme:light dark;--ink:#1b2430;--soft:#566274;--paper:#fff;--band:#f3f5f8;--line:#d5dbe3;--gate:#d9a400;
--down:#c2342b;--sync:#2f6fbf;--good:#1d7a43;--curve:#5b3fa8}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa7b8;--paper:#12171e;--band:#1b222c;--line:#36404d;
--gate:#e0b93a;--down:#ec6a5f;--sync:#69a4ea;--good:#57c584;--curve:#ab93ee}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.25rem;max-width:64rem;color:var(--ink);background:var(--paper);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.4rem;margin:0 0 .25rem}h2{font-size:1.05rem;margin:1.75rem 0 .5rem}
p{margin:.4rem 0}.soft,.none{color:var(--soft)}code{font-size:.9em;overflow-wrap:anywhere}
.verdict{display:inline-block;padding:.1rem .6rem;border-radius:.3rem;border:2px solid;font-weight:600}
.good{color:var(--good)}.bad{color:var(--down)}.open{color:var(--gate)}
.trouble{border-left:4px solid var(--down);background:var(--band);padding:.6rem .9rem;
margin:.8rem 0;overflow-wrap:anywhere}
dl.facts{display:grid;grid-template-columns:repeat(4,1fr);gap:.6rem;margin:1rem 0}
dl.facts div{background:var(--band);border-radius:.4rem;padding:.5rem .75rem}
dt{color:var(--soft);font-size:.85rem}dd{margin:0;font-size:1.15rem;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto}svg{display:block;width:100%;min-width:38rem;height:auto}
svg text{font:12px system-ui,sans-serif;fill:var(--soft)}svg .name{fill:var(--ink)}
.grid{stroke:var(--line)}.band{fill:var(--band)}.gate{fill:var(--gate)}.down{fill:var(--down)}.sync{fill:var(--sync)}
.line{fill:none;stroke:var(--curve);stroke-width:2}.dot{fill:var(--curve)}
.key{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;padding:0;margin:.3rem 0;list-style:none;font-size:.9rem}
.key svg{display:inline-block;width:1rem;min-width:1rem;vertical-align:-2px;margin-right:.35rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.95rem}
th,td{text-align:right;padding:.3rem .6rem;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child,.events th,.events td{text-align:left}th{color:var(--soft);font-weight:500}
.events td:last-child{white-space:normal;overflow-wrap:anywhere;min-width:14rem}
summary{cursor:pointer;margin-top:1.5rem}
@media(max-width:40rem){body{padding:.8rem}h1{font-size:1.2rem}dl.facts{grid-template-columns:repeat(2,1fr)}}
@media print{body{max-width:none;padding:0;font-size:10pt}.wide{overflow:visible}svg{min-width:0}
dl.facts div,.trouble{border:1px solid var(--line)}h2,svg,tr{break-inside:avoid}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""


def page(report: Mapping[str, Any], events: Sequence[Event]) -> str:
    """Return the page of a run."""
    title = f"{report['playbook']} of {report['cluster']}"
    body = [
        f"<header><h1>{escape(title)}</h1>",
        f'<p class="soft">Run <code>{_text(report["run_id"])}</code>, by {_text(report["by"])}, '
        f"began {_text(report['began_at'])}</p>",
        _verdict(report["outcome"]),
        "</header><main>",
        _trouble(report),
        _facts(report),
        "<h2>Nodes over time</h2>",
        _key(),
        f'<div class="wide">{timeline(report)}</div>',
        "<h2>Partitions with a replica out of sync</h2>",
        _figure(report, "under_replicated", "Partitions with a replica out of sync", stepped=True),
        "<h2>Time to produce, in milliseconds</h2>",
        _latency(report["produce_latency"]),
        _figure(report, "produce_latency_ms", "Milliseconds to produce", stepped=False),
        "<h2>Batches</h2>",
        _batches(report),
        _skipped(report),
        _events(events),
        "</main>",
    ]
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style>"
    )
    inner = "\n".join(filter(None, body))
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{inner}\n</body></html>\n'


def _text(value: Any) -> str:
    return escape(str(value)) if value not in (None, "") else "unknown"


def _verdict(outcome: str) -> str:
    css, words = VERDICTS[outcome]
    return f'<p><span class="verdict {css}">{words}</span></p>'


def _trouble(report: Mapping[str, Any]) -> str:
    if report["outcome"] not in ("failed", "refused"):
        return ""
    stopped = down(report)
    rest = report["remaining_node_ids"]
    lines = [
        f"<p><strong>{_text(report['reason'])}</strong>: {_text(report['error'])}</p>",
        f"<p>In the task <em>{_text(report['task'])}</em>.</p>" if report["task"] else "",
        f"<p>Stopped and not seen to start: {_ids(stopped)}.</p>" if stopped else "",
        f"<p>The services at the end: {_services(report['services'])}.</p>" if report["services"] else "",
        f"<p>Not done: {_ids(rest)}. The playbook, started again, skips what is done.</p>" if rest else "",
    ]
    return f'<section class="trouble">{"".join(lines)}</section>'


def _services(states: Mapping[str, Any]) -> str:
    return escape(", ".join(f"{host} {state}" for host, state in sorted(states.items())))


def _facts(report: Mapping[str, Any]) -> str:
    planned = sum(len(batch) for batch in report["planned_batches"])
    figures = [
        ("took", duration(report["seconds"])),
        ("expected", duration(report["expected_seconds"])),
        ("batches", f"{len(report['batches'])} of {len(report['planned_batches'])}"),
        ("nodes done", f"{len(report['done_node_ids'])} of {planned}"),
        ("stops", str(report["stops"])),
        ("longest down", duration(_most(report, "longest_down_seconds"))),
        ("longest catching up", duration(_most(report, "longest_catch_up_seconds"))),
        ("leaders moved back", str(report["leaders_moved"])),
    ]
    return f'<dl class="facts">{"".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures)}</dl>'


def _most(report: Mapping[str, Any], name: str) -> float | None:
    return max((batch[name] for batch in report["batches"] if batch[name] is not None), default=None)


def _key() -> str:
    swatch = '<svg viewBox="0 0 16 16" aria-hidden="true"><rect class="{}" width="16" height="16"/></svg>'
    items = "".join(f"<li>{swatch.format(css)}{words}</li>" for css, words, _begin, _end in PHASES)
    return f'<ul class="key">{items}</ul>'


def _figure(report: Mapping[str, Any], name: str, what: str, stepped: bool) -> str:
    # A stop makes what was measured before it old.
    stops = [node["stop_start_seconds"] for node in report["nodes"] if node["stop_start_seconds"] is not None]
    return f'<div class="wide">{chart(report["series"][name], report["seconds"], what, stepped, stops)}</div>'


def _latency(told: Mapping[str, Any]) -> str:
    if told["measured"]:
        text = (
            f"{told['samples']} sends: half within {told['median_ms']:g} ms, 99 of 100 within {told['p99_ms']:g} ms, "
        )
        text += f"the longest {told['largest_ms']:g} ms."
    else:
        text = f"Nobody noted how long producing took: {told['why']}."
    unreadable = told["unreadable_lines"]
    if unreadable:
        text += f" {unreadable} lines of the file could not be read."
    return f'<p class="soft">{escape(text)}</p>'


def _ids(node_ids: Iterable[Any]) -> str:
    return escape(", ".join(str(node_id) for node_id in node_ids)) or "none"


def _batches(report: Mapping[str, Any]) -> str:
    rows = [
        [
            str(batch["batch"]),
            _ids(batch["node_ids"]),
            duration(batch["began_seconds"]),
            duration(batch["longest_down_seconds"]),
            duration(batch["longest_catch_up_seconds"]),
            duration(batch["seconds"]),
        ]
        for batch in report["batches"]
    ]
    return _table("", ["batch", "nodes", "began after", "longest down", "longest catching up", "took"], rows)


def _skipped(report: Mapping[str, Any]) -> str:
    rows = [
        [_text(one.get("node_id")), _text(one.get("why"))] if isinstance(one, Mapping) else [_text(one), ""]
        for one in report["skipped"]
    ]
    return f"<h2>Skipped</h2>{_table('events', ['node', 'why'], rows)}" if rows else ""


def _events(events: Sequence[Event]) -> str:
    rows = [
        [
            f"{event.seconds:.1f} s",
            escape(event.kind),
            "" if event.batch is None else str(event.batch),
            _ids(event.node_ids) if event.node_ids else "",
            f"<code>{escape(json.dumps(event.detail, sort_keys=True))}</code>" if event.detail else "",
        ]
        for event in events
    ]
    table = _table("events", ["after", "event", "batch", "nodes", "detail"], rows)
    return f"<details><summary>All {len(events)} events</summary>{table}</details>"


def _table(css: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return '<p class="none">None.</p>'
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table class="{css}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
