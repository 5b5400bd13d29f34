# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""refuse: it fails with what it was told, in check mode too, and where no module could run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.roles.role_run import play

TOLD = {"reason": "database_missing", "msg": "The volume is empty.", "give_up": False}


def refused(**arguments: Any) -> tuple[int, str]:
    """Run it where modules have no interpreter."""
    tasks = [{"holdfast.kafka.refuse": {**TOLD, **arguments}}]
    done = play(tasks, ansible_python_interpreter="/nonexistent/python")
    return done.returncode, done.stdout


@pytest.mark.parametrize("give_up", [True, False])
def test_it_says_whose_fault_it_is(give_up: bool) -> None:
    status, output = refused(give_up=give_up)
    assert status == 2
    assert "msg: 'The volume is empty. (reason: database_missing)'" in output
    assert "    reason: database_missing" in output
    assert f"give_up: {str(give_up).lower()}" in output


def test_a_reason_that_was_passed_on_is_told_once() -> None:
    _, output = refused(msg="kafka-1: The volume is empty. (reason: database_missing) (task 'Look').")
    (line,) = [line for line in output.splitlines() if line.lstrip().startswith("msg:")]
    assert line.count("(reason: database_missing)") == 1


def test_without_a_reason_it_is_a_mistake_of_the_play() -> None:
    status, output = refused(reason=None)
    assert (status, "database_missing" in output) == (2, False)
