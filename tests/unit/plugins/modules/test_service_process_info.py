# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""service_process_info hands on what the host says, and fails with a word."""

from __future__ import annotations

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.modules import service_process_info

from tests.unit.plugins.modules.in_process import run_module

SHOWN = {
    "stopped": "LoadState=loaded\nActiveState=inactive\nMainPID=0\nNeedDaemonReload=no\n",
    "not_found": "LoadState=not-found\nActiveState=inactive\nMainPID=0\n",
}


def ask(monkeypatch: pytest.MonkeyPatch, code: int, out: str, *, check: bool = False) -> dict[str, object]:
    monkeypatch.setattr(AnsibleModule, "run_command", lambda *_args, **_more: (code, out, "no bus"))
    return run_module(service_process_info, {"service": "zookeeper"}, check=check)


@pytest.mark.parametrize("check", [False, True])
def test_a_stopped_service(monkeypatch: pytest.MonkeyPatch, check: bool) -> None:
    result = ask(monkeypatch, 0, SHOWN["stopped"], check=check)
    assert (result["failed"], result["changed"], result["running"]) == (False, False, False)
    assert (result["unit"], result["active_state"], result["pending"]) == ("zookeeper.service", "inactive", [])


@pytest.mark.parametrize(("code", "out", "reason"), [(0, SHOWN["not_found"], "not_found"), (1, "", "read_failed")])
def test_failures(monkeypatch: pytest.MonkeyPatch, code: int, out: str, reason: str) -> None:
    result = ask(monkeypatch, code, out)
    assert (result["failed"], result["reason"]) == (True, reason)
    assert "zookeeper.service" in str(result["msg"])
