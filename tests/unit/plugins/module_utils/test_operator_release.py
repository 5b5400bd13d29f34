# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An operator's release: every refusal fires, and only a holder that is certainly gone is released."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim, decode
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_rules import InstanceBook
from ansible_collections.holdfast.kafka.plugins.module_utils.operator_release import (
    REFUSALS,
    OperatorRelease,
    judge_operator_release,
    released_record,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import build_pools
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.plugins.module_utils.pool_answers import CLUSTER, eni, volume

WALL = 1000.0
OLD = {1: Claim(1, 3, "i-1", 0.0)}
FAR = {1: Claim(1, 3, "i-1", 0.0, eni_id="eni-far")}
BUSY_ENI = {**eni("eni-1"), "Status": "in-use"}


def judge(
    enis: list[Any],
    volumes: list[Any],
    claims: dict[int, Claim],
    states: dict[str, str],
    force: bool,
    seconds: float = 0,
) -> OperatorRelease:
    """Judge node id 1."""
    book = InstanceBook(60)
    for look in (0.0, seconds):
        book.note(("i-1", "i-2"), states, look)
    reading = build_pools(CLUSTER, enis, volumes, TagScheme())
    return judge_operator_release(reading, "kafka", 1, claims, book, force, WALL)


FREE = ([eni("eni-1")], [volume("vol-1")])
HELD = ([eni("eni-1", holder="i-1")], [volume("vol-1", holder="i-1")])
DEAD = {"i-1": "terminated"}
CASES = [
    ("pool_fault", ([eni("eni-1"), eni("eni-2")], [volume("vol-1")]), OLD, DEAD, "eni-2"),
    ("not_found", ([], []), {}, {}, "node id"),
    ("not_found", ([], []), OLD, DEAD, "no interface"),
    ("claim_unreadable", FREE, {1: Claim(1, 3, None, 0.0, readable=False)}, {}, "not known"),
    ("identity_attached", HELD, OLD, {"i-1": "running"}, "eni-1 to i-1 (running)"),
    ("identity_attached", HELD, OLD, {"i-1": "stopped"}, "eni-1 to i-1 (stopped)"),
    ("identity_attached", HELD, OLD, {}, "i-1 (not-found)"),
    ("identity_attached", ([eni("eni-1")], [volume("vol-1", holder="i-2")]), OLD, {**DEAD, "i-2": "running"}, "i-2"),
    ("identity_attached", ([BUSY_ENI], [volume("vol-1")]), OLD, DEAD, "eni-1 (in-use)"),
    ("holder_alive", FREE, OLD, {"i-1": "running"}, "running"),
    ("holder_alive", FREE, OLD, {"i-1": "stopped"}, "stopped"),
    ("holder_alive", FREE, OLD, {"i-1": "pending"}, "pending"),
    ("holder_leaving", FREE, OLD, {"i-1": "shutting-down"}, "shutting-down"),
    ("holder_unknown", FREE, OLD, {}, "60 s"),
    ("claim_disagrees", FREE, FAR, {}, "eni-far"),
    ("holder_alive", FREE, FAR, {"i-1": "running"}, "running"),
]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(("reason", "answers", "claims", "states", "text"), CASES)
def test_each_refusal_fires_with_and_without_force(
    reason: str, answers: Any, claims: dict[int, Claim], states: dict[str, str], text: str, force: bool
) -> None:
    enis, volumes = answers
    verdict = judge(enis, volumes, claims, states, force)
    assert (verdict.outcome, verdict.reason) == ("refused", reason)
    assert text in verdict.message


@pytest.mark.parametrize("age", [0, 61, 1e9])
def test_nobody_found_counts_after_the_grace_period_of_this_run_however_old_the_claim_looks(age: float) -> None:
    claims = {1: Claim(1, 3, "i-1", WALL - age)}
    assert judge(*FREE, claims, {}, True, seconds=59).reason == "holder_unknown"
    assert judge(*FREE, claims, {}, True, seconds=60).outcome == "released"


def test_a_claim_for_another_interface_is_released_on_ec2s_word_alone() -> None:
    verdict = judge(*FREE, FAR, {}, True, seconds=1e9)
    assert verdict.reason == "claim_disagrees"
    for told in ("eni-1", "eni-far", "i-1", "zookeeper_chroot"):
        assert told in verdict.message
    assert judge(*FREE, FAR, DEAD, True).outcome == "released"


def test_force_is_the_last_refusal_and_the_table_is_whole() -> None:
    assert judge(*FREE, OLD, DEAD, False).reason == "force_required"
    assert {case[0] for case in CASES} | {"force_required"} == set(REFUSALS)


@pytest.mark.parametrize("claims", [{}, {1: Claim(1, 4, None, 0.0)}])
def test_nobodys_claim_is_nobodys_to_give_back(claims: dict[int, Claim]) -> None:
    assert judge(*FREE, claims, {}, True).outcome == "not_held"


def test_what_is_still_shown_at_a_terminated_instance_does_not_count() -> None:
    verdict = judge(*HELD, OLD, DEAD, True)
    assert (verdict.outcome, verdict.previous_holder) == ("released", "i-1")


def test_the_record_says_who_when_why_and_from_whom_and_is_still_a_claim() -> None:
    value = released_record(judge(*FREE, OLD, DEAD, True), "jane", "the group is smaller now", WALL)
    assert json.loads(value)["released"] == {
        "at": "1970-01-01T00:16:40Z",
        "by": "jane",
        "reason": "the group is smaller now",
        "previous_holder": "i-1",
        "evidence": "EC2: i-1 is terminated; claim 1000 s old; nothing of orders-kafka-1 is attached",
    }
    again = decode(1, value, 4, WALL)
    assert (again.readable, again.given_back, again.eni_id) == (True, True, "eni-1")


STATES = ["pending", "running", "stopping", "stopped", "shutting-down", "terminated", None]


@settings(deadline=None)
@given(
    state=st.sampled_from(STATES),
    other=st.sampled_from(STATES),
    eni_holder=st.sampled_from([None, "i-1", "i-2"]),
    volume_holder=st.sampled_from([None, "i-1", "i-2"]),
    age=st.floats(0, 200),
    seconds=st.floats(0, 200),
    eni_id=st.sampled_from([None, "eni-1", "eni-far"]),
    force=st.booleans(),
)
def test_whoever_may_live_is_never_robbed(
    state: str | None,
    other: str | None,
    eni_holder: str | None,
    volume_holder: str | None,
    age: float,
    seconds: float,
    eni_id: str | None,
    force: bool,
) -> None:
    states = {key: value for key, value in (("i-1", state), ("i-2", other)) if value is not None}
    claims = {1: Claim(1, 3, "i-1", WALL - age, eni_id=eni_id)}
    parts = [eni("eni-1", holder=eni_holder)], [volume("vol-1", holder=volume_holder)]
    verdict = judge(*parts, claims, states, force, seconds)
    gone = state == "terminated" or (state is None and seconds >= 60 and eni_id != "eni-far")
    used = any(one is not None and states.get(one) != "terminated" for one in (eni_holder, volume_holder))
    assert (verdict.outcome == "released") == (force and gone and not used)
