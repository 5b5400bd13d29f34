# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real brokers of 3.8 go to 3.9, broker by broker by what they run and speak: binaries, then the protocol."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.modules import kafka_upgrade_plan, service_process_info

from tests.integration.services import KafkaCluster, ZooKeeperEnsemble
from tests.integration.unit_stand_in import show_as_unit
from tests.unit.plugins.modules import in_process

PIN = "inter.broker.protocol.version"
OLD, NEW = "3.8.1", "3.9.1"


class Upgrade:
    """Two brokers, and what the modules say of them."""

    def __init__(self, cluster: KafkaCluster, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.cluster, self._folder, self._patch = cluster, folder, patch

    def version(self, node_id: int) -> str:
        """The release that a broker's process runs, as its host tells."""
        show_as_unit(self.cluster.brokers[node_id], self._folder / f"bin-{node_id}", self._patch)
        return str(in_process.run_module(service_process_info, {"service": "kafka"})["version"])

    def plan(self, to_version: str, pin: str, **more: Any) -> dict[str, Any]:
        """What the module says for a release and a pin."""
        told = {
            str(node_id): {"version": self.version(node_id), "to_version": to_version, "pin": pin}
            for node_id in self.cluster.brokers
        }
        arguments = {"bootstrap_servers": self.cluster.bootstrap_servers, "brokers": told, **more}
        return in_process.run_module(kafka_upgrade_plan, arguments)

    def decision(self, to_version: str, pin: str, **more: Any) -> tuple[str, list[str]]:
        """Which roll is due, and for whom."""
        planned = self.plan(to_version, pin, **more)
        assert not planned["failed"], planned["msg"]
        return planned["decision"]["roll"], sorted(planned["decision"]["due"])

    def restart(self, node_id: int, version: str, pin: str) -> None:
        """What a batch does."""
        broker = self.cluster.brokers[node_id]
        broker.stop()
        broker.use_version(version)
        broker.set_line(PIN, pin)
        broker.start()


@pytest.fixture
def upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upgrade]:
    """Two brokers of the older release, for this test alone."""
    zookeeper = ZooKeeperEnsemble(tmp_path / "zookeeper", size=1)
    cluster = KafkaCluster(tmp_path / "kafka", zookeeper, size=2)
    try:
        zookeeper.start()
        for broker in cluster.brokers.values():
            broker.use_version(OLD)
        cluster.start()
        yield Upgrade(cluster, tmp_path, monkeypatch)
    finally:
        cluster.close()
        zookeeper.close()


@pytest.mark.slow
def test_up_half_back_up_again_and_lifted(upgrade: Upgrade) -> None:
    assert upgrade.plan(NEW, "")["reason"] == "protocol_not_pinned"
    assert upgrade.decision(NEW, "3.8") == ("binaries", ["1", "2"])
    upgrade.restart(1, NEW, "3.8")
    assert (upgrade.version(1), upgrade.version(2)) == (NEW, OLD)
    assert upgrade.decision(NEW, "3.8") == ("binaries", ["2"])
    assert upgrade.plan(OLD, "3.8")["reason"] == "upgrade_unsupported"
    assert upgrade.decision(OLD, "3.8", downgrade_allowed=True) == ("binaries", ["1"])
    upgrade.restart(2, NEW, "3.8")
    assert upgrade.decision(NEW, "3.8") == ("", [])
    assert upgrade.plan(NEW, "3.9", kind="configure")["reason"] == "protocol_change"
    assert upgrade.decision(NEW, "3.9") == ("protocol", ["1", "2"])
    upgrade.restart(1, NEW, "3.9")
    assert upgrade.decision(NEW, "3.9") == ("protocol", ["2"])
    refused = upgrade.plan(OLD, "3.8", downgrade_allowed=True)
    assert (refused["reason"], "protocol 3.9 is spoken (broker 1)" in refused["msg"]) == ("protocol_finalized", True)
    assert upgrade.plan(NEW, "3.8")["reason"] == "protocol_finalized"


@pytest.mark.slow
def test_the_older_release_does_not_start_with_the_newer_protocol(upgrade: Upgrade) -> None:
    """Why nothing is lifted while an image would bring the older one: the node that it makes never serves."""
    broker = upgrade.cluster.brokers[1]
    broker.stop()
    broker.set_line(PIN, "3.9")
    broker.launch()
    assert broker.process is not None
    assert broker.process.wait(60) != 0
    assert "Version 3.9 is not a valid version" in broker.log_since_start()
