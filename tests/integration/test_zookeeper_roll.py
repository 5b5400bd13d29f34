# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan and the stop of a ZooKeeper roll against real servers that are killed, frozen and elect anew."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import cluster_lock, lock_record
from ansible_collections.holdfast.kafka.plugins.module_utils.lock_store import LockStore
from kazoo.client import KazooClient

from tests.integration.ansible_run import run_module
from tests.integration.services import ZooKeeperEnsemble, ZooKeeperServer, wait_for
from tests.integration.unit_stand_in import show_as_unit

PLAN = "holdfast.kafka.zookeeper_roll_plan"
STOP = "holdfast.kafka.zookeeper_server_stop"


def _servers(ensemble: ZooKeeperEnsemble) -> dict[str, str]:
    return {str(server.server_id): server.host for server in ensemble.servers}


def _settled(ensemble: ZooKeeperEnsemble) -> None:
    """Wait until the leader counts every other server as in sync."""
    wanted = f"zk_synced_followers\t{len(ensemble.servers) - 1}"
    wait_for("all followers in sync", lambda: wanted in ensemble.leader().four_letters("mntr"), 20)


def _stop(
    ensemble: ZooKeeperEnsemble, server: ZooKeeperServer, tmp_path: Path, patch: pytest.MonkeyPatch, **more: Any
) -> dict[str, Any]:
    """Run the module for a server as the roll runs it on the server's host."""
    check = more.pop("check", False)
    show_as_unit(server, tmp_path / f"{server.name}-bin", patch)
    arguments = {"servers": _servers(ensemble), "node_id": server.server_id, "poll_seconds": 0.2, **more}
    return run_module(STOP, arguments, check=check)


def test_the_leader_is_last_in_the_plan(zookeeper_ensemble: ZooKeeperEnsemble) -> None:
    _settled(zookeeper_ensemble)
    result = run_module(PLAN, {"servers": _servers(zookeeper_ensemble)})
    leader = zookeeper_ensemble.leader().server_id
    assert (result["plan"]["leader_id"], result["plan"]["batches"][-1]) == (leader, [leader])
    assert sorted(one for batch in result["plan"]["batches"] for one in batch) == [1, 2, 3]


def test_a_killed_server_is_first_and_without_it_the_roll_is_refused(zookeeper_ensemble: ZooKeeperEnsemble) -> None:
    _settled(zookeeper_ensemble)
    victim, others = zookeeper_ensemble.follower(), []
    victim.kill()
    others = [one.server_id for one in zookeeper_ensemble.servers if one is not victim]
    whole = run_module(PLAN, {"servers": _servers(zookeeper_ensemble)})
    assert whole["plan"]["batches"][0] == [victim.server_id]
    assert whole["plan"]["servers"][0]["action"] == "start"
    limited = run_module(PLAN, {"servers": _servers(zookeeper_ensemble), "target_node_ids": others})
    assert limited["reason"] == "refused"
    assert limited["plan"]["refusals"][0]["reason"] == "server_missing"
    assert victim.host in limited["msg"]


