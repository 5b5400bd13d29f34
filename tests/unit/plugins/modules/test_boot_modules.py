# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kafka_id_info and autoscaling_health_set: their answers and every failure."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import zk_session
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_errors import Meaning
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_errors import ZkAuthError, ZkUnreachableError
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_session import ZkSession
from ansible_collections.holdfast.kafka.plugins.modules import (
    autoscaling_health_set,
    kafka_id_info,
)
from kazoo.exceptions import KazooException, NoAuthError, NoNodeError

from tests.unit.plugins.modules.in_process import run_module


class Zookeeper(ZkSession):
    """ZooKeeper as a dictionary, or as an error."""

    tree: ClassVar[dict[str, bytes]] = {}
    error: ClassVar[Exception | None] = None

    def connect(self, timeout_seconds: float) -> None:
        """Begin the session, and stand in for kazoo's client too."""
        self.client = self
        if self.error:
            raise self.error

    def close(self) -> None:
        """End it."""

    def sync(self, path: str) -> str:
        """Catch up."""
        return path

    def get_children(self, path: str) -> list[str]:
        """Names below a path."""
        names = {key[len(path) + 1 :].split("/")[0] for key in self.tree if key.startswith(f"{path}/")}
        if not names:
            raise NoNodeError
        return sorted(names)

    def get(self, path: str) -> tuple[bytes, None]:
        """A node's data."""
        if path not in self.tree:
            raise NoNodeError
        return self.tree[path], None


@pytest.fixture
def zookeeper(monkeypatch: pytest.MonkeyPatch) -> type[Zookeeper]:
    """Put the dictionary in ZooKeeper's place."""
    client = type("Session", (Zookeeper,), {"tree": {}, "error": None})
    monkeypatch.setattr(kafka_id_info, "ZkSession", client)
    return client


ASK = {"zookeeper_hosts": ["192.0.2.11:2181"], "broker_id": 3}


def test_a_first_start_knows_nobody(zookeeper: type[Zookeeper]) -> None:
    assert zookeeper.tree == {}
    result = run_module(kafka_id_info, ASK)
    assert (result["known"], result["registered"], result["topics"]) == (False, False, [])


def test_an_assignment_makes_an_id_known(zookeeper: type[Zookeeper]) -> None:
    zookeeper.tree["/kafka/brokers/topics/orders"] = json.dumps({"partitions": {"0": [1, 3]}}).encode()
    zookeeper.tree["/kafka/brokers/topics/other"] = json.dumps({"partitions": {"0": [1, 2]}}).encode()
    result = run_module(kafka_id_info, ASK)
    assert (result["known"], result["registered"], result["topics"]) == (True, False, ["orders"])


def test_a_registration_makes_an_id_known(zookeeper: type[Zookeeper]) -> None:
    zookeeper.tree["/kafka/brokers/ids/3"] = b"{}"
    assert run_module(kafka_id_info, ASK)["known"]


@pytest.mark.parametrize(
    ("tree", "arguments", "reason"),
    [
        ({"/kafka/brokers/ids/3": b"{}"}, {"volume_empty": True}, "refill_refused"),
        ({"/kafka/cluster/id": b'{"version":"1","id":"xyz"}'}, {"volume_cluster_ids": ["abc"]}, "cluster_id_mismatch"),
        ({}, {"volume_cluster_ids": ["abc"]}, "cluster_id_unknown"),
        ({"/kafka/cluster/id": b"nothing"}, {"volume_cluster_ids": ["abc"]}, "zookeeper_failed"),
        ({"/kafka/cluster/id": b'{"version":"1","id":"abc"}'}, {"volume_cluster_ids": ["abc"]}, None),
        ({}, {"volume_cluster_ids": ["abc"], "unknown_cluster_allowed": True}, None),
        ({}, {"volume_empty": True}, None),
    ],
)
def test_what_the_volumes_say_is_compared_with_zookeeper(
    zookeeper: type[Zookeeper], tree: dict[str, bytes], arguments: dict[str, Any], reason: str | None
) -> None:
    zookeeper.tree.update(tree)
    result = run_module(kafka_id_info, {**ASK, **arguments})
    assert (result["failed"], result.get("reason")) == (reason is not None, reason)


