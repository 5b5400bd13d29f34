# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin: it shows each slice, keeps what the first one made, and stops when the module has decided."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.action import identity_instance_create as plugin

LAUNCHED: dict[str, Any] = {
    "changed": True,
    "state": "waiting",
    "progress": "nobody has orders-kafka-2 yet",
    "launch": {"ImageId": "ami-2"},
    "volumes_created": ["vol-1"],
    "diff": {"after": {"holder": "a new instance"}},
    "api_calls": 2,
    "api_requests": ["RunInstances", "DescribeInstances"],
}
FOUND = {
    "changed": False,
    "state": "waiting",
    "progress": "i-1 has no volume yet",
    "volumes_created": [],
    "api_calls": 1,
    "api_requests": ["DescribeInstances"],
}
HELD = {**FOUND, "state": "held", "instance_id": "i-1", "hold_seconds": 3.0}


class Recorded(plugin.ActionModule):
    """The action plugin with a module that answers from a list."""

    def __init__(self, answers: list[dict[str, Any]], *, check_mode: bool = False, **arguments: Any) -> None:
        known = {"node_id": 2, "slice_seconds": 99, **arguments}
        self._task = SimpleNamespace(args=known, check_mode=check_mode, async_val=0, environment=None)
        self.answers = answers
        self.calls: list[dict[str, Any]] = []

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        return super().run(tmp, task_vars or {"inventory_hostname": "localhost"})

    def _execute_module(self, **arguments: Any) -> dict[str, Any]:
        assert arguments["module_name"] == "holdfast.kafka.identity_instance_create"
        self.calls.append(arguments["module_args"])
        return dict(self.answers.pop(0))


@pytest.fixture(autouse=True)
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a person sees, and a clock on which each look takes a second."""
    lines: list[str] = []
    clock = iter(range(1000))
    monkeypatch.setattr(plugin.ActionBase, "run", lambda *_: {})
    monkeypatch.setattr(plugin, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    monkeypatch.setattr(plugin, "display", SimpleNamespace(display=lines.append))
    return lines


def test_what_the_first_slice_made_is_told_at_the_end(shown: list[str]) -> None:
    result = Recorded([LAUNCHED, FOUND, FOUND, HELD]).run()
    assert (result["state"], result["instance_id"], result["changed"]) == ("held", "i-1", True)
    assert {name: result[name] for name in ("launch", "diff", "volumes_created")} == {
        name: LAUNCHED[name] for name in ("launch", "diff", "volumes_created")
    }
    assert result["api_requests"] == ["RunInstances", *["DescribeInstances"] * 4]
    assert result["api_calls"] == 5
    assert result["hold_seconds"] > HELD["hold_seconds"], "all slices, and not the last alone"
    assert [line.partition(": ")[2] for line in shown] == [LAUNCHED["progress"], FOUND["progress"], FOUND["progress"]]


@pytest.mark.parametrize("given", [{}, {"timeout_seconds": "60"}])
def test_later_slices_have_what_is_left_of_the_time(given: dict[str, Any]) -> None:
    action = Recorded([LAUNCHED, FOUND, HELD], **given)
    action.run()
    bounds = [float(call["timeout_seconds"]) for call in action.calls]
    assert bounds[0] == float(given.get("timeout_seconds", plugin.DEFAULT_TIMEOUT_SECONDS))
    assert bounds == sorted(bounds, reverse=True)
    assert len(set(bounds)) == 3
    assert {call["slice_seconds"] for call in action.calls} == {plugin.SLICE_SECONDS}


@pytest.mark.parametrize("given", ["soon", -1])
def test_a_bound_that_is_none_is_the_modules_to_refuse(given: Any) -> None:
    refused = {"failed": True, "reason": "bad_parameter"}
    action = Recorded([refused], timeout_seconds=given)
    assert action.run() == refused
    assert action.calls[0]["timeout_seconds"] == given


@pytest.mark.parametrize(
    ("answer", "check_mode"),
    [(HELD, False), ({**LAUNCHED, "failed": True, "reason": "not_held"}, False), (FOUND, True)],
    ids=["held at once", "failed", "a check"],
)
def test_one_slice_is_passed_on_as_it_is(shown: list[str], answer: dict[str, Any], check_mode: bool) -> None:
    assert Recorded([answer], check_mode=check_mode).run() == answer
    assert shown == []


def test_a_later_failure_is_one_of_a_run_that_has_launched() -> None:
    result = Recorded([LAUNCHED, {**FOUND, "failed": True, "reason": "not_held"}]).run()
    assert (result["failed"], result["changed"], result["volumes_created"]) == (True, True, ["vol-1"])
