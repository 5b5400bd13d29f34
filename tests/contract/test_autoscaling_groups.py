# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Auto Scaling groups: asynchronous, replaced when not healthy, never more than wanted."""

from __future__ import annotations

import base64
import itertools
import re
from typing import Any

import pytest

from tests.contract.ec2_harness import KEY, ZONES, Check, Probe, does_not_hold, refused

NAMES = (f"group-{number}" for number in itertools.count())


class Group:
    """An Auto Scaling group of a check's own, with a launch template of its own."""

    def __init__(self, p: Probe, desired: int = 1, zones: str = "a", data: dict[str, Any] | None = None, **more: Any):
        self.p, self.name, self.asg = p, next(NAMES), p.client("autoscaling")
        template = {"ImageId": p.image_id, "InstanceType": "t3.small", **(data or {})}
        p.ec2.create_launch_template(LaunchTemplateName=self.name, LaunchTemplateData=template)
        self.asg.create_auto_scaling_group(
            AutoScalingGroupName=self.name,
            MinSize=0,
            MaxSize=5,
            DesiredCapacity=desired,
            VPCZoneIdentifier=",".join(p.subnets[z] for z in zones),
            LaunchTemplate={"LaunchTemplateName": self.name, "Version": "$Latest"},
            **more,
        )

    def show(self) -> dict[str, Any]:
        """Describe the group."""
        found = self.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])["AutoScalingGroups"]
        return dict(found[0])

    def members(self, state: str | None = "InService") -> list[str]:
        """Ids of the members in a lifecycle state."""
        return [i["InstanceId"] for i in self.show()["Instances"] if state in (None, i["LifecycleState"])]

    def settled(self, count: int = 1) -> list[str]:
        """Wait until that many members are in service and no other is left; return them."""
        self.p.until(lambda: len(self.members()) == count == len(self.members(None)), f"{count} members in service")
        return self.members()

    def replaced(self, old: str) -> str:
        """Wait until another instance is in service instead of ``old``; return it."""
        self.p.until(lambda: old not in self.members(None) and len(self.members()) == 1, f"{old} replaced")
        return self.members()[0]

    def activities(self) -> list[dict[str, Any]]:
        """The group's activities, newest first."""
        return list(self.asg.describe_scaling_activities(AutoScalingGroupName=self.name)["Activities"])


def members_start_pending(p: Probe) -> None:
    """Auto Scaling user guide, instance lifecycle: Pending until the instance runs."""
    with p.held("instance_start"):
        group = Group(p)
        p.until(lambda: group.members("Pending"), "a pending member")
        assert not group.members("InService")
    group.settled()


def launch_template_is_applied_in_full(p: Probe) -> None:
    """Profile, metadata options, user data, groups, key, tags of group and template."""
    iam, name = p.client("iam"), f"profile-{p.ip('c')}"
    iam.create_instance_profile(InstanceProfileName=name)
    security_group = p.ec2.create_security_group(GroupName=name, Description="x", VpcId=p.vpc_id)["GroupId"]
    user_data = base64.b64encode(b"#cloud-config\n").decode()
    group = Group(
        p,
        data={
            "IamInstanceProfile": {"Name": name},
            "MetadataOptions": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
            "KeyName": "lab",
            "SecurityGroupIds": [security_group],
            "UserData": user_data,
            "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "from-template", "Value": "1"}]}],
        },
        Tags=[{"Key": "from-group", "Value": "2", "PropagateAtLaunch": True}, {"Key": "not", "Value": "3"}],
    )
    instance = p.show(group.settled()[0])
    assert instance["IamInstanceProfile"]["Arn"].endswith(f"/{name}")
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert instance["KeyName"] == "lab"
    assert [g["GroupId"] for g in instance["SecurityGroups"]] == [security_group]
    tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
    assert tags["from-template"] == "1"
    assert tags["from-group"] == "2"
    assert "not" not in tags
    assert tags["aws:autoscaling:groupName"] == group.name
    shown = p.ec2.describe_instance_attribute(InstanceId=instance["InstanceId"], Attribute="userData")
    assert shown["UserData"]["Value"] == user_data
    assert len(instance["BlockDeviceMappings"]) == 1


def terminated_is_replaced_later_in_the_same_subnet(p: Probe) -> None:
    """A health check notices; the call that terminates does not replace."""
    group = Group(p, zones="ab")
    old = group.settled()[0]
    subnet = p.show(old)["SubnetId"]
    with p.held("instance_terminate"):
        p.ec2.terminate_instances(InstanceIds=[old])
        p.until(lambda: group.members("Terminating") == [old], "the member leaving")
        p.until(lambda: len(group.members("InService")) == 1, "its replacement while it is shutting down")
        assert p.show(old)["State"]["Name"] == "shutting-down"
    assert p.show(group.replaced(old))["SubnetId"] == subnet


