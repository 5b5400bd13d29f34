# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A boot refuses the inventory that it pulled before it touches anything. Real Ansible, the lab's inventory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[3]
pytestmark = pytest.mark.slow

NODE = {
    "holdfast_cluster": "demo",
    "holdfast_role": "kafka",
    "holdfast_environment": "lab",
    "holdfast_git_url": "http://192.0.2.1/holdfast",
    "holdfast_git_version": "main",
    "holdfast_stack_name": "nodes",
    "holdfast_stack_resource": "KafkaGroupA",
    "holdfast_asg": "demo-kafka-a",
}


def first_play(inventory: Path, **more: object) -> subprocess.CompletedProcess[str]:
    """Run the first play of node_boot, as holdfast-boot runs the whole."""
    plays = yaml.safe_load((REPOSITORY / "playbooks/node_boot.yml").read_text(encoding="utf-8"))
    path = inventory / "first_play.yml"
    path.write_text(yaml.safe_dump(plays[:1], sort_keys=False), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory / "node.yml"), str(path)]
    return subprocess.run(
        [*command, "--extra-vars", json.dumps({**NODE, **more})],
        check=False,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        timeout=120,
    )


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """A copy of the lab's inventory."""
    return Path(shutil.copytree(REPOSITORY / "inventories" / "lab", tmp_path / "inventories" / "lab"))


def test_a_good_inventory_is_accepted(inventory: Path) -> None:
    done = first_play(inventory)
    assert done.returncode == 0, done.stdout
    assert "Join the group of the role" in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "words"),
    [
        ("all/cluster.yml", "holdfast_clutser: demo", "did you mean holdfast_cluster?"),
        ("all/zz_own.yml", "holdfast_pools: three", "holdfast_pools"),
        ("kafka/role.yml", "kafka_heap_mb: 512", "kafka_heap_mb"),
        ("kafka/role.yml", "kafka_heap_mib: lots", "role.yml: kafka_heap_mib is 'lots', which is not of its type int."),
    ],
)
def test_a_fault_is_refused_before_the_role_is_joined(inventory: Path, file: str, line: str, words: str) -> None:
    with (inventory / "group_vars" / file).open("a", encoding="utf-8") as handle:
        handle.write(f"\n{line}\n")
    done = first_play(inventory)
    assert done.returncode != 0
    assert words in done.stdout + done.stderr
    assert "Join the group of the role" not in done.stdout


def test_two_identities_of_one_address_are_refused(inventory: Path) -> None:
    pools = yaml.safe_load((inventory / "group_vars/all/pools.yml").read_text(encoding="utf-8"))["holdfast_pools"]
    pools["kafka"][1]["private_ip"] = pools["kafka"][0]["private_ip"]
    done = first_play(inventory, holdfast_pools=pools)
    assert done.returncode != 0
    assert "to kafka 1 and to kafka 2" in done.stdout


def test_a_password_in_the_place_of_the_scheme_is_not_repeated(inventory: Path) -> None:
    done = first_play(inventory, holdfast_zookeeper_auth={"scheme": "hunter2", "username": "holdfast", "password": "x"})
    assert done.returncode != 0
    assert "holdfast_zookeeper_auth.scheme must be sasl or digest" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_an_instance_without_a_role_is_refused(inventory: Path) -> None:
    done = first_play(inventory, holdfast_role="")
    assert done.returncode != 0
    assert "user-data writes it to /etc/holdfast/node.yml" in done.stdout + done.stderr


def test_the_check_is_in_the_play_that_comes_first() -> None:
    plays = yaml.safe_load((REPOSITORY / "playbooks/node_boot.yml").read_text(encoding="utf-8"))
    included = [task.get("ansible.builtin.include_role", {}).get("name") for task in plays[0]["tasks"]]
    assert "holdfast.kafka.inventory_check" in included
    assert plays[0]["hosts"] == "localhost"
