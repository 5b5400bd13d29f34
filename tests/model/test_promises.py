# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every promise holds in every state of the small worlds, and the explorer says so only when it saw them all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.model import __main__ as command
from tests.model import moves
from tests.model.configs import LARGE, SMALL, config
from tests.model.explore import TooLargeError, explore
from tests.model.world import Config

MOST_STATES = 400_000


@pytest.mark.parametrize("world", SMALL, ids=lambda world: world.name)
def test_every_promise_holds_in_every_state(world: Config) -> None:
    outcome = explore(world, MOST_STATES)
    print(outcome.line())
    assert outcome.broken is None, str(outcome.broken)
    assert outcome.complete, outcome.line()
    assert outcome.goals, "no state in which everybody who can has an identity: the world is too small to mean anything"


def test_more_states_than_allowed_prove_nothing() -> None:
    with pytest.raises(TooLargeError, match="more than 100 states"):
        explore(config("bounded", "a", "aa", "kill crash"), 100)


def test_a_selection_of_answers_is_not_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "MOST_VIEWS", 1)
    outcome = explore(config("selected", "a", "aa", "stale", at_most=()), MOST_STATES)
    assert not outcome.complete
    assert "NOT COMPLETE" in outcome.line()


def test_states_are_counted_the_same_every_time() -> None:
    first, second = (explore(config("again", "a", "aa", "kill"), MOST_STATES) for _each in range(2))
    assert (first.states, first.transitions) == (second.states, second.transitions)


def test_names_are_unique() -> None:
    names = [world.name for world in LARGE]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("most", "status"), [(100_000, 0), (10, 1)], ids=["proved", "cut off"])
def test_the_command_writes_what_it_explored(
    most: int, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "REPORT", tmp_path / "reports" / "model.json")
    monkeypatch.setattr("sys.argv", ["model", "--most-states", str(most), "race-mixed"])
    assert command.main() == status
    report = json.loads((tmp_path / "reports" / "model.json").read_text())
    assert report["configurations"] == 1
    assert report["proved"] == 1 - status
    assert report["explored"][0]["complete"] is (status == 0)
    assert f"{1 - status} of 1 configurations" in capsys.readouterr().out


def test_the_command_refuses_an_unknown_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["model", "nonsense"])
    assert command.main() == 2
    assert "there are: race" in capsys.readouterr().out
