# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a roll is about: the pools' brokers that the limit leaves, and never nobody."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ports import free_ports
from tests.unit.roles.role_run import ROOT, run_plays

BROKERS: list[dict[str, Any]] = [
    {"node_id": number, "availability_zone": f"z{number}", "private_ip": f"192.0.2.{number}", "volumes": [{}]}
    for number in (1, 2, 3)
]
PLAY = [
    {
        "hosts": "localhost:all",
        "gather_facts": False,
        "tasks": [{"include_role": {"name": "holdfast.kafka.kafka_roll", "tasks_from": "identities"}}],
    },
    {
        "hosts": "kafka_roll_targets",
        "gather_facts": False,
        "tasks": [
            {
                "debug": {
                    "msg": "TARGET {{ inventory_hostname }} {{ ansible_host }} {{ node_identity_claim.node_id }} "
                    "{{ 'kafka' in group_names }}"
                }
            }
        ],
    },
]


def identities(tmp_path: Path, *arguments: str, brokers: list[dict[str, Any]] = BROKERS) -> tuple[int, str, list[str]]:
    """Run the entry point; return the status, the output and the targets."""
    inventory = {
        "all": {
            "vars": {"holdfast_cluster": "c", "holdfast_pools": {"kafka": brokers}},
            "hosts": {"localhost": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}},
            "children": {
                # Broker 1's host has moved, broker 3 has none; 9 is of no pool.
                "kafka": {"hosts": {"c-kafka-1": {"ansible_host": "198.51.100.1"}, "c-kafka-2": {}, "c-kafka-9": {}}},
                "zookeeper": {"hosts": {"c-zookeeper-1": {}}},
            },
        }
    }
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
    status, output = run_plays(PLAY, tmp_path / "hosts.yml", *arguments)
    told = [line.split("TARGET ", 1)[1].strip() for line in output.splitlines() if "TARGET " in line]
    return status, output, sorted(told)


def test_without_a_limit_every_identity_is_meant_at_its_own_address(tmp_path: Path) -> None:
    status, output, targets = identities(tmp_path)
    assert status == 0, output
    assert targets == [f"c-kafka-{number} 192.0.2.{number} {number} True" for number in (1, 2, 3)]


def test_a_limit_narrows_the_targets(tmp_path: Path) -> None:
    status, output, targets = identities(tmp_path, "--limit", "c-kafka-1,c-zookeeper-1")
    assert status == 0, output
    assert targets == ["c-kafka-1 192.0.2.1 1 True"]


@pytest.mark.parametrize(
    ("arguments", "brokers", "told"),
    [
        (["--limit", "c-zookeeper-1"], BROKERS, "is in the limit (--limit c-zookeeper-1)"),
        (["--limit", "localhost"], BROKERS, "is in the limit"),
        (["--limit", "c-kafka-1,c-kafka-9"], BROKERS, "does not declare: c-kafka-9"),
        ([], [], "declares no broker"),
    ],
    ids=["another role", "localhost", "a stranger", "no pool"],
)
def test_nobody_and_strangers_are_refused(
    tmp_path: Path, arguments: list[str], brokers: list[dict[str, Any]], told: str
) -> None:
    status, output, targets = identities(tmp_path, *arguments, brokers=brokers)
    assert (status, targets) == (2, []), output
    assert "nothing_to_roll" in output
    assert told in " ".join(output.split())


