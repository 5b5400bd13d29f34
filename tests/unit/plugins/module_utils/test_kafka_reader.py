# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection options, the reasons behind kafka-python's errors, and the fragment that documents them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.kafka.plugins.doc_fragments.kafka import ModuleDocFragment
from ansible_collections.holdfast.kafka.plugins.module_utils import kafka_reader
from kafka import errors

PARAMETERS: dict[str, Any] = {name: option.get("default") for name, option in kafka_reader.argument_spec().items()} | {
    "bootstrap_servers": ["10.0.0.1", "10.0.0.2:9093"]
}


def test_options_are_kafka_pythons() -> None:
    assert kafka_reader.client_options({**PARAMETERS, "request_timeout_seconds": 1.5}) == {
        "bootstrap_servers": ["10.0.0.1:9092", "10.0.0.2:9093"],
        "client_id": "holdfast",
        "request_timeout_ms": 1500,
        "bootstrap_timeout_ms": 1500,
        "security_protocol": "PLAINTEXT",
        "ssl_check_hostname": True,
    }


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"bootstrap_servers": None}, "no server"),
        ({"bootstrap_servers": ["a:b"]}, "a:b"),
        ({"request_timeout_seconds": 0}, "positive"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "u"}, "sasl_password"),
    ],
)
def test_parameters_that_make_no_connection(change: dict[str, Any], word: str) -> None:
    with pytest.raises(kafka_reader.ReadError, match=word) as caught:
        kafka_reader.client_options({**PARAMETERS, **change})
    assert caught.value.reason == "bad_parameter"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.KafkaTimeoutError(), "unreachable"),
        (errors.NodeNotReadyError(), "unreachable"),
        (errors.KafkaConnectionError(), "unreachable"),
        (OSError("no route"), "unreachable"),
        (errors.SaslAuthenticationFailedError(), "auth"),
        (errors.ClusterAuthorizationFailedError(), "auth"),
        (errors.TopicAuthorizationFailedError(), "auth"),
        (errors.KafkaConfigurationError(), "bad_parameter"),
        (errors.UnknownError(), "kafka_error"),
    ],
)
def test_every_error_has_a_reason(error: Exception, reason: str) -> None:
    assert kafka_reader.reason_of(error) == reason


@pytest.mark.parametrize(
    "name", [*kafka_reader.AUTH_ERRORS, *kafka_reader.PARAMETER_ERRORS, *kafka_reader.UNREACHABLE_ERRORS]
)
def test_the_named_errors_exist(name: str) -> None:
    assert issubclass(getattr(errors, name), errors.KafkaError)


def test_a_read_is_tried_again_while_brokers_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [kafka_reader.ReadError("unreachable", "gone"), "view"]

    class Sometimes:
        def __init__(self, options: Any) -> None:
            pass

        def read_in_full(self) -> Any:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        def close(self) -> None:
            pass

    monkeypatch.setattr(kafka_reader, "Reader", Sometimes)
    monkeypatch.setattr(kafka_reader.time, "sleep", lambda _seconds: None)
    assert kafka_reader.read_in_full({"request_timeout_ms": 5000}) == "view"
    answers[:] = [kafka_reader.ReadError("auth", "no")]
    with pytest.raises(kafka_reader.ReadError):
        kafka_reader.read_in_full({"request_timeout_ms": 5000})


def test_the_fragment_documents_the_options_as_they_are() -> None:
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    for option in documented.values():
        del option["description"]
    spec = {
        name: {key: value for key, value in option.items() if key != "no_log"}
        for name, option in kafka_reader.argument_spec().items()
    }
    assert documented == spec
