# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which steps between versions of ZooKeeper a roll may take."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import release, zk_upgrade
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_4lw import Server
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_roll_plan import upgrade_refusals


@pytest.mark.parametrize("text", ["3.8.4", "3.8.4-9316c2a7a97e1666d8f4593f34dd6fc36ecc436c", " 3.8.4\n"])
def test_a_version_as_written_and_as_a_server_says_it(text: str) -> None:
    assert str(release.parse(text)) == "3.8.4"


@pytest.mark.parametrize("text", ["", "3.9", "3.9.x", "3.5.0-alpha", "v3.8.4", "3.8.4.1"])
def test_what_is_no_release_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no released version"):
        release.parse(text)


@pytest.mark.parametrize(
    ("running", "wanted", "allowed", "words"),
    [
        ("3.8.4", "3.8.4", False, None),
        ("3.8.3", "3.8.4", False, None),
        ("3.8.4", "3.9.3", False, None),
        ("3.5.10", "3.6.4", False, None),
        ("3.9.3", "3.8.4", True, None),
        ("3.8.4", "3.8.3", True, None),
        ("3.9.3", "3.8.4", False, "downgrade_allowed"),
        ("3.8.4", "3.8.3", False, "downgrade_allowed"),
        ("3.7.2", "3.9.3", False, "go to 3.8.x first"),
        ("3.9.3", "3.7.2", True, "go to 3.8.x first"),
        ("3.4.14", "3.5.10", False, "3.5"),
        ("3.5.10", "3.4.14", True, "3.5"),
        ("3.9.3", "4.0.0", True, "major"),
    ],
)
def test_the_steps(running: str, wanted: str, allowed: bool, words: str | None) -> None:
    fault = zk_upgrade.step_fault(release.parse(running), release.parse(wanted), downgrade_allowed=allowed)
    assert (fault is None) == (words is None)
    assert words is None or words in (fault or "")


def test_a_server_of_an_unknown_version_is_refused_and_one_that_is_away_is_not() -> None:
    servers = {
        1: Server("192.0.2.11:2181", reachable=True, mode="leader", version="3.10.0-SNAPSHOT"),
        2: Server("192.0.2.12:2181", reachable=False),
    }
    refusals = upgrade_refusals(servers, release.parse("3.9.3"), downgrade_allowed=True)
    assert [(one.reason, one.node_ids) for one in refusals] == [("upgrade_unsupported", [1])]
    assert "3.10.0-SNAPSHOT" in refusals[0].message
