# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a roll's events come to: C(roll.json), and what is left for a run that resumes it. Pure.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.roll_events import Event
from ansible_collections.holdfast.kafka.plugins.module_utils.roll_latency import Latency

NOT_GIVEN = "roll_run_latency_file names no file"
FORMAT = 1


def summary(events: Sequence[Event], latency: Latency | None = None) -> dict[str, Any]:
    """Return the report of one run; C(events) begin with its run_start, C(latency) is somebody's own measurement."""
    if not events:
        raise ValueError("a run without events has no report")
    begin, plan = events[0], _last(events, "plan")
    planned = _batches_of(plan)
    nodes = _nodes(events)
    ending = _last(events, "run_end")
    bad = _last(events, "failed") or _last(events, "refused")
    # In the batch that failed, the ones that went on note for all of it.
    broken = bad.batch if bad else None
    whole = (node for node in nodes if node["in_sync_seconds"] is not None and node["batch"] != broken)
    done = sorted({node["node_id"] for node in whole})
    wanted = [node_id for batch in planned for node_id in batch]
    latency = latency or Latency(why=NOT_GIVEN)
    return {
        "format": FORMAT,
        "run_id": begin.detail.get("run_id"),
        "cluster": begin.detail.get("cluster"),
        "playbook": begin.detail.get("playbook"),
        "by": begin.detail.get("by"),
        "outcome": _outcome(bad, ending),
        "reason": bad.detail.get("reason") if bad else None,
        "error": bad.detail.get("error") if bad else None,
        "task": bad.detail.get("task") if bad else None,
        "services": dict(bad.detail.get("services") or {}) if bad else {},
        "began_at": begin.at,
        "ended_at": ending.at if ending else None,
        "seconds": events[-1].seconds,
        "expected_seconds": plan.detail.get("expected_seconds") if plan else None,
        "planned_batches": planned,
        "skipped": list(plan.detail.get("skipped") or []) if plan else [],
        "batches": _batches(events, nodes),
        "nodes": nodes,
        "stops": sum(node["stopped_seconds"] is not None for node in nodes),
        "done_node_ids": done,
        "remaining_node_ids": [node_id for node_id in wanted if node_id not in done],
        "leaders_moved": sum(int(one.detail.get("moved") or 0) for one in events if one.kind == "leaders"),
        "produce_latency": latency.told(),
        "series": {
            "under_replicated": _series(events, "under_replicated"),
            "produce_latency_ms": latency.points(events[-1].seconds),
        },
    }


def resume_record(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the next run, or a person, has to know of one that failed."""
    wanted = ("run_id", "cluster", "playbook", "outcome", "reason", "error", "task", "services", "done_node_ids")
    again = f"ansible-playbook -i <inventory> playbooks/{report['playbook']}.yml"
    return {
        **{name: report[name] for name in wanted},
        "remaining_node_ids": report["remaining_node_ids"],
        "down_node_ids": down(report),
        "resume": f"{again} (nodes that are at the target are skipped, missing ones come first)",
    }


def down(report: Mapping[str, Any]) -> list[int]:
    """Return the nodes that were stopped and of which no start was seen."""
    return sorted(
        node["node_id"]
        for node in report["nodes"]
        if node["stop_start_seconds"] is not None
        and node["started_seconds"] is None
        and node["in_sync_seconds"] is None
    )


def _outcome(bad: Event | None, ending: Event | None) -> str:
    if bad:
        return bad.kind
    return "succeeded" if ending else "running"


def _last(events: Iterable[Event], kind: str) -> Event | None:
    found = None
    for event in events:
        found = event if event.kind == kind else found
    return found


def _batches_of(plan: Event | None) -> list[list[int]]:
    batches = plan.detail.get("batches") if plan else None
    return [[int(node_id) for node_id in batch] for batch in batches or []]


def _first(events: Iterable[Event], kinds: Sequence[str]) -> float | None:
    return next((event.seconds for event in events if event.kind in kinds), None)


def _nodes(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return each node's way through its batch, in the order in which the batches began."""
    keys = list(dict.fromkeys((event.batch, node_id) for event in events if event.batch for node_id in event.node_ids))
    found = []
    for batch, node_id in keys:
        mine = _last_turn([event for event in events if event.batch == batch and node_id in event.node_ids])
        if not mine:
            continue
        stopped, started, in_sync = (_first(mine, [kind]) for kind in ("stopped", "started", "in_sync"))
        noted = _first(mine, ["stop_start"])
        of_stop = _told(mine, "stopped", node_id)
        stop_start = _began(noted, stopped, of_stop)
        found.append(
            {
                "node_id": node_id,
                "batch": batch,
                "batch_start_seconds": _first(mine, ["batch_start", "stop_start", "started"]),
                "stop_start_seconds": stop_start,
                "stopped_seconds": stopped,
                "started_seconds": started,
                "in_sync_seconds": in_sync,
                "gate_waited_seconds": of_stop.get("gate_waited_seconds"),
                # A start that nobody noted is known to be over when the node is in sync.
                "down_seconds": _difference(in_sync if started is None else started, stop_start),
                "catch_up_seconds": _difference(in_sync, started),
            }
        )
    return found


def _last_turn(events: Sequence[Event]) -> Sequence[Event]:
    """Return a node's events without those of the turns that ended because it was to come later."""
    turns = [place + 1 for place, event in enumerate(events) if event.kind == "deferred"]
    return events[turns[-1] :] if turns else events


def _began(noted: float | None, stopped: float | None, of_stop: Mapping[str, Any]) -> float | None:
    """Return when a service was told to stop.

    One task waits at the gate and stops, so what it measured itself is better than when it was called and when it was
    over: other tasks stand between.
    """
    waited, took = of_stop.get("gate_waited_seconds"), of_stop.get("stop_seconds")
    if noted is not None:
        return round(noted + waited, 3) if isinstance(waited, int | float) else noted
    if stopped is not None and isinstance(took, int | float):
        return max(0.0, round(stopped - took, 3))
    return stopped


def _told(events: Sequence[Event], kind: str, node_id: int) -> Mapping[str, Any]:
    """Return what the event says of one node, or of all of its nodes at once."""
    event = _last(events, kind)
    if event is None:
        return {}
    one = (event.detail.get("nodes") or {}).get(str(node_id)) if isinstance(event.detail.get("nodes"), dict) else None
    return one if isinstance(one, dict) else event.detail


def _difference(later: float | None, earlier: float | None) -> float | None:
    return None if later is None or earlier is None else round(max(0.0, later - earlier), 3)


def _batches(events: Sequence[Event], nodes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for number in dict.fromkeys(event.batch for event in events if event.batch):
        mine = [event for event in events if event.batch == number]
        began, ended = mine[0].seconds, _first(mine, ["batch_end"])
        members = [node for node in nodes if node["batch"] == number]
        found.append(
            {
                "batch": number,
                "node_ids": [node["node_id"] for node in members],
                "began_seconds": began,
                "ended_seconds": ended,
                "seconds": _difference(ended, began),
                "longest_down_seconds": _largest(node["down_seconds"] for node in members),
                "longest_catch_up_seconds": _largest(node["catch_up_seconds"] for node in members),
            }
        )
    return found


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _series(events: Sequence[Event], name: str) -> list[list[float]]:
    """Return the points of a figure that events have in their detail, as seconds and value."""
    points = []
    for event in events:
        value = event.detail.get(name)
        if isinstance(value, list):
            value = len(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            points.append([event.seconds, value])
    return points
