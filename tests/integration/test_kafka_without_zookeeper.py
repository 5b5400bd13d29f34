# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real broker says when it ends, and what the watch over its service makes of that."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.service_watch import ended_without_zookeeper

from tests.integration.services import KafkaBroker, ZooKeeperEnsemble, wait_for
from tests.ports import free_ports


def last_words(broker: KafkaBroker) -> list[str]:
    """Let a broker start and end; return what it said."""
    broker.launch()
    try:
        wait_for("the broker's end", lambda: not broker.alive)
    finally:
        broker.kill()
    return broker.log_since_start().splitlines()


def test_a_broker_without_zookeeper_is_told_from_one_that_is_wrong_itself(
    tmp_path: Path, zookeeper_server: ZooKeeperEnsemble, request: pytest.FixtureRequest
) -> None:
    kafka, nobody = free_ports(2)
    lines = ["zookeeper.connection.timeout.ms=1500"]
    orphan = KafkaBroker(1, kafka, "a", f"127.0.0.1:{nobody}/kafka", tmp_path / "orphan", lines)
    assert ended_without_zookeeper(last_words(orphan))
    chroot = f"{zookeeper_server.connect_string}/{request.node.name[:20]}"
    wrong = KafkaBroker(1, kafka, "a", chroot, tmp_path / "wrong", lines)
    (tmp_path / "wrong" / "data").mkdir(parents=True)
    (tmp_path / "wrong" / "data" / "meta.properties").write_text("version=0\nbroker.id=7\n")
    said = last_words(wrong)
    assert any("Exception" in line for line in said)
    assert not ended_without_zookeeper(said)
