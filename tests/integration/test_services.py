# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test services themselves: a member can be taken away and comes back, and nothing is left running."""

from __future__ import annotations

from pathlib import Path

import pytest
from kazoo.client import KazooClient

from tests.integration.services import KafkaCluster, ServiceError, ZooKeeperEnsemble, wait_for


def test_a_killed_leader_is_followed_by_another_and_comes_back(zookeeper_ensemble: ZooKeeperEnsemble) -> None:
    leader = zookeeper_ensemble.leader()
    leader.kill()
    wait_for("another leader", lambda: any(s.mode() == "leader" for s in zookeeper_ensemble.servers), 20)
    assert zookeeper_ensemble.leader() is not leader
    leader.start()
    assert leader.mode() == "follower"


def test_a_paused_server_does_not_answer(zookeeper_ensemble: ZooKeeperEnsemble) -> None:
    follower = zookeeper_ensemble.follower()
    follower.pause()
    assert follower.four_letters("ruok", seconds=0.3) == ""
    follower.resume()
    assert follower.four_letters("ruok") == "imok"


def test_a_stopped_broker_starts_again_on_its_data(kafka_cluster: KafkaCluster) -> None:
    broker = kafka_cluster.brokers[3]
    pid = broker.pid
    broker.stop()
    assert not broker.alive
    broker.start()
    broker.kill()
    broker.start()
    assert broker.pid != pid


def test_close_leaves_no_process(tmp_path: Path) -> None:
    alone = ZooKeeperEnsemble(tmp_path, size=1)
    try:
        alone.start()
        pid = alone.servers[0].pid
    finally:
        alone.close()
    assert not Path(f"/proc/{pid}").exists()


def test_who_loses_what_a_zookeeper_held_is_told(own_zookeeper_server: ZooKeeperEnsemble) -> None:
    client = KazooClient(hosts=own_zookeeper_server.connect_string)
    client.start(timeout=10)
    try:
        for number in range(5):
            client.create(f"/kept-{number}")
    finally:
        client.stop()
        client.close()
    before = own_zookeeper_server.last_zxid()
    server = own_zookeeper_server.servers[0]
    server.kill()
    server.start()
    own_zookeeper_server.require_history(before)
    server.lose_everything()
    with pytest.raises(ServiceError, match="its data were lost"):
        own_zookeeper_server.require_history(before)