def test_a_follower_is_stopped_and_the_others_keep_serving(
    zookeeper_ensemble: ZooKeeperEnsemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _settled(zookeeper_ensemble)
    follower, leader = zookeeper_ensemble.follower(), zookeeper_ensemble.leader()
    client = KazooClient(hosts=leader.host, timeout=10)
    client.start(timeout=10)
    try:
        checked = _stop(zookeeper_ensemble, follower, tmp_path, monkeypatch, check=True)
        assert (checked["changed"], checked["outcome"], follower.alive) == (True, "stopped", True)
        result = _stop(zookeeper_ensemble, follower, tmp_path, monkeypatch)
        assert client.create("/after-the-stop", b"x", ephemeral=True) == "/after-the-stop", "the same session writes"
    finally:
        client.stop()
        client.close()
    assert (result["failed"], result["changed"], result["outcome"]) == (False, True, "stopped"), result["stdout_text"]
    assert (result["mode"], result["killed"], result["gate_reads"]) == ("follower", False, 2)
    assert result["rest_seconds"] < 10
    assert (follower.alive, zookeeper_ensemble.leader()) == (False, leader)
    again = run_module(STOP, {"servers": _servers(zookeeper_ensemble), "node_id": follower.server_id})
    assert (again["changed"], again["outcome"]) == (False, "nothing_to_stop")


def test_the_gate_stays_closed_while_another_server_is_killed(
    zookeeper_ensemble: ZooKeeperEnsemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _settled(zookeeper_ensemble)
    leader = zookeeper_ensemble.leader()
    killed, kept = (one for one in zookeeper_ensemble.servers if one is not leader)
    killed.kill()
    for server in (kept, leader):
        pid = server.pid
        result = _stop(zookeeper_ensemble, server, tmp_path, monkeypatch, gate_timeout_seconds=2, leader_allowed=True)
        assert (result["failed"], result["reason"], result["changed"]) == (True, "gate_closed", False)
        assert killed.host in result["msg"]
        assert server.pid == pid, "it still runs"


def test_the_gate_opens_when_a_frozen_server_goes_on(
    zookeeper_ensemble: ZooKeeperEnsemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _settled(zookeeper_ensemble)
    leader = zookeeper_ensemble.leader()
    frozen, stopped = (one for one in zookeeper_ensemble.servers if one is not leader)
    frozen.pause()
    thaw = threading.Timer(12, frozen.resume)  # longer than a look that waits for its answer
    thaw.start()
    try:
        result = _stop(zookeeper_ensemble, stopped, tmp_path, monkeypatch)
    finally:
        thaw.join()
    assert (result["failed"], result["outcome"]) == (False, "stopped"), result["stdout_text"]
    assert result["gate_waited_seconds"] > 0
    assert result["gate_reads"] > 2


def test_who_leads_by_now_is_deferred_and_stopped_when_its_turn_is_last(
    zookeeper_ensemble: ZooKeeperEnsemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _settled(zookeeper_ensemble)
    first = zookeeper_ensemble.leader()
    first.kill()
    wait_for("another leader", lambda: any(one.mode() == "leader" for one in zookeeper_ensemble.servers), 20)
    first.start()
    _settled(zookeeper_ensemble)
    moved = zookeeper_ensemble.leader()
    assert moved is not first, "leadership has moved since the plan"
    deferred = _stop(zookeeper_ensemble, moved, tmp_path, monkeypatch)
    assert (deferred["outcome"], deferred["changed"], moved.mode()) == ("deferred", False, "leader")
    result = _stop(zookeeper_ensemble, moved, tmp_path, monkeypatch, leader_allowed=True)
    assert (result["outcome"], result["mode"], moved.alive) == ("stopped", "leader", False), result["stdout_text"]
    assert zookeeper_ensemble.leader() is not moved, "the others have elected before the module ended"


def test_a_lock_that_was_given_away_stops_nothing(
    zookeeper_ensemble: ZooKeeperEnsemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _settled(zookeeper_ensemble)
    follower = zookeeper_ensemble.follower()
    hosts = zookeeper_ensemble.hosts
    with closing(LockStore(hosts, lock_record.lock_path("rolltest"))) as store:
        owner = lock_record.Owner("run-1", "somebody", "zookeeper_rolling_restart", "2026-01-01T00:00:00Z", 600)
        lock = cluster_lock.acquire(store, owner).token.as_dict()
        held = _stop(zookeeper_ensemble, follower, tmp_path, monkeypatch, lock=lock, zookeeper_hosts=hosts, check=True)
        assert held["outcome"] == "stopped"
        cluster_lock.release_by_force(store, "operator", "a test", "2026-01-01T00:00:01Z")
    lost = _stop(zookeeper_ensemble, follower, tmp_path, monkeypatch, lock=lock, zookeeper_hosts=hosts)
    assert (lost["failed"], lost["reason"], lost["changed"]) == (True, "lock_lost", False)
    assert "run-1" in lost["msg"]
    assert follower.mode() == "follower", "it still runs"


def test_a_lone_server_is_stopped_only_when_an_interruption_is_allowed(
    own_zookeeper_server: ZooKeeperEnsemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = own_zookeeper_server.servers[0]
    refused = run_module(PLAN, {"servers": _servers(own_zookeeper_server)})
    assert [one["reason"] for one in refused["plan"]["refusals"]] == ["no_majority_left"]
    closed = _stop(own_zookeeper_server, server, tmp_path, monkeypatch, gate_timeout_seconds=1)
    assert (closed["reason"], server.alive) == ("gate_closed", True)
    result = _stop(own_zookeeper_server, server, tmp_path, monkeypatch, interruption_allowed=True)
    assert (result["outcome"], server.alive) == ("stopped", False)
