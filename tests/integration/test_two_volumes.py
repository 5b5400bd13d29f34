# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An identity with several volumes on the strict EC2: attached whole, completed when it is half there, never split."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import attach_ports
from ansible_collections.holdfast.kafka.plugins.module_utils.attach_ports import VolumePort
from ansible_collections.holdfast.kafka.plugins.module_utils.attach_runner import AttachRun
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_ec2 import Ec2
from ansible_collections.holdfast.kafka.plugins.modules import ec2_volume_attach, node_id_claim
from botocore.loaders import JSONFileLoader

from lab.api.server import LabApi, start_strict_ec2
from tests.integration.claim_world import ClaimWorld
from tests.integration.services import ZooKeeperEnsemble
from tests.integration.test_claim_budget import be, boot, requests
from tests.integration.test_volume_gates import run_tasks
from tests.unit.plugins.modules.in_process import run_module


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[LabApi]:
    """A fresh strict EC2 whose clients and metadata service this process uses, on a host where devices appear."""
    handle = start_strict_ec2(imds=True)
    monkeypatch.setattr(JSONFileLoader, "load_file", cache(JSONFileLoader.load_file))
    for key, value in handle.environment().items():
        monkeypatch.setenv(key, value)
    assert handle.imds is not None
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", handle.imds.endpoint)
    monkeypatch.setattr(attach_ports, "find_interface", lambda mac: f"eth-{mac[-2:]}")
    monkeypatch.setattr(attach_ports, "find_volume", lambda volume_id, _device=None: f"/dev/disk/by-id/{volume_id}")
    yield handle
    handle.stop()


@pytest.fixture
def world(api: LabApi, zookeeper_server: ZooKeeperEnsemble) -> ClaimWorld:
    """A cluster of its own."""
    return ClaimWorld(api, zookeeper_server.hosts, cluster=f"c{uuid.uuid4().hex[:8]}")


def add_two(world: ClaimWorld) -> tuple[str, str, str]:
    """Create broker 3's identity with two volumes; return its parts."""
    eni_id, first = world.add_identity("kafka", 3, "b")
    return eni_id, first, world.add_volume("kafka", 3, "b", index="1")


def holders(world: ClaimWorld, *volume_ids: str) -> list[str | None]:
    """Return whom EC2 calls each volume's holder."""
    answer = {item["VolumeId"]: item for item in world.ec2.describe_volumes(VolumeIds=list(volume_ids))["Volumes"]}
    found = [answer[volume_id]["Attachments"] for volume_id in volume_ids]
    return [item[0]["InstanceId"] if item else None for item in found]


def put(world: ClaimWorld, volume_id: str, instance_id: str) -> None:
    """Attach a volume by hand, so that it outlives its holder, as EC2's own default is."""
    world.ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdp")
    world.api.wait_idle()


def test_both_are_attached_under_names_of_their_own(world: ClaimWorld) -> None:
    _eni, first, second = add_two(world)
    me = world.launch("b")
    be(world, me)
    results = boot(world, expected_volumes=2)
    assert holders(world, first, second) == [me, me]
    assert [results[name]["volume"]["device"] for name in ("volume", "volume 1")] == ["/dev/sdf", "/dev/sdg"]
    assert [results[name]["device_path"][-len(first) :] for name in ("volume", "volume 1")] == [first, second]
    assert len(requests(results)) == 7, "two more for each volume after the first"
    again = boot(world, expected_volumes=2)
    assert [result["changed"] for result in again.values()] == [False] * 4
    assert requests(again) == ["DescribeNetworkInterfaces", "DescribeVolumes"]


def test_half_an_identity_of_mine_is_completed(world: ClaimWorld) -> None:
    _eni, first, second = add_two(world)
    me = world.launch("b")
    be(world, me)
    put(world, second, me)
    results = boot(world, expected_volumes=2)
    assert results["claim"]["outcome"] == "restored"
    assert [results[name]["changed"] for name in ("volume", "volume 1")] == [True, False]
    assert holders(world, first, second) == [me, me]


def test_a_part_with_a_dying_holder_is_waited_for(world: ClaimWorld) -> None:
    _eni, first, second = add_two(world)
    old, me = world.launch("b"), world.launch("b")
    be(world, me)
    put(world, first, me)
    put(world, second, old)
    world.api.clock.update({"shutting_down_seconds": 3.0})
    world.terminate(old, wait=False)
    results = boot(world, expected_volumes=2)
    assert results["volume 1"]["waited_seconds"] > 0
    assert holders(world, first, second) == [me, me]


