# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of the rolls' roles against real brokers: what a refusal leaves, and whose turn comes later."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.kafka.plugins.module_utils import kafka_reader

from tests.integration import test_kafka_dynamic_config as dynamic
from tests.integration.kafka_topics import topic
from tests.integration.services import KafkaCluster, ZooKeeperEnsemble
from tests.integration.test_kafka_roll import options_of, pool, settled
from tests.integration.test_roll_run import ROOT, World, part, world
from tests.integration.unit_stand_in import show_as_unit

__all__ = ["world"]
SETTING = {"background.threads": 11}
HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}


def on_host(name: str, group: str, **variables: Any) -> dict[str, Any]:
    """Return the play that adds a host."""
    return {
        "hosts": "node-1",
        "gather_facts": False,
        "tasks": [{"ansible.builtin.add_host": {"name": name, "groups": [group], **HERE, **variables}}],
    }


def include(role: str, part: str, variables: dict[str, Any]) -> dict[str, Any]:
    """Return the task that runs a part of a role."""
    return {"ansible.builtin.include_role": {"name": f"holdfast.kafka.{role}", "tasks_from": part}, "vars": variables}


@pytest.mark.parametrize("allowed", [[], ["tight"]], ids=["refused", "allowed"])
def test_a_roll_that_is_refused_has_set_nothing(kafka_cluster: KafkaCluster, world: World, allowed: list[str]) -> None:
    first = kafka_cluster.brokers[1]
    variables: dict[str, Any] = {
        "__kafka_roll_bootstrap": kafka_cluster.bootstrap_servers,
        "__kafka_roll_brokers": pool(kafka_cluster),
        "__kafka_roll_prefix": "c-kafka-",
        "kafka_roll_configure": True,
        "kafka_roll_unavailable_topics_allowed": allowed,
        "kafka_dynamic_properties": SETTING,
        "kafka_brokers": {"1": "127.0.0.1"},
        "kafka_port": first.port,
        "roll_run_bootstrap_servers": [],
    }
    claim = {"node_id": 1, "availability_zone": "a", "eni": {"private_ip": "127.0.0.1"}, "volumes": []}
    pools: dict[str, list[Any]] = {"zookeeper": [], "kafka": []}
    due = {"kafka_roll_due": "its configuration changes", "node_identity_claim": claim, "holdfast_pools": pools}
    plan = {
        "hosts": "kafka_roll_targets[0]",
        "gather_facts": False,
        "any_errors_fatal": True,
        "tasks": [include("kafka_roll", "plan", variables)],
    }
    try:
        with topic(kafka_cluster, "tight", {0: [1, 2]}):
            settled(kafka_cluster)
            done = world.play(on_host("c-kafka-1", "kafka_roll_targets", **due), plan)
            assert (done.returncode == 0) == bool(allowed), done.stdout + done.stderr
            assert ("replication_not_above_min_isr" in done.stdout + done.stderr) != bool(allowed)
            left = dynamic.apply(kafka_cluster, SETTING, check=True)
    finally:
        dynamic.apply(kafka_cluster, dict.fromkeys(SETTING))
    assert left["changed"] is not bool(allowed), left


def turns(world: World, who: int, leader_allowed: bool, **variables: Any) -> dict[str, str]:
    """Run the turns of nodes_rolling_replace for one node in check mode; return what each of the two plays printed."""
    plays = yaml.safe_load((ROOT / "playbooks/nodes_rolling_replace.yml").read_text(encoding="utf-8"))[2:4]
    begin = {
        "hosts": "node-1",
        "gather_facts": False,
        "tasks": [part("begin", roll_run_playbook="nodes_rolling_replace")],
    }
    planned = {
        "node_replace_node_id": who,
        "node_replace_batch": 1,
        "node_replace_holder": "i-0",
        "node_replace_leader_allowed": leader_allowed,
        "node_replace_region": "nowhere-1",
        "holdfast_region": "nowhere-1",
        **variables,
    }
    for play in plays:
        # What the role knows by itself gives way to its include alone.
        own = {name: value for name, value in variables.items() if name.startswith("__")}
        play["tasks"][0]["vars"] = {**play["tasks"][0].get("vars", {}), **own}
    done = world.play(begin, on_host(f"c-{who}", "node_replace_order", **planned), *plays, check=True)
    printed = done.stdout + done.stderr
    return {number: printed.partition(f"PLAY [({number}/5)")[2].partition("PLAY [(")[0] for number in "34"}


REPLACED = "replace | Let the group replace the instance"


