# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brokers as ZooKeeper has them registered."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_registry import parse_registration
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import Broker


@pytest.mark.parametrize(
    ("text", "broker"),
    [
        (
            b'{"endpoints":["PLAINTEXT://10.77.1.21:9092"],"rack":"a","host":"10.77.1.21","port":9092,"version":5}',
            Broker(1, "10.77.1.21", 9092, "a"),
        ),
        (b'{"endpoints":["SSL://kafka-1:9093"],"host":null,"port":-1}', Broker(1, "kafka-1", 9093, None)),
        (b'{"host":"old","port":9092,"version":1}', Broker(1, "old", 9092, None)),
    ],
)
def test_a_registration_is_read(text: bytes, broker: Broker) -> None:
    assert parse_registration(1, text) == broker


def test_what_is_no_registration_is_refused() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        parse_registration(1, b"gone")
