# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""zookeeper_roll_plan: what a play gets, refusals, and parameters that cannot be meant."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_4lw import Server
from ansible_collections.holdfast.kafka.plugins.modules import zookeeper_roll_plan

from tests.unit.plugins.modules.in_process import run_module

SERVERS = {"1": "192.0.2.11", "2": "192.0.2.12:2181", "3": "192.0.2.13"}


def plan(monkeypatch: pytest.MonkeyPatch, modes: str, *, check: bool = False, **more: Any) -> dict[str, Any]:
    """Run the module against servers 1..n: ``l`` leads, ``f`` follows, ``-`` does not answer."""

    def ask_all(addresses: dict[int, Any], _timeout_seconds: float) -> dict[int, Server]:
        seen = {}
        for (node_id, address), mode in zip(addresses.items(), modes, strict=True):
            known = {"l": "leader", "f": "follower", "-": None}[mode]
            synced = modes.count("f") if mode == "l" else None
            seen[node_id] = Server(
                str(address),
                known is not None,
                mode=known,
                synced_followers=synced,
                version=known and "3.8.4-9316c2a7a",
            )
        return seen

    monkeypatch.setattr(zookeeper_roll_plan, "ask_all", ask_all)
    return run_module(zookeeper_roll_plan, {"servers": SERVERS, **more}, check=check)


@pytest.mark.parametrize("check", [True, False])
def test_the_plan_is_the_same_in_check_mode(monkeypatch: pytest.MonkeyPatch, check: bool) -> None:
    result = plan(monkeypatch, "flf", check=check)
    assert (result["failed"], result["changed"]) == (False, False)
    assert (result["plan"]["batches"], result["plan"]["serial"]) == ([[1], [3], [2]], [1, 1, 1])
    assert result["states"] == {"1": "follower", "2": "leader", "3": "follower"}


def test_a_limit_narrows_whom_it_restarts_and_not_whom_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    result = plan(monkeypatch, "fl-", target_node_ids=[1])
    assert (result["failed"], result["reason"]) == (True, "refused")
    assert [one["reason"] for one in result["plan"]["refusals"]] == ["server_missing"]
    assert "192.0.2.13:2181" in result["msg"]
    assert "(reason: server_missing)" in result["msg"]


def test_the_skipped_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    result = plan(monkeypatch, "flf", skipped={"1": "runs with what is on disk", "3": "the same"})
    assert result["plan"]["batches"] == [[2]]
    assert result["plan"]["skipped"][0] == {"node_id": 1, "why": "runs with what is on disk"}


def test_an_upgrade_is_planned_by_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    result = plan(monkeypatch, "flf", to_version="3.9.3")
    assert (result["failed"], result["versions"]) == (False, {"1": "3.8.4", "2": "3.8.4", "3": "3.8.4"})


@pytest.mark.parametrize(("to_version", "allowed"), [("3.10.0", True), ("3.7.2", False), ("4.0.0", True)])
def test_an_upgrade_that_no_roll_can_make_is_refused(
    monkeypatch: pytest.MonkeyPatch, to_version: str, allowed: bool
) -> None:
    result = plan(monkeypatch, "fl-", to_version=to_version, downgrade_allowed=allowed)
    assert result["reason"] == "refused"
    assert [one["reason"] for one in result["plan"]["refusals"]] == ["upgrade_unsupported"] * 2
    assert to_version in result["msg"]
    assert "192.0.2.11:2181" in result["msg"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"servers": {}}, "no server"),
        ({"servers": {"0": "a"}}, "'0'"),
        ({"servers": {"01": "a"}}, "'01'"),
        ({"servers": {"256": "a"}}, "'256'"),
        ({"servers": {"x": "a"}}, "'x'"),
        ({"servers": {"1": "a", "2": "a:2181"}}, "server 2"),
        ({"servers": {"1": "a:none"}}, "a:none"),
        ({"target_node_ids": [4]}, "[4]"),
        ({"target_node_ids": []}, "at least one"),
        ({"skipped": {"9": "why"}}, "skipped names 9"),
        ({"timeout_seconds": "nan"}, "timeout_seconds"),
        ({"seconds_per_server": -1}, "seconds_per_server"),
        ({"to_version": "3.9"}, "3.9"),
    ],
)
def test_bad_parameters(monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], words: str) -> None:
    result = plan(monkeypatch, "flf", **arguments)
    assert (result["failed"], result["reason"]) == (True, "bad_parameter")
    assert words in result["msg"]
