# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every template as AWX runs it: by ansible-runner, the survey's answers as extra variables, from an old inventory.

EC2 and ZooKeeper are real servers on loopback. The declared nodes have addresses of the loopback where nobody answers,
so what asks EC2 and ZooKeeper does its work here, and what needs the nodes must say that they do not answer, and touch
nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.kafka.plugins.module_utils import cluster_lock, lock_record
from ansible_collections.holdfast.kafka.plugins.module_utils.lock_store import LockStore

from lab.api.server import start_strict_ec2
from tests.integration.operator_world import CLUSTER, OperatorWorld, declared
from tests.integration.provisioning import ROOT, command
from tests.integration.services import ZooKeeperEnsemble

TEMPLATES: list[dict[str, Any]] = yaml.safe_load((ROOT / "awx/templates.yml").read_text(encoding="utf-8"))[
    "awx_apply_templates"
]
#: What a person would answer where the survey has no default.
ANSWERS = {
    "cluster_wait_timeout_seconds": 2,
    "identity_release_role": "kafka",
    "identity_release_node_id": 1,
    "identity_release_reason": "a test",
    "node_replace_role": "kafka",
    "node_instance_role": "kafka",
    "node_instance_node_id": 1,
}
SNAPSHOT = """#!/bin/sh
[ "$1" = --list ] || exit 1
cat "$(dirname "$0")/snapshot.json"
"""


def answers(template: dict[str, Any]) -> dict[str, Any]:
    """Return what AWX makes of a survey that is answered as it is offered."""
    asked = template.get("survey", [])
    return {one["variable"]: ANSWERS.get(one["variable"], one.get("default", "")) for one in asked}


def nowhere() -> dict[str, list[dict[str, Any]]]:
    """Return the declared pools at addresses where nobody answers."""
    return {
        role: [{**one, "private_ip": "127.77." + one["private_ip"].split(".", 2)[2]} for one in ones]
        for role, ones in declared().items()
    }


@dataclass
class Job:
    """What a job left."""

    status: str
    printed: str
    failures: list[dict[str, Any]]

    @property
    def said(self) -> str:
        """All that its failed tasks said."""
        return " ".join(" ".join(str(one.get("res", {}).get("msg", "")).split()) for one in self.failures)


@dataclass
class Tower:
    """A project, an inventory that is old, and what stands behind them."""

    world: OperatorWorld
    folder: Path

    def snapshot(self) -> None:
        """List the nodes as an inventory source does, and let the listed instance be gone afterwards."""
        holder = self.world.launch("eu-central-1a")
        tags = {"Name": f"{CLUSTER}-kafka-1", "holdfast:cluster": CLUSTER, "holdfast:role": "kafka"}
        tags["holdfast:node-id"] = "1"
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        self.world.ec2.create_tags(Resources=[holder], Tags=pairs)
        listed = command(self.world.api, "ansible-inventory", "-i", "inventories/lab", "--list", "--export")
        assert listed.returncode == 0, listed.stderr
        assert f"{CLUSTER}-kafka-1" in json.loads(listed.stdout)["_meta"]["hostvars"]
        self.folder.joinpath("snapshot.json").write_text(listed.stdout)
        script = self.folder / "hosts"
        script.write_text(SNAPSHOT)
        script.chmod(0o755)
        self.world.terminate(holder)

    def launch(self, template: dict[str, Any], check: bool) -> Job:
        """Run a job as AWX does, and wait for it."""
        place = self.folder / f"{template['playbook']}-{check}"
        (place / "env").mkdir(parents=True)
        variables = {
            **answers(template),
            "awx_user_name": "jane",
            "awx_job_id": 7,
            "node_identity_zookeeper_hosts": self.world.zookeeper_hosts,
            "roll_run_reports_directory": str(place / "reports"),
        }
        if "provision" not in template["playbook"]:
            variables["holdfast_pools"] = nowhere()
        (place / "env" / "extravars").write_text(json.dumps(variables))
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        (place / "env" / "envvars").write_text(json.dumps({"PATH": path}))
        (place / "env" / "cmdline").write_text("--check --diff" if check else "")
        done = command(
            self.world.api,
            "ansible-runner",
            *("run", str(place), "--project-dir", str(ROOT), "--inventory", str(self.folder / "hosts")),
            *("-p", f"playbooks/{template['playbook']}.yml", "--ident", "1"),
        )
        artifacts = place / "artifacts" / "1"
        events = [json.loads(path.read_text()) for path in artifacts.glob("job_events/*.json")]
        kinds = ("runner_on_failed", "runner_item_on_failed", "runner_on_unreachable")
        bad = [one["event_data"] for one in events if one["event"] in kinds]
        return Job((artifacts / "status").read_text(), done.stdout, bad)

    def lock_is_free(self) -> bool:
        """Whether no run has left the lock behind."""
        with closing(LockStore(self.world.zookeeper_hosts, lock_record.lock_path(CLUSTER))) as store:
            record = cluster_lock.look(store)
        return record is None or record.free


