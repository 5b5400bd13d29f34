# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a roll is about: the pools' brokers that the limit leaves, and never nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
BROKERS: list[dict[str, Any]] = [
    {"node_id": number, "availability_zone": f"z{number}", "private_ip": f"192.0.2.{number}", "volumes": [{}]}
    for number in (1, 2, 3)
]
PLAY = [
    {
        "hosts": "localhost:all",
        "gather_facts": False,
        "tasks": [{"include_role": {"name": "holdfast.kafka.kafka_roll", "tasks_from": "identities"}}],
    },
    {
        "hosts": "kafka_roll_targets",
        "gather_facts": False,
        "tasks": [
            {
                "debug": {
                    "msg": "TARGET {{ inventory_hostname }} {{ ansible_host }} {{ node_identity_claim.node_id }} "
                    "{{ 'kafka' in group_names }}"
                }
            }
        ],
    },
]


def identities(tmp_path: Path, *arguments: str, brokers: list[dict[str, Any]] = BROKERS) -> tuple[int, str, list[str]]:
    """Run the entry point; return the status, the output and the targets."""
    inventory = {
        "all": {
            "vars": {"holdfast_cluster": "c", "holdfast_pools": {"kafka": brokers}},
            "hosts": {"localhost": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}},
            "children": {
                # Broker 1's host has moved, broker 3 has none; 9 is of no pool.
                "kafka": {"hosts": {"c-kafka-1": {"ansible_host": "198.51.100.1"}, "c-kafka-2": {}, "c-kafka-9": {}}},
                "zookeeper": {"hosts": {"c-zookeeper-1": {}}},
            },
        }
    }
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "/dev/stdin",
            "-i",
            str(tmp_path / "hosts.yml"),
            *arguments,
        ],
        check=False,
        input=json.dumps(PLAY),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        timeout=300,
    )
    told = [line.split("TARGET ", 1)[1].strip() for line in done.stdout.splitlines() if "TARGET " in line]
    return done.returncode, done.stdout + done.stderr, sorted(told)


def test_without_a_limit_every_identity_is_meant_at_its_own_address(tmp_path: Path) -> None:
    status, output, targets = identities(tmp_path)
    assert status == 0, output
    assert targets == [f"c-kafka-{number} 192.0.2.{number} {number} True" for number in (1, 2, 3)]


def test_a_limit_narrows_the_targets(tmp_path: Path) -> None:
    status, output, targets = identities(tmp_path, "--limit", "c-kafka-1,c-zookeeper-1")
    assert status == 0, output
    assert targets == ["c-kafka-1 192.0.2.1 1 True"]


@pytest.mark.parametrize(
    ("arguments", "brokers", "told"),
    [
        (["--limit", "c-zookeeper-1"], BROKERS, "is in the limit (--limit c-zookeeper-1)"),
        (["--limit", "localhost"], BROKERS, "is in the limit"),
        (["--limit", "c-kafka-1,c-kafka-9"], BROKERS, "does not declare: c-kafka-9"),
        ([], [], "declares no broker"),
    ],
    ids=["another role", "localhost", "a stranger", "no pool"],
)
def test_nobody_and_strangers_are_refused(
    tmp_path: Path, arguments: list[str], brokers: list[dict[str, Any]], told: str
) -> None:
    status, output, targets = identities(tmp_path, *arguments, brokers=brokers)
    assert (status, targets) == (2, []), output
    assert "nothing_to_roll" in output
    assert told in " ".join(output.split())
