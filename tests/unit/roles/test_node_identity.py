# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role node_identity: what it hands on when a check ends where the real run would wait, and its defaults."""

from __future__ import annotations

from typing import Any

from tests.unit.roles.role_run import play


def test_a_check_that_would_wait_attaches_nothing_and_publishes_no_device() -> None:
    waiting = {"outcome": "waiting", "instance_id": "i-me", "waiting_for": ["i-1"], "wait_reason": "x", "pools": {}}
    conditions = ["node_identity_claim.eni.device is none", "node_identity_claim.node_id is none"]
    conditions += ["node_identity_claim.outcome == 'waiting'", "node_identity_claim.volumes == []"]
    done = play(
        [
            {"include_role": {"name": "holdfast.kafka.node_identity", "tasks_from": "attach"}},
            {"assert": {"that": conditions}},
        ],
        __node_identity_claimed=waiting,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped=4" in done.stdout


def test_the_expected_pools_are_the_inventorys() -> None:
    pools = {"kafka": [{"node_id": 1, "availability_zone": "a", "private_ip": "10.0.0.1", "volumes": [{}, {}]}]}
    tasks: list[dict[str, Any]] = [
        {"include_role": {"name": "holdfast.kafka.node_identity", "tasks_from": "attach", "public": True}},
        {"assert": {"that": ["node_identity_expected_pools == wanted"]}},
    ]
    waiting = {"outcome": "waiting", "instance_id": "i-me", "waiting_for": [], "wait_reason": "x", "pools": {}}
    cases: list[dict[str, Any]] = [{"holdfast_pools": pools, "wanted": pools}, {"wanted": {}}]
    for variables in cases:
        done = play(tasks, __node_identity_claimed=waiting, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
