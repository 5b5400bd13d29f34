# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small parts around the claim: order, record, giving back, error table, attach rules."""

from __future__ import annotations

import json

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.attach_rules import (
    DEVICES,
    Action,
    Reading,
    judge_attachment,
    next_device,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_errors import Meaning, meaning, reason
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim, claims_path, decode, encode
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_release import judge_release
from ansible_collections.holdfast.kafka.plugins.module_utils.herd import KAFKA_MAX_ID, derived_node_id, spread
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import PoolReading, build_pools
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.plugins.module_utils.pool_answers import CLUSTER, eni, volume

ME = "i-me"


def pool(eni_holder: str | None = None, volume_holder: str | None = None) -> PoolReading:
    """Build a pool of one identity, kafka 1."""
    return build_pools(CLUSTER, [eni("eni-1", holder=eni_holder)], [volume("vol-1", holder=volume_holder)], TagScheme())


def test_order_is_stable_complete_and_spread() -> None:
    assert spread("i-1", range(9)) == spread("i-1", reversed(range(9)))
    assert sorted(spread("i-1", range(9))) == list(range(9))
    firsts = {spread(f"i-{number}", range(9))[0] for number in range(100)}
    assert firsts == set(range(9))


@given(st.text(), st.integers(0, KAFKA_MAX_ID - 1))
def test_derived_id_is_above_the_reserved_and_a_kafka_id(instance_id: str, reserved: int) -> None:
    node_id = derived_node_id(instance_id, reserved)
    assert reserved < node_id <= KAFKA_MAX_ID
    assert node_id == derived_node_id(instance_id, reserved)


@pytest.mark.parametrize("reserved", [-1, KAFKA_MAX_ID])
def test_derived_id_needs_room(reserved: int) -> None:
    with pytest.raises(ValueError, match="leaves no room"):
        derived_node_id("i-1", reserved)


def test_claim_value_is_as_documented_and_reads_back() -> None:
    [identity] = pool().identities
    value = json.loads(encode(identity, ME, 0))
    assert value == {
        "version": 1,
        "cluster": CLUSTER,
        "role": "kafka",
        "node_id": 1,
        "instance_id": ME,
        "availability_zone": "eu-central-1a",
        "eni_id": "eni-1",
        "volume_ids": ["vol-1"],
        "claimed_at": "1970-01-01T00:00:00Z",
    }
    assert decode(1, encode(identity, ME, 0), 4, 9.0) == Claim(1, 4, ME, 9.0, True, "eni-1")
    back = decode(1, encode(identity, None, 0), 5, 9.0)
    assert back.given_back
    assert back.version == 5


@given(st.binary())
def test_whatever_stands_in_a_znode_is_never_free(value: bytes) -> None:
    assert not decode(1, value, 0, 0).given_back


@pytest.mark.parametrize(
    "value",
    [
        "null",
        "[]",
        '{"version":2,"node_id":1,"instance_id":null}',
        '{"version":1,"node_id":2,"instance_id":null}',
        '{"version":1,"node_id":1}',
        '{"version":1,"node_id":1,"instance_id":7}',
        '{"version":1,"node_id":1,"instance_id":""}',
    ],
)
def test_odd_values_are_unreadable(value: str) -> None:
    assert decode(1, value.encode(), 0, 0).readable is False


@pytest.mark.parametrize("name", ["", "a/b", ".", "../x", "a b"])
def test_names_that_cannot_be_a_path_element_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be part of a ZooKeeper path"):
        claims_path(name, "kafka")
    assert claims_path("orders", "kafka") == "/holdfast/orders/kafka/claims"


# ---- giving back -----------------------------------------------------------------------------------------------------


def held(holder: str | None, node_id: int = 1) -> dict[int, Claim]:
    """Return one claim."""
    return {node_id: Claim(node_id, 3, holder, 0.0)}


def test_release_only_what_is_mine_whole_and_not_attached() -> None:
    nothing = frozenset[str]()
    assert judge_release(pool(), "kafka", held("i-1"), ME, nothing).outcome == "not_held"
    assert judge_release(pool(), "kafka", held(None), ME, nothing).outcome == "not_held"
    free = judge_release(pool(), "kafka", held(ME), ME, nothing)
    assert (free.outcome, free.version) == ("released", 3)
    for reading, seen in ((pool(ME), nothing), (pool(None, ME), nothing), (pool(), frozenset({"eni-1"}))):
        assert judge_release(reading, "kafka", held(ME), ME, seen).outcome == "kept"
    assert judge_release(pool("i-dying"), "kafka", held(ME), ME, nothing).outcome == "released"
    assert "no whole identity kafka 9" in judge_release(pool(), "kafka", held(ME, 9), ME, nothing).message
    both = {**held(ME), **held(ME, 2)}
    assert judge_release(pool(), "kafka", both, ME, nothing).outcome == "kept"


# ---- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "text", "status", "expected"),
    [
        ("RequestLimitExceeded", "", 503, Meaning.RETRY),
        ("Whatever", "", 502, Meaning.RETRY),
        ("Whatever", "", 500, Meaning.RETRY),
        ("InternalError", "", 500, Meaning.RETRY),
        ("InvalidNetworkInterface.InUse", "", 400, Meaning.LOST),
        ("VolumeInUse", "", 400, Meaning.LOST),
        ("IncorrectState", "", 400, Meaning.NOT_READY),
        ("UnauthorizedOperation", "", 403, Meaning.AUTH),
        ("ExpiredToken", "", 400, Meaning.AUTH),
        ("InvalidNetworkInterfaceID.NotFound", "", 400, Meaning.NOT_FOUND),
        ("InvalidParameterValue", "already has an interface attached at device index '1'", 400, Meaning.OCCUPIED),
        ("InvalidParameterValue", "Attachment point /dev/sdf is already in use", 400, Meaning.OCCUPIED),
        ("InvalidParameterValue", "Invalid value", 400, Meaning.FATAL),
        ("InvalidVolume.ZoneMismatch", "", 400, Meaning.FATAL),
        ("UnheardOf", "", 400, Meaning.FATAL),
    ],
)
def test_error_table(code: str, text: str, status: int, expected: Meaning) -> None:
    assert meaning(code, text, status) is expected


