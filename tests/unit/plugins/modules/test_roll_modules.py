# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""roll_event and roll_report: what they write, what they refuse, and that check mode writes nothing."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import cluster_lock, roll_files
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.modules import roll_event, roll_report

from tests.unit.plugins.module_utils.roll_story import FAILED, START, WHOLE
from tests.unit.plugins.modules.in_process import run_module


def note(directory: Path, kind: str, check: bool = False, **options: Any) -> dict[str, Any]:
    """Run roll_event."""
    return run_module(roll_event, {"directory": str(directory), "kind": kind, **options}, check=check, diff=True)


def tell(directory: Path, story: list[Any]) -> None:
    """Write a story, without its times."""
    for _seconds, kind, batch, node_ids, detail in story:
        options = {"batch": batch} if batch else {}
        assert not note(directory, kind, node_ids=list(node_ids), detail=detail, **options)["failed"]


def failed(result: dict[str, Any], reason: str, told: str) -> None:
    """Require this failure."""
    assert (result["failed"], result.get("reason")) == (True, reason), result
    assert told in result["msg"]


TOKEN = {"path": "/holdfast/demo/locks/roll", "run_id": "20260101T000000Z-0001", "generation": 1}
LOCK: dict[str, Any] = {"lock": TOKEN, "zookeeper_hosts": ["127.0.0.1"]}


@pytest.mark.parametrize("check", [False, True])
def test_an_event_renews_the_lock_that_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: bool
) -> None:
    asked: list[tuple[Any, ...]] = []

    def proven(hosts: list[str], token: dict[str, Any], _security: object, *, read_only: bool) -> dict[str, Any]:
        asked.append((hosts, token, read_only))
        return {"path": TOKEN["path"]}

    monkeypatch.setattr(cluster_lock, "check", proven)
    noted = note(tmp_path / "run", "run_start", check=check, detail=START, **LOCK)
    assert (noted["failed"], noted["lock"]) == (False, {"path": TOKEN["path"]})
    assert asked == [(["127.0.0.1:2181"], TOKEN, check)]


def test_a_lock_that_is_lost_fails_what_is_noted_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_arguments: object, **_options: object) -> None:
        raise HoldfastError("lock_lost", "Somebody else has it.", lock={"path": TOKEN["path"]})

    monkeypatch.setattr(cluster_lock, "check", lost)
    told = note(tmp_path / "run", "run_start", detail=START, **LOCK)
    failed(told, "lock_lost", "Somebody else has it.")
    assert told["lock"] == {"path": TOKEN["path"]}
    assert "event" not in told, "a note is judged by it"
    assert [event.kind for event in roll_files.read(str(tmp_path / "run"))] == ["run_start"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"lock": TOKEN}, "without zookeeper_hosts"),
        ({"lock": {"path": 7}, "zookeeper_hosts": ["127.0.0.1"]}, "token"),
        ({"lock": TOKEN, "zookeeper_hosts": ["127.0.0.1/kafka"]}, "zookeeper_hosts[0]"),
    ],
)
def test_a_lock_that_can_never_be_renewed_is_refused_before_the_event(
    tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    failed(note(tmp_path / "run", "run_start", detail=START, **options), "bad_parameter", told)
    assert not (tmp_path / "run").exists()


def test_events_are_lines_in_the_run_s_directory(tmp_path: Path) -> None:
    run = tmp_path / "rolls" / "one"
    predicted = note(run, "run_start", check=True, detail=START)
    assert (predicted["changed"], predicted["event"]["kind"]) == (True, "run_start")
    assert not run.exists()
    tell(run, WHOLE)
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == [kind for _seconds, kind, *_rest in WHOLE]
    assert [line["seconds"] for line in lines] == sorted(line["seconds"] for line in lines)


def test_a_line_that_was_cut_off_is_replaced_by_the_next(tmp_path: Path) -> None:
    tell(tmp_path, WHOLE[:2])
    with (tmp_path / "events.jsonl").open("a") as stream:
        stream.write('{"at":"20')
    assert not note(tmp_path, "leaders")["failed"]
    assert [event.kind for event in roll_files.read(str(tmp_path))] == ["run_start", "plan", "leaders"]


def test_many_may_append_at_once(tmp_path: Path) -> None:
    tell(tmp_path, WHOLE[:1])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: roll_files.append(str(tmp_path), 2e9, "stopped", 1, [number], {}), range(40)))
    assert sorted(event.node_ids[0] for event in roll_files.read(str(tmp_path))[1:]) == list(range(40))


