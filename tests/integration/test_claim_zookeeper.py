# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""node_id_claim as Ansible runs it, against the strict EC2 and a real ZooKeeper."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import claims_path
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_claims import ClaimLostError, ZkClaims
from kazoo.client import KazooClient

from lab.api.server import LabApi, start_strict_ec2
from tests.integration.claim_world import ClaimWorld
from tests.integration.services import ZooKeeperEnsemble


@pytest.fixture
def api() -> Iterator[LabApi]:
    """A fresh strict EC2."""
    handle = start_strict_ec2(imds=True)
    yield handle
    handle.stop()


@pytest.fixture
def world(api: LabApi, zookeeper_server: ZooKeeperEnsemble) -> ClaimWorld:
    """A cluster of its own in the shared ZooKeeper."""
    return ClaimWorld(api, zookeeper_server.hosts, cluster=f"c{uuid.uuid4().hex[:8]}")


def claims(world: ClaimWorld) -> dict[int, dict[str, Any]]:
    """Read the claims' values straight from ZooKeeper."""
    client = KazooClient(hosts=",".join(world.zookeeper_hosts))
    client.start()
    try:
        path = f"/holdfast/{world.cluster}/kafka/claims"
        return {int(name): json.loads(client.get(f"{path}/{name}")[0]) for name in client.get_children(path)}
    finally:
        client.stop()
        client.close()


def test_claim_then_again_changes_nothing(world: ClaimWorld) -> None:
    eni_id, volume_id = world.add_identity("kafka", 7, "a")
    me = world.launch("a")
    predicted = world.claim(me, "a", "--check")
    assert (predicted["changed"], predicted["outcome"], predicted["node_id"]) == (True, "claimed", 7)
    first = world.claim(me, "a")
    assert (first["changed"], first["outcome"], first["node_id"], first["zookeeper_version"]) == (True, "claimed", 7, 0)
    assert first["identity"]["eni"]["id"] == eni_id
    assert first["api_requests"] == ["DescribeNetworkInterfaces", "DescribeVolumes"]
    value = claims(world)[7]
    assert (value["instance_id"], value["eni_id"], value["volume_ids"]) == (me, eni_id, [volume_id])
    again = world.claim(me, "a")
    assert (again["changed"], again["outcome"], again["node_id"]) == (False, "already_held", 7)


def test_dead_holder_is_followed_and_a_stopped_one_is_not(world: ClaimWorld) -> None:
    world.add_identity("kafka", 7, "a")
    first, second = world.launch("a"), world.launch("a")
    world.claim(first, "a")
    world.ec2.stop_instances(InstanceIds=[first])
    world.api.wait_idle()
    refused = world.claim(second, "a")
    assert (refused.failed, refused["reason"]) == (True, "no_candidate")
    assert f"{first} (stopped)" in refused["msg"]
    world.terminate(first)
    taken = world.claim(second, "a", "--diff")
    assert (taken["outcome"], taken["previous_holder"], taken["zookeeper_version"]) == ("taken_over", first, 1)
    assert taken["api_requests"] == ["DescribeNetworkInterfaces", "DescribeVolumes", "DescribeInstances"]
    assert claims(world)[7]["instance_id"] == second


def test_given_back_claim_is_taken_by_the_next(world: ClaimWorld) -> None:
    eni_id, _volume_id = world.add_identity("kafka", 7, "a")
    first, second = world.launch("a"), world.launch("a")
    world.claim(first, "a")
    world.ec2.attach_network_interface(NetworkInterfaceId=eni_id, InstanceId=first, DeviceIndex=1)
    kept = world.claim(first, "a", state="released")
    assert (kept["changed"], kept["outcome"]) == (False, "kept")
    attachment = world.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni_id])["NetworkInterfaces"][0][
        "Attachment"
    ]
    world.ec2.detach_network_interface(AttachmentId=attachment["AttachmentId"])
    world.api.wait_idle()
    released = world.claim(first, "a", state="released")
    assert (released["changed"], released["outcome"]) == (True, "released")
    assert claims(world)[7]["instance_id"] is None
    assert world.claim(first, "a", state="released")["outcome"] == "not_held"
    claimed = world.claim(second, "a")
    assert (claimed["outcome"], claimed["zookeeper_version"]) == ("claimed", 2)


@pytest.mark.slow
def test_twenty_claimants_of_six_identities(world: ClaimWorld) -> None:
    for node_id in range(6):
        world.add_identity("kafka", node_id, "a")
    instances = [world.launch("a") for _each in range(20)]
    runs = []
    for batch in (instances[:10], instances[10:]):
        processes = [world.start("node_id_claim", world.claim_arguments(one, "a")) for one in batch]
        runs += [world.finish(process) for process in processes]
    winners = [run for run in runs if not run.failed]
    assert sorted(run["node_id"] for run in winners) == list(range(6))
    assert {run["reason"] for run in runs if run.failed} == {"no_candidate"}
    by_claim = {node_id: value["instance_id"] for node_id, value in claims(world).items()}
    assert by_claim == {run["node_id"]: run["instance_id"] for run in winners}