def test_reasons_of_unhandled_errors() -> None:
    words = {Meaning.AUTH: "auth", Meaning.NOT_FOUND: "not_found", Meaning.LOST: "lost_race"}
    for word in Meaning:
        assert reason(word) == words.get(word, "api_error")


# ---- attach rules ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "holder", "attachment", "keep", "state", "expected"),
    [
        ("available", None, None, None, None, Action.ATTACH),
        ("in-use", ME, "attached", False, None, Action.DONE),
        ("in-use", ME, None, None, None, Action.DONE),
        ("in-use", ME, "attached", True, None, Action.KEEP),
        ("in-use", ME, "attaching", False, None, Action.SETTLE),
        ("in-use", ME, "detaching", False, None, Action.SETTLE),
        ("in-use", "i-1", "attached", False, None, Action.ASK),
        ("in-use", "i-1", "attached", False, "running", Action.CONFLICT),
        ("in-use", "i-1", "attached", False, "stopped", Action.CONFLICT),
        ("in-use", "i-1", "attached", False, "shutting-down", Action.WAIT),
        ("in-use", "i-1", "attached", False, "terminated", Action.WAIT),
        ("in-use", "i-1", "attached", False, "not-found", Action.WAIT),
        ("detaching", None, None, None, None, Action.WAIT),
        ("creating", None, None, None, None, Action.WAIT),
        ("in-use", None, None, None, None, Action.CONFLICT),
    ],
)
def test_attach_rules(
    status: str, holder: str | None, attachment: str | None, keep: bool | None, state: str | None, expected: Action
) -> None:
    assert judge_attachment(Reading("eni-1", status, holder, attachment, 1, keep), ME, state) is expected


def test_device_names_run_out() -> None:
    assert next_device(set()) == "/dev/sdf"
    assert next_device({"/dev/sdf"}) == "/dev/sdg"
    assert next_device(set(DEVICES)) is None
    assert DEVICES[-1] == "/dev/sdp"


def test_volumes_of_one_identity_begin_at_names_of_their_own() -> None:
    assert [next_device(set(), index) for index in (0, 1, len(DEVICES))] == ["/dev/sdf", "/dev/sdg", "/dev/sdf"]
    assert next_device({"/dev/sdp"}, 10) == "/dev/sdf"
    assert next_device(set(DEVICES), 1) is None
