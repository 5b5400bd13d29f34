# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stories of `make test-faults` do to EC2 and Auto Scaling has the consequences that they count on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from lab import client
from lab.demo import fleet
from lab.demo.stage import Stage
from tests.contract.ec2_harness import Probe, refused
from tests.faults import runner
from tests.faults.model import Seen
from tests.faults.world import World
from tests.scenarios.stories import user_data_for_new_nodes

GROUP = "demo-kafka-eu-central-1a"


@pytest.fixture
def new_world(strict: Probe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], World]:
    """A group of one with a broker's identity; each call gives the holder's world anew."""
    address = urlsplit(strict.endpoint)
    monkeypatch.setattr(client, "VPC_ADDRESS", address.hostname)
    monkeypatch.setattr(client, "API_PORT", address.port)
    monkeypatch.setattr(fleet, "client", strict.client)
    autoscaling = strict.client("autoscaling")
    if not autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"]:
        _make(strict, autoscaling)
    stage = cast(Stage, SimpleNamespace(name="x", say=lambda _line: None, logs=tmp_path))

    def made() -> World:
        strict.until(lambda: runner.groups_missing() is None, "the group at rest")
        holder = fleet.holders("demo")[0]
        if holder.instance_id is None:
            _attach(strict, holder, _members(autoscaling)[0]["InstanceId"])
        return World(stage, fleet.holders("demo")[0], Seen())

    return made


def _make(p: Probe, autoscaling: Any) -> None:
    data = {"ImageId": p.image_id, "InstanceType": "t3.small", "UserData": "eA=="}
    template = p.ec2.create_launch_template(LaunchTemplateName="kafka-a", LaunchTemplateData=data)["LaunchTemplate"]
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=GROUP,
        MinSize=1,
        MaxSize=1,
        DesiredCapacity=1,
        VPCZoneIdentifier=p.subnets["a"],
        LaunchTemplate={"LaunchTemplateId": template["LaunchTemplateId"], "Version": "1"},
    )
    tags = {"holdfast:cluster": "demo", "holdfast:role": "kafka", "holdfast:node-id": "1"}
    p.ec2.create_tags(
        Resources=[p.eni("a"), p.volume("a")], Tags=[{"Key": key, "Value": value} for key, value in tags.items()]
    )


def _attach(p: Probe, holder: fleet.Holder, instance_id: str) -> None:
    p.ec2.attach_network_interface(NetworkInterfaceId=holder.eni_id, InstanceId=instance_id, DeviceIndex=1)
    p.ec2.attach_volume(VolumeId=holder.volume_ids[0], InstanceId=instance_id, Device="/dev/sdf")
    p.until(lambda: fleet.holders("demo")[0].instance_id == instance_id, "the identity attached")


def _members(autoscaling: Any) -> list[dict[str, Any]]:
    found = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"][0]
    return list(found["Instances"])


def _give_up(p: Probe, instance_id: str) -> None:
    p.client("autoscaling").set_instance_health(
        InstanceId=instance_id, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False
    )


def test_two_rivals_are_launched_for_one_identity(strict: Probe, new_world: Callable[[], World]) -> None:
    world = new_world()
    autoscaling = strict.client("autoscaling")
    with world.suspended("Launch"):
        world.terminate()
        world.resize(2)
    rivals = [world.next_instance(), world.next_instance()]
    with world.suspended("ReplaceUnhealthy", "Launch"):
        strict.until(lambda: "suspended" in str(runner.groups_missing()), "both rivals in service")
        _give_up(strict, rivals[1])
        assert world.marked_unhealthy(rivals[1])
        assert not world.marked_unhealthy(rivals[0])
        autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=rivals[1], ShouldDecrementDesiredCapacity=True)
        world.restore_size()
    strict.until(lambda: [one["InstanceId"] for one in _members(autoscaling)] == rivals[:1], "the winner alone")
    assert runner.groups_missing() is None


def test_a_stopped_holder_stays_and_an_extra_instance_goes(strict: Probe, new_world: Callable[[], World]) -> None:
    world = new_world()
    holder = str(world.victim.instance_id)
    with world.suspended("HealthCheck"):
        strict.ec2.stop_instances(InstanceIds=[holder])
        world.await_state(holder, "stopped")
        with world.one_more_instance() as extra:
            _give_up(strict, extra)
        assert fleet.instance(extra)["State"]["Name"] == "terminated"
        strict.ec2.start_instances(InstanceIds=[holder])
        world.await_state(holder, "running")
    strict.until(lambda: runner.groups_missing() is None, "the group at rest")
    assert world.holder().instance_id == holder


def test_a_resource_leaves_the_pool_and_comes_back(new_world: Callable[[], World]) -> None:
    world = new_world()
    own = world.victim.volume_ids[0]
    world.untag(own)
    assert world.holder().volume_ids == ()
    assert "has 0 volumes" in str(runner.pool_missing([world.holder()]))
    world.tag(own, world.pool_tags(**{"holdfast:volume": "0"}))
    assert world.holder().volume_ids == (own,)
    assert "the pool shows kafka-1" in str(runner.pool_missing([world.holder()]))


def test_a_signal_is_seen_though_the_stack_refuses_it(strict: Probe, new_world: Callable[[], World]) -> None:
    world = new_world()
    signal = {"StackName": "nodes", "LogicalResourceId": "KafkaGroupA", "UniqueId": "i-1", "Status": "FAILURE"}
    refused("ValidationError", strict.client("cloudformation").signal_resource, **signal)
    assert world.signalled_failure("i-1")
    assert not world.signalled_failure("i-2")


def test_new_instances_get_other_user_data_for_a_while(strict: Probe, new_world: Callable[[], World]) -> None:
    world = new_world()
    autoscaling = strict.client("autoscaling")

    def version() -> str:
        found = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"][0]
        return str(found["LaunchTemplate"]["Version"])

    with user_data_for_new_nodes(world.group, lambda _old: "eQ=="):
        assert version() == "2"
    assert version() == "1"
