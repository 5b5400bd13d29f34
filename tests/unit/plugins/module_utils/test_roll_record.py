# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A roll's events, what they come to, and the page of it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import (
    roll_chart,
    roll_events,
    roll_latency,
    roll_page,
    roll_summary,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.roll_events import BrokenRecordError, Event
from ansible_collections.holdfast.kafka.plugins.module_utils.roll_latency import Latency
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.plugins.module_utils.roll_story import (
    BAD,
    BATCH_1,
    BEGAN,
    FAILED,
    HEAD,
    NOTED,
    REFUSED,
    START,
    WHOLE,
    Story,
    told,
)

PEM = "-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----"

# ---- events ----------------------------------------------------------------------------------------------------------


def test_an_event_is_a_line_and_comes_back_from_it() -> None:
    events = told(WHOLE)
    text = "".join(f"{event.line()}\n" for event in events)
    assert roll_events.parse(text) == events
    assert (events[3].at, events[3].seconds) == ("2026-01-01T00:00:02.500Z", 2.5)


@pytest.mark.parametrize("rest", ["", '{"at":"2026-', '{"at":1}'])
def test_what_a_crash_left_of_the_last_line_is_no_event(rest: str) -> None:
    text = "".join(f"{event.line()}\n" for event in told(HEAD))
    assert roll_events.parse(text + rest) == told(HEAD)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        '{"at":"2026-01-01T00:00:00Z"}',
        '{"at":"yesterday","seconds":0,"kind":"plan","batch":null,"node_ids":[],"detail":{}}',
        '{"at":"2026-01-01T00:00:00Z","seconds":0,"kind":"party","batch":null,"node_ids":[],"detail":{}}',
        '{"at":"2026-01-01T00:00:00Z","seconds":0,"kind":"plan","batch":null,"node_ids":["x"],"detail":{}}',
    ],
)
def test_a_line_that_is_no_event_is_named(line: str) -> None:
    with pytest.raises(BrokenRecordError, match="line 2"):
        roll_events.parse(f"{told(HEAD)[0].line()}\n{line}\n")


@pytest.mark.parametrize(
    ("before", "kind"),
    [(HEAD, "run_start"), ([], "plan"), (HEAD, "party"), (WHOLE, "leaders")],
    ids=["second start", "no start", "unknown", "after the end"],
)
def test_an_event_that_cannot_be_there_is_refused(before: list[Any], kind: str) -> None:
    with pytest.raises(ValueError, match=kind):
        roll_events.next_event(told(before), BEGAN, kind, None, [], {})


def test_a_clock_that_is_set_back_does_not_turn_the_order_around() -> None:
    event = roll_events.next_event(told(HEAD), BEGAN - 3600, "leaders", None, [], {})
    assert event.seconds == told(HEAD)[-1].seconds


# ---- secrets ---------------------------------------------------------------------------------------------------------


def test_secrets_are_left_out_of_values() -> None:
    value = {
        "sasl_password": "hunter2",
        "zookeeper_tls": {"identity_pem": PEM, "check_hostname": True},
        "token": {"path": "/x"},
        "password_set": True,
        "rows": ["password=hunter2", 1, None, object],
    }
    found = roll_events.cleaned(value)
    assert found["sasl_password"] == found["zookeeper_tls"]["identity_pem"] == found["token"] == "***"
    assert (found["password_set"], found["zookeeper_tls"]["check_hostname"]) == (True, True)
    assert found["rows"][:3] == ["password=***", 1, None]
    assert "hunter2" not in json.dumps(found)


@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(), st.lists, max_leaves=20))
def test_whatever_comes_is_json_afterwards(value: Any) -> None:
    json.dumps(roll_events.cleaned(value))


def test_long_texts_and_lists_are_cut_and_say_so() -> None:
    assert roll_events.cleaned("x" * 5000).endswith("(5000 characters)")
    assert roll_events.cleaned(list(range(600)))[-1] == "... (600 entries)"


# ---- what they come to -----------------------------------------------------------------------------------------------


def test_the_summary_of_a_whole_roll() -> None:
    report = roll_summary.summary(told(WHOLE))
    assert {name: report[name] for name in START} == START
    assert (report["outcome"], report["seconds"], report["expected_seconds"]) == ("succeeded", 33.5, 90.0)
    assert (report["stops"], report["done_node_ids"], report["remaining_node_ids"]) == (3, [1, 2, 3], [])
    assert report["leaders_moved"] == 7
    first, second, third = report["nodes"]
    assert (first["stop_start_seconds"], second["stop_start_seconds"], third["stop_start_seconds"]) == (4.0, 3.5, 20.4)
    assert (first["down_seconds"], second["down_seconds"], third["down_seconds"]) == (10.0, 10.5, 7.6)
    assert (first["catch_up_seconds"], first["gate_waited_seconds"], third["gate_waited_seconds"]) == (6.0, 1.5, None)
    assert [(one["batch"], one["node_ids"], one["seconds"]) for one in report["batches"]] == [
        (1, [1, 2], 18.1),
        (2, [3], 10.9),
    ]
    assert report["series"]["under_replicated"] == [[2.5, 0], [6.0, 12], [20.0, 0], [31.0, 0]]


