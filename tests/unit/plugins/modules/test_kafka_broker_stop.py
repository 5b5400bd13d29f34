# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kafka_broker_stop as a module: its modes, its options, and the failures that need no cluster."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import cluster_lock, kafka_reader, zk_session
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import Broker, View
from ansible_collections.holdfast.kafka.plugins.modules import kafka_broker_stop

from tests.unit.plugins.module_utils.roll_views import part, view
from tests.unit.plugins.modules.in_process import run_module

POOL = {str(n): {"address": f"127.0.0.{n}", "rack": "abc"[n - 1]} for n in (1, 2, 3)}
ARGUMENTS: dict[str, Any] = {
    "bootstrap_servers": ["127.0.0.1"],
    "brokers": POOL,
    "node_id": 1,
    "gate_timeout_seconds": 0,
    "poll_seconds": 0.1,
}
TOKEN = {"path": "/holdfast/demo/locks/roll", "run_id": "r1", "generation": 1}
LOCKED = {"lock": TOKEN, "zookeeper_hosts": ["127.0.0.1"]}


def looks(*isr: int, brokers: tuple[int, ...] = (1, 2, 3)) -> View:
    found = view([part([1, 2, 3], isr=isr)], brokers=brokers)
    hosts = tuple(Broker(one.node_id, f"127.0.0.{one.node_id}", 9092) for one in found.brokers)
    return View("x", 1, hosts, found.partitions, found.min_insync_replicas, found.reassigning)