def whose_turn_is_later(world: World, who: int, **variables: Any) -> None:
    """A node that leads by now is left alone until the others are done; the last of the plan is not put off."""
    put_off = turns(world, who, False, **variables)
    assert "its turn comes last" in put_off["3"], put_off
    assert REPLACED not in put_off["3"]
    assert REPLACED in put_off["4"], put_off
    last = turns(world, who, True, **variables)
    assert REPLACED in last["3"], last
    assert "its turn comes last" not in last["3"]


def test_a_controller_that_has_moved_has_its_turn_after_the_others(
    kafka_cluster: KafkaCluster, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled(kafka_cluster)
    who = kafka_reader.read_in_full(options_of(kafka_cluster)).controller_id
    assert who is not None
    show_as_unit(kafka_cluster.brokers[who], tmp_path / "bin", monkeypatch)
    brokers = {
        "__node_replace_bootstrap": kafka_cluster.bootstrap_servers,
        "__node_replace_brokers": pool(kafka_cluster),
    }
    identities = {str(node_id): "127.0.0.1" for node_id in kafka_cluster.brokers}
    whose_turn_is_later(world, who, node_replace_role="kafka", node_replace_identities=identities, **brokers)
    assert kafka_cluster.brokers[who].alive


def test_a_leader_that_was_elected_meanwhile_has_its_turn_after_the_others(
    zookeeper_ensemble: ZooKeeperEnsemble, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = zookeeper_ensemble.leader()
    show_as_unit(leader, tmp_path / "bin", monkeypatch)
    identities = {str(server.server_id): server.host for server in zookeeper_ensemble.servers}
    whose_turn_is_later(world, leader.server_id, node_replace_role="zookeeper", node_replace_identities=identities)
    assert leader.alive


def test_a_user_of_the_run_alone_takes_the_lock_and_proves_it_at_the_stop(
    zookeeper_ensemble: ZooKeeperEnsemble, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = zookeeper_ensemble.follower()
    show_as_unit(follower, tmp_path / "bin", monkeypatch)
    others = {"scheme": "digest", "username": "holdfast", "password": "of-the-nodes"}
    world.variables |= {
        "holdfast_zookeeper_auth": others,
        "roll_run_zookeeper_auth": {"scheme": "digest", "username": "roller", "password": "of-the-run"},
    }
    known = {
        "zookeeper_node_id": follower.server_id,
        "zookeeper_roll_servers": {str(server.server_id): server.host for server in zookeeper_ensemble.servers},
        "zookeeper_roll_turn": {"action": "restart", "last": False, "batch": 1},
    }
    stop = {"hosts": "turn", "gather_facts": False, "tasks": [include("zookeeper_roll", "stop", {})]}
    begin, end = (
        {"hosts": "node-1", "gather_facts": False, "tasks": [task]}
        for task in (part("begin", roll_run_playbook="zookeeper_rolling_restart"), part("end"))
    )
    done = world.play(begin, on_host("c-zookeeper", "turn", **known), stop, end, told="-vvv")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not follower.alive
    kept = [path.read_text() for path in world.reports.rglob("*") if path.is_file()]
    assert kept, "the run has left its record"
    assert [text for text in (done.stdout, done.stderr, *kept) if "of-the-run" in text] == []


def test_a_server_that_does_not_start_again_ends_the_roll_with_a_word_and_without_the_lock(
    zookeeper_ensemble: ZooKeeperEnsemble, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in for systemd stops services and starts none, neither in the turn nor in its rescue."""
    follower = zookeeper_ensemble.follower()
    show_as_unit(follower, tmp_path / "bin", monkeypatch)
    known = {
        "zookeeper_node_id": follower.server_id,
        "zookeeper_roll_servers": {str(server.server_id): server.host for server in zookeeper_ensemble.servers},
        "zookeeper_roll_turn": {"action": "restart", "last": False, "batch": 1, "after_start": False},
    }
    begin = {
        "hosts": "node-1",
        "gather_facts": False,
        "tasks": [part("begin", roll_run_playbook="zookeeper_rolling_restart")],
    }
    turn = {
        "hosts": "turn",
        "gather_facts": False,
        "serial": 1,
        "any_errors_fatal": True,
        "tasks": [include("zookeeper_roll", "main", {})],
    }
    done = world.play(begin, on_host("c-zookeeper", "turn", **known), turn)
    assert done.returncode != 0, done.stdout
    assert not follower.alive
    assert "could not be started again" in done.stdout, done.stdout[-3000:]
    report = world.report()
    assert (report["outcome"], report["reason"]) == ("failed", "service_failed"), report
    assert world.free(), "the lock was given back"
