# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of a round, and the proxy's reading of ZooKeeper's protocol."""

from __future__ import annotations

import struct

import pytest

from tests.herd.checker import Violation
from tests.herd.cutter import BEFORE, CREATE, WAYS, Chance, Frames, closing, request_of, session_of
from tests.herd.figures import percentile, summary
from tests.herd.history import Expectation, History, Verdict


@pytest.mark.parametrize(
    ("values", "share", "wanted"),
    [([], 0.5, None), ([3.0], 0.99, 3.0), ([4.0, 1.0, 3.0, 2.0], 0.5, 2.0), (list(range(1, 101)), 0.99, 99)],
)
def test_percentile_is_a_measured_value(values: list[float], share: float, wanted: float | None) -> None:
    assert percentile(values, share) == wanted


def test_summary_counts_winners_losers_races_and_doubles() -> None:
    attempts = ((1, "create", "lost"), (2, "create", "unknown"), (2, "create", "won"))
    winner = Verdict("a", 0, 10.0, 10.5, 12.0, "claimed", 2, 0, attempts=attempts, requests=("X", "Y"))
    loser = Verdict("b", 0, 10.0, 10.1, 17.0, reason="no_candidate", waits=("confirming",), requests=("X",) * 5)
    expected = Expectation(("a", "b"), (2,))
    found = summary(History((), (), (winner, loser)), expected, [Violation("two_identities", "x"), Violation("y", "z")])
    assert (found["claim_max_seconds"], found["own_max_seconds"], found["loser_p50_seconds"]) == (2.0, 1.5, 7.0)
    assert (found["attempts"], found["lost_races"], found["unknown_replies"]) == (3, 1, 1)
    assert (found["ec2_calls"], found["ec2_calls_per_winner_max"], found["ec2_calls_per_loser_max"]) == (7, 2, 5)
    assert (found["losers_by_reason"], found["waits"]) == ({"no_candidate": 1}, {"confirming": 1})
    assert (found["double_identity"], found["violations"]) == (1, ["two_identities: x", "y: z"])


def frame(content: bytes) -> bytes:
    return struct.pack(">i", len(content)) + content


def test_frames_come_whole_however_the_bytes_come() -> None:
    stream = frame(b"first") + frame(b"") + frame(b"third")
    for size in range(1, len(stream) + 1):
        frames = Frames()
        found = [one for at in range(0, len(stream), size) for one in frames.feed(stream[at : at + size])]
        assert found == [frame(b"first"), frame(b""), frame(b"third")]


def test_requests_and_sessions_are_read() -> None:
    assert request_of(frame(struct.pack(">ii", 7, CREATE) + b"rest")) == (7, CREATE)
    answer = frame(struct.pack(">iiqi", 0, 10000, 0x1234, 16) + b"p" * 16 + b"\0")
    assert session_of(answer) == (0x1234, b"p" * 16)
    connect, close = Frames().feed(closing(0x1234, b"p" * 16))
    assert struct.unpack_from(">q", connect, 4 + 4 + 8 + 4) == (0x1234,)
    assert request_of(close)[1] == -11


def test_chance_is_seeded_and_aims_at_writes() -> None:
    def ways(seed: int) -> list[str | None]:
        chance = Chance(seed, 0.5, 0.0, list(WAYS))
        return [chance.way(CREATE) for _each in range(50)]

    assert ways(1) == ways(1) != ways(2)
    assert set(ways(1)) == {None, *WAYS}
    quiet = Chance(1, 0.0, 0.0, [BEFORE])
    assert {quiet.way(operation) for operation in (CREATE, 4, 9, -11)} == {None}
