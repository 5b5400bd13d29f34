# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every condition of an identity appears where it should, with its resources and a next step; and no other."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import identity_conditions
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_rules import InstanceBook
from ansible_collections.holdfast.kafka.plugins.module_utils.identity_conditions import (
    NEXT_STEPS,
    Condition,
    absent,
    instances_to_ask,
    judge_conditions,
    unasked,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import build_pools
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme

from tests.unit.plugins.module_utils.pool_answers import CLUSTER, eni, volume

WALL = 1000.0
RUNNING = {"i-1": "running", "i-2": "running"}


def claim(holder: str | None, node_id: int = 1, **more: Any) -> dict[int, Claim]:
    """Return one claim, older than the grace period."""
    return {node_id: Claim(node_id, 3, holder, 0.0, **more)}


def conditions(
    enis: list[dict[str, Any]],
    volumes: list[dict[str, Any]],
    claims: dict[int, Claim] | None,
    states: dict[str, str],
) -> list[Condition]:
    """Judge one role's answers."""
    reading = build_pools(CLUSTER, enis, volumes, TagScheme())
    book = InstanceBook(60)
    asked = instances_to_ask(reading, {"kafka": claims or {}})
    for _look in range(2):
        book.note(asked, states, 0.0)
    return judge_conditions(reading, "kafka", claims, book, 0.0, WALL)


def parts(eni_holder: str | None = "i-1", volume_holder: str | None = "i-1") -> tuple[list[Any], list[Any]]:
    """Return one identity."""
    return [eni("eni-1", holder=eni_holder)], [volume("vol-1", holder=volume_holder)]


def doomed() -> tuple[list[Any], list[Any]]:
    """Return an identity whose volume would be deleted with its holder."""
    enis, volumes = parts()
    volumes[0]["Attachments"][0]["DeleteOnTermination"] = True
    return enis, volumes


def detaching() -> tuple[list[Any], list[Any]]:
    """Return an identity whose interface is on its way out."""
    enis, volumes = parts()
    enis[0]["Attachment"]["Status"] = "detaching"
    return enis, volumes


def busy() -> tuple[list[Any], list[Any]]:
    """Return an identity whose interface is in use by nobody that EC2 names."""
    enis, volumes = parts(None, None)
    enis[0]["Status"] = "in-use"
    return enis, volumes


CASES = [
    ("held", parts(), claim("i-1"), RUNNING, "i-1"),
    ("held", parts(), None, RUNNING, "i-1"),
    ("free", parts(None, None), {}, {}, None),
    ("free", parts(None, None), claim(None), {}, None),
    ("vacant", parts(None, None), claim("i-1"), {"i-1": "terminated"}, "i-1"),
    ("vacant", parts(None, None), claim("i-1"), {}, "i-1"),
    ("claimed_not_attached", parts(None, None), claim("i-1"), RUNNING, "i-1"),
    ("holder_stopped", parts(None, None), claim("i-1"), {"i-1": "stopped"}, "i-1"),
    ("holder_stopped", parts(), claim("i-1"), {"i-1": "stopped"}, "i-1"),
    ("holder_leaving", parts(None, None), claim("i-1"), {"i-1": "shutting-down"}, "i-1"),
    ("holder_leaving", parts(), claim("i-1"), {"i-1": "shutting-down"}, "i-1"),
    ("holder_leaving", detaching(), claim("i-1"), RUNNING, "i-1"),
    ("holder_unknown", parts(), claim("i-1"), {}, "i-1"),
    ("claim_missing", parts(), {}, RUNNING, "i-1"),
    ("claim_missing", parts(), claim(None), RUNNING, "i-1"),
    ("claim_missing", parts(volume_holder=None), {}, RUNNING, "i-1"),
    ("claim_missing", parts(), {}, {"i-1": "stopped"}, "i-1"),
    ("claim_of_former_holder", parts(), claim("i-2"), {"i-1": "running", "i-2": "terminated"}, "i-1"),
    ("claim_disagrees", parts(), claim("i-2"), RUNNING, "i-1"),
    ("claim_disagrees", parts(), claim("i-2", eni_id="eni-far"), {"i-1": "running"}, "i-1"),
    ("claim_disagrees", parts(None, None), claim("i-2", eni_id="eni-far"), {}, "i-2"),
    ("vacant", parts(None, None), claim("i-2", eni_id="eni-1"), {}, "i-2"),
    ("claim_disagrees", parts(), claim("i-2"), {"i-1": "running", "i-2": "stopped"}, "i-1"),
    ("claim_unreadable", parts(), claim(None, readable=False), RUNNING, "i-1"),
    ("parts_split", parts("i-1", "i-2"), claim("i-1"), RUNNING, "i-1"),
    ("half_attached", parts(volume_holder=None), claim("i-1"), RUNNING, "i-1"),
    ("attached_without_eni", parts(eni_holder=None), {}, RUNNING, "i-1"),
    ("attached_without_eni", parts(eni_holder=None), claim("i-1"), RUNNING, "i-1"),
    ("deleted_on_termination", doomed(), claim("i-1"), RUNNING, "i-1"),
    ("parts_busy", busy(), {}, {}, None),
]


@pytest.mark.parametrize(("kind", "answers", "claims", "states", "holder"), CASES)
def test_each_condition(
    kind: str, answers: tuple[list[Any], list[Any]], claims: Any, states: dict[str, str], holder: str | None
) -> None:
    (found,) = conditions(*answers, claims, states)
    assert (found.kind, found.holder, found.node_id) == (kind, holder, 1), found
    assert found.resource_ids == ("eni-1", "vol-1")
    assert found.is_problem == (kind != "held")
    assert bool(found.next_step) == found.is_problem
    assert found.as_dict()["runbook"] == ("" if kind == "held" else f"docs/runbooks/reasons/{kind}.md")
    for unfilled in re.findall(r"[{}]", found.next_step + found.message):
        raise AssertionError(f"{unfilled} left in {found}")


def test_young_claim_of_an_unknown_instance_is_not_vacant() -> None:
    young = {1: Claim(1, 3, "i-9", WALL - 10)}
    (found,) = conditions(*parts(None, None), young, {})
    assert (found.kind, found.holder) == ("holder_unknown", "i-9")


def test_two_identities_of_one_instance_by_attachment_and_by_claim() -> None:
    enis = [eni("eni-1", holder="i-1"), eni("eni-2", "2", holder="i-1")]
    volumes = [volume("vol-1", holder="i-1"), volume("vol-2", "2", holder="i-1")]
    assert [one.kind for one in conditions(enis, volumes, claim("i-1"), RUNNING)] == ["two_identities"] * 2
    enis[1], volumes[1] = eni("eni-2", "2"), volume("vol-2", "2")
    both = {**claim("i-1"), **claim("i-1", 2)}
    first, second = conditions(enis, volumes, both, RUNNING)
    assert (first.kind, second.kind) == ("two_identities", "claimed_not_attached")
    assert "kafka 2" in first.message


def test_claims_without_an_identity() -> None:
    strays = {**claim("i-1", 8), 9: Claim(9, 0, None, 0.0, readable=False), 10: Claim(10, 1, None, 0.0)}
    found = conditions([], [], strays, RUNNING)
    assert [(one.kind, one.node_id) for one in found] == [("claim_without_identity", 8), ("claim_unreadable", 9)]
    assert found[0].instance_ids == ("i-1",)
    assert "/holdfast/orders/kafka/claims/9" in found[1].next_step


CLAIM_READS = ("zookeeper_unreachable", "zookeeper_refused", "zookeeper_auth_failed")
FAULTS = [
    ("duplicate_eni", [eni("eni-1", holder="i-1"), eni("eni-2")], [volume("vol-1")], ("eni-1", "eni-2")),
    ("eni_without_volume", [eni("eni-1", holder="i-1")], [], ("eni-1",)),
    ("volume_without_eni", [], [volume("vol-1", holder="i-1")], ("vol-1",)),
    ("zone_mismatch", [eni("eni-1", holder="i-1")], [volume("vol-1", zone="eu-central-1b")], ("eni-1", "vol-1")),
    ("duplicate_volume", [eni("eni-1")], [volume("vol-1", holder="i-1"), volume("vol-2")], ("vol-1", "vol-2")),
    ("bad_node_id", [eni("eni-1", "x", holder="i-1")], [], ("eni-1",)),
]


@pytest.mark.parametrize(("kind", "enis", "volumes", "resources"), FAULTS)
def test_each_pool_fault_names_its_resources(
    kind: str, enis: list[Any], volumes: list[Any], resources: tuple[str, ...]
) -> None:
    found = [one for one in conditions(enis, volumes, {}, RUNNING) if one.kind == kind]
    assert found
    assert (found[0].resource_ids, found[0].is_fault, found[0].holder) == (resources, True, "i-1")
    assert all(resource in found[0].next_step for resource in resources)


def test_every_word_is_reached_by_a_case() -> None:
    """A word that no case reaches would be one that nobody ever sees."""
    reached = {case[0] for case in CASES} | {"two_identities", "claim_without_identity"}
    reached.add(absent(CLUSTER, "kafka", 1, None).kind)
    reached |= {unasked(CLUSTER, "kafka", word, "gone").kind for word in CLAIM_READS}
    assert reached == set(NEXT_STEPS)
    assert "{" not in identity_conditions.unasked(CLUSTER, "kafka", "zookeeper_unreachable", "gone").next_step
