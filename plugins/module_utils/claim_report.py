# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a claim tells in its result. Pure."""

from __future__ import annotations

from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.claim_runner import Runner
from ansible_collections.holdfast.kafka.plugins.module_utils.herd import derived_node_id
from ansible_collections.holdfast.kafka.plugins.module_utils.imds import Myself


def holder_diff(name: str, before: str | None, after: str | None) -> dict[str, dict[str, str | None]]:
    """Describe the change of one claim's holder."""
    return {"before": {"identity": name, "holder": before}, "after": {"identity": name, "holder": after}}


def report(runner: Runner, me: Myself) -> dict[str, Any]:
    """Return what success and failure both tell."""
    told: dict[str, Any] = {
        "instance_id": me.instance_id,
        "attempts": [vars(attempt) for attempt in runner.machine.attempts],
        "waits": runner.waits,
        "waited_seconds": round(runner.waited, 1),
    }
    if runner.reading is not None:
        told["pools"] = runner.reading.pools()
        told["faults"] = [fault.as_dict() for fault in runner.reading.faults]
    return told


def derived_identity(params: dict[str, Any], me: Myself) -> dict[str, Any]:
    """Return the identity that strategy C(instance) derives from the instance's id."""
    node_id = derived_node_id(me.instance_id, params["reserved_broker_max_id"])
    return {
        "node_id": node_id,
        "cluster": params["cluster"],
        "role": params["role"],
        "availability_zone": me.availability_zone,
        "name": f"{params['cluster']}-{params['role']}-{node_id}",
        "eni": None,
        "volumes": [],
        "instance_id": me.instance_id,
    }
