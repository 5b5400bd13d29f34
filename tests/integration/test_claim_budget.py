# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole boot's claim and attach on the strict EC2, counted: at most six EC2 calls, and what each failure says.

The modules run in this process, so that the test can play the host on which devices appear, and count at the server.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import attach_ports
from ansible_collections.holdfast.kafka.plugins.modules import (
    ec2_eni_attach,
    ec2_volume_attach,
    identity_pool_info,
    node_id_claim,
)
from botocore.loaders import JSONFileLoader

from lab.api.server import LabApi, start_strict_ec2
from tests.integration.claim_world import ClaimWorld
from tests.integration.services import ZooKeeperEnsemble
from tests.unit.plugins.modules.in_process import run_module
from tests.unit.roles.role_run import play

BUDGET = 6


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[LabApi]:
    """A fresh strict EC2 whose clients and metadata service this process uses."""
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


def be(world: ClaimWorld, instance_id: str) -> None:
    """Let the metadata service answer as this instance."""
    assert world.api.imds is not None
    world.api.imds.map_source("127.0.0.1", instance_id)


def boot(world: ClaimWorld, **options: Any) -> dict[str, dict[str, Any]]:
    """Claim and attach as the role does, on the instance itself; return the three results."""
    arguments = {
        "cluster": world.cluster,
        "role": "kafka",
        "zookeeper_hosts": world.zookeeper_hosts,
        "poll_seconds": 0.2,
    }
    claim = run_module(node_id_claim, {**arguments, "timeout_seconds": 20, **options})
    assert not claim["failed"], claim
    eni_status = claim["identity"]["eni"]
    eni = run_module(ec2_eni_attach, {"eni_id": eni_status["id"], "known_status": eni_status, "poll_seconds": 0.2})
    assert not eni["failed"], eni
    results = {"claim": claim, "eni": eni}
    for status in claim["identity"]["volumes"]:
        volume = run_module(ec2_volume_attach, {"volume_id": status["id"], "known_status": status, "poll_seconds": 0.2})
        assert not volume["failed"], volume
        results["volume" if status["index"] == 0 else f"volume {status['index']}"] = volume
    return results


def requests(results: dict[str, dict[str, Any]]) -> list[str]:
    """Return all EC2 requests of a boot in order."""
    return [request for result in results.values() for request in result["api_requests"]]


def test_uncontended_boot_takes_five_calls_and_a_second_one_reads_only(world: ClaimWorld) -> None:
    eni_id, volume_id = world.add_identity("kafka", 3, "b")
    world.add_identity("zookeeper", 1, "b")
    me = world.launch("b")
    be(world, me)
    results = boot(world)
    assert requests(results) == [
        "DescribeNetworkInterfaces",
        "DescribeVolumes",
        "AttachNetworkInterface",
        "AttachVolume",
        "DescribeVolumes",
    ]
    assert results["claim"]["outcome"] == "claimed"
    assert sorted(results["claim"]["pools"]) == ["kafka", "zookeeper"]
    assert results["eni"]["eni"]["instance_id"] == me
    assert results["eni"]["subnet_cidr"] == "10.77.2.0/24"
    assert results["eni"]["device"].startswith("eth-")
    assert results["volume"]["volume"]["instance_id"] == me
    assert results["volume"]["volume"]["delete_on_termination"] is False
    assert results["volume"]["device_path"] == f"/dev/disk/by-id/{volume_id}"
    again = boot(world)
    assert [result["changed"] for result in again.values()] == [False, False, False]
    assert requests(again) == ["DescribeNetworkInterfaces", "DescribeVolumes"]
    assert world.holder(eni_id) == me


def test_both_volumes_of_an_identity_are_attached_in_the_order_of_their_indexes(world: ClaimWorld) -> None:
    eni_id = world.add_eni("kafka", 3, "b")
    volumes = {index: world.add_volume("kafka", 3, "b", index) for index in ("1", "0")}
    me = world.launch("b")
    be(world, me)
    address = world.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni_id])["NetworkInterfaces"][0]
    pools = {
        "kafka": [
            {
                "node_id": 3,
                "availability_zone": "eu-central-1b",
                "private_ip": address["PrivateIpAddress"],
                "volumes": [{"size_gib": 1}, {"size_gib": 1}],
            }
        ]
    }
    results = boot(world, expected_pools=pools)
    assert [volume["id"] for volume in results["claim"]["identity"]["volumes"]] == [volumes["0"], volumes["1"]]
    first, second = results["volume"]["volume"], results["volume 1"]["volume"]
    assert [(one["id"], one["index"], one["device"], one["instance_id"]) for one in (first, second)] == [
        (volumes["0"], 0, "/dev/sdf", me),
        (volumes["1"], 1, "/dev/sdg", me),
    ]
    assert requests(results).count("AttachVolume") == 2
    again = boot(world, expected_pools=pools)
    assert [result["changed"] for result in again.values()] == [False] * 4


