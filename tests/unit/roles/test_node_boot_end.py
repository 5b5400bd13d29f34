# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a failed boot ends: who is given up, who is kept, what the record says. Real Ansible, a stand-in for AWS."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml

REPOSITORY = Path(__file__).parents[3]
pytestmark = pytest.mark.slow

# In this order: Auto Scaling may end an unhealthy instance before its next word.
GIVEN_UP = ["SignalResource", "SetInstanceHealth"]


class Aws(http.server.BaseHTTPRequestHandler):
    """Says yes, or no to what it is told to refuse, and remembers who asked for what."""

    asked: list[str]
    refused: str

    def do_POST(self) -> None:
        """Answer one call."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        action = parse_qs(body)["Action"][0]
        self.asked.append(action)
        refuse = action == self.refused
        error = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
        text = error if refuse else f"<{action}Response/>"
        self.send_response(403 if refuse else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def aws() -> Iterator[tuple[str, type[Aws]]]:
    handler = type("Handler", (Aws,), {"asked": [], "refused": ""})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    server.server_close()


class Case:
    """One failed boot."""

    def __init__(self, root: Path, aws: tuple[str, type[Aws]]) -> None:
        self.root, self.endpoint, self.aws = root, aws[0], aws[1]
        self.release_works = True

    def end(
        self, *, verdict: str, by_unit: bool = True, first: bool = True, unit: str = "ActiveState=active"
    ) -> tuple[list[str], set[str], str]:
        """Run the end of the boot; the calls AWS saw, the phases of the record, and the output."""
        tasks = yaml.safe_load((REPOSITORY / "playbooks/tasks/node_boot_end.yml").read_text())
        # Giving the claim back is node_id_claim's, and tested there.
        release = tasks[-1]["block"][0]
        assert release.pop("ansible.builtin.include_role")["tasks_from"] == "release"
        release["ansible.builtin.command"] = "true" if self.release_works else "false"
        systemctl = self.root / "bin" / "systemctl"
        systemctl.parent.mkdir()
        systemctl.write_text(f"#!/bin/sh\necho {unit}\n")
        systemctl.chmod(0o755)
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "module_defaults": {"holdfast.kafka.boot_phase": {"path": str(self.root / "boot.json")}},
            "vars": {
                "holdfast_role": "kafka",
                "holdfast_region": "eu-central-1",
                "holdfast_stack_name": "nodes",
                "holdfast_stack_resource": "KafkaA",
                "node_signal_instance_id": "i-1",
                "node_signal_retries": 1,
                "node_signal_delay_seconds": 0,
                "node_boot_failure": "Wait until the node serves: it lags",
                "node_boot_verdict": verdict,
                "node_boot_reason": "stalled",
                "node_boot_by_unit": by_unit,
                "node_boot_record": {"first_run": first},
                "node_boot_steady_seconds": 0,
                "ansible_python_interpreter": sys.executable,
            },
            "tasks": tasks,
        }
        path = self.root / "play.yml"
        path.write_text(yaml.safe_dump([play]))
        env = {
            **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            "PATH": f"{systemctl.parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", "-c", "local", str(path)]
        done = subprocess.run(
            command, env=env, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120
        )
        record = self.root / "boot.json"
        phases = set(json.loads(record.read_text())["phases"]) if record.exists() else set()
        return self.aws.asked, phases & {"gave_up", "kept"}, done.stdout + done.stderr


REFUSAL = {"reason": "id_mismatch", "msg": "Volume {{ item | default('refused') }}.", "give_up": False}
REFUSE = {"name": "Look", "holdfast.kafka.refuse": REFUSAL}
LOOP = {"loop": ["one", "two"], "loop_control": {"break_when": "looked is failed"}, "register": "looked"}


@pytest.mark.parametrize(
    ("task", "failure", "verdict"),
    [
        (REFUSE, "Look: Volume refused. (reason: id_mismatch)", "false"),
        ({**REFUSE, **LOOP}, "Look: Volume one. (reason: id_mismatch)", "false"),
        ({"name": "Look", "ansible.builtin.fail": {"msg": "no"}}, "Look: no", "unknown"),
        ({"name": "Look", "ansible.builtin.fail": {"msg": "no {{ item }}"}, **LOOP}, "Look: no one", "unknown"),
    ],
    ids=["task", "loop", "task without a verdict", "loop without a verdict"],
)
def test_what_failed_is_kept_with_its_word_on_the_instance(
    tmp_path: Path, task: dict[str, Any], failure: str, verdict: str
) -> None:
    boot = yaml.safe_load((REPOSITORY / "playbooks/node_boot.yml").read_text())
    (block,) = (item for item in boot[1]["tasks"] if "rescue" in item)
    keep = block["rescue"][0]
    said = {"ansible.builtin.debug": {"msg": "{{ node_boot_failure }} | {{ node_boot_verdict }} |"}}
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [{"block": [task], "rescue": [keep, said]}]}
    play["vars"] = {"ansible_python_interpreter": sys.executable}
    path = tmp_path / "play.yml"
    path.write_text(yaml.safe_dump([play]))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", "-c", "local", str(path)]
    env = {**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, env=env, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120)
    assert f"{failure} | {verdict} |" in done.stdout, done.stdout + done.stderr


@pytest.fixture
def case(tmp_path: Path, aws: tuple[str, type[Aws]]) -> Case:
    return Case(tmp_path, aws)


@pytest.mark.parametrize(("verdict", "unit"), [("true", "ActiveState=active"), ("unknown", "ActiveState=failed")])
def test_a_fault_of_the_instance_gives_it_up(case: Case, verdict: str, unit: str) -> None:
    asked, phases, out = case.end(verdict=verdict, unit=unit)
    assert (asked, phases) == (GIVEN_UP, {"gave_up"}), out


@pytest.mark.parametrize(("verdict", "unit"), [("false", "ActiveState=active"), ("unknown", "ActiveState=active")])
def test_a_node_that_runs_is_kept_and_nobody_is_told(case: Case, verdict: str, unit: str) -> None:
    asked, phases, out = case.end(verdict=verdict, unit=unit)
    assert (asked, phases) == ([], {"kept"}), out
    assert "the instance is kept (degraded): Wait until the node serves: it lags" in " ".join(out.split())


@pytest.mark.parametrize("run", [{"by_unit": False}, {"first": False}])
def test_a_run_by_hand_and_a_later_run_give_nothing_up(case: Case, run: dict[str, Any]) -> None:
    asked, phases, out = case.end(verdict="true", **run)
    assert (asked, phases) == ([], set()), out


def test_a_health_that_could_not_be_set_is_not_recorded_and_the_stack_is_told(case: Case) -> None:
    case.aws.refused = "SetInstanceHealth"
    asked, phases, out = case.end(verdict="true")
    assert phases == set(), out
    assert asked.count("SetInstanceHealth") == 2, "tried again"
    assert asked[0] == "SignalResource"


def test_a_stack_that_could_not_be_told_does_not_hide_that_the_instance_is_given_up(case: Case) -> None:
    case.aws.refused = "SignalResource"
    asked, phases, out = case.end(verdict="true")
    assert (asked[-1], phases) == ("SetInstanceHealth", {"gave_up"}), out


def test_a_claim_that_cannot_be_given_back_hides_nothing(case: Case) -> None:
    case.release_works = False
    asked, phases, out = case.end(verdict="true")
    assert (asked, phases) == (GIVEN_UP, {"gave_up"}), out
    assert "the claim could not be given back" in " ".join(out.split())
    assert "rescued=1" in out
    assert "failed=0" in out


def test_nothing_on_the_way_out_hides_why_the_boot_failed() -> None:
    """The failure is printed first, and is what the run ends with, whatever fails in between."""
    plays = yaml.safe_load((REPOSITORY / "playbooks/node_boot.yml").read_text())
    rescue = next(task for task in plays[1]["tasks"] if "rescue" in task)["rescue"]
    end = next(task for task in rescue if task["name"] == "End the boot")
    first = yaml.safe_load((REPOSITORY / "playbooks/tasks/node_boot_end.yml").read_text())[0]
    assert first["holdfast.kafka.boot_phase"] == {
        "failure": "{{ node_boot_failure }}",
        "reason": "{{ node_boot_reason }}",
    }
    assert end["always"][-1]["ansible.builtin.fail"] == {"msg": "{{ node_boot_failure }}"}