def part(tmp_path: Path, name: str, host: dict[str, Any]) -> tuple[int, str]:
    """Run a part of the role in check mode on one broker's host."""
    plan = {"brokers": [{"node_id": 1, "batch": 1}], "batches": [[1]]}
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    shared = {
        "holdfast_cluster": "c",
        "holdfast_pools": {"kafka": BROKERS},
        "kafka_roll_batch": 1,
        "kafka_roll_action": "restart",
        "node_identity_claim": {"node_id": 1},
        **host,
    }
    inventory = {"all": {"hosts": {"localhost": {**local, "kafka_roll_plan": plan}, "c-kafka-1": shared}}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
    tasks = [{"include_role": {"name": "holdfast.kafka.kafka_roll", "tasks_from": name}}]
    return run_plays([{"hosts": "c-kafka-1", "gather_facts": False, "tasks": tasks}], tmp_path / "hosts.yml", "--check")


def test_a_host_that_ssh_does_not_reach_is_refused_before_anything_is_stopped(tmp_path: Path) -> None:
    nobody = {"ansible_host": "127.0.0.1", "ansible_port": free_ports(1)[0], "ansible_connection": "ssh"}
    status, output = part(tmp_path, "prepare", nobody)
    assert status == 2, output
    assert "reason: node_unreachable" in output
    assert "c-kafka-1 (127.0.0.1) cannot be reached by ssh" in " ".join(output.split())


def process(pid: int, *pending: str) -> dict[str, Any]:
    """What a host says of its broker's process."""
    told = [{"what": what, "path": f"/etc/{what}", "detail": ""} for what in pending]
    return {"pid": pid, "pending": list(pending), "differences": told}


@pytest.mark.parametrize(
    ("action", "after", "reason"),
    [
        ("restart", process(2), None),
        # A unit from before the stamps: what it runs is not known, and that it is another process is.
        ("restart", process(2, "unknown"), None),
        ("start", process(1), None),
        ("restart", process(1), "restart_without_effect"),
        ("restart", process(2, "configuration"), "restart_without_effect"),
        ("start", process(1, "unit", "unknown"), "restart_without_effect"),
        ("restart", {"unreachable": True, "msg": "no route"}, "node_unreachable"),
    ],
)
def test_a_restart_counts_when_another_process_runs_what_is_on_the_disk(
    tmp_path: Path, action: str, after: dict[str, Any], reason: str | None
) -> None:
    seen = {"__kafka_roll_before": process(1, "configuration"), "__kafka_roll_after": after}
    host = {"ansible_connection": "local", "ansible_host": "192.0.2.1", "kafka_roll_action": action, **seen}
    status, output = part(tmp_path, "judge", host)
    assert status == (2 if reason else 0), output
    assert reason is None or f"reason: {reason}" in output


ORDERED = {"changed": True, "stop_seconds": 2.0}


@pytest.mark.parametrize(
    ("stop", "start", "tried"),
    [
        (ORDERED, None, True),
        (ORDERED, {"failed": True, "msg": "Job for kafka.service failed"}, True),
        ({"unreachable": True, "changed": False}, None, True),
        # Another run may have stopped it since: this one has no more business with it.
        (ORDERED, {"changed": True, "state": "started"}, False),
        ({"failed": True, "reason": "lock_lost", "changed": False}, None, False),
        (None, None, False),
    ],
    ids=["stopped", "not started", "unreachable", "started", "not stopped", "not begun"],
)
def test_a_roll_that_fails_starts_what_it_has_stopped_and_nothing_else(
    tmp_path: Path, stop: dict[str, Any] | None, start: dict[str, Any] | None, tried: bool
) -> None:
    seen = {"__kafka_roll_stop": stop, "__kafka_roll_started": start}
    failure = {"task": "note", "msg": "the lock is another run's", "reason": "lock_lost"}
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    host = {**local, "kafka_roll_scope": "pending", "kafka_roll_failure": failure}
    status, output = part(tmp_path, "failed", {**host, **{name: value for name, value in seen.items() if value}})
    assert status == 2, output
    assert "reason: lock_lost" in " ".join(output.split())
    # What is skipped is not shown.
    assert ("failed | Start the broker]" in output) == tried, output


NOTES = [
    task
    for task in yaml.safe_load((ROOT / "roles/kafka_roll/tasks/restart.yml").read_text(encoding="utf-8"))
    if task["name"].partition("| ")[2].startswith(("Keep", "Note"))
]


def told_of(tmp_path: Path, action: str, seen: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return the ids that the notes of a batch name, by event; the modules' results are given."""
    tasks = []
    for task in NOTES:
        if "ansible.builtin.set_fact" in task:
            tasks.append(task)
            continue
        told = "TOLD {{ roll_run_event }} {{ roll_run_node_ids | join(',') }}."
        tasks.append(
            {"debug": {"msg": told}, **{key: task[key] for key in ("vars", "when") if key in task}, "run_once": True}
        )
    hosts = {
        f"c-kafka-{number}": {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "node_identity_claim": {"node_id": number},
            **results,
        }
        for number, results in ((int(name), results) for name, results in seen.items())
    }
    plan = {"brokers": [{"node_id": int(number), "batch": 1} for number in seen], "batches": [list(map(int, seen))]}
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "kafka_roll_plan": plan}
    given = {"holdfast_cluster": "c", "kafka_roll_action": action, "kafka_roll_batch": 1}
    inventory = {"all": {"vars": given, "hosts": {"localhost": local}, "children": {"kafka": {"hosts": hosts}}}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
    files = [str(ROOT / "roles/kafka_roll/vars/main.yml")]
    status, output = run_plays(
        [{"hosts": "kafka", "gather_facts": False, "vars_files": files, "tasks": tasks}], tmp_path / "hosts.yml"
    )
    assert status == 0, output
    lines = [line.split("TOLD ", 1)[1].strip(' "') for line in output.splitlines() if "TOLD " in line]
    return {event: ids.rstrip(".") for event, _, ids in (line.partition(" ") for line in lines)}


RUNS = {"__kafka_roll_started": {"changed": True, "state": "started"}}
STOPPED = {"__kafka_roll_stop": {**ORDERED, "gate_waited_seconds": 0.5}}
SKIPPED = {"__kafka_roll_stop": {"changed": False, "skipped": True}}


@pytest.mark.parametrize(
    ("action", "seen", "told"),
    [
        (
            "restart",
            {"1": {**STOPPED, **RUNS}, "2": {**STOPPED, **RUNS}},
            {"stop_start": "1,2", "stopped": "1,2", "started": "1,2"},
        ),
        (
            "restart",
            {
                "1": {**STOPPED, **RUNS},
                "2": {**STOPPED, "__kafka_roll_started": {"unreachable": True, "msg": "no route"}},
            },
            {"stop_start": "1,2", "stopped": "1,2", "started": "1"},
        ),
        ("start", {"1": {**SKIPPED, **RUNS}}, {"started": "1"}),
    ],
    ids=["both", "one is lost", "only started"],
)
def test_only_what_has_stopped_and_started_is_told_as_that(
    tmp_path: Path, action: str, seen: dict[str, dict[str, Any]], told: dict[str, str]
) -> None:
    assert told_of(tmp_path, action, seen) == told
