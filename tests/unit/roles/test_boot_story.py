# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A boot prints its story in order: node_boot.yml's own phase tasks and texts, run by real Ansible."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[3]
pytestmark = pytest.mark.slow
ORDER = ["claim_start", "claim_end", "attach_end", "configure_end", "service_start", "healthy", "finished"]
CLAIMED = {
    "node_id": 1,
    "outcome": "taken_over",
    "previous_holder": "i-0dead",
    "claim_pending": False,
    "identity": {"eni": {"id": "eni-0a"}, "volumes": [{"id": "vol-0b"}]},
}
CLAIM = {
    "node_id": 1,
    "eni": {"id": "eni-0a", "device": "eth1", "private_ip": "10.77.1.21"},
    "volumes": [{"id": "vol-0b", "device_path": "/dev/xvdf"}],
}


def phase_tasks() -> list[dict[str, Any]]:
    """Return the phase tasks of a boot, and of its end, in their order."""
    plays = yaml.safe_load((REPOSITORY / "playbooks/node_boot.yml").read_text())
    block = next(task for task in plays[1]["tasks"] if "rescue" in task)
    end = yaml.safe_load((REPOSITORY / "playbooks/tasks/node_boot_end.yml").read_text())
    return [task for task in [*block["block"], *end] if "holdfast.kafka.boot_phase" in task]


def run(tmp_path: Path, tasks: list[dict[str, Any]], **variables: Any) -> tuple[list[str], dict[str, Any]]:
    """Run the tasks; the story's lines and the record."""
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "module_defaults": {"holdfast.kafka.boot_phase": {"path": str(tmp_path / "boot.json")}},
        "vars_files": [str(REPOSITORY / "playbooks/vars/node_boot_story.yml")],
        "vars": {
            "holdfast_role": "kafka",
            "holdfast_cluster": "orders",
            "holdfast_region": "eu-central-1",
            "node_boot_by_unit": False,
            "node_boot_record": {"first_run": True},
            "__node_identity_claimed": CLAIMED,
            "node_identity_claim": CLAIM,
            **variables,
        },
        "tasks": tasks,
    }
    path = tmp_path / "play.yml"
    path.write_text(yaml.safe_dump([play]))
    program = str(Path(sys.executable).parent / "ansible-playbook")
    done = subprocess.run(
        [program, "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}", str(path)],
        cwd=REPOSITORY,
        env={**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("holdfast:")]
    return lines, json.loads((tmp_path / "boot.json").read_text())


def test_the_story_is_told_once_and_in_order(tmp_path: Path) -> None:
    tasks = [task for task in phase_tasks() if "phase" in (task["holdfast.kafka.boot_phase"] or {})]
    tasks = [task for task in tasks if "node_boot_end" not in task["name"]]
    lines, record = run(tmp_path, tasks)
    assert [re.split(r"\s+", line)[1] for line in lines] == ORDER
    claimed, attached = lines[1], lines[2]
    assert claimed.endswith("kafka 1 (taken_over), eni-0a, vol-0b, after i-0dead")
    assert attached.endswith("eni-0a 10.77.1.21 as eth1, vol-0b as /dev/xvdf")
    assert lines[5].endswith("serving: kafka 1 on 10.77.1.21")
    assert [name for name in record["phases"] if name in ORDER] == ORDER
    assert set(record) == {"boot_id", "phases"}, "nothing of the story is recorded"
    assert all(re.fullmatch(r"[0-9T:.Z-]+", value) for value in record["phases"].values())
    again, _record = run(tmp_path, tasks)
    assert again == [], "a second run in the same boot tells nothing twice"


def test_a_failure_is_told_with_reason_and_page_and_without_its_secret(tmp_path: Path) -> None:
    tasks = phase_tasks()
    tell = [task for task in tasks if "failure" in (task["holdfast.kafka.boot_phase"] or {})]
    assert len(tell) == 1
    lines, record = run(
        tmp_path,
        [tasks[0], *tell],
        node_boot_failure="Fetch: https://me:hunter2@git.example/x said no; password=hunter2",
        node_boot_reason="auth",
    )
    assert lines[1].startswith("holdfast: FAILED")
    assert "after claim_start: reason=auth: Fetch: https://***@git.example/x said no; password=***" in lines[1]
    assert lines[1].endswith("docs/runbooks/reasons/auth.md")
    assert "hunter2" not in json.dumps([lines, record])


def test_a_pending_claim_is_told(tmp_path: Path) -> None:
    pending = {**CLAIMED, "claim_pending": True}
    tasks = [task for task in phase_tasks() if (task["holdfast.kafka.boot_phase"] or {}).get("phase") == "claim_end"]
    lines, _record = run(tmp_path, tasks, __node_identity_claimed=pending)
    assert "claim pending: ZooKeeper does not answer" in lines[0]


@pytest.mark.parametrize("pending", [True, False])
def test_a_claim_that_is_pending_is_written_once_the_node_serves(tmp_path: Path, pending: bool) -> None:
    plays = yaml.safe_load((REPOSITORY / "playbooks/node_boot.yml").read_text())
    names = [task["name"] for task in next(task for task in plays[1]["tasks"] if "rescue" in task)["block"]]
    after = names.index("Do what only a node that serves can do")
    assert names.index("Note that the node is healthy") < after < names.index("Signal success")
    tasks = yaml.safe_load((REPOSITORY / "playbooks/tasks/node_boot_serving.yml").read_text())
    for task in tasks:
        role = task.pop("ansible.builtin.include_role")
        proof = tmp_path / f"{role['name']}.{role['tasks_from']}"
        task["ansible.builtin.copy"] = {"dest": str(proof), "content": "ran", "mode": "0600"}
    first = phase_tasks()[0]
    run(tmp_path, [first, *tasks], __node_identity_claimed={**CLAIMED, "claim_pending": pending})
    ran = {path.name for path in tmp_path.glob("holdfast.kafka.*")}
    assert ran == ({"holdfast.kafka.node_identity.claim"} if pending else set())
