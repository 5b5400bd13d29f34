# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kafka_roll_plan: what it asks, what it returns, and each of its failures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import kafka_reader
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import View
from ansible_collections.holdfast.kafka.plugins.modules import kafka_roll_plan

from tests.unit.plugins.module_utils.roll_views import address, part, view
from tests.unit.plugins.modules.in_process import run_module

POOL = {str(n): {"address": address(n), "rack": "abc"[n - 1]} for n in (1, 2, 3)}
ARGUMENTS: dict[str, Any] = {"bootstrap_servers": ["10.0.0.1"], "brokers": POOL, "request_timeout_seconds": 1.2}
HEALTHY = view([part([1, 2, 3])])
Cluster = Callable[..., list[View]]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Let the cluster look like these views, one after the other, the last for ever."""

    def looks(*views: View, silent: tuple[int, ...] = ()) -> list[View]:
        left = list(views)
        monkeypatch.setattr(kafka_reader, "read_in_full", lambda _options: left.pop(0) if len(left) > 1 else left[0])
        hosts = {address(node_id) for node_id in silent}
        monkeypatch.setattr(kafka_reader, "answers", lambda _options, where: where.host not in hosts)
        return left

    return looks


@pytest.mark.parametrize("check", [False, True])
def test_a_plan_in_both_modes(cluster: Cluster, check: bool) -> None:
    cluster(HEALTHY)
    result = run_module(kafka_roll_plan, {**ARGUMENTS, "seconds_per_broker": 30}, check=check)
    assert (result["failed"], result["changed"]) == (False, False)
    assert (result["plan"]["batches"], result["plan"]["serial"]) == ([[2], [3], [1]], [1, 1, 1])
    assert (result["plan"]["expected_seconds"], result["plan"]["controller_id"]) == (90, 1)
    assert result["plan"]["brokers"][0] == {
        "node_id": 2,
        "rack": "b",
        "batch": 1,
        "action": "restart",
        "why": "one at a time",
    }


def test_nobody_is_a_target(cluster: Cluster) -> None:
    cluster(HEALTHY)
    result = run_module(kafka_roll_plan, {**ARGUMENTS, "target_node_ids": []})
    assert (result["failed"], result["plan"]["batches"], len(result["plan"]["skipped"])) == (False, [], 3)


def test_refused_with_the_partitions_in_the_message_and_the_plan_in_the_result(cluster: Cluster) -> None:
    cluster(view([part([1, 2, 3], isr=[1, 3], name=f"orders-{number}") for number in range(30)]))
    result = run_module(kafka_roll_plan, {**ARGUMENTS, "target_node_ids": [1, 3]})
    assert (result["failed"], result["reason"], result["plan"]["batches"]) == (True, "refused", [])
    assert "under_replicated: orders-0 lacks the replica of broker 2" in result["msg"]
    assert "and 20 more" in result["msg"]
    assert result["plan"]["refusal_counts"] == {"under_replicated": 30}
    assert result["plan"]["refusals"][0]["node_ids"] == [2]


def test_a_registered_broker_that_does_not_answer_counts_as_out_of_sync(cluster: Cluster) -> None:
    cluster(HEALTHY, silent=(3,))
    result = run_module(kafka_roll_plan, {**ARGUMENTS, "target_node_ids": [1, 2]})
    assert (result["reason"], list(result["plan"]["refusal_counts"])) == ("refused", ["broker_silent"])


def test_the_election_of_a_controller_is_waited_for(cluster: Cluster) -> None:
    cluster(dataclasses.replace(HEALTHY, controller_id=None), dataclasses.replace(HEALTHY, reassigning=None), HEALTHY)
    assert run_module(kafka_roll_plan, {**ARGUMENTS, "request_timeout_seconds": 10})["failed"] is False


def test_a_controller_that_does_not_come_is_a_refusal(cluster: Cluster) -> None:
    cluster(dataclasses.replace(HEALTHY, controller_id=None))
    result = run_module(kafka_roll_plan, ARGUMENTS)
    assert (result["reason"], list(result["plan"]["refusal_counts"])) == ("refused", ["no_controller"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"brokers": {}}, "brokers is empty"),
        ({"brokers": {"1": {}}}, "needs an address"),
        ({"target_node_ids": [4]}, "target_node_ids names broker 4"),
        ({"mode": "rack", "max_parallel": 0}, "max_parallel is 0"),
        ({"mode": "rack", "max_parallel": -1}, "max_parallel is -1"),
        ({"max_parallel": 2}, "one broker at a time"),
        ({"seconds_per_broker": -5}, "seconds_per_broker is -5"),
        ({"bootstrap_servers": ["kafka:none"]}, "kafka:none"),
        ({"request_timeout_seconds": 0}, "positive"),
    ],
)
def test_bad_parameters_are_refused_before_the_cluster_is_asked(
    change: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_reader, "read_in_full", lambda _options: pytest.fail("it asked"))
    result = run_module(kafka_roll_plan, {**ARGUMENTS, **change})
    assert (result["failed"], result["reason"]) == (True, "bad_parameter")
    assert said in result["msg"]


@pytest.mark.parametrize("reason", ["auth", "kafka_error", "unreachable"])
def test_what_the_brokers_say_is_the_reason(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_options: Any) -> View:
        raise kafka_reader.ReadError(reason, "the broker says no")

    monkeypatch.setattr(kafka_reader, "read_in_full", read)
    result = run_module(kafka_roll_plan, ARGUMENTS)
    assert (result["reason"], result["msg"]) == (reason, "the broker says no")


def test_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_reader, "IMPORT_ERROR", "no such module")
    result = run_module(kafka_roll_plan, ARGUMENTS)
    assert (result["reason"], "kafka-python" in result["msg"]) == ("missing_library", True)
