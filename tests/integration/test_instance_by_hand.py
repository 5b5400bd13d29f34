# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""identity_instance_create and identity_instance_terminate: strict EC2, real ZooKeeper; a thread plays the boot."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from lab.api.server import start_strict_ec2
from tests.integration.ansible_run import run_module
from tests.integration.operator_world import CLUSTER, OperatorWorld, declared
from tests.integration.services import ZooKeeperEnsemble, wait_for

CREATE, TERMINATE = "holdfast.kafka.identity_instance_create", "holdfast.kafka.identity_instance_terminate"
GROUP = "demo-kafka-a"
ZONE = "eu-central-1a"
NEW = [{"size_gib": 3, "type": "gp3"}]


class ByHand:
    """Kafka 1 of the lab's pool, free; its zone's group is empty and holds the launch template."""

    def __init__(self, world: OperatorWorld) -> None:
        self.world, self.scaling = world, world.api.client("autoscaling")
        self.subnet = world.api.seed.subnet_in(ZONE).subnet_id
        data = {"ImageId": world.api.seed.image_id, "InstanceType": "t3.small"}
        made = world.ec2.create_launch_template(LaunchTemplateName=GROUP, LaunchTemplateData=data)["LaunchTemplate"]
        tags = {"holdfast:cluster": CLUSTER, "holdfast:role": "kafka"}
        self.scaling.create_auto_scaling_group(
            AutoScalingGroupName=GROUP,
            MinSize=0,
            MaxSize=2,
            DesiredCapacity=0,
            VPCZoneIdentifier=self.subnet,
            LaunchTemplate={"LaunchTemplateId": made["LaunchTemplateId"], "Version": "1"},
            Tags=[{"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in tags.items()],
        )

    def act(self, module: str, *, check: bool = False, **more: Any) -> dict[str, Any]:
        """Run one of the modules for kafka 1."""
        options = {
            "cluster": CLUSTER,
            "role": "kafka",
            "node_id": 1,
            "poll_seconds": 0.3,
            "timeout_seconds": 40,
            "zookeeper_hosts": self.world.zookeeper_hosts,
            "expected_pools": declared(),
            **more,
        }
        return run_module(module, options, check=check)

    def refused(self, module: str, reason: str, *, check: bool = False, **more: Any) -> str:
        """Require a refusal that touches nothing; return its sentence."""
        before = self.state()
        result = self.act(module, check=check, **more)
        assert (result["failed"], result.get("reason"), result["changed"]) == (True, reason, False), result
        assert self.state() == before
        return str(result["msg"])

    def state(self) -> tuple[Any, ...]:
        """Everything that a refusal must leave alone."""
        instances = sorted(self.instances())
        volumes = sorted(one["VolumeId"] for one in self.world.ec2.describe_volumes()["Volumes"])
        return instances, volumes, self.world.attachments(), self.world.claims()

    def instances(self) -> set[str]:
        """Every instance that is not terminated."""
        found = self.world.ec2.describe_instances()["Reservations"]
        living = [one for item in found for one in item["Instances"] if one["State"]["Name"] != "terminated"]
        return {one["InstanceId"] for one in living}

    def boot(self) -> threading.Thread:
        """Let the next instance claim and attach kafka 1, as its boot would."""
        known = self.instances()

        def play() -> None:
            wait_for("an instance", lambda: self.instances() - known, 30)
            fresh = (self.instances() - known).pop()
            self.world.volumes["kafka-1"] = self.volume()
            self.world.put_claim(1, fresh, eni_id=self.world.enis["kafka-1"])
            self.world.attach("kafka-1", fresh)

        thread = threading.Thread(target=play)
        thread.start()
        return thread

    def volume(self) -> str:
        """The one volume that carries kafka 1's tags."""
        wanted = {"holdfast:cluster": CLUSTER, "holdfast:role": "kafka", "holdfast:node-id": "1"}
        filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in wanted.items()]
        (found,) = self.world.ec2.describe_volumes(Filters=filters)["Volumes"]
        return str(found["VolumeId"])

    def lose_volume(self) -> None:
        """Delete kafka 1's volume."""
        self.world.ec2.delete_volume(VolumeId=self.world.volumes.pop("kafka-1"))
        self.world.api.wait_idle()


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch, zookeeper_server: ZooKeeperEnsemble) -> Iterator[ByHand]:
    """A strict EC2 of this test's own."""
    api = start_strict_ec2(delays="none")
    world = OperatorWorld(api, zookeeper_server.hosts)
    try:
        world.make(named=False)
        world.put_claim(1, None)
        for name, value in api.environment().items():
            monkeypatch.setenv(name, value)
        yield ByHand(world)
    finally:
        world.wipe()
        api.stop()


