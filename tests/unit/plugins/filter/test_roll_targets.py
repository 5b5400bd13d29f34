# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a run is for, and who in its limit is no member of the pool."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.kafka.plugins.filter.roll_targets import FilterModule

roll_targets = FilterModule().filters()["roll_targets"]
NAMES = ["c-kafka-1", "c-kafka-2", "c-kafka-3"]
GROUP = ["c-kafka-1", "c-kafka-2", "c-kafka-9"]


@pytest.mark.parametrize(
    ("hosts", "limited", "targets", "strangers"),
    [
        (["localhost", *GROUP], False, NAMES, []),
        ([], False, NAMES, []),
        (["c-kafka-2", "c-kafka-1"], True, ["c-kafka-1", "c-kafka-2"], []),
        (["c-kafka-1", "c-kafka-9"], True, ["c-kafka-1"], ["c-kafka-9"]),
        (["c-kafka-1", "c-zookeeper-1", "localhost"], True, ["c-kafka-1"], []),
        # In the pool and not yet in the inventory's group.
        (["c-kafka-3"], True, ["c-kafka-3"], []),
        (["c-zookeeper-1"], True, [], []),
    ],
)
def test_who_is_meant(hosts: list[str], limited: bool, targets: list[str], strangers: list[str]) -> None:
    assert roll_targets(NAMES, hosts, GROUP, limited) == {"targets": targets, "strangers": strangers}
