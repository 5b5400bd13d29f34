# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that stops a service proves the run's lock: a token that is missing ends the roll and is never left out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from tests.unit.roles.role_run import ROOT, run_plays

MODULES = ("holdfast.kafka.kafka_broker_stop", "holdfast.kafka.zookeeper_server_stop")
SHOWN = "lock.run_id | default('EMPTY') if lock is mapping else 'OMITTED'"
TOKEN = {"path": "/holdfast/c/locks/roll", "run_id": "r1", "generation": 1}
TASKS = [path for path in sorted(ROOT.glob("roles/*/tasks/*.yml")) if any(one in path.read_text() for one in MODULES)]


def shown(path: Path) -> dict[str, Any]:
    """Show the lock that the file's one task that stops a service would hand on, with what its role knows."""
    (options,) = (task[name] for task in yaml.safe_load(path.read_text()) for name in MODULES if name in task)
    known = path.parents[1] / "vars/main.yml"
    name = f"{path.parts[-3]}/{path.stem}"
    return {
        "vars": {**(yaml.safe_load(known.read_text()) if known.exists() else {}), "lock": options["lock"]},
        "block": [{"debug": {"msg": f"TOLD {name} {{{{ {SHOWN} }}}}"}}],
        "rescue": [{"debug": {"msg": f"TOLD {name} REFUSED"}}],
    }


def told(tmp_path: Path, runs: list[dict[str, Any]], *arguments: str) -> list[dict[str, str]]:
    """What each task would hand on, for each fact ``roll_run`` that a roll may have left."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"localhost": local}}}))
    plays = []
    for run in runs:
        facts = [{"set_fact": run}] if run else []
        plays.append({"hosts": "localhost", "gather_facts": False, "tasks": [*facts, *map(shown, TASKS)]})
    status, output = run_plays(plays, tmp_path / "hosts.yml", *arguments)
    assert status == 0, output
    words = [line.split("TOLD ", 1)[1].split() for line in output.splitlines() if "msg: TOLD " in line]
    assert len(words) == len(TASKS) * len(runs), output
    return [dict(words[at : at + len(TASKS)]) for at in range(0, len(words), len(TASKS))]


def test_the_stops_of_all_rolls_are_looked_at() -> None:
    assert {path.parts[-3] for path in TASKS} == {"kafka_roll", "node_replace", "zookeeper_roll"}


def test_a_stop_without_a_token_is_no_stop(tmp_path: Path) -> None:
    no_run, no_token, none, held = told(
        tmp_path, [{}, {"roll_run": {"by": "jane"}}, {"roll_run": {"lock": {}}}, {"roll_run": {"lock": TOKEN}}]
    )
    assert set(no_run.values()) == set(no_token.values()) == {"REFUSED"}
    # What is no token is handed on, and the module refuses it.
    assert set(none.values()) == {"EMPTY"}
    assert set(held.values()) == {"r1"}


def test_a_check_has_no_lock_to_prove(tmp_path: Path) -> None:
    (found,) = told(tmp_path, [{"roll_run": {"lock": {}}}], "--check")
    # A roll of brokers comes to its stops in no check.
    assert {name for name, lock in found.items() if lock != "OMITTED"} == {"kafka_roll/restart"}