def test_on_the_existing_volume_and_away_again(hand: ByHand) -> None:
    volume = hand.world.volumes["kafka-1"]
    checked = hand.act(CREATE, check=True)
    assert (checked["failed"], checked["changed"], checked["state"]) == (False, True, "planned"), checked
    assert hand.instances() == set()
    boot = hand.boot()
    made = hand.act(CREATE, user_data="#cloud-config\n{}\n", instance_type="t3.medium", tags={"team": "x"})
    boot.join()
    assert (made["failed"], made["changed"], made["state"]) == (False, True, "held"), made["stdout_text"]
    holder = made["instance_id"]
    assert hand.world.attachments()[volume] == holder
    assert made["volumes_created"] == []
    tags = hand.world.tags(holder)
    wanted = {"holdfast:launched-for": "1", "holdfast:role": "kafka", "Name": "demo-kafka-1", "team": "x"}
    assert wanted.items() <= tags.items()
    again = hand.act(CREATE)
    assert (again["changed"], again["instance_id"]) == (False, holder)
    assert hand.instances() == {holder}

    looked = hand.act(TERMINATE, check=True)
    assert (looked["changed"], looked["instance_id"]) == (True, holder)
    assert looked["attached"] == [volume, hand.world.enis["kafka-1"]]
    assert hand.world.attachments()[volume] == holder
    gone = hand.act(TERMINATE, instance_id=holder)
    assert (gone["failed"], gone["changed"]) == (False, True), gone["stdout_text"]
    assert gone["kept"] == [hand.world.enis["kafka-1"], volume]
    assert hand.instances() == set()
    assert set(hand.world.attachments().values()) == {None}
    after = hand.act(TERMINATE)
    assert (after["failed"], after["changed"], after["instance_id"]) == (False, False, None)


def test_a_new_volume_is_made_as_declared_and_only_where_there_is_none(hand: ByHand) -> None:
    there = hand.world.volumes["kafka-1"]
    assert there in hand.refused(CREATE, "volume_exists", new_volumes=NEW)
    hand.lose_volume()
    away = hand.world.add_volume(
        "eu-central-1b",
        {"holdfast:cluster": CLUSTER, "holdfast:role": "kafka", "holdfast:node-id": "1", "holdfast:volume": "0"},
    )
    assert away in hand.refused(CREATE, "volume_exists", new_volumes=NEW)
    assert away in hand.refused(CREATE, "pool_fault")
    hand.world.ec2.delete_volume(VolumeId=away)
    assert "without a volume" in hand.refused(CREATE, "pool_fault")
    assert hand.act(CREATE, check=True, new_volumes=NEW)["state"] == "planned"
    boot = hand.boot()
    made = hand.act(CREATE, new_volumes=NEW, volume_tags={"team": "x"})
    boot.join()
    assert (made["failed"], made["state"]) == (False, "held"), made["stdout_text"]
    (volume,) = made["volumes_created"]
    found = hand.world.ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]
    assert (found["Size"], found["AvailabilityZone"], found["Encrypted"]) == (3, ZONE, True)
    assert {"holdfast:volume": "0", "Name": "demo-kafka-1", "team": "x"}.items() <= hand.world.tags(volume).items()


def test_a_group_that_would_come_for_it_is_refused(hand: ByHand) -> None:
    hand.scaling.suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["Launch"])
    hand.scaling.update_auto_scaling_group(AutoScalingGroupName=GROUP, DesiredCapacity=1)
    for check in (True, False):
        assert f"{GROUP} wants 1" in hand.refused(CREATE, "group_would_race", check=check)