@pytest.mark.parametrize("seconds", [0, "nan", "inf"])
def test_a_wait_without_a_bound_asks_nobody(zookeeper: type[Zookeeper], seconds: float | str) -> None:
    zookeeper.error = AssertionError("asked")
    assert run_module(kafka_id_info, {**ASK, "timeout_seconds": seconds})["reason"] == "bad_parameter"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ZkUnreachableError("nobody"), "zookeeper_unreachable"),
        (KazooException(), "zookeeper_failed"),
        (ZkAuthError("no"), "zookeeper_auth_failed"),
        (NoAuthError(), "zookeeper_auth_failed"),
    ],
)
def test_zookeeper_that_does_not_answer(zookeeper: type[Zookeeper], error: Exception, reason: str) -> None:
    zookeeper.error = error
    assert run_module(kafka_id_info, ASK)["reason"] == reason
    owned = run_module(kafka_id_info, {**ASK, "answer_required": False})
    assert (owned["failed"], owned.get("give_up", True)) == (
        reason != "zookeeper_unreachable",
        # Another instance would be told the same.
        reason == "zookeeper_unreachable",
    )


@pytest.mark.parametrize(
    "options",
    [
        {"chroot": "kafka"},
        {"zookeeper_hosts": ["10.0.0.1:abc"]},
        {"zookeeper_auth": {"username": "a:b", "password": "secret"}},
        {"zookeeper_tls": {"key_file": "/k"}},
    ],
)
def test_what_cannot_work_is_refused_first(zookeeper: type[Zookeeper], options: dict[str, Any]) -> None:
    zookeeper.error = AssertionError("nobody should be asked")
    assert run_module(kafka_id_info, {**ASK, **options})["reason"] == "bad_parameter"


def test_a_lost_zookeeper_holds_up_an_empty_volume_only(zookeeper: type[Zookeeper]) -> None:
    zookeeper.error = ZkUnreachableError("nobody")
    owned = run_module(kafka_id_info, {**ASK, "answer_required": False, "volume_cluster_ids": ["abc"]})
    assert (owned["failed"], owned["answered"]) == (False, False)
    empty = run_module(kafka_id_info, {**ASK, "answer_required": False, "volume_empty": True})
    assert (empty["reason"], empty["give_up"]) == ("zookeeper_unreachable", False)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zk_session, "HAS_PURESASL", False)
    sasl = run_module(kafka_id_info, {**ASK, "zookeeper_auth": {"username": "a", "password": "secret"}})
    assert (sasl["reason"], "pure-sasl" in sasl["msg"]) == ("dependency", True)
    monkeypatch.setattr(zk_session, "HAS_KAZOO", False)
    assert run_module(kafka_id_info, ASK)["reason"] == "dependency"


class Api:
    """Auto Scaling as one answer or one error."""

    answer: Any = None

    def __init__(self, _module: Any, service: str) -> None:
        assert service == "autoscaling"
        self.requests: list[str] = []

    def call(self, operation: str, **_parameters: Any) -> Any:
        """Answer."""
        self.requests.append(operation)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


HEALTH = {"instance_id": "i-1", "health": "Unhealthy", "region": "eu-central-1"}


def tell(monkeypatch: pytest.MonkeyPatch, answer: Any, *, check: bool = False) -> dict[str, Any]:
    """Run the module against one answer."""
    monkeypatch.setattr(autoscaling_health_set, "Api", type("Api", (Api,), {"answer": answer}))
    return run_module(autoscaling_health_set, HEALTH, check=check)


def test_a_group_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    result = tell(monkeypatch, {})
    assert (result["changed"], result["outcome"]) == (True, "told")


def test_nobody_is_told_in_check_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tell(monkeypatch, AssertionError("called"), check=True)["changed"]


def test_an_instance_without_a_group_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    error = AwsError("set_instance_health", "ValidationError", "Instance i-1 is not part of a group", Meaning.FATAL)
    result = tell(monkeypatch, error)
    assert (result["failed"], result["changed"], result["outcome"]) == (False, False, "not_in_group")


@pytest.mark.parametrize(("word", "reason"), [(Meaning.AUTH, "auth"), (Meaning.FATAL, "api_error")])
def test_auto_scaling_that_refuses(monkeypatch: pytest.MonkeyPatch, word: Meaning, reason: str) -> None:
    assert tell(monkeypatch, AwsError("set_instance_health", "Refused", "no", word))["reason"] == reason
