# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kafka modules' failures that a plain broker on loopback cannot show."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.holdfast.kafka.plugins.module_utils import (
    kafka_reader,
    kafka_registry,
    kafka_settings,
    zk_session,
)
from ansible_collections.holdfast.kafka.plugins.modules import (
    kafka_cluster_info,
    kafka_dynamic_config,
    kafka_replication_wait,
)

SOMEWHERE = {"bootstrap_servers": ["10.0.0.1"]}
BOTH = pytest.mark.parametrize(
    ("module", "arguments"),
    [(kafka_cluster_info, SOMEWHERE), (kafka_replication_wait, {**SOMEWHERE, "node_ids": [1], "timeout_seconds": 0.2})],
)


def run(module: ModuleType, capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    result = json.loads(capsys.readouterr().out)
    assert isinstance(result, dict)
    return result


@BOTH
def test_missing_library(
    module: ModuleType,
    arguments: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kafka_reader, "IMPORT_ERROR", "no such module")
    result = run(module, capsys, **arguments)
    assert (result["failed"], result["reason"]) == (True, "missing_library")
    assert "kafka-python" in result["msg"]


def test_kazoo_is_missed_only_when_it_is_needed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zk_session, "HAS_KAZOO", False)
    result = run(kafka_cluster_info, capsys, zookeeper_hosts=["10.0.0.1"])
    assert (result["reason"], "kazoo" in result["msg"]) == ("missing_library", True)
    monkeypatch.setattr(kafka_reader, "Reader", _refusing("auth"))
    assert run(kafka_cluster_info, capsys, **SOMEWHERE)["reason"] == "auth"


@BOTH
@pytest.mark.parametrize("reason", ["auth", "kafka_error", "unreachable", "bad_parameter"])
def test_what_the_brokers_say_is_the_reason(
    module: ModuleType,
    arguments: dict[str, Any],
    reason: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kafka_reader, "Reader", _refusing(reason))
    result = run(module, capsys, **arguments, request_timeout_seconds=0.1)
    assert (result["failed"], result["reason"]) == (True, reason)
    assert "the broker says no" in result["msg"]


def test_zookeeper_errors_have_a_reason(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: Any) -> None:
        raise kafka_registry.RegistryError("zookeeper_error", "no permission")

    monkeypatch.setattr(kafka_registry, "read", read)
    result = run(kafka_cluster_info, capsys, zookeeper_hosts=["10.0.0.1"])
    assert (result["reason"], result["msg"]) == ("zookeeper_error", "no permission")


@pytest.mark.parametrize("module", [kafka_cluster_info, kafka_replication_wait])
def test_without_any_server_to_start_from(module: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(module, capsys)
    assert result["failed"] is True
    assert "bootstrap_servers" in result["msg"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"bootstrap_servers": ["kafka:none"]}, "kafka:none"),
        ({"bootstrap_servers": []}, "no server"),
        ({"bootstrap_servers": ["127.0.0.1"], "request_timeout_seconds": 0}, "positive"),
        ({"bootstrap_servers": ["127.0.0.1"], "security_protocol": "SASL_SSL"}, "sasl_mechanism"),
        ({"zookeeper_hosts": ["zk:none"]}, "zk:none"),
        ({"zookeeper_hosts": ["127.0.0.1"], "zookeeper_chroot": "kafka"}, "slash"),
    ],
)
def test_bad_parameters_of_kafka_cluster_info(
    arguments: dict[str, Any], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(kafka_cluster_info, capsys, **arguments)
    assert (result["failed"], result["reason"]) == (True, "bad_parameter")
    assert word in result["msg"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({}, "node_ids"),
        ({"node_ids": [1], "expected_hosts": {"2": "h"}}, "expected_hosts"),
        ({"node_ids": [1], "expected_hosts": {"x": "h"}}, "no node id"),
        ({"node_ids": [1], "stable_reads": 0}, "stable_reads"),
        ({"node_ids": [1], "timeout_seconds": 0}, "timeout_seconds"),
        ({"node_ids": [1], "timeout_seconds": "nan"}, "timeout_seconds is nan"),
        ({"node_ids": [1], "timeout_seconds": "inf"}, "timeout_seconds is inf"),
        ({"node_ids": [1], "poll_seconds": "nan"}, "poll_seconds is nan"),
        ({"node_ids": [1], "stall_timeout_seconds": "nan"}, "stall_timeout_seconds is nan"),
        ({"node_ids": [1], "stall_timeout_seconds": -1}, "stall_timeout_seconds is -1"),
        ({"node_ids": [1], "request_timeout_seconds": "nan"}, "request_timeout_seconds is nan"),
        ({"node_ids": [1, 2], "service": "kafka.service"}, "service belongs to one"),
        ({"node_ids": [1], "bootstrap_servers": ["kafka:none"]}, "kafka:none"),
    ],
)
def test_bad_parameters_of_kafka_replication_wait(
    arguments: dict[str, Any], word: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_reader, "Reader", _never)
    result = run(kafka_replication_wait, capsys, **{"bootstrap_servers": ["127.0.0.1:1"], **arguments})
    assert (result["failed"], result["reason"]) == (True, "bad_parameter")
    assert word in result["msg"]


