# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is wrong with a cluster, from what cluster_status read: identities, ensemble, brokers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.identity_conditions import INVENTORY

NAMED_AT_MOST = 10

#: Next steps by word, as those of an identity's condition.
NEXT_STEPS = {
    "quorum_not_whole": "on each server that is down: systemctl status zookeeper; journalctl -u zookeeper",
    "kafka_not_answering": "on each broker: systemctl status kafka; journalctl -u kafka",
    "broker_not_registered": "on the broker: systemctl status kafka; journalctl -u kafka -u holdfast-boot",
    "offline_partitions": f"bring a replica's broker back; ansible-playbook {INVENTORY} playbooks/cluster_wait.yml",
    "under_min_isr": f"bring the missing brokers back; then ansible-playbook {INVENTORY} playbooks/cluster_wait.yml",
    "under_replicated": f"wait, or bring missing brokers back; ansible-playbook {INVENTORY} playbooks/cluster_wait.yml",
}


def _problem(kind: str, message: str, role: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "role": role,
        "node_id": None,
        "message": message,
        "next_step": NEXT_STEPS[kind],
        "runbook": f"docs/runbooks/reasons/{kind}.md",
        "problem": True,
        "resource_ids": [],
        "instance_ids": [],
        **more,
    }


def _partitions(found: Sequence[Mapping[str, Any]]) -> str:
    names = [f"{one['topic']}-{one['partition']}" for one in found]
    rest = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {rest} more" if rest > 0 else "")


def _ensemble(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    pool = report["pools"].get("zookeeper") or []
    if report["zookeeper"]["quorum"].get("whole") or (not pool and report["zookeeper"].get("external")):
        return []
    if not pool:
        told = "no server is known to ask, since the pool has no ZooKeeper identity"
        return [_problem("quorum_not_whole", f"zookeeper: the quorum is not whole: {told}", "zookeeper")]
    down = [one["host"] for one in report["zookeeper"]["servers"] if not one.get("mode")]
    told = (
        f"no answer, or none that serves, from {', '.join(down)}"
        if down
        else "; ".join(report["zookeeper"]["quorum"].get("faults") or ["its servers do not agree on a leader"])
    )
    return [_problem("quorum_not_whole", f"zookeeper: the quorum is not whole: {told}", "zookeeper")]


def _brokers(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    kafka, pool = report["kafka"], report["pools"].get("kafka") or []
    if not pool:
        return []
    if kafka["error"]:
        return [_problem("kafka_not_answering", f"kafka: {kafka['error']}", "kafka")]
    there = {one["node_id"] for one in kafka["brokers"]}
    found = [
        _problem(
            "broker_not_registered",
            f"{one['name']}: no broker {one['node_id']} is registered",
            "kafka",
            node_id=one["node_id"],
            instance_ids=[one["instance_id"]] if one["instance_id"] else [],
        )
        for one in pool
        if one["node_id"] not in there
    ]
    for kind, key, told in (
        ("offline_partitions", "offline", "without a leader"),
        ("under_min_isr", "under_min_isr", "below min.insync.replicas, which refuse acks=all"),
        ("under_replicated", "under_replicated", "with replicas that are not in sync"),
    ):
        if kafka[key]:
            count = len(kafka[key])
            found.append(_problem(kind, f"kafka: {count} partitions {told}: {_partitions(kafka[key])}", "kafka"))
    return found


def cluster_problems(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what somebody has to look at: identities first, since the rest often follows from them."""
    found = [dict(one) for one in report["identities"] if one["problem"]]
    serving = [one["host"] for one in report["zookeeper"]["servers"] if one.get("mode")]
    for one in found:
        if one["kind"] == "zookeeper_unreachable" and serving:
            one["message"] += f"; a moment later {', '.join(serving)} served"
            one["next_step"] = f"run this again: ansible-playbook {INVENTORY} playbooks/cluster_status.yml"
    found += [*_ensemble(report), *_brokers(report)]
    used = report.get("inventory") or INVENTORY
    return [{**one, "next_step": one["next_step"].replace(INVENTORY, used)} for one in found]
