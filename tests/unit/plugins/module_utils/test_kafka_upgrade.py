# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which roll of an upgrade of Kafka is due, and what is refused; as tables, and carried through by hypothesis."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import kafka_upgrade
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_upgrade import Broker, Decision, decide
from hypothesis import given
from hypothesis import strategies as st

OLD, NEW = "3.8.1", "3.9.1"


def brokers(running: str, speaking: str, to: str = NEW, pin: str = "3.8") -> list[Broker]:
    """Brokers 1, 2, 3 by what they run and speak, separated by blanks; ``-`` speaks nothing, as one that is away."""
    pairs = zip(running.split(), speaking.split(), strict=True)
    return [
        Broker(node_id, version, None if protocol == "-" else protocol, to, pin)
        for node_id, (version, protocol) in enumerate(pairs, start=1)
    ]


def states(decision: Decision) -> str:
    return " ".join(roll.state for roll in decision.rolls)


@pytest.mark.parametrize(
    ("running", "speaking", "to", "pin", "roll", "due", "told"),
    [
        ("3.8.1 3.8.1 3.8.1", "3.8-IV0 3.8-IV0 3.8-IV0", NEW, "3.8", "binaries", {1, 2, 3}, "due later never"),
        ("3.9.1 3.8.1 3.8.1", "3.8 3.8-IV0 3.8-IV0", NEW, "3.8", "binaries", {2, 3}, "due later never"),
        ("3.9.1 3.9.1 3.8.1", "3.8 3.8 -", NEW, "3.8", "binaries", {3}, "due later never"),
        ("3.9.1 3.9.1 3.9.1", "3.8 3.8 3.8", NEW, "3.8", "", set(), "done later never"),
        ("3.9.1 3.9.1 3.9.1", "3.8 3.8 3.8", NEW, "3.9", "protocol", {1, 2, 3}, "done due never"),
        ("3.9.1 3.9.1 3.9.1", "3.8 3.8 3.8", NEW, "", "protocol", {1, 2, 3}, "done due never"),
        ("3.9.1 3.9.1 3.9.1", "3.9 3.8 3.8", NEW, "3.9", "protocol", {2, 3}, "done due never"),
        ("3.9.1 3.9.1 3.9.1", "3.9 3.9-IV0 -", NEW, "3.9", "", set(), "done done never"),
        ("3.9.1 3.9.1 3.9.1", "3.9-IV0 3.9-IV0 3.9-IV0", NEW, "", "", set(), "done done never"),
        # A release of the same series needs no pin: it speaks what is spoken.
        ("3.9.0 3.9.0 3.9.0", "3.9-IV0 3.9-IV0 3.9-IV0", NEW, "", "binaries", {1, 2, 3}, "due done never"),
        ("3.8.0 3.8.1 3.8.1", "3.8 3.8 3.8", NEW, "3.8", "binaries", {1, 2, 3}, "due later never"),
        # A node that came back from an old image after the protocol was lifted, if it came up: it is mended.
        ("3.9.1 3.8.1 3.9.1", "3.9 3.8 3.9", NEW, "3.9", "binaries", {2}, "due done never"),
        ("3.9.1 3.8.1 3.9.1", "3.9 - 3.8", NEW, "3.9", "binaries", {2, 3}, "due done never"),
        # A protocol that was left behind by an earlier upgrade is kept, and may be lifted over more than one series.
        ("3.8.1 3.8.1 3.8.1", "3.7-IV4 3.7 3.7", NEW, "3.7", "binaries", {1, 2, 3}, "due later never"),
        ("3.9.1 3.9.1 3.9.1", "3.7 3.7 3.7", NEW, "3.9", "protocol", {1, 2, 3}, "done due never"),
        ("3.9.1 3.9.1 3.9.1", "3.7-IV2 3.7-IV2 3.7-IV2", NEW, "3.7", "protocol", {1, 2, 3}, "done due never"),
        ("3.9.1 3.9.1 3.9.1", "3.7 3.7 3.7", NEW, "3.8", "protocol", {1, 2, 3}, "done due never"),
    ],
)
def test_which_roll_is_due(running: str, speaking: str, to: str, pin: str, roll: str, due: set[int], told: str) -> None:
    decision = decide(brokers(running, speaking, to, pin))
    assert (decision.roll, set(decision.due), states(decision)) == (roll, due, told)


