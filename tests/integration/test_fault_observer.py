# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The observer of `make test-faults` against a real ZooKeeper and strict EC2: it sees a claim, and a planted double."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kazoo.client import KazooClient

from lab import client
from lab.api.server import LabApi, start_strict_ec2
from lab.config import LabConfig
from tests.faults import samples
from tests.faults.observer import Observer
from tests.integration.claim_world import ClaimWorld
from tests.integration.services import ZooKeeperEnsemble, wait_for


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[LabApi]:
    """A strict EC2 whose books are read where a lab's would be."""
    handle = start_strict_ec2(imds=True)
    address = urlsplit(handle.endpoint)
    monkeypatch.setattr(client, "VPC_ADDRESS", address.hostname)
    monkeypatch.setattr(client, "API_PORT", address.port)
    yield handle
    handle.stop()


@pytest.fixture
def world(api: LabApi, zookeeper_server: ZooKeeperEnsemble) -> ClaimWorld:
    """A cluster of its own in the shared ZooKeeper."""
    return ClaimWorld(api, zookeeper_server.hosts, cluster=f"c{uuid.uuid4().hex[:8]}")


def _claimed_by(observer: Observer, instance_id: str) -> bool:
    """Whether the last sample's claim of kafka-7 names this instance."""
    taken = observer.watch.taken
    return bool(taken) and (taken[-1].claims or {}).get("kafka-7") == instance_id


def test_a_claim_is_seen_and_a_second_living_holder_is_a_double(
    world: ClaimWorld, zookeeper_server: ZooKeeperEnsemble, tmp_path: Path
) -> None:
    eni_id, _ = world.add_identity("kafka", 7, "a")
    first, second = world.launch("a"), world.launch("a")
    with Observer(LabConfig(state_root=tmp_path), world.cluster, world.zookeeper_hosts) as observer:
        assert not world.claim(first, "a").failed
        world.ec2.attach_network_interface(NetworkInterfaceId=eni_id, InstanceId=first, DeviceIndex=1)
        world.api.wait_idle()
        wait_for("the claim to be seen", lambda: _claimed_by(observer, first))
        assert samples.doubles(observer.watch.taken) == []

        planted = KazooClient(hosts=zookeeper_server.connect_string)
        planted.start()
        try:
            path = f"/holdfast/{world.cluster}/kafka/claims/7"
            value = {**json.loads(planted.get(path)[0]), "instance_id": second}
            planted.set(path, json.dumps(value).encode())
        finally:
            planted.stop()
            planted.close()
        wait_for("the planted claim to be seen", lambda: _claimed_by(observer, second))
    told = ", ".join(sorted([first, second]))
    assert samples.doubles(observer.watch.taken) == [f"kafka-7 has the living holders {told}"]
    assert observer.failures == []


def test_without_zookeeper_it_goes_on_and_says_what_it_missed(
    world: ClaimWorld, zookeeper_server: ZooKeeperEnsemble, tmp_path: Path
) -> None:
    world.add_identity("kafka", 7, "a")
    assert not world.claim(world.launch("a"), "a").failed
    with Observer(LabConfig(state_root=tmp_path), world.cluster, world.zookeeper_hosts) as observer:
        wait_for("the claims to be read", lambda: observer.watch.with_claims() > 0)
        zookeeper_server.servers[0].kill()
        read = len(observer.watch.taken)
        wait_for("looks without claims", lambda: any(one.claims is None for one in observer.watch.taken[read:]))
        zookeeper_server.servers[0].start()
        blind = len(observer.watch.taken)
        wait_for("the claims again", lambda: any(one.claims for one in observer.watch.taken[blind:]))
    assert 0 < observer.watch.with_claims() < len(observer.watch.taken)