def test_taking_over_from_a_dead_holder_takes_six_calls(world: ClaimWorld) -> None:
    world.add_identity("kafka", 3, "b")
    first = world.launch("b")
    be(world, first)
    boot(world)
    world.terminate(first)
    second = world.launch("b")
    be(world, second)
    results = boot(world)
    assert results["claim"]["outcome"] == "taken_over"
    assert results["claim"]["previous_holder"] == first
    assert requests(results) == [
        "DescribeNetworkInterfaces",
        "DescribeVolumes",
        "DescribeInstances",
        "AttachNetworkInterface",
        "AttachVolume",
        "DescribeVolumes",
    ]
    assert len(requests(results)) <= BUDGET


def test_boot_by_attachment_takes_five_calls(world: ClaimWorld) -> None:
    world.add_identity("kafka", 3, "b")
    me = world.launch("b")
    be(world, me)
    results = boot(world, strategy="attachment")
    assert len(requests(results)) == 5
    assert [results[name]["changed"] for name in ("claim", "eni", "volume")] == [True, False, True]
    assert results["claim"]["identity"]["eni"]["instance_id"] == me
    again = boot(world, strategy="attachment")
    assert [result["changed"] for result in again.values()] == [False, False, False]
    assert again["claim"]["outcome"] == "already_held"


def test_check_mode_writes_nothing_and_predicts_the_run(world: ClaimWorld) -> None:
    eni_id, volume_id = world.add_identity("kafka", 3, "b")
    be(world, world.launch("b"))
    arguments = {"cluster": world.cluster, "role": "kafka", "zookeeper_hosts": world.zookeeper_hosts}
    for strategy in ("zookeeper", "attachment"):
        claim = run_module(node_id_claim, {**arguments, "strategy": strategy}, check=True, diff=True)
        assert (claim["changed"], claim["outcome"]) == (True, "claimed")
        assert claim["diff"]["after"]["holder"] == claim["instance_id"]
    eni = run_module(ec2_eni_attach, {"eni_id": eni_id}, check=True, diff=True)
    assert (eni["changed"], eni["device"], eni["diff"]["before"]["instance_id"]) == (True, None, None)
    volume = run_module(ec2_volume_attach, {"volume_id": volume_id}, check=True, diff=True)
    assert (volume["changed"], volume["device_path"]) == (True, None)
    assert world.holder(eni_id) is None
    boot(world)
    for module, name, resource in ((ec2_eni_attach, "eni_id", eni_id), (ec2_volume_attach, "volume_id", volume_id)):
        after = run_module(module, {name: resource}, check=True, diff=True)
        assert after["changed"] is False
        assert "diff" not in after


def test_delete_on_termination_is_corrected(world: ClaimWorld) -> None:
    eni_id, volume_id = world.add_identity("kafka", 3, "b")
    me = world.launch("b")
    be(world, me)
    boot(world)
    eni = world.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni_id])["NetworkInterfaces"][0]
    attachment = {"AttachmentId": eni["Attachment"]["AttachmentId"], "DeleteOnTermination": True}
    world.ec2.modify_network_interface_attribute(NetworkInterfaceId=eni_id, Attachment=attachment)
    device = world.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]["Attachments"][0]["Device"]
    mapping = [{"DeviceName": device, "Ebs": {"DeleteOnTermination": True}}]
    world.ec2.modify_instance_attribute(InstanceId=me, BlockDeviceMappings=mapping)
    for module, name, resource in ((ec2_eni_attach, "eni_id", eni_id), (ec2_volume_attach, "volume_id", volume_id)):
        for check in (True, False):
            result = run_module(module, {name: resource}, check=check, diff=True)
            assert result["changed"] is True, result
            assert result["diff"]["before"]["delete_on_termination"] is True
        assert run_module(module, {name: resource})["changed"] is False


def test_living_holder_is_a_conflict_and_a_dying_one_is_waited_for(world: ClaimWorld) -> None:
    eni_id, volume_id = world.add_identity("kafka", 3, "b")
    first = world.launch("b")
    be(world, first)
    boot(world)
    second = world.launch("b")
    be(world, second)
    cases = ((ec2_eni_attach, {"eni_id": eni_id}), (ec2_volume_attach, {"volume_id": volume_id}))
    for module, arguments in cases:
        result = run_module(module, {**arguments, "poll_seconds": 0.1})
        assert (result["failed"], result["reason"]) == (True, "conflict")
        assert first in result["msg"]
    world.api.clock.update({"shutting_down_seconds": 8.0})
    world.terminate(first, wait=False)
    result = run_module(ec2_eni_attach, {"eni_id": eni_id, "poll_seconds": 0.1, "timeout_seconds": 20})
    assert result["changed"] is True
    assert result["waited_seconds"] > 0
    assert run_module(ec2_volume_attach, {"volume_id": volume_id, "timeout_seconds": 20})["changed"] is True


