# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""zookeeper_member_wait: who is given up and who is not, each reason by a case in which it fires."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_4lw import Server
from ansible_collections.holdfast.kafka.plugins.modules import zookeeper_member_wait

from tests.unit.plugins.modules.in_process import run_module

ME, PEERS = "192.0.2.11:2181", ["192.0.2.12:2181", "192.0.2.13:2181"]
AWAY = {"reachable": False, "error": {"reason": "refused", "message": "refused the connection"}}
IDLE = {"reachable": True, "error": {"reason": "not_serving", "message": "the server runs but is in no quorum"}}
SERVING = {"reachable": True, "mode": "follower"}


def wait(
    monkeypatch: pytest.MonkeyPatch,
    servers: list[dict[str, Any]],
    unit: str = "ActiveState=active\nMainPID=7\nNRestarts=0\n",
    *,
    check: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """Run the module against servers and a unit."""
    answers = dict(zip([ME, *PEERS], servers, strict=True))

    def run_command(_module: Any, argv: list[str], **_options: Any) -> tuple[int, str, str]:
        return 0, unit if argv[0] == "systemctl" else "ERROR myid is missing\n", ""

    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.run_command", run_command)
    monkeypatch.setattr(
        zookeeper_member_wait, "ask", lambda address: Server(host=str(address), **answers[str(address)])
    )
    arguments = {"host": ME, "peers": PEERS, "service": "zookeeper.service", "timeout_seconds": 0.1, **more}
    return run_module(zookeeper_member_wait, {"poll_seconds": 0.02, **arguments}, check=check)


def test_a_server_in_the_quorum_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wait(monkeypatch, [SERVING, AWAY, AWAY])["mode"] == "follower"


@pytest.mark.parametrize(
    ("servers", "reason", "give_up", "words"),
    [
        ([IDLE, AWAY, AWAY], "no_quorum", False, "0 of its 2 peers answer, 1 must"),
        ([IDLE, IDLE, AWAY], "no_quorum", False, "elect no leader"),
        ([IDLE, SERVING, SERVING], "not_joined", True, "myid is missing"),
        ([AWAY, SERVING, SERVING], "not_answering", True, "refused the connection"),
        ([{"reachable": True, "mode": "standalone"}, AWAY, AWAY], "no_quorum", False, "standalone"),
    ],
)
def test_the_end_of_the_wait_says_whose_fault_it_is(
    monkeypatch: pytest.MonkeyPatch, servers: list[dict[str, Any]], reason: str, give_up: bool, words: str
) -> None:
    result = wait(monkeypatch, servers)
    assert (result["failed"], result["reason"], result["give_up"]) == (True, reason, give_up)
    assert words in result["msg"]
    assert PEERS[1] in result["msg"], "every server's state is named"


@pytest.mark.parametrize(
    ("unit", "reason", "give_up"),
    [
        ("ActiveState=failed\nResult=exit-code\n", "service_failed", True),
        ("ActiveState=inactive\nResult=success\n", "service_stopped", False),
    ],
)
def test_a_service_that_ended_costs_no_waiting(
    monkeypatch: pytest.MonkeyPatch, unit: str, reason: str, give_up: bool
) -> None:
    result = wait(monkeypatch, [AWAY, AWAY, AWAY], unit, timeout_seconds=600)
    assert (result["reason"], result["give_up"]) == (reason, give_up)
    assert result["waited_seconds"] < 5


def test_a_crash_loop_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter(range(100))

    class Growing(str):
        """A unit whose restarts grow with each look."""

        def splitlines(self, keepends: bool = False) -> list[str]:
            return ["ActiveState=activating", f"NRestarts={next(counts)}"]

    result = wait(monkeypatch, [AWAY, AWAY, AWAY], Growing("unit"), timeout_seconds=600)
    assert (result["reason"], result["give_up"]) == ("crash_loop", True)
    assert "myid is missing" in result["msg"]


def test_check_mode_looks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wait(monkeypatch, [IDLE, AWAY, AWAY], check=True, timeout_seconds=600)["mode"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"host": "h:none"},
        {"peers": ["h:none"]},
        {"timeout_seconds": 0},
        {"timeout_seconds": "nan"},
        {"poll_seconds": 0},
    ],
)
def test_bad_parameters(monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any]) -> None:
    assert wait(monkeypatch, [SERVING, AWAY, AWAY], **arguments)["reason"] == "bad_parameter"