class Machine:
    """A host with one unit, and the cluster around it."""

    def __init__(self) -> None:
        self.active = "active"
        self.result = "success"
        self.stop_error = ""
        self.view = looks(1, 2, 3)
        self.error: kafka_reader.ReadError | None = None
        self.commands: list[list[str]] = []
        self.closed = 0

    def run_command(self, argv: list[str], **_options: Any) -> tuple[int, str, str]:
        self.commands.append(argv[:2])
        if argv[0] == "journalctl":
            return 0, "", ""
        if argv[1] == "stop":
            if self.stop_error:
                return 1, "", self.stop_error
            self.active = "inactive" if self.result == "success" else "failed"
            self.view = looks(2, 3, brokers=(2, 3))
            return 0, "", ""
        pid = 7 if self.active == "active" else 0
        told = f"LoadState=loaded\nActiveState={self.active}\nSubState=x\nResult={self.result}\nMainPID={pid}\n"
        return 0, told, ""

    def read(self) -> View:
        if self.error:
            raise self.error
        return self.view

    def read_in_full(self, _witness: int | None = None) -> View:
        return self.read()

    def close(self) -> None:
        self.closed += 1

    @property
    def stopped(self) -> bool:
        return ["systemctl", "stop"] in self.commands


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose broker can be spared."""
    made = Machine()
    monkeypatch.setattr(kafka_reader, "Reader", lambda _options: made)
    monkeypatch.setattr(kafka_reader, "answers", lambda _options, _address: True)
    monkeypatch.setattr(
        "ansible.module_utils.basic.AnsibleModule.run_command", lambda _self, argv, **kw: made.run_command(argv, **kw)
    )
    return made


def test_it_stops_and_a_second_run_finds_nothing_to_do(machine: Machine) -> None:
    first = run_module(kafka_broker_stop, ARGUMENTS, diff=True)
    assert (first["failed"], first["changed"], first["clean"], first["gate_open"]) == (False, True, True, True)
    assert first["diff"]["before"] == {"unit": "kafka.service", "state": "active"}
    assert first["diff"]["after"] == {"unit": "kafka.service", "state": "inactive"}
    machine.commands.clear()
    second = run_module(kafka_broker_stop, ARGUMENTS, diff=True)
    assert (second["failed"], second["changed"], second["gate_open"]) == (False, False, None)
    assert (machine.stopped, "diff" in second) == (False, False)


def test_check_mode_says_what_it_would_do_and_touches_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(cluster_lock, "check", lambda *_args, read_only: asked.append(read_only))
    result = run_module(kafka_broker_stop, {**ARGUMENTS, **LOCKED}, check=True, diff=True)
    assert (result["failed"], result["changed"], result["gate_open"], machine.stopped) == (False, True, True, False)
    assert asked == [True]
    machine.view = looks(1, 2)
    closed = run_module(kafka_broker_stop, ARGUMENTS, check=True)
    assert (closed["failed"], closed["gate_open"], machine.stopped) == (False, False, False)
    assert [one["reason"] for one in closed["closed_by"]] == ["under_replicated", "not_enough_in_sync"]


def test_gate_closed(machine: Machine) -> None:
    machine.view = looks(1, 2)
    result = run_module(kafka_broker_stop, ARGUMENTS)
    assert (result["failed"], result["reason"], result["changed"], machine.stopped) == (
        True,
        "gate_closed",
        False,
        False,
    )
    assert result["closed_by"][0]["node_ids"] == [3]
    assert "t-0 lacks the replica of broker 3" in result["msg"]


@pytest.mark.parametrize("reason", ["lock_lost", "lost_race", "zookeeper_unreachable", "zookeeper_auth_failed"])
def test_a_lock_that_is_not_proven_stops_nothing(
    machine: Machine, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(_hosts: Any, token: Any, _security: Any, *, read_only: bool) -> None:
        assert (token, read_only) == (TOKEN, False)
        raise HoldfastError(reason, "run r2 has it", lock={"run_id": "r2"})

    monkeypatch.setattr(cluster_lock, "check", check)
    result = run_module(kafka_broker_stop, {**ARGUMENTS, **LOCKED})
    assert (result["reason"], result["msg"], result["lock"]) == (reason, "run r2 has it", {"run_id": "r2"})
    assert (machine.stopped, result["changed"]) == (False, False)


def test_still_registered(machine: Machine) -> None:
    def run_command(argv: list[str], **_options: Any) -> tuple[int, str, str]:
        told = Machine.run_command(machine, argv)
        machine.view = looks(1, 2, 3)
        return told

    machine.run_command = run_command
    result = run_module(kafka_broker_stop, {**ARGUMENTS, "deregister_timeout_seconds": 0.3})
    assert (result["reason"], result["changed"], result["clean"]) == ("still_registered", True, True)


def test_stop_timeout(machine: Machine) -> None:
    def run_command(argv: list[str], **_options: Any) -> tuple[int, str, str]:
        told = Machine.run_command(machine, argv)
        machine.active = "active"
        return told

    machine.run_command = run_command
    result = run_module(kafka_broker_stop, {**ARGUMENTS, "stop_timeout_seconds": 0.3})
    assert (result["reason"], result["changed"], result["stop_seconds"]) == ("stop_timeout", True, None)


def test_a_kill_by_systemd_is_a_warning(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.warn", lambda _self, text: said.append(text))
    machine.result = "timeout"
    result = run_module(kafka_broker_stop, ARGUMENTS)
    assert (result["failed"], result["clean"]) == (False, False)
    assert "did not end by itself" in said[0]


def test_stop_failed(machine: Machine) -> None:
    machine.stop_error = "Access denied"
    result = run_module(kafka_broker_stop, ARGUMENTS)
    assert (result["reason"], result["changed"]) == ("stop_failed", False)
    assert "Access denied" in result["msg"]


def test_wrong_host(machine: Machine) -> None:
    result = run_module(kafka_broker_stop, {**ARGUMENTS, "brokers": {**POOL, "1": {"address": "192.0.2.1"}}})
    assert (result["reason"], machine.commands) == ("wrong_host", [])


@pytest.mark.parametrize("reason", ["auth", "kafka_error", "unreachable", "bad_parameter"])
def test_what_the_brokers_say_is_the_reason_and_each_connection_is_closed(machine: Machine, reason: str) -> None:
    machine.error = kafka_reader.ReadError(reason, "the broker says no")
    result = run_module(kafka_broker_stop, ARGUMENTS)
    assert (result["reason"], machine.stopped, machine.closed) == (reason, False, 1)
    assert "the broker says no" in result["msg"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"brokers": {}}, "brokers is empty"),
        ({"node_id": 9}, "node_id names broker 9"),
        ({"batch_node_ids": [2, 3]}, "batch_node_ids has only 2, 3"),
        ({"batch_node_ids": [1, 8]}, "batch_node_ids names broker 8"),
        ({"gate_timeout_seconds": -1}, "gate_timeout_seconds is -1"),
        ({"poll_seconds": 0}, "poll_seconds is 0"),
        ({"stop_timeout_seconds": 0}, "stop_timeout_seconds is 0"),
        ({"deregister_timeout_seconds": -2}, "deregister_timeout_seconds is -2"),
        ({"bootstrap_servers": ["kafka:none"]}, "kafka:none"),
        ({"lock": TOKEN}, "without zookeeper_hosts"),
        ({"lock": {"path": "x"}, "zookeeper_hosts": ["127.0.0.1"]}, "the lock's token"),
        ({"lock": TOKEN, "zookeeper_hosts": ["zk:none"]}, "zk:none"),
    ],
)
def test_bad_parameters_are_refused_before_anybody_is_asked(
    machine: Machine, change: dict[str, Any], said: str
) -> None:
    result = run_module(kafka_broker_stop, {**ARGUMENTS, **change})
    assert (result["failed"], result["reason"]) == (True, "bad_parameter")
    assert said in result["msg"]
    assert machine.commands == []


def test_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zk_session, "HAS_KAZOO", False)
    result = run_module(kafka_broker_stop, {**ARGUMENTS, **LOCKED})
    assert (result["reason"], "kazoo" in result["msg"]) == ("missing_library", True)
    monkeypatch.setattr(kafka_reader, "IMPORT_ERROR", "no such module")
    result = run_module(kafka_broker_stop, ARGUMENTS)
    assert (result["reason"], "kafka-python" in result["msg"]) == ("missing_library", True)
