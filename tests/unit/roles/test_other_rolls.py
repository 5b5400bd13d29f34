# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rolls of ZooKeeper and of instances: whom they are about, what failed, what is done, and who is started again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.roles.role_run import ROOT, run_plays

LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
SERVERS = [{"node_id": number, "private_ip": f"192.0.2.{number}"} for number in (1, 2, 3)]
TARGETS: tuple[str, str, dict[str, Any]] = ("holdfast.kafka.zookeeper_roll", "targets", {})
LOOK = ("holdfast.kafka.node_replace", "look", {"node_replace_role": "zookeeper", "holdfast_region": "eu-central-1"})


def include(role: str, part: str, **variables: Any) -> dict[str, Any]:
    """Return the task that includes a part of a role."""
    return {"include_role": {"name": role, "tasks_from": part}, "vars": variables}


def run(tmp_path: Path, play: dict[str, Any], hosts: dict[str, Any], *arguments: str, **shared: Any) -> tuple[int, str]:
    """Run one play; return the status and the output in one line."""
    group: dict[str, Any] = {"hosts": {name: {} for name in hosts if name.startswith("c-zookeeper")}}
    inventory = {"hosts": {"localhost": LOCAL, **hosts}, "children": {"zookeeper": group}}
    variables = {"holdfast_cluster": "c", "holdfast_pools": {"zookeeper": SERVERS}, **shared}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {**inventory, "vars": variables}}))
    status, output = run_plays([{"gather_facts": False, **play}], tmp_path / "hosts.yml", *arguments)
    return status, " ".join(output.split())


@pytest.mark.parametrize("entry", [TARGETS, LOOK], ids=["zookeeper_roll", "node_replace"])
@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("c-zookeeper-1,c-zookeeper-9", "in no pool: c-zookeeper-9."),
        ("c-kafka-1", "This run is for no"),
    ],
)
def test_nobody_and_strangers_are_refused(
    tmp_path: Path, entry: tuple[str, str, dict[str, Any]], limit: str, told: str
) -> None:
    role, part, variables = entry
    task = {**include(role, part, **variables), "run_once": True}
    hosts = dict.fromkeys(("c-kafka-1", "c-zookeeper-1", "c-zookeeper-2", "c-zookeeper-9"), LOCAL)
    status, output = run(tmp_path, {"hosts": "localhost:all", "tasks": [task]}, hosts, "--limit", limit)
    assert (status, "reason: nothing_to_roll" in output) == (2, True), output
    assert told in output


def test_the_failure_of_the_server_that_failed_is_told(tmp_path: Path) -> None:
    """The one that is listed first has nothing to tell."""
    turn = {"batch": 1, "last": True, "action": "restart"}
    hosts = {
        "c-zookeeper-1": {**LOCAL, "zookeeper_node_id": 1, "zookeeper_roll_turn": {**turn, "after_start": True}},
        "c-zookeeper-2": {**LOCAL, "zookeeper_node_id": 4, "zookeeper_roll_turn": {**turn, "after_start": False}},
    }
    hosts["localhost"] = {**LOCAL, "roll_run": {"zookeeper_hosts": [], "lock": {}}}
    play = {"hosts": "c-zookeeper-1:c-zookeeper-2", "tasks": [include("holdfast.kafka.zookeeper_roll", "main")]}
    status, output = run(tmp_path, play, hosts, "--check")
    assert status == 2, output
    assert "c-zookeeper-2: node_id 4 is none of the servers" in output
    assert "Stop the server when the ensemble can spare it'). (reason: bad_parameter)" in output
    assert "another server of the batch" not in output


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ({}, None),
        # A unit from before the stamps: what it runs is not known.
        ({"pending": ["unknown"], "restart_pending": True}, None),
        ({"pending": ["unknown", "configuration"], "restart_pending": True}, "restart_without_effect"),
        ({"version": "3.8.4"}, "restart_without_effect"),
        ({"unreachable": True, "msg": "no route"}, "node_unreachable"),
    ],
)
def test_a_server_is_done_when_it_runs_what_the_roll_brings(
    tmp_path: Path, after: dict[str, Any], reason: str | None
) -> None:
    seen = {"pending": [], "restart_pending": False, "version": "3.9.3", "differences": [], **after}
    known = {"zookeeper_roll_kind": "upgrade", "zookeeper_roll_to_version": "3.9.3", "__zookeeper_roll_after": seen}
    host = {"c-zookeeper-1": {**LOCAL, "ansible_host": "192.0.2.1", **known}}
    task = include("holdfast.kafka.zookeeper_roll", "judge")
    status, output = run(tmp_path, {"hosts": "c-zookeeper-1", "tasks": [task]}, host)
    assert status == (2 if reason else 0), output
    assert reason is None or f"reason: {reason}" in output


STOPS: dict[str, tuple[dict[str, Any], bool]] = {
    "the gate was closed": ({"failed": True, "reason": "gate_closed", "changed": False, "stop_seconds": None}, False),
    "it did not run": ({"changed": False, "stop_seconds": None}, False),
    "it was stopped": ({"changed": True, "stop_seconds": 2.5}, True),
    "it did not end": ({"failed": True, "reason": "stop_timeout", "changed": True, "stop_seconds": None}, True),
    "a server was stopped": ({"changed": True, "outcome": "stopped"}, True),
    "a server leads": ({"changed": False, "outcome": "deferred"}, False),
}


def test_a_replacement_that_failed_starts_only_what_it_has_stopped(tmp_path: Path) -> None:
    (restart,) = yaml.safe_load((ROOT / "roles/node_replace/tasks/start.yml").read_text())
    (start,) = restart["block"]
    assert "ansible.builtin.systemd_service" in start
    assert [set(task) for task in restart["rescue"]] == [{"name", "ansible.builtin.debug"}], "the first failure is told"
    cases = [
        {
            "debug": {"msg": f"STARTS {name}."},
            "when": restart["when"],
            "vars": {"__node_replace_stop": stop},
        }
        for name, (stop, _wanted) in STOPS.items()
    ]
    status, output = run(tmp_path, {"hosts": "localhost", "tasks": cases}, {})
    assert status == 0, output
    assert [name for name in STOPS if f"STARTS {name}." in output] == [name for name in STOPS if STOPS[name][1]]
