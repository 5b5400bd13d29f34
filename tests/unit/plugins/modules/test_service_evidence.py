# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""service_evidence: what it keeps, what it leaves out, and that nothing that cannot be read fails it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import node_evidence
from ansible_collections.holdfast.kafka.plugins.modules import service_evidence

from tests.unit.plugins.modules.in_process import run_module

STATE = "ActiveState=failed\nResult=exit-code\nNRestarts=5\n"
JOURNAL = "\n".join(
    [
        "2026-01-01T00:00:00.000001+00:00 node kafka[1]: INFO sasl.jaas.config = org.example password='hunter2'",
        "2026-01-01T00:00:01.000001+00:00 node kafka[1]: ERROR login of s3cr3t failed",
        "2026-01-01T00:00:02.000001+00:00 node kafka[1]: FATAL out of disk",
    ]
)


def runner(command: list[str]) -> tuple[int, str, str]:
    """Answer as systemctl and journalctl would."""
    return (0, STATE, "") if command[0] == "systemctl" else (0, JOURNAL, "")


def proc(tmp_path: Path) -> str:
    """Make a /proc with memory and mounts."""
    (tmp_path / "meminfo").write_text("MemTotal: 4000 kB\nMemAvailable:    1234 kB\n")
    lines = [f"/dev/x {tmp_path} xfs rw 0 0", "tmpfs /run tmpfs rw 0 0", f"/dev/y {tmp_path}/gone ext4 rw 0 0"]
    (tmp_path / "mounts").write_text("\n".join(lines) + "\n")
    return str(tmp_path)


def test_it_keeps_state_journal_memory_and_disks(tmp_path: Path) -> None:
    found = node_evidence.collect(runner, "kafka.service", 2, proc(tmp_path))
    assert found["state"] == {"ActiveState": "failed", "Result": "exit-code", "NRestarts": "5"}
    assert [line.split(": ", 1)[1] for line in found["journal"]] == [
        "ERROR login of s3cr3t failed",
        "FATAL out of disk",
    ]
    assert found["memory_available_bytes"] == 1234 * 1024
    assert list(found["filesystems"]) == [str(tmp_path)]
    assert found["problems"] == [f"[Errno 2] No such file or directory: '{tmp_path}/gone'"]


def test_secrets_stay_on_the_node(tmp_path: Path) -> None:
    found = node_evidence.collect(runner, "kafka.service", 10, proc(tmp_path))
    assert "hunter2" not in json.dumps(found)
    assert "INFO sasl.jaas.config = ***" in found["journal"][0]


def test_what_is_given_as_hidden_is_not_in_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_evidence.AnsibleModule, "run_command", lambda _self, command: runner(command))
    result = run_module(service_evidence, {"unit": "kafka.service", "hidden": ["s3cr3t"]})
    assert (result["failed"], result["changed"]) == (False, False)
    assert "s3cr3t" not in json.dumps(result)
    assert "out of disk" in json.dumps(result)


def test_a_host_without_any_of_it_says_so_and_fails_nothing(tmp_path: Path) -> None:
    def broken(command: list[str]) -> tuple[int, str, str]:
        if command[0] == "systemctl":
            raise FileNotFoundError(command[0])
        return 1, "", "no journal; password=hunter2"

    found = node_evidence.collect(broken, "kafka.service", 10, str(tmp_path))
    assert (found["state"], found["journal"], found["filesystems"]) == ({}, [], {})
    assert len(found["problems"]) == 4
    assert "password=***" in found["problems"][1]


@pytest.mark.parametrize("lines", [0, -1, 10_001])
def test_a_count_that_cannot_be_is_refused(lines: int) -> None:
    result = run_module(service_evidence, {"unit": "kafka.service", "journal_lines": lines})
    assert (result["failed"], result["reason"]) == (True, "bad_parameter")
    assert "between 1 and 10000" in result["msg"]