@pytest.mark.parametrize(
    ("running", "speaking", "to", "pin", "allowed", "reason", "words"),
    [
        ("3.7.2 3.8.1", "3.7 3.7", NEW, "3.7", False, "upgrade_unsupported", "broker 1 runs 3.7.2"),
        ("3.8.1 3.8.1", "3.8 3.8", "4.0.0", "3.8", True, "upgrade_unsupported", "no ZooKeeper mode"),
        ("3.8.1 3.8.1", "3.8 3.8", "3.10.0", "3.8", True, "upgrade_unsupported", "not known"),
        ("3.8.1 3.8.1", "3.8 3.8", "3.7.2", "3.7", True, "upgrade_unsupported", "older than 3.8"),
        ("4.0.0 3.9.1", "3.9 3.9", NEW, "3.9", True, "upgrade_unsupported", "broker 1 runs 4.0.0"),
        ("trunk 3.9.1", "3.9 3.9", NEW, "3.9", True, "upgrade_unsupported", "broker 1 runs 'trunk' is no released"),
        (
            "3.8.1 3.8.1",
            "2.8-IV1 2.8-IV1",
            NEW,
            "2.8",
            False,
            "upgrade_unsupported",
            "broker 1 speaks '2.8-IV1' is older",
        ),
        ("3.9.1 3.8.1", "3.8 3.8", OLD, "3.8", False, "upgrade_unsupported", "broker 1 3.9.1). That is the way back"),
        ("3.9.1 3.9.1", "3.9 3.9", "3.9.0", "3.9", False, "upgrade_unsupported", "kafka_roll_downgrade_allowed"),
        ("3.8.1 3.9.0", "3.8 3.8", NEW, "3.8", False, "versions_mixed", "broker 1 3.8.1, broker 2 3.9.0"),
        ("3.8.1 3.8.1", "3.8 3.8", NEW, "", False, "protocol_not_pinned", "(by the release itself)"),
        ("3.8.1 3.9.1", "3.8 3.8", NEW, "3.9", False, "protocol_not_pinned", "Set '3.8' in the kafka_properties"),
        ("3.9.1 3.9.1", "3.8 3.9", NEW, "3.8", False, "protocol_finalized", "protocol 3.9 is spoken (broker 2)"),
        ("3.9.1 3.9.1", "3.9 3.9", OLD, "3.8", True, "protocol_finalized", "which Kafka 3.8.1 does not know"),
        ("3.9.1 3.8.1", "3.9 3.8", OLD, "", True, "protocol_finalized", "kafka_version to a release of 3.9"),
        ("3.8.1 3.8.1", "3.8 3.8", OLD, "3.9", False, "pins_disagree", "Kafka 3.8.1 does not know"),
        ("3.8.1 3.8.1", "3.8 3.8", NEW, "4.0", False, "pins_disagree", "Kafka 3.9.1 does not know"),
        ("3.8.1 3.8.1", "3.8 3.8", NEW, "3.8-IV7", False, "pins_disagree", "the last of its series is 3.8"),
        ("3.8.1 3.8.1", "3.8 3.8", NEW, "newest", False, "pins_disagree", "'newest' is no protocol"),
        ("3.8.1 3.8.1", "- -", NEW, "3.8", False, "broker_not_registered", "no broker is registered"),
        ("3.8.1 3.8.1", "3.8 3.8", "", "3.8", False, "bad_parameter", "kafka_version: ''"),
    ],
)
def test_what_is_refused(
    running: str, speaking: str, to: str, pin: str, allowed: bool, reason: str, words: str
) -> None:
    with pytest.raises(HoldfastError) as caught:
        decide(brokers(running, speaking, to, pin), downgrade_allowed=allowed)
    assert (caught.value.reason, words in caught.value.message) == (reason, True), caught.value.message


@pytest.mark.parametrize("field", ["to_version", "pin", "message_format"])
def test_brokers_of_which_different_things_are_wanted(field: str) -> None:
    made = brokers("3.8.1 3.8.1", "3.8 3.8")
    other: dict[str, Any] = {field: "3.9.0"}
    made[1] = dataclasses.replace(made[1], **other)
    with pytest.raises(HoldfastError) as caught:
        decide(made)
    assert caught.value.reason == "pins_disagree"


def test_nobody() -> None:
    with pytest.raises(HoldfastError) as caught:
        decide([])
    assert caught.value.reason == "bad_parameter"


def test_the_way_back_before_the_protocol_is_lifted() -> None:
    decision = decide(brokers("3.9.1 3.8.1 3.9.1", "3.8 3.8 -", OLD), downgrade_allowed=True)
    assert (decision.roll, set(decision.due), decision.to_protocol) == ("binaries", {1, 3}, "3.8")


