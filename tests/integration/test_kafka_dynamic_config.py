# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kafka_dynamic_config against real brokers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.ansible_run import run_module
from tests.integration.services import KafkaCluster
from tests.ports import free_ports

MODULE = "holdfast.kafka.kafka_dynamic_config"
OURS = ("message.max.bytes", "log.retention.ms", "num.replica.fetchers")


@pytest.fixture
def cluster(kafka_cluster: KafkaCluster) -> Iterator[KafkaCluster]:
    """Brokers without dynamic settings of ours, before and after."""
    yield kafka_cluster
    apply(kafka_cluster, dict.fromkeys(OURS))


def apply(cluster: KafkaCluster, properties: dict[str, Any], *, check: bool = False, **more: Any) -> dict[str, Any]:
    """Run the module."""
    arguments = {"bootstrap_servers": cluster.bootstrap_servers, "properties": properties, **more}
    return run_module(MODULE, arguments, check=check)


def test_set_again_and_taken_away(cluster: KafkaCluster) -> None:
    wanted = {"message.max.bytes": 2000000, "log.retention.ms": "7200000"}
    checked = apply(cluster, wanted, check=True)
    assert not checked["failed"], checked["msg"]
    assert (checked["changed"], checked["changes"]) == (
        True,
        {"message.max.bytes": "2000000", "log.retention.ms": "7200000"},
    )
    done = apply(cluster, wanted)
    assert (done["changed"], done["changes"]) == (True, checked["changes"])
    again = apply(cluster, wanted)
    assert (again["changed"], again["changes"], again["unmanaged"]) == (False, {}, {})
    assert apply(cluster, {"message.max.bytes": 2000000})["unmanaged"] == {"log.retention.ms": "7200000"}
    away = apply(cluster, dict.fromkeys(wanted))
    assert (away["changed"], away["changes"]) == (True, {"message.max.bytes": None, "log.retention.ms": None})
    assert apply(cluster, dict.fromkeys(wanted))["changed"] is False


@pytest.mark.parametrize(
    ("properties", "more", "told"),
    [
        ({"num.io.thread": 5}, {}, "did you mean num.io.threads"),
        ({"broker.id": 9}, {}, "broker.id: Kafka reads it at a start only"),
        ({"ssl.key.password": "x"}, {}, "ssl.key.password: it is a secret"),
        ({"message.max.bytes": 2000000}, {"static_properties": ["message.max.bytes"]}, "sets it too"),
    ],
)
def test_a_refusal_changes_nothing(
    cluster: KafkaCluster, properties: dict[str, Any], more: dict[str, Any], told: str
) -> None:
    result = apply(cluster, {"log.retention.ms": 3600000, **properties}, **more)
    assert (result["failed"], result["reason"]) == (True, "properties_refused")
    assert told in result["msg"]
    assert [one["property"] for one in result["refusals"]] == list(properties)
    assert apply(cluster, {"log.retention.ms": None})["changed"] is False


@pytest.mark.parametrize("check", [True, False])
def test_kafkas_own_refusal_is_told_before_anything_is_changed(cluster: KafkaCluster, check: bool) -> None:
    result = apply(cluster, {"log.retention.ms": 3600000, "num.io.threads": 100_000}, check=check)
    assert (result["failed"], result["reason"]) == (True, "properties_rejected")
    assert "num.io.threads" in result["msg"]
    assert apply(cluster, {"log.retention.ms": None})["changed"] is False


def test_a_broker_with_a_value_of_its_own_is_named(cluster: KafkaCluster) -> None:
    from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

    admin = KafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers)
    try:
        admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "2", {"num.replica.fetchers": "2"})])
        result = apply(cluster, {"num.replica.fetchers": 1}, timeout_seconds=2)
        assert (result["failed"], result["reason"]) == (True, "properties_not_followed")
        assert "broker 2 has a value of its own for num.replica.fetchers (2)" in result["msg"]
    finally:
        admin.reset_configs([ConfigResource(ConfigResourceType.BROKER, "2", ["num.replica.fetchers"])])
        admin.close()


def test_a_value_that_is_none(cluster: KafkaCluster) -> None:
    result = apply(cluster, {"message.max.bytes": {"a": 1}})
    assert (result["failed"], result["reason"]) == (True, "bad_parameter")
    assert "message.max.bytes" in result["msg"]


def test_nobody_there() -> None:
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    result = run_module(
        MODULE,
        {"bootstrap_servers": [nobody], "properties": {"message.max.bytes": 2000000}, "request_timeout_seconds": 1},
    )
    assert (result["failed"], result["reason"]) == (True, "unreachable")
