# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults end in a bounded wait and a reason, and the cluster comes back once the fault is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.demo import cluster, fleet, playbooks, replacement
from lab.demo.stage import REPOSITORY, Stage, wait_until
from tests.scenarios.stories import group_of, nodes, variable_for_new_nodes

BOOT_LOG = "journalctl --no-pager -o cat -u holdfast-boot"


def _instances_of(group: str) -> list[str]:
    found = fleet.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group])
    return [one["InstanceId"] for one in found["AutoScalingGroups"][0]["Instances"]]


def _boot_log(instance_id: str) -> str:
    try:
        return fleet.ssh(fleet.instance(instance_id)["PrivateIpAddress"], BOOT_LOG)
    except (OSError, KeyError) as error:
        return f"(not readable yet: {error})"


def test_zookeeper_away_at_boot_is_waited_for_then_given_up_and_the_next_instance_succeeds(stage: Stage) -> None:
    victim = nodes("kafka")[0]
    group = group_of(str(victim.instance_id))
    name = group["AutoScalingGroupName"]
    ensemble = nodes("zookeeper")
    with variable_for_new_nodes(group, "node_identity_timeout_seconds", 40):
        for server in ensemble:
            fleet.ssh(server.private_ip, "systemctl stop zookeeper")
        try:
            death = replacement.terminate(victim)[0]
            seen: set[str] = set()

            def given_up() -> str | None:
                seen.update(set(_instances_of(name)) - {str(victim.instance_id)})
                return None if len(seen) > 1 else f"instances after the death: {sorted(seen)}"

            wait_until("a second replacement, after the first gave up", given_up, 240)
            holder = fleet.holder_of(cluster.CLUSTER, "kafka", victim.node_id)
            assert holder.instance_id is None, "nobody may hold an identity without a claim"
        finally:
            for server in ensemble:
                fleet.ssh(server.private_ip, "systemctl start zookeeper")
        wait_until("the return of the broker", lambda: replacement.missing(cluster.CLUSTER, death), 300)
    after = fleet.holder_of(cluster.CLUSTER, "kafka", victim.node_id)
    assert (after.private_ip, after.volume_ids) == (victim.private_ip, victim.volume_ids)


@contextmanager
def _one_more_instance(group: dict[str, Any]) -> Iterator[str]:
    """One instance more than the zone has identities; it is not replaced when it gives itself up."""
    autoscaling = fleet.client("autoscaling")
    name = group["AutoScalingGroupName"]
    before = set(_instances_of(name))
    size, most = group["DesiredCapacity"], group["MaxSize"]
    autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, MaxSize=most + 1, DesiredCapacity=size + 1)
    try:
        wait_until("one more instance", lambda: None if set(_instances_of(name)) - before else "not launched", 60)
        autoscaling.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=["ReplaceUnhealthy", "Launch"])
        yield (set(_instances_of(name)) - before).pop()
    finally:
        autoscaling.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=["ReplaceUnhealthy", "Launch"])
        for extra in set(_instances_of(name)) - before:
            autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=extra, ShouldDecrementDesiredCapacity=True)
        autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, MaxSize=most, DesiredCapacity=size)
        autoscaling.resume_processes(AutoScalingGroupName=name)


def test_an_instance_without_a_free_identity_says_so_and_takes_none(stage: Stage) -> None:
    census = fleet.census(cluster.CLUSTER)
    holders = fleet.holders(cluster.CLUSTER)
    group = group_of(str(nodes("kafka")[0].instance_id))
    with variable_for_new_nodes(group, "node_identity_timeout_seconds", 20), _one_more_instance(group) as extra:

        def unhealthy() -> str | None:
            found = fleet.client("autoscaling").describe_auto_scaling_instances(InstanceIds=[extra])
            state = [one["HealthStatus"] for one in found["AutoScalingInstances"]]
            return None if [one.upper() for one in state] == ["UNHEALTHY"] else f"{extra}: {state}"

        wait_until("the extra instance to give itself up", unhealthy, 180)
        log = _boot_log(extra)
    assert "no_candidate" in log, log[-3000:]
    assert fleet.holders(cluster.CLUSTER) == holders
    assert fleet.census(cluster.CLUSTER) == census


def _pool_faults() -> list[dict[str, Any]]:
    """The faults that the project's own module reports."""
    command = [
        *(str(Path(sys.executable).parent / "ansible"), "localhost", "-m", "holdfast.kafka.identity_pool_info"),
        *("-a", f"cluster={cluster.CLUSTER}", "-e", f"ansible_python_interpreter={sys.executable}"),
    ]
    env = {
        **playbooks.ansible_environment(),
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
    }
    out = subprocess.run(command, capture_output=True, text=True, env=env, cwd=REPOSITORY, timeout=120, check=False)
    assert out.returncode == 0, out.stdout + out.stderr
    answer = json.loads(out.stdout)["plays"][0]["tasks"][0]["hosts"]["localhost"]
    return list(answer["faults"])


def _tags(victim: fleet.Holder, more: dict[str, str] | None = None) -> list[dict[str, str]]:
    tags = {
        "Name": f"{cluster.CLUSTER}-{victim.name}",
        "holdfast:cluster": cluster.CLUSTER,
        "holdfast:role": victim.role,
        "holdfast:node-id": str(victim.node_id),
        **(more or {}),
    }
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def test_two_interfaces_of_one_id_are_a_pool_fault_named_by_their_ids(stage: Stage) -> None:
    assert _pool_faults() == []
    victim = nodes("kafka")[0]
    ec2 = fleet.client("ec2")
    subnet = json.loads(os.environ["HOLDFAST_LAB_SUBNETS"])[0]["subnet_id"]
    made = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    try:
        ec2.create_tags(Resources=[made], Tags=_tags(victim))
        faults = _pool_faults()
        assert len(faults) == 1
        assert made in json.dumps(faults)
        assert victim.eni_id in json.dumps(faults)
    finally:
        ec2.delete_network_interface(NetworkInterfaceId=made)
    assert _pool_faults() == []


def test_a_volume_in_another_zone_is_a_pool_fault_named_by_its_id(stage: Stage) -> None:
    victim = nodes("kafka")[0]
    elsewhere = next(one for one in nodes("kafka") if one.availability_zone != victim.availability_zone)
    ec2 = fleet.client("ec2")
    made = ec2.create_volume(AvailabilityZone=elsewhere.availability_zone, Size=1)["VolumeId"]
    try:
        deadline = time.monotonic() + 30
        while ec2.describe_volumes(VolumeIds=[made])["Volumes"][0]["State"] != "available":
            assert time.monotonic() < deadline
            time.sleep(0.5)
        ec2.create_tags(Resources=[made], Tags=_tags(victim, {"holdfast:volume": "1"}))
        faults = _pool_faults()
        assert len(faults) == 1
        assert made in json.dumps(faults)
    finally:
        ec2.delete_volume(VolumeId=made)
    assert _pool_faults() == []