@pytest.mark.parametrize("told", ["", "3.0", "2.8"])
def test_the_third_roll_is_skipped_and_says_why(told: str) -> None:
    made = [dataclasses.replace(one, message_format=told) for one in brokers("3.9.1", "3.9", NEW, "3.9")]
    *_others, third = decide(made).rolls
    assert (third.name, third.state) == ("format", "never")
    assert "from protocol 3.0 on Kafka ignores" in third.why
    assert ("take it out" in third.why) == bool(told)


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("3.8", "3.8"),
        ("3.8-IV0", "3.8"),
        ("3.8.1", "3.8"),
        ("3.7-IV4", "3.7"),
        ("3.7-IV2", "3.7-IV2"),
        ("4.0", "4.0-IV0"),
    ],
)
def test_a_protocol_by_its_names(text: str, short: str) -> None:
    assert str(kafka_upgrade.protocol(text)) == short


@pytest.mark.parametrize(
    ("version", "speaks", "pin", "after"),
    [
        (OLD, "3.8-IV0", "", None),
        (OLD, "3.8-IV0", "3.8", None),
        (NEW, "3.8", "3.8", None),
        (NEW, None, "3.9", None),
        (OLD, "2.8", "2.8", None),
        ("", "3.8-IV0", "", None),
        ("", "3.8-IV0", "3.8", None),
        (NEW, "3.8", "3.9", "3.9"),
        (NEW, "3.8", "", "3.9"),
        (NEW, "3.9", "3.8", "3.8"),
    ],
)
def test_a_configuration_that_would_change_the_protocol(
    version: str, speaks: str | None, pin: str, after: str | None
) -> None:
    made = [Broker(1, version, speaks, "", pin)]
    if after is None:
        kafka_upgrade.refuse_by_configuration(made)
        return
    with pytest.raises(HoldfastError, match=f"would speak {after} after a restart") as caught:
        kafka_upgrade.refuse_by_configuration(made)
    assert caught.value.reason == "protocol_change"


#: Clusters as they can be: whoever runs 3.8 speaks 3.8.
ANY = st.lists(
    st.sampled_from([(OLD, "3.8"), (NEW, "3.8"), (NEW, "3.9"), (OLD, "-"), (NEW, "-")]), min_size=1, max_size=7
)


def cluster(pairs: list[tuple[str, str]], to: str, pin: str) -> list[Broker]:
    return brokers(" ".join(one for one, _ in pairs), " ".join(one for _, one in pairs), to, pin)


@given(ANY, st.sampled_from([OLD, NEW]), st.sampled_from(["", "3.8", "3.9"]), st.booleans(), st.randoms())
def test_each_roll_can_be_interrupted_anywhere_and_gone_on_with(
    pairs: list[tuple[str, str]], to: str, pin: str, allowed: bool, chance: random.Random
) -> None:
    """Brokers change one after the other, in any order; after each the same roll is due for the others, or is done."""
    try:
        decision = decide(cluster(pairs, to, pin), downgrade_allowed=allowed)
    except HoldfastError:
        return
    left = set(decision.due)
    own = "3.8" if to == OLD else "3.9"
    lifted_before = any(protocol == "3.9" for _, protocol in pairs)
    while left:
        one = chance.choice(sorted(left))
        pairs = [(to, pin or own) if number == one else pair for number, pair in enumerate(pairs, start=1)]
        left.discard(one)
        # No broker ever speaks a protocol that another one's release does not know, unless it was so from the start.
        if any(protocol == "3.9" for _, protocol in pairs) and not lifted_before:
            assert all(version == NEW for version, _ in pairs)
        again = decide(cluster(pairs, to, pin), downgrade_allowed=allowed)
        assert set(again.due) == left
        assert again.roll in ("", decision.roll, "protocol")
    assert decide(cluster(pairs, to, pin), downgrade_allowed=allowed).roll == ""


@given(ANY, st.sampled_from(["", "3.8", "3.9"]), st.booleans())
def test_once_spoken_there_is_no_way_back(pairs: list[tuple[str, str]], pin: str, allowed: bool) -> None:
    if "3.9" not in {protocol for _, protocol in pairs}:
        return
    for to, wanted in ((OLD, pin), (NEW, "3.8")):
        with pytest.raises(HoldfastError) as caught:
            decide(cluster(pairs, to, wanted), downgrade_allowed=allowed)
        assert caught.value.reason == "protocol_finalized"
