# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reader that lives longer than the controller, as a gate's does while the rest of its batch stops."""

from __future__ import annotations

import contextlib

from ansible_collections.holdfast.kafka.plugins.module_utils import kafka_reader

from tests.integration.services import KafkaCluster, wait_for

DEFAULTS = {name: option.get("default") for name, option in kafka_reader.argument_spec().items()}


def test_a_reader_finds_the_next_controller(kafka_cluster: KafkaCluster) -> None:
    options = kafka_reader.client_options(
        {**DEFAULTS, "bootstrap_servers": kafka_cluster.bootstrap_servers, "request_timeout_seconds": 5}
    )
    with contextlib.closing(kafka_reader.Reader(options)) as reader:
        before = reader.read_in_full()
        assert before.reassigning == frozenset()
        assert before.controller_id is not None
        kafka_cluster.brokers[before.controller_id].stop()
        wait_for("the next controller's word", lambda: reader.read_in_full().reassigning is not None, 45)
        after = reader.read_in_full()
    assert after.controller_id not in (None, before.controller_id)
    assert after.reassigning == frozenset()
