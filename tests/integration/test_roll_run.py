# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The frame of a roll as playbooks use it: the lock in a real ZooKeeper, the record, and what a failure leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.kafka.plugins.module_utils import cluster_lock, lock_record
from ansible_collections.holdfast.kafka.plugins.module_utils.lock_record import Owner
from ansible_collections.holdfast.kafka.plugins.module_utils.lock_store import LockStore
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_security import Auth, Security

from tests.integration.services import ZooKeeperEnsemble

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct-horse-battery"
AT = "2026-01-01T00:00:00Z"
ANY_BROKEN = "ansible_play_batch | map('extract', hostvars) | selectattr('broken', 'defined') | list | length > 0"
FAILURE = {"failed_when": True, "ansible.builtin.command": "echo password=hunter2"}


def part(name: str, **variables: Any) -> dict[str, Any]:
    """Return the task that includes a part of the role."""
    include = {"name": "holdfast.kafka.roll_run", "tasks_from": name}
    return {"name": f"Part {name}", "ansible.builtin.include_role": include, "vars": variables}


def note(event: str, **variables: Any) -> dict[str, Any]:
    """Return the task that notes an event of the batch that is up."""
    known = {"roll_run_event": event, "roll_run_batch": "{{ number }}", "roll_run_node_ids": "{{ ids }}"}
    return part("note", **{**known, **variables})


def begin_play(*tasks: dict[str, Any]) -> dict[str, Any]:
    """Return the play that begins, as the rolls do it: on the nodes, so that a limit leaves localhost out."""
    plan = note("plan", roll_run_batch=0, roll_run_node_ids=[], roll_run_detail={"batches": [[1, 2], [3]]})
    return {
        "hosts": "nodes",
        "gather_facts": False,
        "any_errors_fatal": True,
        "tasks": [
            part("begin", roll_run_playbook="kafka_rolling_restart"),
            {"block": [plan, *tasks], "rescue": [part("fail", roll_run_event="refused")]},
        ],
    }


def roll_play(*tasks: dict[str, Any], serial: Any = (2, 1)) -> dict[str, Any]:
    """Return the play that goes through the batches."""
    kinds = ("batch_start", "stop_start", "stopped", "started", "in_sync", "batch_end")
    events = [note(kind) for kind in kinds]
    failing = part(
        "fail",
        roll_run_batch="{{ number }}",
        roll_run_node_ids="{{ ids }}",
        roll_run_unit="kafka.service",
        roll_run_bootstrap_servers=[],
    )
    return {
        "hosts": "nodes",
        "gather_facts": False,
        "serial": list(serial),
        "any_errors_fatal": True,
        "max_fail_percentage": 0,
        "vars": {
            "number": "{{ 2 if 'node-3' in ansible_play_batch else 1 }}",
            "ids": "{{ [3] if 'node-3' in ansible_play_batch else [1, 2] }}",
        },
        "tasks": [
            # Otherwise Ansible ends the play without the rescue as soon as one host of several fails.
            {
                "any_errors_fatal": False,
                "block": [*events[:4], *tasks, *events[4:]],
                "rescue": [{"name": "Remember", "ansible.builtin.set_fact": {"broken": True}}],
            },
            {**failing, "when": ANY_BROKEN},
        ],
    }


END: dict[str, Any] = {"hosts": "nodes", "gather_facts": False, "tasks": [part("end")]}