@pytest.mark.slow
def test_ten_claimants_of_three_identities_by_attachment(world: ClaimWorld) -> None:
    enis = {node_id: world.add_identity("kafka", node_id, "a")[0] for node_id in range(3)}
    instances = [world.launch("a") for _each in range(10)]
    processes = [
        world.start("node_id_claim", world.claim_arguments(one, "a", strategy="attachment")) for one in instances
    ]
    runs = [world.finish(process) for process in processes]
    winners = [run for run in runs if not run.failed]
    assert sorted(run["node_id"] for run in winners) == [0, 1, 2]
    assert {run["reason"] for run in runs if run.failed} == {"no_candidate"}
    assert {node_id: world.holder(eni_id) for node_id, eni_id in enis.items()} == {
        run["node_id"]: run["instance_id"] for run in winners
    }


def test_api_error_is_not_free(world: ClaimWorld) -> None:
    world.add_identity("kafka", 7, "a")
    me = world.launch("a")
    world.environment = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    refused = world.claim(me, "a", timeout_seconds=1)
    assert (refused.failed, refused["reason"]) == (True, "api_error")


def test_zookeeper_that_does_not_answer_is_named_and_waited_for(world: ClaimWorld) -> None:
    world.add_identity("kafka", 7, "a")
    me = world.launch("a")
    refused = world.claim(me, "a", zookeeper_hosts=["127.0.0.1:9"], timeout_seconds=1)
    assert (refused.failed, refused["reason"]) == (True, "zookeeper_unreachable")
    assert "127.0.0.1:9" in refused["msg"]
    assert world.claim(me, "a")["outcome"] == "claimed"


@pytest.mark.slow
def test_claim_waits_for_a_zookeeper_that_comes_back(world: ClaimWorld, zookeeper_server: ZooKeeperEnsemble) -> None:
    world.add_identity("kafka", 7, "a")
    me = world.launch("a")
    server = zookeeper_server.servers[0]
    server.kill()
    process = world.start("node_id_claim", world.claim_arguments(me, "a", timeout_seconds=120))
    time.sleep(15)
    assert process.poll() is None
    server.start()
    run = world.finish(process)
    assert (run.failed, run["outcome"], run["waits"][0]["reason"]) == (False, "claimed", "zookeeper_unreachable")


class DeafProxy:
    """Forwards to ZooKeeper, and once drops the connection right after a request that carries this word."""

    def __init__(self, target: str, losses: int = 1, word: bytes = b"instance_id") -> None:
        host, port = target.split(":")
        self.word = word
        self.target = (host, int(port))
        self.losses = losses
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.target)
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, requests: bool) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
                if requests and self.losses and self.word in data:
                    self.losses -= 1
                    source.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other direction has closed both ends
        finally:
            source.close()
            threading.Timer(0.5, sink.close).start()

    def close(self) -> None:
        """Accept no more."""
        self.listener.close()


def test_version_from_before_a_wiped_ensemble_matches_no_new_claim(zookeeper_server: ZooKeeperEnsemble) -> None:
    path = claims_path(f"c{uuid.uuid4().hex[:8]}", "kafka")
    cluster = path.split("/")[2]
    other = KazooClient(hosts=",".join(zookeeper_server.hosts))
    other.start()
    try:
        other.create(f"{path}/7", b"of a dead holder", makepath=True)
        with ZkClaims(list(zookeeper_server.hosts), cluster, "kafka") as slow:
            version = slow.read_all()[7].version
            session = slow._client.client_id
            # What a wiped ensemble does to a claimant that is between its read and its write: the session is gone,
            # and the claim is another znode with the same version.
            other.delete(f"{path}/7")
            other.create(f"{path}/7", b"of a living holder")
            assert other.get(f"{path}/7")[1].version == version
            thief = KazooClient(hosts=",".join(zookeeper_server.hosts), client_id=session)
            thief.start()
            thief.stop()  # closes the session under the claimant
            thief.close()
            until = time.monotonic() + 30
            while slow._client.client_id in (None, session) and time.monotonic() < until:
                time.sleep(0.1)
            assert slow._client.client_id not in (None, session), "kazoo has a new session"
            with pytest.raises(ClaimLostError, match="SessionChanged"):
                slow.set(7, b"stolen", version)
            assert other.get(f"{path}/7")[0] == b"of a living holder"
            assert slow.set(7, b"after another read", slow.read_all()[7].version) == version + 1
    finally:
        other.stop()
        other.close()


def test_lost_reply_of_a_create_that_succeeded(world: ClaimWorld) -> None:
    for node_id in range(3):
        world.add_identity("kafka", node_id, "a")
    me = world.launch("a")
    proxy = DeafProxy(world.zookeeper_hosts[0])
    try:
        run = world.claim(me, "a", zookeeper_hosts=[proxy.address])
    finally:
        proxy.close()
    assert proxy.losses == 0
    assert (run.failed, run["changed"], run["outcome"]) == (False, True, "claimed")
    assert run["attempts"][0]["result"] == "unknown"
    assert [value["instance_id"] for value in claims(world).values()] == [me]