@pytest.fixture(scope="module")
def tower(zookeeper_server: ZooKeeperEnsemble, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tower]:
    """One for all jobs."""
    api = start_strict_ec2(imds=True)
    world = OperatorWorld(api, zookeeper_server.hosts)
    try:
        made = Tower(world, tmp_path_factory.mktemp("awx"))
        made.snapshot()
        yield made
    finally:
        api.stop()


UNREACHABLE = "cannot connect to Kafka by 127.77.1.21:9092"
NOT_ANSWERING = "127.77.1.11"
#: How a job ends here: in check mode or not, the status, and what its failure says.
ENDS: list[tuple[str, bool, str, str]] = [
    ("cluster_status", False, "successful", ""),
    ("cluster_status", True, "successful", ""),
    ("cluster_wait", False, "failed", ""),
    ("pool_provision", True, "successful", ""),
    ("nodes_provision", True, "failed", "this account has no image tagged holdfast:image=node"),
    ("pool_adopt", True, "failed", "pool_adopt_name_patterns is not set"),
    ("claims_restore", False, "failed", "has no interface and no volume of the role"),
    ("identity_release", False, "failed", "demo-kafka-1: there is neither a claim nor an interface of it"),
    ("lock_release", False, "successful", ""),
    ("lock_release", True, "successful", ""),
    ("kafka_rolling_restart", True, "failed", UNREACHABLE),
    ("kafka_rolling_restart", False, "failed", UNREACHABLE),
    ("kafka_rolling_configure", False, "failed", UNREACHABLE),
    ("kafka_rolling_upgrade", False, "failed", "An upgrade needs kafka_version"),
    ("kafka_leaders_rebalance", False, "failed", UNREACHABLE),
    ("instance_create", True, "failed", "The pool has no identity demo-kafka-1"),
    ("instance_terminate", False, "failed", "The pool has no identity demo-kafka-1"),
    ("nodes_rolling_replace", False, "failed", "The pool has no identity demo-kafka-1"),
    ("zookeeper_rolling_restart", True, "failed", NOT_ANSWERING),
    ("zookeeper_rolling_restart", False, "failed", NOT_ANSWERING),
    ("zookeeper_rolling_configure", False, "failed", NOT_ANSWERING),
    ("zookeeper_rolling_upgrade", False, "failed", "an upgrade needs zookeeper_version"),
]
#: They fetch archives or build an image; the lab's suites and `make demo` run them.
NOT_LAUNCHED = {"artifacts_gather", "image_bake", "site"}


def test_every_template_is_launched_or_said_not_to_be() -> None:
    assert {one["playbook"] for one in TEMPLATES} == {name for name, *_rest in ENDS} | NOT_LAUNCHED


@pytest.mark.slow
@pytest.mark.parametrize(("name", "check", "status", "said"), ENDS, ids=str)
def test_a_job_does_its_work_or_says_why_not(tower: Tower, name: str, check: bool, status: str, said: str) -> None:
    template = next(one for one in TEMPLATES if one["playbook"] == name)
    job = tower.launch(template, check)
    assert (job.status, said in job.said) == (status, True), job.printed[-3000:]
    assert tower.lock_is_free()