def test_a_failed_roll_says_what_is_down_and_what_is_left() -> None:
    report = roll_summary.summary(told(FAILED))
    assert (report["outcome"], report["reason"], report["done_node_ids"]) == ("failed", "stalled", [1, 2])
    record = roll_summary.resume_record(report)
    assert (record["remaining_node_ids"], record["down_node_ids"]) == ([3], [3])
    assert "playbooks/kafka_rolling_restart.yml" in record["resume"]


def test_in_the_batch_that_failed_nobody_is_called_done() -> None:
    story = [*HEAD, *BATCH_1, (21.0, "failed", 1, [1, 2], BAD)]
    report = roll_summary.summary(told(story))
    assert (report["done_node_ids"], report["remaining_node_ids"]) == ([], [1, 2, 3])


def test_a_refused_roll_touched_nobody() -> None:
    report = roll_summary.summary(told(REFUSED))
    assert (report["outcome"], report["nodes"], report["stops"]) == ("refused", [], 0)


def test_a_run_that_was_killed_is_not_called_a_success() -> None:
    assert roll_summary.summary(told(WHOLE[:-1]))["outcome"] == "running"


def test_a_node_that_was_only_started_is_no_stop() -> None:
    story = [*HEAD, (2.0, "batch_start", 1, [5], {}), (3.0, "started", 1, [5], {}), (4.0, "in_sync", 1, [5], {})]
    report = roll_summary.summary(told(story))
    assert (report["stops"], report["nodes"][0]["down_seconds"], roll_summary.down(report)) == (0, None, [])


def test_a_node_that_was_put_off_was_not_down_meanwhile() -> None:
    plan: list[Story] = [HEAD[0], (1.0, "plan", None, [], {"batches": [[1], [2]]})]
    put_off: list[Story] = [
        (2.0, "batch_start", 1, [1], {}),
        (2.5, "stop_start", 1, [1], {}),
        (3.0, "deferred", 1, [1], {}),
    ]
    other: list[Story] = [(4.0, "batch_start", 2, [2], {}), (5.0, "started", 2, [2], {}), (6.0, "in_sync", 2, [2], {})]
    stop = {"nodes": {"1": {"stop_seconds": 1.0, "gate_waited_seconds": 0.6}}}
    turn: list[Story] = [
        (20.2, "batch_start", 1, [1], {}),
        (20.4, "stop_start", 1, [1], {}),
        (23.0, "stopped", 1, [1], stop),
        (23.5, "started", 1, [1], {}),
        (24.0, "in_sync", 1, [1], {}),
    ]
    report = roll_summary.summary(told([*plan, *put_off, *other, *turn]))
    one = next(node for node in report["nodes"] if node["node_id"] == 1)
    assert (one["batch_start_seconds"], one["stop_start_seconds"], one["down_seconds"]) == (20.2, 21.0, 2.5)
    assert (one["gate_waited_seconds"], report["stops"], report["done_node_ids"]) == (0.6, 1, [1, 2])
    # A run that ends before its turn comes again has not stopped it.
    ended = roll_summary.summary(told([*plan, *put_off, *other, (7.0, "failed", 2, [2], BAD)]))
    assert roll_summary.down(ended) == []
    assert 1 in ended["remaining_node_ids"]


def test_a_start_that_nobody_noted_was_over_when_the_node_was_in_sync() -> None:
    story = [*HEAD, *(one for one in BATCH_1 if one[1] not in ("started", "stop_start"))]
    report = roll_summary.summary(told(story))
    assert [node["stop_start_seconds"] for node in report["nodes"]] == [4.2, 4.2]
    assert [node["down_seconds"] for node in report["nodes"]] == [15.8, 15.8]
    assert roll_summary.down(report) == []
    assert "node 1: down, 15.8 s" in roll_chart.timeline(report)


def test_without_events_there_is_no_report() -> None:
    with pytest.raises(ValueError, match="without events"):
        roll_summary.summary([])


# ---- the page --------------------------------------------------------------------------------------------------------

VOID = {"meta", "br", "rect", "line", "circle", "path"}


