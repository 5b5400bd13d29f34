# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""zookeeper_ensemble_info against real servers."""

from __future__ import annotations

import pytest

from tests.integration.ansible_run import run_module
from tests.integration.services import ZooKeeperEnsemble
from tests.ports import free_ports

MODULE = "holdfast.kafka.zookeeper_ensemble_info"


@pytest.mark.parametrize("check", [False, True])
def test_a_whole_quorum(zookeeper_ensemble: ZooKeeperEnsemble, check: bool) -> None:
    result = run_module(MODULE, {"hosts": zookeeper_ensemble.hosts}, check=check)
    assert result["quorum"] == {
        "leader": zookeeper_ensemble.leader().host,
        "expected": 3,
        "serving": 3,
        "synced_followers": 2,
        "whole": True,
        "faults": [],
    }
    assert [server["host"] for server in result["servers"]] == zookeeper_ensemble.hosts
    assert sorted(server["mode"] for server in result["servers"]) == ["follower", "follower", "leader"]
    assert all(server["version"].startswith("3.8.4") for server in result["servers"])
    assert result["changed"] is False


def test_a_killed_follower_is_named(zookeeper_ensemble: ZooKeeperEnsemble) -> None:
    follower = zookeeper_ensemble.follower()
    follower.kill()
    result = run_module(MODULE, {"hosts": zookeeper_ensemble.hosts})
    assert result["quorum"]["whole"] is False
    assert result["quorum"]["serving"] == 2
    assert any(fault.startswith(follower.host) for fault in result["quorum"]["faults"])
    entry = next(server for server in result["servers"] if server["host"] == follower.host)
    assert entry["error"]["reason"] == "refused"


def test_a_frozen_server_is_a_timeout_and_costs_one_timeout_only(zookeeper_ensemble: ZooKeeperEnsemble) -> None:
    follower = zookeeper_ensemble.follower()
    follower.pause()
    result = run_module(MODULE, {"hosts": zookeeper_ensemble.hosts, "timeout_seconds": 1})
    entry = next(server for server in result["servers"] if server["host"] == follower.host)
    assert (entry["reachable"], entry["error"]["reason"]) == (False, "timeout")


def test_without_a_majority_a_server_runs_and_does_not_serve(zookeeper_ensemble: ZooKeeperEnsemble) -> None:
    first, second, third = zookeeper_ensemble.servers
    first.kill()
    second.kill()
    arguments = {"hosts": [third.host], "expected": 3}
    for _ in range(20):
        result = run_module(MODULE, arguments)
        if result["servers"][0]["mode"] is None:
            break
    assert result["servers"][0]["error"]["reason"] == "not_serving"
    assert result["servers"][0]["reachable"] is True
    assert result["quorum"]["whole"] is False


def test_a_lone_server(zookeeper_server: ZooKeeperEnsemble) -> None:
    result = run_module(MODULE, {"hosts": zookeeper_server.hosts})
    assert (result["quorum"]["whole"], result["servers"][0]["mode"]) == (True, "standalone")
    as_one_of_three = run_module(MODULE, {"hosts": zookeeper_server.hosts, "expected": 3})
    assert as_one_of_three["quorum"]["whole"] is False


def test_nobody_there() -> None:
    result = run_module(MODULE, {"hosts": [f"127.0.0.1:{free_ports(1)[0]}"]})
    assert (result["failed"], result["quorum"]["whole"]) == (False, False)