@dataclass
class World:
    """Three nodes that are this machine, and one cluster's lock."""

    hosts: list[str]
    folder: Path
    cluster: str = field(default_factory=lambda: f"c{uuid.uuid4().hex[:8]}")
    variables: dict[str, Any] = field(default_factory=dict)

    def play(self, *plays: dict[str, Any], check: bool = False, told: str = "") -> subprocess.CompletedProcess[str]:
        """Run the plays; C(told) is an option like C(-vvv)."""
        nodes = {
            f"node-{number}": {
                "ansible_connection": "local",
                "ansible_python_interpreter": sys.executable,
                "ansible_become": False,
            }
            for number in (1, 2, 3)
        }
        known = {
            "holdfast_cluster": self.cluster,
            "roll_run_zookeeper_hosts": self.hosts,
            "roll_run_reports_directory": str(self.reports),
            "roll_run_by": "jane",
            **self.variables,
        }
        book, inventory = self.folder / "book.yml", self.folder / "hosts.yml"
        book.write_text(yaml.safe_dump(list(plays), sort_keys=False))
        inventory.write_text(yaml.safe_dump({"nodes": {"hosts": nodes}, "all": {"vars": known}}))
        done = subprocess.run(
            [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory), str(book)]
            + (["--check"] if check else [])
            + ([told] if told else []),
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
                "ANSIBLE_NOCOLOR": "1",
            },
            timeout=300,
        )
        (self.folder / "output.txt").write_text(done.stdout + done.stderr)
        return done

    @property
    def reports(self) -> Path:
        """Where the reports are."""
        return self.folder / "reports"

    def report(self) -> dict[str, Any]:
        """Return the latest report."""
        found = json.loads((self.reports / "roll.json").read_text())
        assert isinstance(found, dict)
        return found

    def run_directory(self) -> Path:
        """Return the one run's directory."""
        (found,) = (self.reports / "rolls").iterdir()
        return found

    def store(self) -> LockStore:
        """Return the lock's store."""
        return LockStore(self.hosts, lock_record.lock_path(self.cluster))

    def lock(self) -> lock_record.Record | None:
        """Return the lock."""
        with closing(self.store()) as store:
            return cluster_lock.look(store)

    def free(self) -> bool:
        """Whether nobody has the lock, after somebody had it."""
        record = self.lock()
        return record is not None and record.free


@pytest.fixture
def world(zookeeper_server: ZooKeeperEnsemble, tmp_path: Path) -> World:
    """A cluster whose lock nobody ever had."""
    return World(zookeeper_server.hosts, tmp_path)


def test_a_whole_roll_leaves_its_record_and_no_lock(world: World) -> None:
    done = world.play(begin_play(), roll_play(), END)
    assert done.returncode == 0, done.stdout
    report = world.report()
    assert (report["outcome"], report["playbook"], report["by"]) == ("succeeded", "kafka_rolling_restart", "jane")
    assert (report["done_node_ids"], report["remaining_node_ids"], report["stops"]) == ([1, 2, 3], [], 3)
    assert [(one["batch"], one["node_ids"]) for one in report["batches"]] == [(1, [1, 2]), (2, [3])]
    assert (world.reports / "roll.html").is_file()
    assert world.free()
    record = world.lock()
    assert record is not None
    assert record.ended is not None
    assert (record.ended["how"], record.ended["run_id"]) == ("released", report["run_id"])
    # Each event renewed it: once taken, 14 notes, once given back.
    assert record.version == 14


def test_check_mode_touches_nothing_and_looks_at_the_lock(world: World) -> None:
    done = world.play(begin_play(), roll_play(), END, check=True)
    assert done.returncode == 0, done.stdout
    assert not world.reports.exists()
    assert world.lock() is None
    with closing(world.store()) as store:
        cluster_lock.acquire(store, Owner("other", "joe", "site", AT, 600))
    done = world.play(begin_play(), roll_play(), END, check=True)
    assert done.returncode != 0
    assert "Run other (site, by joe) has the lock" in " ".join(done.stdout.split())


def test_a_second_run_is_refused_and_leaves_no_record(world: World) -> None:
    with closing(world.store()) as store:
        token = cluster_lock.acquire(store, Owner("other", "joe", "site", AT, 600)).token
    done = world.play(begin_play(), roll_play(), END)
    assert done.returncode != 0
    assert "Run other (site, by joe) has the lock" in " ".join(done.stdout.split())
    assert list((world.reports / "rolls").iterdir()) == []
    assert token.matches(world.lock())