@pytest.mark.parametrize("mine", [True, False], ids=["half mine", "nothing mine"])
def test_a_part_with_a_living_stranger_stops_it_before_anything_is_attached(world: ClaimWorld, mine: bool) -> None:
    eni_id, first, second = add_two(world)
    stranger, me = world.launch("b"), world.launch("b")
    be(world, me)
    if mine:
        put(world, first, me)
    put(world, second, stranger)
    arguments = {"cluster": world.cluster, "role": "kafka", "zookeeper_hosts": world.zookeeper_hosts}
    claim = run_module(node_id_claim, {**arguments, "expected_volumes": 2, "poll_seconds": 0.1, "timeout_seconds": 5})
    assert (claim["failed"], claim["reason"]) == (True, "conflict" if mine else "no_candidate"), claim
    assert stranger in claim["msg"]
    assert world.holder(eni_id) is None
    assert holders(world, first, second) == [me if mine else None, stranger]


def test_a_volume_that_was_taken_after_the_claim_leaves_the_rest_alone(
    world: ClaimWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The role's loop ends at the first volume that cannot be had."""
    eni_id, first, second = add_two(world)
    stranger, me = world.launch("b"), world.launch("b")
    be(world, me)
    arguments = {"cluster": world.cluster, "role": "kafka", "zookeeper_hosts": world.zookeeper_hosts}
    claim = run_module(node_id_claim, {**arguments, "expected_volumes": 2})
    put(world, first, stranger)
    eni = world.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni_id])["NetworkInterfaces"][0]
    links = [{"ifname": "eth1", "link_type": "ether", "address": eni["MacAddress"]}]
    (tmp_path / "ip").write_text(f"#!/bin/sh\necho '{json.dumps(links)}'\n")
    (tmp_path / "ip").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    code, printed = run_tasks(
        "node_identity",
        "attach",
        {
            "holdfast_cluster": world.cluster,
            "holdfast_role": "kafka",
            "holdfast_region": "eu-central-1",
            "node_identity_attach_timeout_seconds": 20,
            "__node_identity_claimed": claim,
        },
    )
    assert code != 0
    assert f"{first} is attached to {stranger} (running)" in " ".join(printed.split())
    assert world.holder(eni_id) == me
    assert holders(world, first, second) == [stranger, None]


def test_an_attachment_that_stays_attaching_is_left_where_it_is(world: ClaimWorld) -> None:
    volume_id = world.add_volume("kafka", 3, "b")
    me = world.launch("b")
    be(world, me)
    world.api.clock.update({"volume_attaching_seconds": 60.0})
    result = run_module(ec2_volume_attach, {"volume_id": volume_id, "timeout_seconds": 2, "poll_seconds": 0.2})
    assert (result["failed"], result["reason"]) == (True, "attach_stuck"), result
    assert f"{volume_id} is attaching to {me} at /dev/sdf" in result["msg"]
    assert "DetachVolume" not in result["api_requests"]
    assert result["api_requests"].count("AttachVolume") == 1
    assert holders(world, volume_id) == [me]


def test_attaches_at_the_same_moment_get_different_names(world: ClaimWorld) -> None:
    """Four volumes whose search begins at the same name; EC2 gives each name away once."""
    me = world.launch("b")
    volumes = [world.add_volume("kafka", node_id, "b") for node_id in range(4)]

    def attach(volume_id: str) -> tuple[Any, str | None]:
        module = SimpleNamespace(client=lambda service, **_config: world.api.client(service))
        params = {"volume_id": volume_id, "device": None, "timeout_seconds": 30, "known_status": None}
        port = VolumePort(Ec2(module), me, False, params)
        after = AttachRun(port, me, 30, 0.1).run()
        return after.place, after.instance_id

    with ThreadPoolExecutor(len(volumes)) as pool:
        found = list(pool.map(attach, volumes))
    assert sorted(place for place, _holder in found) == ["/dev/sdf", "/dev/sdg", "/dev/sdh", "/dev/sdi"]
    assert {holder for _place, holder in found} == {me}
