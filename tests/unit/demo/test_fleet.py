# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a cluster's state: what is missing is named."""

from __future__ import annotations

import pytest

from lab.demo import fleet
from lab.demo.stage import StageError, wait_until

TOPICS = [
    {
        "name": "demo",
        "partitions": [
            {"partition_index": 0, "replica_nodes": [1, 2, 3], "isr_nodes": [1, 2, 3]},
            {"partition_index": 1, "replica_nodes": [1, 2], "isr_nodes": [1]},
        ],
    }
]


def test_a_replica_outside_of_the_isr_is_named() -> None:
    assert fleet.isr_missing(TOPICS, {1, 3}) is None
    assert fleet.isr_missing(TOPICS, {2}) == "1 partitions, first demo-1 misses [2]"


@pytest.mark.parametrize(
    ("modes", "synced", "words"),
    [
        ({"a": "leader", "b": "follower", "c": None}, "1", "not serving: c"),
        ({"a": "follower", "b": "follower", "c": "follower"}, "2", "leaders: []"),
        ({"a": "leader", "b": "follower", "c": "follower"}, "1", "1 synced followers of 2"),
        ({"a": "leader", "b": "follower", "c": "follower"}, "2", None),
        ({"a": "leader", "b": "follower", "c": "follower"}, "", "does not report"),
    ],
)
def test_a_quorum_that_is_not_whole_says_why(
    monkeypatch: pytest.MonkeyPatch, modes: dict[str, str | None], synced: str, words: str | None
) -> None:
    monkeypatch.setattr(fleet, "zookeeper_mode", lambda address: modes[address])
    monkeypatch.setattr(fleet, "four_letters", lambda *_: f"zk_synced_followers\t{synced}\n" if synced else "")
    found = fleet.quorum_missing(list(modes))
    assert found is None if words is None else words in str(found)


def test_a_wait_is_bounded_and_names_what_was_missing() -> None:
    assert wait_until("nothing", lambda: None, 1) < 1
    with pytest.raises(StageError, match="the moon: not within 0 s; last seen: no rocket"):
        wait_until("the moon", lambda: "no rocket", 0.1, poll_seconds=0.05)