@pytest.mark.parametrize("seconds", [0, -1, "nan", "inf"])
@pytest.mark.parametrize("name", ["timeout_seconds", "request_timeout_seconds"])
def test_bounds_of_kafka_dynamic_config_are_judged_before_any_broker_is_asked(
    name: str, seconds: float | str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_settings, "Settings", _never)
    result = run(kafka_dynamic_config, capsys, **SOMEWHERE, properties={"num.io.threads": 9}, **{name: seconds})
    assert (result["failed"], result["reason"]) == (True, "bad_parameter")
    assert f"{name} is {seconds}; it must be positive" in result["msg"]


def _never(_options: Any) -> None:
    raise AssertionError("a broker was asked")


def _refusing(reason: str) -> Any:
    def reader(_options: Any) -> None:
        raise kafka_reader.ReadError(reason, "the broker says no")

    return reader


SYSTEMD = "LoadState=loaded\nActiveState={}\nNRestarts={}\nMainPID=0\nResult=exit-code\n"


@pytest.mark.parametrize(
    ("answers", "reason"),
    [(["failed 0"], "service_failed"), (["activating 1", "activating 9"], "crash_loop")],
)
def test_a_service_that_crashes_ends_the_wait_with_its_last_lines(
    answers: list[str], reason: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_command(_module: Any, argv: list[str], **_options: Any) -> tuple[int, str, str]:
        if argv[0] == "journalctl":
            return 0, "ERROR no space left\n", ""
        return 0, SYSTEMD.format(*(answers.pop(0) if len(answers) > 1 else answers[0]).split()), ""

    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.run_command", run_command)
    monkeypatch.setattr(kafka_reader, "Reader", _refusing("unreachable"))
    arguments = {**SOMEWHERE, "node_ids": [1], "service": "kafka.service", "poll_seconds": 0.01}
    result = run(kafka_replication_wait, capsys, **arguments)
    assert (result["failed"], result["reason"], result["give_up"]) == (True, reason, True)
    assert "no space left" in result["msg"]
    assert result["waited_seconds"] < 30


ORPHANED = (
    "ERROR Exiting Kafka due to fatal exception during startup. (kafka.Kafka$)\n"
    "kafka.zookeeper.ZooKeeperClientTimeoutException: Timed out waiting for connection while in state: CONNECTING\n"
)


def test_a_broker_that_ends_only_for_lack_of_zookeeper_is_waited_for_and_never_given_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter(range(10**6))

    def run_command(_module: Any, argv: list[str], **_options: Any) -> tuple[int, str, str]:
        if argv[0] == "journalctl":
            return 0, ORPHANED, ""
        return 0, SYSTEMD.format("activating", next(looks)), ""

    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.run_command", run_command)
    monkeypatch.setattr(kafka_reader, "Reader", _refusing("unreachable"))
    arguments = {**SOMEWHERE, "node_ids": [1], "service": "kafka.service", "poll_seconds": 0.01}
    result = run(kafka_replication_wait, capsys, **arguments, stall_timeout_seconds=0.5, timeout_seconds=60)
    assert (result["failed"], result["reason"], result["give_up"]) == (True, "zookeeper_unreachable", False)
    assert next(looks) > 8, "more restarts than a crash loop has"
    assert 0.5 <= result["waited_seconds"] < 30, "restarts alone are no progress"
    assert "Timed out waiting for connection" in result["msg"]
