# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin: it hands the state on, shows each slice, and stops when the module has decided."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.action import kafka_replication_wait as plugin


class Recorded(plugin.ActionModule):
    """The action plugin with a module that answers from a list."""

    def __init__(self, answers: list[dict[str, Any]], check_mode: bool = False) -> None:
        self._task = SimpleNamespace(
            args={"node_ids": [2], "slice_seconds": 99, "resume": {"stable": 9}},
            check_mode=check_mode,
            async_val=0,
            environment=None,
        )
        self.answers = answers
        self.calls: list[dict[str, Any]] = []

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        return super().run(tmp, {"inventory_hostname": "kafka-2"} if task_vars is None else task_vars)

    def _execute_module(self, **arguments: Any) -> dict[str, Any]:
        assert arguments["module_name"] == "holdfast.kafka.kafka_replication_wait"
        self.calls.append(arguments["module_args"])
        return self.answers.pop(0)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(plugin.ActionBase, "run", lambda *_: {})
    monkeypatch.setattr(plugin.time, "sleep", lambda _seconds: None)
    display = SimpleNamespace(display=lines.append, v=lambda text: lines.append(f"v: {text}"))
    monkeypatch.setattr(plugin, "display", display)
    return lines


def waiting(**facts: Any) -> dict[str, Any]:
    return {"state": "waiting", "progress": "3 of 4", "resume": {"stable": 1}, **facts}


def test_slices_go_on_from_one_another_until_it_is_reached(shown: list[str]) -> None:
    action = Recorded([waiting(), waiting(lagging=[{"topic": "t", "partition": 0}]), {"state": "reached"}])
    assert action.run() == {"state": "reached"}
    assert shown == ["  [kafka-2] 3 of 4", "  [kafka-2] 3 of 4", "v: [kafka-2] not in sync: t-0"]
    assert [call["resume"].get("stable") for call in action.calls] == [None, 1, 1]
    assert [call["slice_seconds"] for call in action.calls] == [4.0, 6.0, 9.0]
    assert [call["resume"]["elapsed"] for call in action.calls] == sorted(
        call["resume"]["elapsed"] for call in action.calls
    )


@pytest.mark.parametrize("answer", [{"failed": True, "reason": "stalled", "state": "failed"}, {"failed": True}])
def test_a_failure_is_passed_on(shown: list[str], answer: dict[str, Any]) -> None:
    assert Recorded([dict(answer)]).run() == answer
    assert shown == []


def test_check_mode_is_one_slice(shown: list[str]) -> None:
    result = Recorded([waiting()], check_mode=True).run()
    assert (result["state"], "resume" in result) == ("waiting", False)


def test_a_play_does_not_see_what_the_slices_tell_each_other(shown: list[str]) -> None:
    arguments = {"node_ids": [2], "slice_seconds": 4.0, "resume": {}}
    result = Recorded([{"state": "reached", "invocation": {"module_args": arguments}}]).run()
    assert result["invocation"]["module_args"] == {"node_ids": [2]}