def unhealthy_is_replaced(p: Probe) -> None:
    """SetInstanceHealth."""
    group = Group(p)
    old = group.settled()[0]
    group.asg.set_instance_health(InstanceId=old, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False)
    group.replaced(old)
    p.until_state(old, "terminated")


def grace_period_is_respected(p: Probe) -> None:
    """SetInstanceHealth's default respects the group's grace period."""
    group = Group(p, HealthCheckGracePeriod=3600)
    old = group.settled()[0]
    group.asg.set_instance_health(InstanceId=old, HealthStatus="Unhealthy")
    assert group.show()["Instances"][0]["HealthStatus"] == "Healthy"
    group.asg.set_instance_health(InstanceId=old, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False)
    group.replaced(old)


def stopped_is_replaced(p: Probe) -> None:
    """An EC2 health check: any state but running is unhealthy."""
    group = Group(p)
    old = group.settled()[0]
    p.ec2.stop_instances(InstanceIds=[old])
    group.replaced(old)


def suspended_replacement_waits(p: Probe) -> None:
    """Auto Scaling user guide, suspend processes: ReplaceUnhealthy."""
    group = Group(p)
    old = group.settled()[0]
    group.asg.suspend_processes(AutoScalingGroupName=group.name, ScalingProcesses=["ReplaceUnhealthy"])
    p.ec2.terminate_instances(InstanceIds=[old])
    p.until_state(old, "terminated")
    p.until(lambda: group.show()["Instances"][0]["HealthStatus"] == "Unhealthy", "unhealthy and kept")
    assert group.members(None) == [old]
    group.asg.resume_processes(AutoScalingGroupName=group.name, ScalingProcesses=["ReplaceUnhealthy"])
    group.replaced(old)


def suspended_launch_waits(p: Probe) -> None:
    """Auto Scaling user guide, suspend processes: Launch."""
    group = Group(p)
    old = group.settled()[0]
    group.asg.suspend_processes(AutoScalingGroupName=group.name, ScalingProcesses=["Launch"])
    p.ec2.terminate_instances(InstanceIds=[old])
    p.until(lambda: group.members(None) == [], "the member gone")
    group.asg.resume_processes(AutoScalingGroupName=group.name, ScalingProcesses=["Launch"])
    group.settled()


def suspended_health_check_sees_nothing(p: Probe) -> None:
    """Auto Scaling user guide, suspend processes: HealthCheck."""
    group = Group(p)
    old = group.settled()[0]
    group.asg.suspend_processes(AutoScalingGroupName=group.name, ScalingProcesses=["HealthCheck"])
    p.ec2.stop_instances(InstanceIds=[old])
    p.until_state(old, "stopped")
    assert group.show()["Instances"][0]["HealthStatus"] == "Healthy"
    group.asg.resume_processes(AutoScalingGroupName=group.name)
    group.replaced(old)


def suspended_terminate_keeps_members(p: Probe) -> None:
    """Auto Scaling user guide, suspend processes: Terminate."""
    group = Group(p, desired=2)
    group.settled(2)
    group.asg.suspend_processes(AutoScalingGroupName=group.name, ScalingProcesses=["Terminate"])
    group.asg.set_desired_capacity(AutoScalingGroupName=group.name, DesiredCapacity=1)
    group.settled(2)
    group.asg.resume_processes(AutoScalingGroupName=group.name)
    group.settled(1)


def activities_tell_why(p: Probe) -> None:
    """Auto Scaling user guide, verify a scaling activity."""
    group = Group(p)
    old = group.settled()[0]
    p.ec2.terminate_instances(InstanceIds=[old])
    new = group.replaced(old)
    p.until(lambda: all(a["StatusCode"] == "Successful" for a in group.activities()), "activities closed")
    launch, end, first = group.activities()
    assert first["Description"] == f"Launching a new EC2 instance: {old}"
    assert "a user request created an AutoScalingGroup changing the desired capacity from 0 to 1" in first["Cause"]
    assert end["Description"] == f"Terminating EC2 instance: {old}"
    wanted = "was taken out of service in response to an EC2 health check indicating it has been terminated or stopped."
    assert wanted in end["Cause"]
    assert launch["Description"] == f"Launching a new EC2 instance: {new}"
    assert re.search(r"launched in response to an unhealthy instance needing to be replaced", launch["Cause"])


def failed_launch_is_an_activity(p: Probe) -> None:
    """A launch that EC2 refuses is recorded and tried again, the call that made the group succeeds."""
    group = Group(p, data={"KeyName": "no-such-key"})
    p.until(lambda: group.activities(), "an activity")
    assert group.activities()[-1]["StatusCode"] == "Failed"
    assert "no-such-key" in group.activities()[-1]["StatusMessage"]
    p.ec2.import_key_pair(KeyName="no-such-key", PublicKeyMaterial=KEY.encode())
    group.settled()


