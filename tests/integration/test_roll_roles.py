# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of the rolls' roles against real brokers: what a refusal leaves, and whose turn comes later."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.integration import test_kafka_dynamic_config as dynamic
from tests.integration.kafka_topics import topic
from tests.integration.services import KafkaCluster
from tests.integration.test_kafka_roll import pool, settled
from tests.integration.test_roll_run import World, world

__all__ = ["world"]
SETTING = {"background.threads": 11}
HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}


def on_host(name: str, group: str, **variables: Any) -> dict[str, Any]:
    """Return the play that adds a host."""
    return {
        "hosts": "node-1",
        "gather_facts": False,
        "tasks": [{"ansible.builtin.add_host": {"name": name, "groups": [group], **HERE, **variables}}],
    }


def include(role: str, part: str, variables: dict[str, Any]) -> dict[str, Any]:
    """Return the task that runs a part of a role."""
    return {"ansible.builtin.include_role": {"name": f"holdfast.kafka.{role}", "tasks_from": part}, "vars": variables}


@pytest.mark.parametrize("allowed", [[], ["tight"]], ids=["refused", "allowed"])
def test_a_roll_that_is_refused_has_set_nothing(kafka_cluster: KafkaCluster, world: World, allowed: list[str]) -> None:
    first = kafka_cluster.brokers[1]
    variables: dict[str, Any] = {
        "__kafka_roll_bootstrap": kafka_cluster.bootstrap_servers,
        "__kafka_roll_brokers": pool(kafka_cluster),
        "__kafka_roll_prefix": "c-kafka-",
        "kafka_roll_configure": True,
        "kafka_roll_unavailable_topics_allowed": allowed,
        "kafka_dynamic_properties": SETTING,
        "kafka_brokers": {"1": "127.0.0.1"},
        "kafka_port": first.port,
        "roll_run_bootstrap_servers": [],
    }
    claim = {"node_id": 1, "availability_zone": "a", "eni": {"private_ip": "127.0.0.1"}, "volumes": []}
    pools = {"zookeeper": [], "kafka": []}
    due = {"kafka_roll_due": "its configuration changes", "node_identity_claim": claim, "holdfast_pools": pools}
    plan = {
        "hosts": "kafka_roll_targets[0]",
        "gather_facts": False,
        "any_errors_fatal": True,
        "tasks": [include("kafka_roll", "plan", variables)],
    }
    try:
        with topic(kafka_cluster, "tight", {0: [1, 2]}):
            settled(kafka_cluster)
            done = world.play(on_host("c-kafka-1", "kafka_roll_targets", **due), plan)
            assert (done.returncode == 0) == bool(allowed), done.stdout + done.stderr
            assert ("replication_not_above_min_isr" in done.stdout + done.stderr) != bool(allowed)
            left = dynamic.apply(kafka_cluster, SETTING, check=True)
    finally:
        dynamic.apply(kafka_cluster, dict.fromkeys(SETTING))
    assert left["changed"] is not bool(allowed), left
