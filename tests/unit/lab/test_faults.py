# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults without a server: the command line's words, the parameters' texts, which event is struck."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import fault_command, render
from lab.api.events import EventJournal
from lab.api.faults_board import FaultBoard
from lab.api.faults_catalogue import FaultRefusedError, known_actions, read
from lab.api.faults_kinds import KINDS
from lab.api.faults_match import Occasion, Rhythm, concerns
from lab.machine.faults import Mount, mounts_of


@pytest.mark.parametrize(
    ("action", "words", "expected"),
    [
        ("list", [], {}),
        ("clear", [], {"which": None}),
        ("clear", ["api_slow"], {"which": "api_slow"}),
        ("set", ["partition"], {"kind": "partition", "parameters": {}}),
        ("set", ["x", "a=1", "b=c=d"], {"kind": "x", "parameters": {"a": "1", "b": "c=d"}}),
    ],
)
def test_words_are_read(action, words, expected):
    assert fault_command.arguments(action, words) == expected


@pytest.mark.parametrize(
    ("action", "words", "part"),
    [
        ("list", ["x"], "nothing else"),
        ("clear", ["a", "b"], "one KIND"),
        ("set", [], "KIND"),
        ("set", ["x", "seconds"], "'seconds'"),
        ("set", ["x", "=1"], "'=1'"),
        ("set", ["x", "a=1", "a=2"], "a is given twice"),
    ],
)
def test_words_that_cannot_be_read_are_a_sentence(action, words, part):
    with pytest.raises(ValueError, match=part):
        fault_command.arguments(action, words)


def test_calls_are_known_by_the_names_that_botocore_has():
    assert {"AttachNetworkInterface", "DescribeAutoScalingGroups", "SignalResource"} <= known_actions()


def test_every_default_would_be_accepted_as_a_value():
    for kind in KINDS.values():
        for parameter in kind.parameters:
            if parameter.default is None or parameter.kind == "instance":
                continue
            default = parameter.default
            text = ",".join(default) if isinstance(default, tuple) else str(default).lower()
            others = {p.name: _any_value(p) for p in kind.parameters if p.required and p.name != parameter.name}
            text = str(default) if parameter.kind in ("word", "path", "text") else text
            assert read(KINDS, kind.name, {**others, parameter.name: text})[parameter.name] == default


def _any_value(parameter):
    if parameter.choices:
        return parameter.choices[0]
    return {"seconds": "1", "path": "/x", "resource": "vol-01234567"}.get(parameter.kind, "1")


@given(
    st.sampled_from(sorted(KINDS)),
    st.dictionaries(
        st.sampled_from(["seconds", "times", "rate", "actions", "code", "resource", "mount", "zzz"]),
        st.text(max_size=8),
    ),
)
def test_any_wish_is_read_or_refused_in_one_sentence(kind, wish):
    found, sentence = None, ""
    try:
        found = read(KINDS, kind, wish)
    except FaultRefusedError as error:
        sentence = str(error)
    assert kind in sentence if found is None else set(found) == {p.name for p in KINDS[kind].parameters}


SELECTORS = {"actions": ("Attach*",), "instance": "i-1", "group": "g", "new": True, "resource": "eni-1"}
FITS = Occasion("AttachVolume", "i-1", "g", frozenset({"eni-1"}))


@pytest.mark.parametrize(
    ("occasion", "launched_before", "expected"),
    [
        (FITS, set(), True),
        (FITS, {"i-1"}, False),
        (Occasion("DetachVolume", "i-1", "g", frozenset({"eni-1"})), set(), False),
        (Occasion("AttachVolume", "i-2", "g", frozenset({"eni-1"})), set(), False),
        (Occasion("AttachVolume", "i-1", "h", frozenset({"eni-1"})), set(), False),
        (Occasion("AttachVolume", "i-1", "g", frozenset({"eni-2"})), set(), False),
        (Occasion("AttachVolume", "", "g", frozenset({"eni-1"})), set(), False),
    ],
)
def test_every_selector_must_hold(occasion, launched_before, expected):
    assert concerns(SELECTORS, frozenset(launched_before), occasion) is expected
    assert concerns({}, frozenset(launched_before), occasion)


@given(st.integers(0, 5), st.integers(1, 4), st.none() | st.integers(1, 4), st.floats(0.01, 1), st.integers(0, 9))
def test_a_rhythm_is_repeatable_and_never_strikes_too_often(skip, every, times, rate, seed):
    wish = {"skip": skip, "every": every, "times": times, "rate": rate, "seed": seed}
    runs = []
    for _ in range(2):
        rhythm = Rhythm(wish)
        runs.append([rhythm.strikes() for _ in range(60)])
        assert rhythm.struck == sum(runs[-1])
    assert runs[0] == runs[1]
    assert not any(runs[0][:skip])
    assert sum(runs[0]) <= min(times or 60, (60 - skip) // every)
    if rate == 1:
        assert sum(runs[0]) == min(times or 60, (60 - skip) // every)


def test_a_hold_ends_when_its_fault_is_cleared_or_the_lab_stops():
    board = FaultBoard(EventJournal())
    fault = board.set(board.make("attaching_stuck", {}, (), frozenset()))
    naps = []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            board.clear(fault)

    FaultBoard.hold(fault, None, nap)
    assert len(naps) == 3

    class StoppingError(Exception):
        pass

    def stopping(_seconds):
        raise StoppingError

    with pytest.raises(StoppingError):
        FaultBoard.hold(board.set(board.make("attaching_stuck", {}, (), frozenset())), None, stopping)


def test_faults_are_shown_to_people():
    text = render.faults({"kinds": [kind.describe() for kind in KINDS.values()], "set": []})
    for name, kind in KINDS.items():
        assert f"  {name}: " in text
        assert all(f"{parameter.name}=" in text for parameter in kind.parameters)
    assert text.endswith("Faults: none is set\n")
    shown = {"id": "f1", "kind": "x", "parameters": {"actions": ["A", "B"]}, "struck": 2, "remaining": None}
    assert "actions=A,B" in render.faults_set([shown], "")


def test_a_mountinfo_file_is_read():
    text = (
        "29 1 0:26 / / rw,relatime shared:1 - overlay overlay rw,lowerdir=/l\n"
        "45 29 7:3 / /var/lib/a\\040b rw,relatime shared:9 - ext4 /dev/nvme1n1 rw\n"
    )
    assert mounts_of(text) == [Mount("/", (0, 26), "overlay"), Mount("/var/lib/a b", (7, 3), "ext4")]