def terminate_in_group_is_asynchronous(p: Probe) -> None:
    """TerminateInstanceInAutoScalingGroup answers with an activity in progress; the replacement comes later."""
    group = Group(p)
    old = group.settled()[0]
    with p.held("instance_terminate"):
        done = group.asg.terminate_instance_in_auto_scaling_group(InstanceId=old, ShouldDecrementDesiredCapacity=False)
        assert done["Activity"]["StatusCode"] == "InProgress"
        assert group.members("Terminating") == [old]
    group.replaced(old)


def decrement_below_minimum_is_refused(p: Probe) -> None:
    """TerminateInstanceInAutoScalingGroup: ValidationError."""
    group = Group(p)
    old = group.settled()[0]
    group.asg.update_auto_scaling_group(AutoScalingGroupName=group.name, MinSize=1)
    end = group.asg.terminate_instance_in_auto_scaling_group
    refused("ValidationError", end, InstanceId=old, ShouldDecrementDesiredCapacity=True)
    assert group.members() == [old]


def capacity_beyond_bounds_is_refused(p: Probe) -> None:
    """SetDesiredCapacity: ValidationError."""
    group = Group(p)
    set_capacity = group.asg.set_desired_capacity
    refused("ValidationError", set_capacity, AutoScalingGroupName=group.name, DesiredCapacity=6)


def zones_are_balanced(p: Probe) -> None:
    """Two members in two zones: one in each."""
    group = Group(p, desired=2, zones="ab")
    zones = {p.show(i)["Placement"]["AvailabilityZone"] for i in group.settled(2)}
    assert zones == {ZONES["a"], ZONES["b"]}


def same_name_is_refused(p: Probe) -> None:
    """CreateAutoScalingGroup: AlreadyExists."""
    group = Group(p, desired=0)
    refused(
        "AlreadyExists",
        group.asg.create_auto_scaling_group,
        AutoScalingGroupName=group.name,
        MinSize=0,
        MaxSize=1,
        VPCZoneIdentifier=p.subnets["a"],
        LaunchTemplate={"LaunchTemplateName": group.name},
    )


def delete_needs_force_and_ends_members(p: Probe) -> None:
    """DeleteAutoScalingGroup: ResourceInUse without ForceDelete; with it the group goes with its last member."""
    group = Group(p)
    old = group.settled()[0]
    refused("ResourceInUse", group.asg.delete_auto_scaling_group, AutoScalingGroupName=group.name)
    with p.held("instance_terminate"):
        group.asg.delete_auto_scaling_group(AutoScalingGroupName=group.name, ForceDelete=True)
        assert group.show()["Status"] == "Delete in progress"
        p.until(lambda: p.show(old)["State"]["Name"] == "shutting-down", "members terminated")
    p.until(lambda: not group.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[group.name])["AutoScalingGroups"],
            "the group gone")  # fmt: skip


def metrics_collection_can_be_disabled(p: Probe) -> None:
    """DisableMetricsCollection, which amazon.aws.autoscaling_group calls on every run."""
    group = Group(p, desired=0)
    group.asg.enable_metrics_collection(
        AutoScalingGroupName=group.name, Granularity="1Minute", Metrics=["GroupMinSize"]
    )
    group.asg.disable_metrics_collection(AutoScalingGroupName=group.name)
    assert not group.show()["EnabledMetrics"]


def members_show_their_own_template_version(p: Probe) -> None:
    """A new version changes what is launched from now on, not what runs."""
    group = Group(p)
    old = group.settled()[0]
    data = {"ImageId": p.image_id, "InstanceType": "t3.medium"}
    p.ec2.create_launch_template_version(LaunchTemplateName=group.name, LaunchTemplateData=data)
    assert group.show()["Instances"][0]["LaunchTemplate"]["Version"] == "1"
    p.ec2.terminate_instances(InstanceIds=[old])
    new = group.replaced(old)
    assert p.show(new)["InstanceType"] == "t3.medium"
    assert group.show()["Instances"][0]["LaunchTemplate"]["Version"] == "2"


CHECKS: list[Check] = [
    members_start_pending,
    launch_template_is_applied_in_full,
    terminated_is_replaced_later_in_the_same_subnet,
    unhealthy_is_replaced,
    grace_period_is_respected,
    stopped_is_replaced,
    suspended_replacement_waits,
    suspended_launch_waits,
    suspended_health_check_sees_nothing,
    suspended_terminate_keeps_members,
    activities_tell_why,
    failed_launch_is_an_activity,
    terminate_in_group_is_asynchronous,
    decrement_below_minimum_is_refused,
    capacity_beyond_bounds_is_refused,
    zones_are_balanced,
    same_name_is_refused,
    delete_needs_force_and_ends_members,
    metrics_collection_can_be_disabled,
    members_show_their_own_template_version,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_strict(check: Check, strict: Probe) -> None:
    """The row holds here."""
    check(strict)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_stock_differs(check: Check, stock: Probe) -> None:
    """The row does not hold on stock moto, so its patch is needed."""
    does_not_hold(check, stock)