@pytest.mark.parametrize("who", ["node-1", "node-2"])
def test_a_failure_on_any_host_of_a_batch_stops_the_roll_and_is_kept(world: World, who: str) -> None:
    broken = {"name": "Wait for the broker", **FAILURE, "when": f"inventory_hostname == '{who}'"}
    done = world.play(begin_play(), roll_play(broken), END)
    assert done.returncode != 0
    assert "NO MORE HOSTS LEFT" in done.stdout
    report = world.report()
    assert (report["outcome"], report["task"], report["done_node_ids"]) == ("failed", "Wait for the broker", [])
    assert report["reason"] == "task_failed", "a command has no word of its own"
    assert [batch["batch"] for batch in report["batches"]] == [1], "the second batch never began"
    assert set(report["services"]) == {"node-1", "node-2"}
    assert "in_sync" in (world.run_directory() / "events.jsonl").read_text(), "the other one of the batch went on"
    evidence = world.run_directory() / "evidence"
    assert {path.name for path in evidence.iterdir()} == {"node-1.json", "node-2.json", "zookeeper.json"}
    node = json.loads((evidence / "node-1.json").read_text())
    assert (node["unit"], node["filesystems"]["/"]["size_bytes"] > 0) == ("kafka.service", True)
    assert json.loads((evidence / "zookeeper.json").read_text())["quorum"]["whole"] is True
    resume = json.loads((world.run_directory() / "resume.json").read_text())
    assert (resume["remaining_node_ids"], resume["down_node_ids"]) == ([1, 2, 3], [])
    event = json.loads((world.run_directory() / "events.jsonl").read_text().splitlines()[-1])
    assert (event["kind"], event["detail"]["host"]) == ("failed", who)
    assert world.free()


def test_a_refused_plan_is_a_record_too(world: World) -> None:
    refused = {
        "name": "Plan",
        "holdfast.kafka.refuse": {"reason": "under_replicated", "msg": "orders-0 misses 2.", "give_up": False},
        "run_once": True,
    }
    done = world.play(begin_play(refused), roll_play(), END)
    assert done.returncode != 0
    report = world.report()
    assert (report["outcome"], report["reason"], report["nodes"]) == ("refused", "under_replicated", [])
    assert "orders-0 misses 2." in report["error"]
    assert world.free()


def test_a_lock_that_was_taken_away_stops_the_roll_before_its_next_step(world: World) -> None:
    lock = {"cluster": world.cluster, "zookeeper_hosts": world.hosts}
    force = {**lock, "state": "released", "force": True, "force_reason": "test", "by": "joe"}
    thief = {**lock, "run_id": "other", "holder": "joe", "playbook": "site"}
    robbed = [
        {"name": "Rob", "holdfast.kafka.cluster_lock": force, "run_once": True, "delegate_to": "localhost"},
        {"name": "Take", "holdfast.kafka.cluster_lock": thief, "run_once": True, "delegate_to": "localhost"},
    ]
    done = world.play(begin_play(), roll_play(*robbed), END)
    assert done.returncode != 0
    report = world.report()
    assert (report["outcome"], report["reason"]) == ("failed", "lock_lost")
    assert "Run other (site, by joe) has it" in report["error"]
    # The play reached the part that fails, although what found it out ran once for two hosts.
    assert "The lock was not given back" in " ".join(done.stdout.split())
    record = world.lock()
    assert record is not None
    assert record.owner is not None
    assert record.owner.run_id == "other"


def test_a_failure_before_the_run_began_is_told_as_it_is(world: World) -> None:
    book = {
        "hosts": "nodes",
        "gather_facts": False,
        "tasks": [{"block": [{"name": "Look", **FAILURE}], "rescue": [part("fail")]}],
    }
    done = world.play(book)
    assert done.returncode != 0
    assert "(task 'Look'). (reason: task_failed)" in " ".join(done.stdout.split())
    assert not world.reports.exists()


def test_a_failure_in_check_mode_is_a_failure(world: World) -> None:
    failing = {"name": "Look", "ansible.builtin.fail": {"msg": "no good"}}
    done = world.play(begin_play(failing), END, check=True)
    assert done.returncode != 0
    assert "no good (task 'Look'" in " ".join(done.stdout.split())
    assert not world.reports.exists()


def test_a_directory_that_cannot_be_written_is_found_out_before_the_lock(world: World) -> None:
    world.reports.write_text("a file")
    done = world.play(begin_play(), END)
    assert done.returncode != 0
    assert world.lock() is None


def test_a_record_that_cannot_be_begun_gives_the_lock_back(world: World) -> None:
    # Root may write in every directory but in the kernel's own.
    world.reports.mkdir()
    (world.reports / "rolls").symlink_to("/sys/kernel")
    done = world.play(begin_play(), END)
    assert done.returncode != 0
    assert "events.jsonl cannot be written" in " ".join(done.stdout.split())
    assert world.free()


