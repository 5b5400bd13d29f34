# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks that roll through the ensemble: order, skips, refusals, a leader that moves, and nothing lost."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path

import pytest

from lab.demo import cluster, fleet, playbooks, workload
from lab.demo.fleet import Holder
from lab.demo.stage import REPOSITORY, Stage, wait_until
from tests.scenarios.stories import nodes

ROLL_SECONDS = 420


def _roll(name: str, reports: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a roll's playbook, with its record below ``reports``."""
    return subprocess.run(
        playbooks.playbook(f"{name}.yml", "-e", f"roll_run_reports_directory={reports}", *arguments),
        capture_output=True,
        text=True,
        env=playbooks.ansible_environment(),
        cwd=REPOSITORY,
        timeout=ROLL_SECONDS,
        check=False,
    )


def _events(reports: Path) -> list[dict[str, object]]:
    """What the latest run noted so far."""
    found = sorted(reports.glob("rolls/*/events.jsonl"))
    return [json.loads(line) for line in found[-1].read_text(encoding="utf-8").splitlines()] if found else []


def _leader() -> Holder:
    return next(one for one in nodes("zookeeper") if fleet.zookeeper_mode(one.private_ip) == "leader")


def _batches(reports: Path) -> list[int]:
    """The servers in the order in which their turns ended."""
    return [one["node_ids"][0] for one in _events(reports) if one["kind"] == "batch_end"]  # type: ignore[index]  # a list of ids


def _await_first_turn(roll: threading.Thread, reports: Path) -> None:
    """Wait until the roll's first turn has ended, or the roll itself has: then the test says why."""

    def missing() -> str | None:
        return None if _batches(reports) or not roll.is_alive() else "in its first turn"

    wait_until("the first turn's end", missing, 240)


def test_a_restart_takes_the_leader_last_and_loses_nothing(stage: Stage, tmp_path: Path) -> None:
    brokers = cluster.addresses("kafka")
    workload.create_topic(brokers, "zookeeper-roll", partitions=6)
    producer = workload.Producer(brokers, "zookeeper-roll", stage.logs)
    producer.start()
    try:
        before, leader = fleet.census(cluster.CLUSTER), _leader()
        done = _roll("zookeeper_rolling_restart", tmp_path)
        after = fleet.census(cluster.CLUSTER)
        verdict = workload.verify(producer, stage.say)
    finally:
        producer.stop()
    assert done.returncode == 0, done.stdout[-4000:]
    servers = {one.name for one in nodes("zookeeper")}
    assert _batches(tmp_path)[-1] == leader.node_id
    assert set(fleet.restarted(before, after, set())) == servers
    assert fleet.reconfigured(before, after, set()) == []
    assert (verdict.lost, verdict.acked > 0) == (0, True), verdict
    again = _roll("zookeeper_rolling_restart", tmp_path, "-e", "zookeeper_roll_scope=pending")
    assert again.returncode == 0, again.stdout[-4000:]
    assert set(playbooks.changed(again.stdout).values()) == {0}, again.stdout[-4000:]
    assert fleet.census(cluster.CLUSTER) == after


def test_a_changed_variable_is_shown_brought_and_then_there(stage: Stage, tmp_path: Path) -> None:
    before = fleet.census(cluster.CLUSTER)
    changed = ("-e", "zookeeper_log_level=WARN")
    try:
        check = _roll("zookeeper_rolling_configure", tmp_path, "--check", "--diff", *changed)
        assert check.returncode == 0, check.stdout[-4000:]
        assert '+  <root level="WARN">' in check.stdout
        assert fleet.census(cluster.CLUSTER) == before, "a check touches nothing"
        assert _roll("zookeeper_rolling_configure", tmp_path, *changed).returncode == 0
        after = fleet.census(cluster.CLUSTER)
        assert set(fleet.restarted(before, after, set())) == {one.name for one in nodes("zookeeper")}
        again = _roll("zookeeper_rolling_configure", tmp_path, *changed)
        assert again.returncode == 0, again.stdout[-4000:]
        assert set(playbooks.changed(again.stdout).values()) == {0}, again.stdout[-4000:]
        assert fleet.census(cluster.CLUSTER) == after
    finally:
        stage.say("taking the change back")
        assert _roll("zookeeper_rolling_configure", tmp_path).returncode == 0


def test_whoever_leads_by_now_comes_last(stage: Stage, tmp_path: Path) -> None:
    """Leadership moves after the first turn, to the server that the plan has second."""
    first = _leader()
    done: list[subprocess.CompletedProcess[str]] = []
    thread = threading.Thread(target=lambda: done.append(_roll("zookeeper_rolling_restart", tmp_path)))
    thread.start()
    try:
        _await_first_turn(thread, tmp_path)
        fleet.ssh(first.private_ip, "systemctl restart zookeeper")
    finally:
        thread.join()
    stage.say(f"leadership moved from {first.name} to {_leader().name}")
    assert done[0].returncode == 0, done[0].stdout[-4000:]
    assert "leads by now; its turn comes last" in done[0].stdout
    order = _batches(tmp_path)
    assert sorted(order) == [1, 2, 3]
    assert order[-1] != first.node_id, "it led when the roll was planned, and did not any more"
    report = json.loads((tmp_path / "roll.json").read_text(encoding="utf-8"))
    assert [one["node_ids"][0] for one in _events(tmp_path) if one["kind"] == "deferred"] == order[-1:]  # type: ignore[index]  # a list of ids
    last = next(node for node in report["nodes"] if node["node_id"] == order[-1])
    others = [node["in_sync_seconds"] for node in report["nodes"] if node["node_id"] != order[-1]]
    assert last["stop_start_seconds"] > max(others), "while it waited for its turn it served"


def test_a_gate_that_closes_in_the_middle_ends_the_roll_and_the_next_run_goes_on(stage: Stage, tmp_path: Path) -> None:
    order = [one.node_id for one in nodes("zookeeper") if fleet.zookeeper_mode(one.private_ip) == "follower"]
    victim, leader = fleet.holder_of(cluster.CLUSTER, "zookeeper", order[0]), _leader()
    before = fleet.census(cluster.CLUSTER)
    done: list[subprocess.CompletedProcess[str]] = []
    arguments = ("-e", "zookeeper_roll_gate_timeout_seconds=5")
    thread = threading.Thread(
        target=lambda: done.append(_roll("zookeeper_rolling_restart", tmp_path / "first", *arguments))
    )
    thread.start()
    try:
        _await_first_turn(thread, tmp_path / "first")
        fleet.ssh(victim.private_ip, "systemctl stop zookeeper")
    finally:
        thread.join()
    assert done[0].returncode != 0
    assert "gate_closed" in done[0].stdout
    assert _batches(tmp_path / "first") == [victim.node_id]
    kinds = [one["kind"] for one in _events(tmp_path / "first")]
    assert kinds[-1] == "failed", "and no run_end"
    assert fleet.running_process(leader) == before[leader.name], "nobody behind the closed gate was touched"
    # The lock was given back, and the server that is away comes first.
    again = _roll("zookeeper_rolling_restart", tmp_path / "again")
    assert again.returncode == 0, again.stdout[-4000:]
    assert _batches(tmp_path / "again")[0] == victim.node_id
    stage.say(f"the gate closed for {victim.name}; the next run started it first")


@pytest.mark.parametrize("limit", ["demo-kafka-1", "kafka"])
def test_a_limit_without_a_server_is_no_success(stage: Stage, tmp_path: Path, limit: str) -> None:
    before = fleet.census(cluster.CLUSTER)
    done = _roll("zookeeper_rolling_restart", tmp_path, "--limit", limit)
    assert done.returncode != 0
    assert "nothing_to_roll" in done.stdout + done.stderr
    assert fleet.census(cluster.CLUSTER) == before
    stage.say("nobody was touched")


def test_a_server_that_is_away_forbids_the_others_and_is_first_without_a_limit(stage: Stage, tmp_path: Path) -> None:
    victim = next(one for one in nodes("zookeeper") if fleet.zookeeper_mode(one.private_ip) == "follower")
    fleet.ssh(victim.private_ip, "systemctl stop zookeeper")
    try:
        others = ",".join(f"demo-{one.name}" for one in nodes("zookeeper") if one.name != victim.name)
        refused = _roll("zookeeper_rolling_restart", tmp_path, "--limit", others)
        assert refused.returncode != 0
        assert "server_missing" in refused.stdout + refused.stderr
        assert _roll("zookeeper_rolling_restart", tmp_path).returncode == 0
        assert _batches(tmp_path)[0] == victim.node_id
    finally:
        fleet.ssh(victim.private_ip, "systemctl start zookeeper")
    stage.say(f"{victim.name} was started first")