def test_an_instance_of_a_group_is_neither_created_nor_terminated(hand: ByHand) -> None:
    hand.scaling.update_auto_scaling_group(AutoScalingGroupName=GROUP, DesiredCapacity=1)
    wait_for("a member", hand.instances, 30)
    (member,) = hand.instances()
    hand.world.api.wait_idle()
    wait_for("it runs", lambda: hand.world.ec2.describe_instance_status(InstanceIds=[member])["InstanceStatuses"], 30)
    hand.world.attach("kafka-1", member)
    for module in (CREATE, TERMINATE):
        assert "nodes_rolling_replace" in hand.refused(module, "in_group")


def test_what_cannot_be_meant_is_refused(hand: ByHand) -> None:
    for options, reason in (
        ({"image_id": "ami-00000000000000000"}, "image_unavailable"),
        ({"node_id": 77}, "identity_missing"),
        ({"expected_pools": {"kafka": []}}, "configuration_mismatch"),
        ({"launch_template_id": "lt-00000000000000000"}, "not_found"),
        ({"timeout_seconds": 0}, "bad_parameter"),
        ({"node_id": -1}, "bad_parameter"),
    ):
        hand.refused(CREATE, reason, **options)


def test_without_a_group_nobody_knows_the_template(hand: ByHand) -> None:
    hand.scaling.delete_auto_scaling_group(AutoScalingGroupName=GROUP, ForceDelete=True)
    wait_for("the group is gone", lambda: not hand.scaling.describe_auto_scaling_groups()["AutoScalingGroups"], 30)
    hand.refused(CREATE, "no_launch_template")


def test_a_claim_by_somebody_else_and_a_stopped_holder_are_refused(hand: ByHand) -> None:
    other = hand.world.launch(ZONE)
    hand.world.put_claim(1, other, eni_id=hand.world.enis["kafka-1"])
    hand.world.ec2.stop_instances(InstanceIds=[other])
    hand.world.api.wait_idle()
    assert other in hand.refused(CREATE, "holder_stopped")
    second = hand.world.hold("kafka-1")
    assert second in hand.refused(CREATE, "two_instances")
    assert other in hand.refused(TERMINATE, "two_instances")


def test_an_instance_that_never_holds_ends_the_wait_and_is_found_again(hand: ByHand) -> None:
    failed = hand.act(CREATE, timeout_seconds=2)
    assert (failed["failed"], failed["reason"], failed["changed"]) == (True, "not_held", True), failed
    (launched,) = hand.instances()
    assert launched in failed["msg"]
    again = hand.act(CREATE, timeout_seconds=1)
    assert (again["reason"], again["changed"]) == ("not_held", False), "nobody else is launched"
    assert hand.instances() == {launched}
    ended = hand.act(TERMINATE)
    assert (ended["failed"], ended["instance_id"], ended["attached"]) == (False, launched, [])
    assert hand.instances() == set()


def test_a_protected_instance_is_refused_and_a_half_detached_one_is_gone_on_with(hand: ByHand) -> None:
    holder = hand.world.hold("kafka-1")
    hand.world.ec2.modify_instance_attribute(InstanceId=holder, DisableApiTermination={"Value": True})
    assert holder in hand.refused(TERMINATE, "termination_protected")
    hand.world.ec2.modify_instance_attribute(InstanceId=holder, DisableApiTermination={"Value": False})
    other = hand.act(TERMINATE, instance_id="i-00000000000000000")
    assert (other["changed"], other["instance_id"]) == (False, holder), "another one is left alone"
    hand.world.ec2.detach_volume(VolumeId=hand.world.volumes["kafka-1"], InstanceId=holder)
    hand.world.api.wait_idle()
    done = hand.act(TERMINATE)
    assert (done["failed"], done["attached"]) == (False, [hand.world.enis["kafka-1"]]), done
    assert hand.instances() == set()


def test_what_stays_attached_keeps_its_instance(hand: ByHand) -> None:
    holder = hand.world.hold("kafka-1")
    hand.world.api.clock.volume_detaching_seconds = 30.0
    result = hand.act(TERMINATE, timeout_seconds=1.5)
    assert (result["failed"], result["reason"], result["changed"]) == (True, "not_detached", True), result
    assert hand.world.volumes["kafka-1"] in result["msg"]
    assert hand.instances() == {holder}, "the instance was not terminated"