@pytest.mark.parametrize("check", [True, False])
def test_what_cannot_be_noted_is_refused(tmp_path: Path, check: bool) -> None:
    failed(note(tmp_path / "none", "plan", check=check), "record_missing", "no run has begun there")
    tell(tmp_path, WHOLE[:1])
    failed(note(tmp_path, "run_start", check=check), "bad_parameter", "run_start")
    failed(note(tmp_path, "started", check=check, batch=0), "bad_parameter", "count from 1")
    (tmp_path / "events.jsonl").write_text("[]\n")
    failed(note(tmp_path, "plan", check=check), "record_broken", "line 1")


def test_a_directory_that_is_none_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    failed(note(tmp_path / "file" / "run", "run_start"), "write_failed", "cannot be written")


def report(directory: Path, check: bool = False, **options: Any) -> dict[str, Any]:
    """Run roll_report."""
    return run_module(roll_report, {"directory": str(directory), **options}, check=check, diff=True)


def test_the_report_is_written_once(tmp_path: Path) -> None:
    run = tmp_path / "rolls" / "one"
    tell(run, WHOLE)
    predicted = report(run, check=True, latest_directory=str(tmp_path))
    assert (predicted["changed"], sorted(path.name for path in run.iterdir())) == (True, ["events.jsonl"])
    first = report(run, latest_directory=str(tmp_path))
    assert (first["changed"], first["report"]["outcome"], len(first["files"])) == (True, "succeeded", 4)
    assert json.loads((run / "roll.json").read_text()) == first["report"]
    assert (tmp_path / "roll.html").read_text() == (run / "roll.html").read_text()
    assert not (run / "resume.json").exists()
    again = report(run, latest_directory=str(tmp_path))
    assert (again["changed"], again["files"]) == (False, [])


def test_a_failed_run_leaves_what_the_next_one_needs(tmp_path: Path) -> None:
    tell(tmp_path, FAILED)
    report(tmp_path)
    record = json.loads((tmp_path / "resume.json").read_text())
    assert (record["remaining_node_ids"], record["down_node_ids"], record["reason"]) == ([3], [3], "stalled")


@pytest.mark.parametrize("check", [True, False])
def test_without_a_record_there_is_no_report(tmp_path: Path, check: bool) -> None:
    failed(report(tmp_path, check), "record_missing", "no run has begun")
    (tmp_path / "events.jsonl").write_text("")
    failed(report(tmp_path, check), "record_broken", "no event")
    (tmp_path / "events.jsonl").write_text("nothing\n")
    failed(report(tmp_path, check), "record_broken", "line 1")


def test_a_report_that_cannot_be_written_names_the_file(tmp_path: Path) -> None:
    run = tmp_path / "run"
    tell(run, WHOLE)
    (tmp_path / "file").write_text("")
    failed(report(run, latest_directory=str(tmp_path / "file")), "write_failed", "roll.json cannot be written")


def test_how_long_producing_took_is_told_when_somebody_has_noted_it(tmp_path: Path) -> None:
    run, noted = tmp_path / "run", tmp_path / "latency.txt"
    tell(run, WHOLE[:1])
    began = datetime.fromisoformat(roll_files.read(str(run))[0].at).timestamp()
    tell(run, WHOLE[1:])
    noted.write_text(f"{began - 60} 900\nnothing\n{began} 4.5\n{began} -1\n{began + 3600} 900\n")
    found = report(run, latency_file=str(noted))["report"]
    assert found["produce_latency"] == {
        "measured": True,
        "samples": 1,
        "median_ms": 4.5,
        "p99_ms": 4.5,
        "largest_ms": 4.5,
        "unreadable_lines": 2,
    }
    assert found["series"]["produce_latency_ms"] == [[0.0, 4.5]]
    page = (run / "roll.html").read_text()
    assert "1 sends: half within 4.5 ms" in page
    assert "2 lines of the file could not be read" in page


@pytest.mark.parametrize(
    ("text", "why"),
    [(None, "latency.txt cannot be read: No such file or directory"), ("1 2\n", "no line of the file is of the time")],
)
def test_what_nobody_measured_is_not_measured(tmp_path: Path, text: str | None, why: str) -> None:
    noted = tmp_path / "latency.txt"
    if text:
        noted.write_text(text)
    tell(tmp_path, [WHOLE[0], WHOLE[-1]])
    found = report(tmp_path, latency_file=str(noted))
    assert not found["failed"], found
    told = found["report"]["produce_latency"]
    assert (told["measured"], why in told["why"]) == (False, True), told
    page = (tmp_path / "roll.html").read_text()
    assert why in page
    assert "Not measured in this run." in page
