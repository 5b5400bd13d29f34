# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cluster_status calls a problem beyond the identities, and the commands that it tells."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.cluster_problems import cluster_problems
from ansible_collections.holdfast.kafka.plugins.module_utils.identity_conditions import NEXT_STEPS, unasked


def report(**zookeeper: Any) -> dict[str, Any]:
    """Return the report of a cluster of which EC2 shows nothing."""
    seen = {"servers": [], "quorum": {}, "external": False, **zookeeper}
    return {"pools": {}, "identities": [], "zookeeper": seen, "kafka": {}, "inventory": "-i inventories/orders"}


@pytest.mark.parametrize(
    ("zookeeper", "kinds"),
    [({}, ["quorum_not_whole"]), ({"external": True}, []), ({"quorum": {"whole": True}}, [])],
)
def test_a_quorum_that_nobody_could_ask_is_a_problem(zookeeper: dict[str, Any], kinds: list[str]) -> None:
    assert [one["kind"] for one in cluster_problems(report(**zookeeper))] == kinds


def test_unread_claims_do_not_contradict_the_servers_that_serve() -> None:
    seen = report(servers=[{"host": "a:2181", "mode": "leader"}, {"host": "b:2181", "mode": None}], external=True)
    seen["identities"] = [unasked("orders", "kafka", "zookeeper_unreachable", "nobody answers").as_dict()]
    (problem,) = cluster_problems(seen)
    assert problem["message"].endswith("a moment later a:2181 served")
    assert problem["next_step"].endswith("ansible-playbook -i inventories/orders playbooks/cluster_status.yml")


def test_every_command_names_the_inventory() -> None:
    for step in NEXT_STEPS.values():
        assert step.count("ansible-playbook ") == step.count("ansible-playbook -i inventories/mine ")
