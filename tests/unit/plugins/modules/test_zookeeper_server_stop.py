# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""zookeeper_server_stop: what it stops, what it leaves alone, and every reason by a case in which it fires."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_4lw import Server
from ansible_collections.holdfast.kafka.plugins.modules import zookeeper_server_stop

from tests.unit.plugins.modules.in_process import run_module

SERVERS = {"1": "127.0.0.11", "2": "127.0.0.12", "3": "127.0.0.13"}
TOKEN = {"path": "/holdfast/orders/locks/roll", "run_id": "run-1", "generation": 1}
MODES = {"l": "leader", "f": "follower", "s": "standalone"}


class World:
    """An ensemble and a unit: ``l``, ``f`` and ``s`` serve, ``i`` is in no quorum, ``-`` does not answer.

    ``looks`` are what the servers say one after the other, the last one for ever; once the unit has stopped, ``rest``.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *looks: str, rest: str = "-lf") -> None:
        self.looks: Iterator[str] = iter(looks)
        self.last = looks[0]
        self.rest = rest
        self.active = "active"
        self.load = "loaded"
        self.stop_code = 0
        self.stops = True
        self.result = "success"
        self.commands: list[list[str]] = []
        self.lock_reads: list[bool] = []
        self.lock_error: HoldfastError | None = None
        monkeypatch.setattr(zookeeper_server_stop, "ask_all", self.ask_all)
        monkeypatch.setattr(zookeeper_server_stop.cluster_lock, "check", self.check_lock)
        monkeypatch.setattr(
            "ansible.module_utils.basic.AnsibleModule.run_command", lambda _module, argv, **_more: self.command(argv)
        )

    def ask_all(self, addresses: dict[int, Any], _timeout_seconds: float) -> dict[int, Server]:
        """Say what the servers say now."""
        self.last = self.rest if self.active == "inactive" else next(self.looks, self.last)
        seen = {}
        for (node_id, address), word in zip(addresses.items(), self.last, strict=True):
            synced = self.last.count("f") if word == "l" else None
            mode = MODES.get(word)
            why = None if mode else {"reason": "refused", "message": "refused the connection"}
            seen[node_id] = Server(str(address), reachable=word != "-", mode=mode, synced_followers=synced, error=why)
        return seen

    def check_lock(self, _hosts: list[str], token: dict[str, Any], _security: Any, *, read_only: bool = False) -> None:
        """Stand for the lock."""
        assert token == TOKEN
        self.lock_reads.append(read_only)
        if self.lock_error:
            raise self.lock_error

    def command(self, argv: list[str]) -> tuple[int, str, str]:
        """Stand for systemctl and journalctl."""
        self.commands.append(argv)
        if argv[:2] == ["systemctl", "stop"]:
            if self.stop_code == 0 and self.stops:
                self.active = "inactive"
            return self.stop_code, "", "Access denied" if self.stop_code else ""
        if argv[0] == "journalctl":
            return 0, "INFO still busy\n", ""
        return 0, f"LoadState={self.load}\nActiveState={self.active}\nResult={self.result}\nMainPID=7\n", ""

    @property
    def stopped(self) -> bool:
        """Whether somebody asked systemd to stop the unit."""
        return ["systemctl", "stop", "--no-block", "zookeeper.service"] in self.commands

    def run(self, *, check: bool = False, **more: Any) -> dict[str, Any]:
        """Run the module for server 1."""
        bounds = {"gate_timeout_seconds": 0.1, "stop_timeout_seconds": 0.1, "rest_timeout_seconds": 0.1}
        arguments = {"servers": SERVERS, "node_id": 1, "poll_seconds": 0.01, **bounds, **more}
        return run_module(zookeeper_server_stop, arguments, check=check)


def test_a_follower_of_a_whole_quorum_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, "flf")
    result = world.run(lock=TOKEN)
    assert (result["failed"], result["changed"], result["outcome"]) == (False, True, "stopped")
    assert (result["mode"], result["killed"]) == ("follower", False)
    assert result["gate_reads"] == 2, "once before the lock was proven, and once after"
    assert world.lock_reads == [False]
    assert world.stopped


def test_check_mode_reads_the_gate_once_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, "flf")
    result = world.run(check=True, lock=TOKEN)
    assert (result["changed"], result["outcome"], result["gate_reads"]) == (True, "stopped", 1)
    assert world.lock_reads == [True], "a check renews no lock"
    assert not world.stopped
    assert (result["diff"]["before"], result["diff"]["after"]) == ("active\n", "inactive\n")


def test_a_closed_gate_in_check_mode_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    result = World(monkeypatch, "fl-").run(check=True, gate_timeout_seconds=600)
    assert (result["reason"], result["gate_reads"]) == ("gate_closed", 1)


def test_a_gate_that_opens_within_its_bound_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, "fl-", "fl-", "fl-", "flf")
    result = world.run(gate_timeout_seconds=30)
    assert (result["outcome"], result["gate_reads"]) == ("stopped", 4)


@pytest.mark.parametrize(
    ("modes", "words"), [("fl-", "127.0.0.13:2181: refused"), ("fli", "127.0.0.13"), ("ff-", "no server leads")]
)
def test_a_gate_that_stays_closed_stops_nothing(monkeypatch: pytest.MonkeyPatch, modes: str, words: str) -> None:
    world = World(monkeypatch, modes)
    result = world.run(lock=TOKEN)
    assert (result["failed"], result["reason"], result["changed"]) == (True, "gate_closed", False)
    assert words in result["msg"]
    assert any(words in one for one in result["closed_by"])
    assert not world.stopped
    assert world.lock_reads == [], "nobody needs the lock to wait"


def test_a_gate_that_closes_while_the_lock_is_proven_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, "flf", "flf", "fl-")
    result = world.run(lock=TOKEN)
    assert result["reason"] == "gate_closed"
    assert (world.lock_reads, world.stopped) == ([False], False)


def test_the_lock_is_proven_anew_after_a_closed_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, "flf", "flf", "fl-", "flf")
    assert world.run(lock=TOKEN, gate_timeout_seconds=30)["outcome"] == "stopped"
    assert world.lock_reads == [False, False]


@pytest.mark.parametrize(
    "reason", ["lock_lost", "zookeeper_unreachable", "zookeeper_refused", "zookeeper_auth_failed", "bad_parameter"]
)
def test_without_the_lock_nothing_is_stopped(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    world = World(monkeypatch, "flf")
    world.lock_error = HoldfastError(reason, "Somebody else has it.", lock={"run_id": "run-2"})
    result = world.run(lock=TOKEN)
    assert (result["reason"], result["msg"], result["lock"]) == (reason, "Somebody else has it.", {"run_id": "run-2"})
    assert (world.stopped, result["changed"]) == (False, False)


def test_who_leads_by_now_is_left_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, "lff")
    result = world.run(lock=TOKEN)
    assert (result["outcome"], result["changed"], result["mode"]) == ("deferred", False, "leader")
    assert not world.stopped


def test_the_leader_is_stopped_when_its_turn_is_last(monkeypatch: pytest.MonkeyPatch) -> None:
    assert World(monkeypatch, "lff").run(leader_allowed=True)["outcome"] == "stopped"


def test_leadership_that_moves_here_at_the_last_look_defers(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, "flf", "flf", "lff")
    assert (world.run(lock=TOKEN)["outcome"], world.stopped) == ("deferred", False)


def test_a_unit_that_does_not_run_needs_no_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, "-lf")
    world.active = "failed"
    result = world.run(lock=TOKEN)
    assert (result["outcome"], result["changed"], world.lock_reads) == ("nothing_to_stop", False, [])


def test_a_unit_that_waits_for_its_next_start_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, "-lf")
    world.active = "activating"
    assert (world.run()["outcome"], world.stopped) == ("stopped", True)


def test_a_lone_server_is_stopped_when_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = {"1": "127.0.0.11"}
    assert World(monkeypatch, "s", rest="-").run(servers=alone)["reason"] == "gate_closed"
    result = World(monkeypatch, "s", rest="-").run(servers=alone, interruption_allowed=True)
    assert (result["outcome"], "rest_seconds" in result) == ("stopped", False)


def test_the_rest_that_does_not_serve_fails_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    result = World(monkeypatch, "flf", rest="-ii").run()
    assert (result["reason"], result["changed"]) == ("rest_not_serving", True)
    assert "127.0.0.12:2181" in result["msg"]


def test_a_stop_that_systemd_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, "flf")
    world.stop_code = 1
    result = world.run()
    assert (result["reason"], result["changed"]) == ("stop_failed", False)
    assert "Access denied" in result["msg"]


def test_a_stop_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, "flf")
    world.stops = False
    result = world.run()
    assert (result["reason"], result["changed"]) == ("stop_timeout", True)
    assert "still busy" in result["msg"]


def test_systemd_that_had_to_kill_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, "flf")
    world.result = "timeout"
    assert world.run()["killed"] is True


def test_a_host_without_the_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, "flf")
    world.load = "not-found"
    assert world.run()["reason"] == "service_failed"


@pytest.mark.parametrize("check", [False, True])
def test_another_servers_unit_is_left_alone(monkeypatch: pytest.MonkeyPatch, check: bool) -> None:
    world = World(monkeypatch, "flf")
    result = world.run(servers={**SERVERS, "1": "192.0.2.1"}, lock=TOKEN, check=check)
    assert (result["reason"], result["changed"], world.commands) == ("wrong_host", False, [])
    assert "192.0.2.1 of server 1" in result["msg"]


@pytest.mark.parametrize("library", ["kazoo", "pure-sasl"])
def test_a_lock_needs_its_library(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    world = World(monkeypatch, "flf")
    monkeypatch.setattr(zookeeper_server_stop, "missing_library", lambda _auth: library)
    assert world.run(lock=TOKEN)["reason"] == "missing_library"
    assert world.run()["outcome"] == "stopped"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"node_id": 4}, "node_id 4"),
        ({"servers": {"x": "a"}}, "'x'"),
        ({"servers": {}}, "no server"),
        ({"lock": {}}, "the lock's token"),
        ({"lock": {"path": "x"}}, "the lock's token"),
        ({"zookeeper_hosts": ["a:none"]}, "zookeeper_hosts[0]"),
        ({"zookeeper_auth": {"username": "", "password": "x"}}, "zookeeper_auth"),
        *[({name: value}, name) for name in zookeeper_server_stop.SECONDS for value in (0, -1, "nan")],
    ],
)
def test_bad_parameters_touch_nothing(monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], words: str) -> None:
    world = World(monkeypatch, "flf")
    result = world.run(**arguments)
    assert result["reason"] == "bad_parameter"
    assert words in result["msg"]
    assert world.commands == []