def test_holder_that_never_goes_is_a_timeout(world: ClaimWorld) -> None:
    eni_id, _volume_id = world.add_identity("kafka", 3, "b")
    first = world.launch("b")
    be(world, first)
    boot(world)
    be(world, world.launch("b"))
    world.api.clock.update({"shutting_down_seconds": 5.0})
    world.terminate(first, wait=False)
    result = run_module(ec2_eni_attach, {"eni_id": eni_id, "poll_seconds": 0.1, "timeout_seconds": 1})
    assert (result["failed"], result["reason"]) == (True, "timeout")
    assert first in result["msg"]


def test_missing_resources_and_devices_have_their_reasons(world: ClaimWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    eni_id, volume_id = world.add_identity("kafka", 3, "b")
    be(world, world.launch("b"))
    missing = run_module(ec2_eni_attach, {"eni_id": "eni-0123456789abcdef0"})
    assert (missing["failed"], missing["reason"]) == (True, "not_found")
    assert "eni-0123456789abcdef0" in missing["msg"]
    missing = run_module(ec2_volume_attach, {"volume_id": "vol-0123456789abcdef0"})
    assert (missing["failed"], missing["reason"]) == (True, "not_found")
    monkeypatch.setattr(attach_ports, "find_interface", lambda _mac: None)
    monkeypatch.setattr(attach_ports, "find_volume", lambda _volume_id, _device=None: None)
    for module, arguments in ((ec2_eni_attach, {"eni_id": eni_id}), (ec2_volume_attach, {"volume_id": volume_id})):
        result = run_module(module, {**arguments, "timeout_seconds": 1})
        assert (result["failed"], result["reason"]) == (True, "device_missing")


def test_occupied_index_is_a_conflict_and_an_occupied_device_is_passed_over(world: ClaimWorld) -> None:
    me = world.launch("b")
    be(world, me)
    stranger = world.ec2.create_network_interface(SubnetId=world.subnet("b"))["NetworkInterface"]["NetworkInterfaceId"]
    world.ec2.attach_network_interface(NetworkInterfaceId=stranger, InstanceId=me, DeviceIndex=1)
    eni_id, volume_id = world.add_identity("kafka", 3, "b")
    result = run_module(ec2_eni_attach, {"eni_id": eni_id})
    assert (result["failed"], result["reason"]) == (True, "conflict")
    assert eni_id in result["msg"]
    other = world.add_volume("kafka", 4, "b")
    assert run_module(ec2_volume_attach, {"volume_id": other})["volume"]["device"] == "/dev/sdf"
    assert run_module(ec2_volume_attach, {"volume_id": volume_id})["volume"]["device"] == "/dev/sdg"
    third = world.add_volume("kafka", 5, "b")
    insisted = run_module(ec2_volume_attach, {"volume_id": third, "device": "/dev/sdf"})
    assert (insisted["failed"], insisted["reason"]) == (True, "conflict")


def test_pool_info_reads_all_roles_and_fails_on_faults_on_demand(world: ClaimWorld) -> None:
    world.add_identity("kafka", 3, "b")
    world.add_identity("zookeeper", 1, "a")
    orphan = world.add_eni("kafka", 4, "b")
    result = run_module(identity_pool_info, {"cluster": world.cluster})
    assert {role: [item["node_id"] for item in pool] for role, pool in result["pools"].items()} == {
        "kafka": [3],
        "zookeeper": [1],
    }
    assert [fault["resource_ids"] for fault in result["faults"]] == [[orphan]]
    assert result["api_requests"] == ["DescribeNetworkInterfaces", "DescribeVolumes"]
    only = run_module(identity_pool_info, {"cluster": world.cluster, "role": "zookeeper", "fail_on_faults": True})
    assert list(only["pools"]) == ["zookeeper"]
    failed = run_module(identity_pool_info, {"cluster": world.cluster, "fail_on_faults": True})
    assert (failed["failed"], failed["reason"]) == (True, "pool_fault")
    assert orphan in failed["msg"]


def test_role_ends_a_check_that_would_wait_and_refuses_a_foreign_inventory(world: ClaimWorld) -> None:
    world.add_identity("kafka", 3, "b")
    first = world.launch("b")
    be(world, first)
    boot(world, strategy="attachment")
    world.api.clock.update({"shutting_down_seconds": 60.0})
    world.terminate(first, wait=False)
    be(world, world.launch("b"))
    tasks: list[dict[str, Any]] = [
        {"include_role": {"name": "holdfast.kafka.node_identity"}},
        {"assert": {"that": ["node_identity_claim.eni.device is none", "node_identity_claim.outcome == 'waiting'"]}},
    ]
    variables = {"holdfast_cluster": world.cluster, "node_identity_strategy": "attachment"}
    done = play(tasks, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"run would wait (holder_leaving) for {first}" in " ".join(done.stdout.split())
    foreign = [{"node_id": 3, "availability_zone": "eu-central-1b", "private_ip": "10.9.9.9", "volumes": [{}]}]
    done = play(tasks, **variables, holdfast_pools={"kafka": foreign})
    assert done.returncode != 0
    assert "kafka 3 is 10.77.2." in done.stdout + done.stderr
    assert "10.9.9.9 in eu-central-1b by holdfast_pools" in done.stdout + done.stderr