def test_no_password_is_in_what_is_kept(world: World) -> None:
    world.variables["roll_run_zookeeper_auth"] = {"scheme": "digest", "username": "holdfast", "password": PASSWORD}
    broken = {"name": "Break", "ansible.builtin.fail": {"msg": "login failed: sasl.password = hunter2"}}
    done = world.play(begin_play(), roll_play(broken), END)
    assert done.returncode != 0
    texts = [path.read_text() for path in world.reports.rglob("*") if path.is_file()]
    assert len(texts) >= 8
    for text in texts:
        assert PASSWORD not in text
        assert "hunter2" not in text
    assert PASSWORD not in done.stdout
    auth = Security(Auth("digest", "holdfast", PASSWORD))
    with closing(LockStore(world.hosts, lock_record.lock_path(world.cluster), auth)) as store:
        record = cluster_lock.look(store)
    assert record is not None
    assert record.free


def test_the_lock_is_shown_and_given_back_by_its_playbook(world: World) -> None:
    with closing(world.store()) as store:
        cluster_lock.acquire(store, Owner("other", "joe", "site", AT, 600))

    def play(*options: str) -> str:
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                "playbooks/lock_release.yml",
                *("-i", "localhost,"),
                *("-e", f"holdfast_cluster={world.cluster}"),
                *("-e", "ansible_connection=local"),
                *("-e", f"ansible_python_interpreter={sys.executable}"),
                *("-e", "holdfast_environment=lab"),
                *("-e", "holdfast_region=eu-central-1"),
                *("-e", json.dumps({"node_identity_zookeeper_hosts": world.hosts})),
                *options,
            ],
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            timeout=120,
        )
        return " ".join(done.stdout.split())

    force = ("-e", "lock_release_force=true", "-e", "lock_release_by=jane")
    why = ("-e", "lock_release_reason=burnt")
    assert "Run other (site, by joe) has the lock" in play()
    assert "state released needs force_reason" in play(*force)
    assert "would give back the lock of run other by jane: burnt" in play(*force, *why, "--check")
    assert not world.free()
    assert "GAVE BACK the lock of run other by jane: burnt" in play(*force, *why)
    assert world.free()
    assert "Nobody has the lock" in play(*force, *why)


def crashing(world: World, module: str) -> dict[str, Any]:
    """Return the task after which this module ends without a word on the controller, as a full disk or a kill would."""
    python = world.folder / "python"
    python.write_text(
        f"""#!/bin/sh
set -e
payload=$(mktemp)
trap 'rm -f "$payload"' EXIT
cat "$@" >"$payload"
if grep -q 'plugins.modules.{module}' "$payload"; then echo crashed >&2; exit 1; fi
{sys.executable} "$payload"
"""
    )
    python.chmod(0o755)
    return {
        "name": f"Let {module} crash",
        "ansible.builtin.set_fact": {"ansible_python_interpreter": str(python)},
        "delegate_to": "localhost",
        "delegate_facts": True,
        "run_once": True,
    }


@pytest.mark.parametrize(
    ("module", "name", "said"),
    [
        ("roll_event", "begin", "begin | Refuse a roll without a record"),
        ("roll_event", "note", "note | Stop when the event or the lock could not be had"),
        ("cluster_lock", "end", "end | Fail when the lock was not this run's to give back"),
    ],
)
def test_a_module_that_crashes_without_a_reason_is_no_success(world: World, module: str, name: str, said: str) -> None:
    crash = crashing(world, module)
    parts = {"begin": part("begin", roll_run_playbook="any"), "note": note("batch_start"), "end": part("end")}
    numbered = {"number": 1, "ids": [1]}
    play = {"hosts": "nodes", "gather_facts": False, "vars": numbered, "tasks": [crash, parts[name]]}
    done = world.play(*([] if name == "begin" else [begin_play()]), play)
    assert done.returncode != 0, done.stdout
    assert said in done.stdout.rpartition("fatal:")[0].rpartition("TASK [")[2], done.stdout[-3000:]
