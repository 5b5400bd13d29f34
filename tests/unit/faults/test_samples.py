# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Double identities are found in samples, and a hand-over is none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.observer import attachments
from tests.faults.samples import Sample, Watch, doubles


def sample(at: float = 0.0, **changes: Any) -> Sample:
    """Two living instances, the first of which holds kafka-1 and runs it."""
    given = {
        "states": {"i-a": "running", "i-b": "running"},
        "attached": {"kafka-1": frozenset({"i-a"})},
        "claims": {"kafka-1": "i-a"},
        "processes": (("kafka-1", "i-a"), ("kafka-2", "i-b")),
        **changes,
    }
    return Sample(at, **given)


@pytest.mark.parametrize(
    "innocent",
    [
        {},
        {"claims": None},
        {"claims": {}, "attached": {}},
        # Taken over from a dead holder whose claim or attachment is still written down.
        {"states": {"i-a": "terminated", "i-b": "running"}, "claims": {"kafka-1": "i-b"}},
        {"states": {"i-a": "running", "i-b": "terminated"}, "claims": {"kafka-1": "i-b"}},
        {"claims": {"kafka-1": "i-unknown"}},
    ],
)
def test_one_living_holder_is_no_double(innocent: dict[str, Any]) -> None:
    assert doubles([sample(**innocent)]) == []


@pytest.mark.parametrize(
    ("planted", "words"),
    [
        ({"claims": {"kafka-1": "i-b"}}, "kafka-1 has the living holders i-a, i-b"),
        ({"attached": {"kafka-1": frozenset({"i-a", "i-b"})}}, "kafka-1 has the living holders i-a, i-b"),
        # Who is shutting down, or stopped, still holds.
        (
            {"states": {"i-a": "shutting-down", "i-b": "running"}, "claims": {"kafka-1": "i-b"}},
            "kafka-1 has the living holders i-a, i-b",
        ),
        (
            {"states": {"i-a": "stopped", "i-b": "running"}, "claims": {"kafka-1": "i-b"}},
            "kafka-1 has the living holders i-a, i-b",
        ),
        ({"processes": (("kafka-1", "i-a"), ("kafka-1", "i-b"))}, "kafka-1 runs 2 times: on i-a, i-b"),
        ({"processes": (("kafka-1", "i-a"), ("kafka-1", "i-a"))}, "kafka-1 runs 2 times: on i-a, i-a"),
    ],
)
def test_a_double_is_found_once(planted: dict[str, Any], words: str) -> None:
    assert doubles([sample(), sample(1.0, **planted), sample(2.0, **planted)]) == [words]


def test_the_watch_knows_its_gaps() -> None:
    watch = Watch(100.0, [sample(100.0), sample(100.5), sample(107.5, claims=None), sample(108.0)])
    assert watch.longest_gap_seconds(108.5) == 7.0
    assert watch.longest_gap_seconds(130.0) == 22.0
    assert Watch(100.0).longest_gap_seconds(110.0) == 10.0
    assert watch.with_claims() == 3


def test_attachments_are_read_by_tags() -> None:
    ours = {"holdfast:cluster": "demo", "holdfast:role": "kafka", "holdfast:node-id": "1"}
    books = {
        "network_interfaces": [
            {"tags": ours, "attachment": {"instance_id": "i-a"}},
            {"tags": {}, "attachment": {"instance_id": "i-z"}},
            {"tags": {**ours, "holdfast:cluster": "other"}, "attachment": {"instance_id": "i-z"}},
        ],
        "volumes": [{"tags": ours, "attachment": {"instance_id": "i-b"}}, {"tags": ours, "attachment": None}],
    }
    assert attachments(books, "demo") == {"kafka-1": frozenset({"i-a", "i-b"})}
