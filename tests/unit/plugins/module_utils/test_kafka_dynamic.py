# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which dynamic settings may be set, what differs, and which broker does not follow."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import kafka_dynamic


def setting(name: str, value: str | None, *cluster_wide: str, **more: Any) -> dict[str, Any]:
    """One setting as a broker describes it."""
    synonyms = [{"name": name, "value": one, "source": kafka_dynamic.CLUSTER_WIDE} for one in cluster_wide]
    synonyms.append({"name": name, "value": "1", "source": "DEFAULT_CONFIG"})
    source = kafka_dynamic.CLUSTER_WIDE if cluster_wide else "DEFAULT_CONFIG"
    return {"value": value, "read_only": False, "is_sensitive": False, "config_source": source, **more} | {
        "synonyms": synonyms
    }


PLAIN = {
    "num.io.threads": setting("num.io.threads", "16", "16"),
    "log.retention.ms": setting("log.retention.ms", "1"),
    "broker.id": setting("broker.id", "1", read_only=True),
    "ssl.key.password": setting("ssl.key.password", None, is_sensitive=True),
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("x", "x"),
        (True, "true"),
        (False, "false"),
        (8, "8"),
        (0.5, "0.5"),
        (["a", "b"], "a,b"),
    ],
)
def test_values_as_kafka_writes_them(value: Any, expected: str | None) -> None:
    assert kafka_dynamic.normal(value) == expected


@pytest.mark.parametrize("value", [{"a": 1}, [None], [["a"]]])
def test_what_no_value_can_be(value: Any) -> None:
    with pytest.raises(ValueError, match="no value of a setting"):
        kafka_dynamic.normal(value)


@pytest.mark.parametrize(
    ("name", "static", "why"),
    [
        ("num.io.threads", ["num.io.threads"], "sets it too"),
        ("num.io.thread", [], "did you mean num.io.threads?"),
        ("zzz", [], "broker 1 has no setting of that name"),
        ("broker.id", [], "at a start only"),
        ("ssl.key.password", [], "a secret"),
    ],
)
def test_each_refusal(name: str, static: list[str], why: str) -> None:
    (found,) = kafka_dynamic.refusals([name], static, {1: PLAIN})
    assert found["property"] == name
    assert why in found["why"]


def test_a_setting_that_one_broker_does_not_know_is_refused_by_its_id() -> None:
    older = {name: told for name, told in PLAIN.items() if name != "log.retention.ms"}
    (found,) = kafka_dynamic.refusals(["log.retention.ms"], [], {1: PLAIN, 4: older})
    assert "broker 4" in found["why"]


def test_what_may_be_set_is_not_refused() -> None:
    assert kafka_dynamic.refusals(["num.io.threads", "log.retention.ms"], ["broker.id"], {1: PLAIN, 2: PLAIN}) == []


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"num.io.threads": "16"}, {}),
        ({"num.io.threads": "8"}, {"num.io.threads": "8"}),
        ({"num.io.threads": None}, {"num.io.threads": None}),
        ({"log.retention.ms": None}, {}),
        # What counts is what was set for the cluster, not what happens to be the default.
        ({"log.retention.ms": "1"}, {"log.retention.ms": "1"}),
    ],
)
def test_what_differs(wanted: dict[str, str | None], expected: dict[str, str | None]) -> None:
    assert kafka_dynamic.differing(wanted, PLAIN) == expected


def test_what_nobody_asked_for_is_told() -> None:
    assert kafka_dynamic.others(["log.retention.ms"], PLAIN) == {"num.io.threads": "16"}
    assert kafka_dynamic.others(["num.io.threads"], PLAIN) == {}


def test_a_broker_that_follows_not_yet_and_one_with_a_value_of_its_own() -> None:
    late = {"num.io.threads": setting("num.io.threads", "8", "8")}
    own = {"num.io.threads": {**PLAIN["num.io.threads"], "config_source": kafka_dynamic.ONE_BROKERS, "value": "4"}}
    told = kafka_dynamic.not_following({"num.io.threads": "16"}, {1: PLAIN, 2: late, 3: own})
    assert [line.split()[1] for line in told] == ["2", "3"]
    assert "still has num.io.threads=8" in told[0]
    assert "--entity-name 3 --delete-config num.io.threads" in told[1]
    assert kafka_dynamic.not_following({"num.io.threads": "16"}, {1: PLAIN}) == []


def test_the_difference_leaves_out_what_is_not_set() -> None:
    assert kafka_dynamic.lines({"b": "2", "a": None}) == "b=2\n"
