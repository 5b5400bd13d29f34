# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that stops a service proves the run's lock: a token that is missing ends the roll and is never left out.

And it is in ZooKeeper whoever took the lock, or the lock could not be read where it matters.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
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


OF_THE_LOCK = ("holdfast.kafka.cluster_lock", "holdfast.kafka.roll_event")
HANDED_ON = {
    "cluster": "c",
    "zookeeper_hosts": ["192.0.2.1"],
    "zookeeper_chroot": "/tenant",
    "lock": TOKEN,
    "by": "jane",
}
LOGIN = {"zookeeper_auth": {"username": "roller", "password": "p"}, "zookeeper_tls": {"ca_file": "/run.pem"}}
# What the roles would find if they looked for themselves.
ELSEWHERE = {
    f"{owner}_{name}": {"username": owner, "password": "p"}
    if name == "zookeeper_auth"
    else {"ca_file": f"/{owner}.pem"}
    for owner in ("holdfast", "node_identity", "roll_run")
    for name in LOGIN
}


def sessions(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The options of the tasks, also within blocks, that open a session with ZooKeeper for a run that has begun."""
    for task in tasks:
        for part in ("block", "rescue", "always"):
            yield from sessions(task.get(part, []))
        yield from (task[name] for name in (*MODULES, *OF_THE_LOCK) if name in task)


def test_whoever_took_the_lock_is_who_renews_proves_and_gives_it_back(tmp_path: Path) -> None:
    """The user is the run's everywhere; certificates are files of the host on which the session is opened."""
    kept = [*TASKS, *(ROOT / "roles/roll_run/tasks" / f"{name}.yml" for name in ("note", "release"))]
    names = ("cluster", "zookeeper_hosts", "zookeeper_chroot", *LOGIN)
    tasks: list[dict[str, Any]] = []
    for path in kept:
        (options,) = sessions(yaml.safe_load(path.read_text()))
        tls = LOGIN["zookeeper_tls"] if "roll_run" in path.parts else {"ca_file": "/node_identity.pem"}
        wanted: dict[str, Any] = {**HANDED_ON, **LOGIN, "zookeeper_tls": tls}
        known = path.parents[1] / "vars/main.yml"
        asked = {name: options[name] for name in names if name in options}
        assert set(asked) >= {"zookeeper_hosts", *LOGIN}, path
        checks = [f"asked['{name}'] == {json.dumps(wanted[name])}" for name in asked]
        variables = {**yaml.safe_load(known.read_text()), **ELSEWHERE} if known.exists() else dict(ELSEWHERE)
        tasks.append({"name": path.parts[-3], "assert": {"that": checks}, "vars": {**variables, "asked": asked}})
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    facts = {"roll_run": HANDED_ON, "roll_run_login": LOGIN}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"localhost": {**local, **facts}}}}))
    status, output = run_plays([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}], tmp_path / "hosts.yml")
    assert status == 0, output


def test_who_the_run_is_in_zookeeper_is_decided_once() -> None:
    """No role that rolls looks for the user by itself."""
    roles = [ROOT / "roles" / name for name in ("roll_run", "kafka_roll", "zookeeper_roll", "node_replace")]
    files = [
        path for role in roles for folder in ("tasks", "vars", "defaults") for path in (role / folder).glob("*.yml")
    ]
    looking = {
        f"{path.parts[-3]}/{path.parts[-2]}"
        for path in files
        if any(f"{owner}_zookeeper_auth" in path.read_text() for owner in ("holdfast", "node_identity"))
    }
    assert looking == {"roll_run/defaults"}