class Reader(HTMLParser):
    """Collects a page's elements and refuses tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def read(story: list[Any], latency: Latency | None = None) -> Reader:
    """Return the page of a story, read."""
    events = told(story)
    reader = Reader()
    reader.feed(roll_page.page(roll_summary.summary(events, latency), events))
    reader.close()
    assert reader.open == []
    return reader


@pytest.mark.parametrize("latency", [None, NOTED], ids=["nothing noted", "noted"])
@pytest.mark.parametrize("story", [WHOLE, FAILED, REFUSED, HEAD], ids=["whole", "failed", "refused", "killed"])
def test_the_page_stands_alone(story: list[Any], latency: Latency | None) -> None:
    reader = read(story, latency)
    assert not {tag for tag, _attributes in reader.found} & {"script", "link", "img", "iframe", "object", "form"}
    for _tag, attributes in reader.found:
        assert not set(attributes) & {"src", "href", "onload", "onclick"}
    policies = [value.get("content") for tag, value in reader.found if value.get("http-equiv")]
    assert policies == [roll_page.POLICY]
    assert "@media print" in roll_page.STYLE
    assert "url(" not in roll_page.STYLE


def test_the_page_shows_every_bar_with_its_words() -> None:
    events = told(WHOLE)
    html = roll_page.page(roll_summary.summary(events), events)
    for text in ("node 1: down, 10.0 s", "node 1: catching up, 6.0 s", "node 3: catching up, 3.0 s", "Succeeded"):
        assert text in html
    assert "at the target" in html


def test_a_failure_is_on_top_and_what_never_ended_says_so() -> None:
    events = told(FAILED)
    html = roll_page.page(roll_summary.summary(events), events)
    assert "broker 3 &lt;stays&gt; out of sync" in html
    assert "<stays>" not in html
    assert "node 3: down, 69.6 s, and not over" in html
    words = read(FAILED).words
    assert "Stopped and not seen to start: 3." in words
    assert "Not done: 3." in words
    assert "The services at the end: orders-kafka-3 failed." in words


def test_what_was_not_measured_says_so() -> None:
    words = read(REFUSED).words
    assert "No node was touched." in words
    assert words.count("Not measured in this run.") == 2


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (99.94, "99.9 s"),
        (100, "1 min 40 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (7380, "2 h 03 min"),
    ],
)
def test_durations_as_a_person_says_them(seconds: float, shown: str) -> None:
    assert roll_chart.duration(seconds) == shown


def test_what_was_measured_before_a_stop_is_not_held_beyond_it() -> None:
    def lines(*breaks: float) -> str:
        return roll_chart.chart([[0, 0], [50, 0]], 100, "x", True, breaks).split(' d="')[1].split('"')[0]

    assert lines().count("M") == 1
    assert lines(20).count("M") == 2
    left, right = roll_chart.LEFT, roll_chart.WIDTH - roll_chart.RIGHT
    assert f"H{left + (right - left) * 0.2:.1f}M" in lines(20)
    assert lines(60).endswith(f"H{left + (right - left) * 0.6:.1f}")


POINTS = st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e9)), max_size=30)


@given(POINTS, st.booleans())
def test_no_point_is_drawn_outside(points: list[tuple[float, float]], stepped: bool) -> None:
    whole = max((seconds for seconds, _value in points), default=0.0)
    svg = roll_chart.chart(points, whole, "x", stepped)
    for part in svg.split('cx="')[1:]:
        assert 0 <= float(part.split('"')[0]) <= roll_chart.WIDTH
        assert 0 <= float(part.split('cy="')[1].split('"')[0]) <= roll_chart.CHART_HEIGHT


def test_the_story_is_one_of_events() -> None:
    assert all(isinstance(event, Event) for event in told(WHOLE))


# ---- how long producing took ----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1e6)), min_size=1))
def test_no_large_latency_is_lost_in_the_drawing(samples: list[tuple[float, float]]) -> None:
    latency = roll_latency.read((f"{at} {milliseconds}" for at, milliseconds in samples), 0.0, 100.0)
    told, points = latency.told(), latency.points(100.0)
    assert len(points) <= roll_latency.MOST_POINTS + 1
    assert max(value for _seconds, value in points) == told["largest_ms"] == max(value for _at, value in samples)
    assert told["samples"] == len(samples)
    assert told["median_ms"] <= told["p99_ms"] <= told["largest_ms"]


def test_a_run_that_nobody_watched_says_so() -> None:
    report = roll_summary.summary(told(HEAD))
    assert report["produce_latency"] == {"measured": False, "why": roll_summary.NOT_GIVEN, "unreadable_lines": 0}
    assert report["series"]["produce_latency_ms"] == []
