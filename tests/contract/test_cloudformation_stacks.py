# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stacks: made step by step, waiting for signals, rolled back, retained, and never silently wrong."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from lab.api.cloudformation_memory import memory_of
from lab.api.cloudformation_runner import backend_of
from tests.contract.ec2_harness import Check, Probe, does_not_hold, refused

NAMES = (f"stack-{number}" for number in itertools.count())
Resources = dict[str, dict[str, Any]]


class CfnStack:
    """A stack of a check's own."""

    def __init__(self, p: Probe, resources: Resources, outputs: dict[str, Any] | None = None, **more: Any) -> None:
        self.p, self.name, self.cfn = p, next(NAMES), p.client("cloudformation")
        self.asg = p.client("autoscaling")
        body = self.body(resources, outputs)
        self.id = self.cfn.create_stack(StackName=self.name, TemplateBody=body, **more)["StackId"]

    @staticmethod
    def body(resources: Resources, outputs: dict[str, Any] | None = None) -> str:
        """A template as text."""
        template: dict[str, Any] = {"Resources": resources}
        return json.dumps({**template, "Outputs": outputs} if outputs else template)

    def show(self) -> dict[str, Any]:
        """Describe the stack, by id so that a deleted one is found too."""
        return dict(self.cfn.describe_stacks(StackName=self.id)["Stacks"][0])

    def until(self, status: str) -> dict[str, Any]:
        """Wait for a status; return the stack."""
        self.p.until(lambda: self.show()["StackStatus"] == status, f"{self.name} {status}")
        return self.show()

    def resource(self, logical_id: str) -> dict[str, Any]:
        """Describe a resource."""
        found = self.cfn.describe_stack_resource(StackName=self.id, LogicalResourceId=logical_id)
        return dict(found["StackResourceDetail"])

    def physical(self, logical_id: str) -> str:
        """The physical id of a resource."""
        return str(self.resource(logical_id)["PhysicalResourceId"])

    def events(self, logical_id: str) -> list[tuple[str, str]]:
        """(status, reason) of a resource, oldest first."""
        found = self.cfn.describe_stack_events(StackName=self.id)["StackEvents"]
        own = [e for e in reversed(found) if e["LogicalResourceId"] == logical_id]
        return [(e["ResourceStatus"], e.get("ResourceStatusReason", "")) for e in own]

    def signal(self, unique: str, status: str = "SUCCESS", logical_id: str = "Group") -> None:
        """Send a signal."""
        self.cfn.signal_resource(StackName=self.name, LogicalResourceId=logical_id, UniqueId=unique, Status=status)

    def update(self, resources: Resources, **more: Any) -> None:
        """Update by a new template."""
        self.cfn.update_stack(StackName=self.name, TemplateBody=self.body(resources), **more)

    def delete(self) -> None:
        """Delete and wait for the end."""
        self.cfn.delete_stack(StackName=self.name)
        self.until("DELETE_COMPLETE")


def eni(p: Probe, **more: Any) -> dict[str, Any]:
    """An interface as a resource."""
    return {"Type": "AWS::EC2::NetworkInterface", "Properties": {"SubnetId": p.subnets["a"], **more}}


def volume(**more: Any) -> dict[str, Any]:
    """A volume as a resource."""
    properties = {"AvailabilityZone": "eu-central-1a", "Size": 5, "VolumeType": "gp3", **more}
    return {"Type": "AWS::EC2::Volume", "Properties": properties}


def group(p: Probe, count: int = 1, timeout: str = "PT5M", key: str | None = None, **sizes: Any) -> Resources:
    """A launch template and a group that waits for as many signals as it has members."""
    data = {"ImageId": p.image_id, "InstanceType": "t3.small", **({"KeyName": key} if key else {})}
    version = {"Fn::GetAtt": ["Template", "LatestVersionNumber"]}
    wish = {"MinSize": "0", "MaxSize": str(count), "DesiredCapacity": str(count), **sizes}
    return {
        "Template": {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": data}},
        "Group": {
            "Type": "AWS::AutoScaling::AutoScalingGroup",
            "CreationPolicy": {"ResourceSignal": {"Count": count, "Timeout": timeout}},
            "Properties": {
                "VPCZoneIdentifier": [p.subnets["a"]],
                "LaunchTemplate": {"LaunchTemplateId": {"Ref": "Template"}, "Version": version},
                **wish,
            },
        },
    }


def interface_properties_are_applied(p: Probe) -> None:
    """Tags, GroupSet, address and description; the stack's own tags beside them."""
    address = p.ip()
    resources: Resources = {
        "Sg": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "x", "VpcId": p.vpc_id}},
        "Eni": eni(
            p,
            PrivateIpAddress=address,
            GroupSet=[{"Fn::GetAtt": ["Sg", "GroupId"]}],
            Description="mine",
            Tags=[{"Key": "holdfast:node-id", "Value": "1"}],
        ),
    }
    stack = CfnStack(p, resources, Tags=[{"Key": "team", "Value": "kafka"}])
    stack.until("CREATE_COMPLETE")
    shown = p.show_eni(stack.physical("Eni"))
    tags = {tag["Key"]: tag["Value"] for tag in shown["TagSet"]}
    assert shown["PrivateIpAddress"] == address
    assert shown["Description"] == "mine"
    assert [g["GroupId"] for g in shown["Groups"]] == [stack.physical("Sg")]
    assert (tags["holdfast:node-id"], tags["team"]) == ("1", "kafka")
    assert tags["aws:cloudformation:logical-id"] == "Eni"


def volume_properties_are_applied(p: Probe) -> None:
    """Type, IOPS, throughput, encryption and tags."""
    resource = volume(Iops=4000, Throughput=250, Encrypted=True, Tags=[{"Key": "Name", "Value": "kafka-1"}])
    stack = CfnStack(p, {"Volume": resource})
    stack.until("CREATE_COMPLETE")
    shown = p.show_volume(stack.physical("Volume"))
    assert (shown["VolumeType"], shown["Iops"], shown["Throughput"]) == ("gp3", 4000, 250)
    assert shown["Encrypted"] is True
    assert {"Key": "Name", "Value": "kafka-1"} in shown["Tags"]


def creation_waits_for_its_signals(p: Probe) -> None:
    """CreationPolicy: as many signals as Count, each instance counted once."""
    stack = CfnStack(p, group(p, count=2))
    p.until(lambda: stack.events("Group")[-1:] == [("CREATE_IN_PROGRESS", "Resource creation Initiated")], "begun")
    stack.signal("i-1")
    stack.signal("i-1")
    assert stack.show()["StackStatus"] == "CREATE_IN_PROGRESS"
    stack.signal("i-2")
    stack.until("CREATE_COMPLETE")
    assert ("CREATE_IN_PROGRESS", "Received SUCCESS signal with UniqueId i-2") in stack.events("Group")


def failure_signal_rolls_back(p: Probe) -> None:
    """One FAILURE of one: the stack goes, and with it the instances."""
    stack = CfnStack(p, group(p))
    p.until(lambda: stack.resource("Group")["PhysicalResourceId"], "begun")
    name = stack.physical("Group")
    p.until(lambda: stack.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]
            ["Instances"], "an instance")  # fmt: skip
    found = stack.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]
    stack.signal("i-1", "FAILURE")
    stack.until("ROLLBACK_COMPLETE")
    assert any(s == "CREATE_FAILED" and "Received 1 FAILURE signal(s) out of 1" in r for s, r in stack.events("Group"))
    assert not stack.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    assert p.show(found["Instances"][0]["InstanceId"])["State"]["Name"] == "terminated"


def missing_signal_rolls_back(p: Probe) -> None:
    """CreationPolicy: the timeout."""
    stack = CfnStack(p, group(p, timeout="PT1S"))
    stack.until("ROLLBACK_COMPLETE")
    reasons = [reason for status, reason in stack.events("Group") if status == "CREATE_FAILED"]
    assert reasons == ["Failed to receive 1 resource signal(s) within the specified duration"]


def signal_to_a_stack_that_waits_for_nothing_is_refused(p: Probe) -> None:
    """SignalResource: ValidationError, which a replacement of later days relies on."""
    stack = CfnStack(p, group(p))
    p.until(lambda: stack.resource("Group")["PhysicalResourceId"], "begun")
    stack.signal("i-1")
    stack.until("CREATE_COMPLETE")
    message = refused(
        "ValidationError",
        stack.cfn.signal_resource,
        StackName=stack.name,
        LogicalResourceId="Group",
        UniqueId="i-2",
        Status="SUCCESS",
    )
    assert message == f"Stack {stack.id} is in CREATE_COMPLETE state and cannot be signaled"


def do_nothing_leaves_what_failed(p: Probe) -> None:
    """OnFailure=DO_NOTHING."""
    stack = CfnStack(p, group(p), OnFailure="DO_NOTHING")
    p.until(lambda: stack.resource("Group")["PhysicalResourceId"], "begun")
    stack.signal("i-1", "FAILURE")
    stack.until("CREATE_FAILED")
    name = stack.physical("Group")
    assert stack.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    stack.delete()


def on_failure_delete_leaves_no_stack(p: Probe) -> None:
    """OnFailure=DELETE."""
    stack = CfnStack(p, {"Eni": eni(p, PrivateIpAddress="10.99.0.1")}, OnFailure="DELETE")
    stack.until("DELETE_COMPLETE")


def failing_resource_rolls_back(p: Probe) -> None:
    """The call succeeds, the stack fails, what was made is removed, what depends on the failure is never begun."""
    taken = p.ip()
    p.eni(PrivateIpAddress=taken)
    resources = {"Volume": volume(), "Eni": {**eni(p, PrivateIpAddress=taken), "DependsOn": "Volume"}}
    stack = CfnStack(p, resources)
    shown = stack.until("ROLLBACK_COMPLETE")
    assert stack.events("Eni")[1][0] == "CREATE_FAILED"
    assert taken in stack.events("Eni")[1][1] or "in use" in stack.events("Eni")[1][1]
    assert stack.events("Volume")[-1][0] == "DELETE_COMPLETE"
    refused("InvalidVolume.NotFound", p.ec2.describe_volumes, VolumeIds=[stack.physical("Volume")])
    assert shown["StackName"] == stack.name


def failed_creation_keeps_nothing_marked_except_on_create(p: Probe) -> None:
    """RetainExceptOnCreate: not retained when its own creation is rolled back; Retain is."""
    resources = {
        "Kept": {**volume(), "DeletionPolicy": "Retain"},
        "Gone": {**volume(), "DeletionPolicy": "RetainExceptOnCreate"},
        "Eni": {**eni(p, PrivateIpAddress="10.99.0.1"), "DependsOn": ["Kept", "Gone"]},
    }
    stack = CfnStack(p, resources)
    stack.until("ROLLBACK_COMPLETE")
    assert p.show_volume(stack.physical("Kept"))["State"] == "available"
    refused("InvalidVolume.NotFound", p.ec2.describe_volumes, VolumeIds=[stack.physical("Gone")])


def delete_obeys_the_deletion_policy(p: Probe) -> None:
    """Retain and RetainExceptOnCreate stay, the rest goes."""
    resources = {
        "Kept": {**eni(p), "DeletionPolicy": "Retain"},
        "KeptToo": {**volume(), "DeletionPolicy": "RetainExceptOnCreate"},
        "Eni": eni(p),
        "Volume": volume(),
    }
    stack = CfnStack(p, resources)
    stack.until("CREATE_COMPLETE")
    ids = {name: stack.physical(name) for name in resources}
    stack.delete()
    assert p.show_eni(ids["Kept"])["Status"] == "available"
    assert p.show_volume(ids["KeptToo"])["State"] == "available"
    assert stack.events("Kept")[-1][0] == "DELETE_SKIPPED"
    refused("InvalidNetworkInterfaceID.NotFound", p.ec2.describe_network_interfaces, NetworkInterfaceIds=[ids["Eni"]])
    refused("InvalidVolume.NotFound", p.ec2.describe_volumes, VolumeIds=[ids["Volume"]])


def delete_waits_for_instances(p: Probe) -> None:
    """A group ends its instances; the stack is there until they are gone."""
    resources = group(p)
    del resources["Group"]["CreationPolicy"]
    stack = CfnStack(p, resources)
    stack.until("CREATE_COMPLETE")
    with p.held("instance_terminate"):
        stack.cfn.delete_stack(StackName=stack.name)
        p.until(lambda: stack.events("Group")[-1][0] == "DELETE_IN_PROGRESS", "group deleting")
        assert stack.show()["StackStatus"] == "DELETE_IN_PROGRESS"
        assert stack.events("Template")[-1][0] == "CREATE_COMPLETE"
    stack.until("DELETE_COMPLETE")


def group_completes_with_its_members(p: Probe) -> None:
    """A group without a CreationPolicy is complete when its members are in service."""
    resources = group(p)
    del resources["Group"]["CreationPolicy"]
    with p.held("instance_start"):
        stack = CfnStack(p, resources)
        p.until(lambda: stack.resource("Group")["PhysicalResourceId"], "begun")
        assert stack.resource("Group")["ResourceStatus"] == "CREATE_IN_PROGRESS"
    stack.until("CREATE_COMPLETE")


def group_that_cannot_launch_fails(p: Probe) -> None:
    """Group did not stabilize."""
    resources = group(p, key="no-such-key-pair")
    stack = CfnStack(p, resources)
    stack.until("ROLLBACK_COMPLETE")
    reasons = [reason for status, reason in stack.events("Group") if status == "CREATE_FAILED"]
    assert "Group did not stabilize" in reasons[0]
    assert "no-such-key-pair" in reasons[0]


def no_update_is_refused(p: Probe) -> None:
    """UpdateStack with the same template: No updates are to be performed."""
    resources = {"Eni": eni(p)}
    stack = CfnStack(p, resources)
    stack.until("CREATE_COMPLETE")
    assert refused("ValidationError", stack.update, resources=resources) == "No updates are to be performed."


def lossy_update_is_refused(p: Probe) -> None:
    """A change that the lab cannot make is refused by name and changes nothing."""
    resources = {"Eni": eni(p, PrivateIpAddress=p.ip()), "Volume": volume()}
    stack = CfnStack(p, resources)
    stack.until("CREATE_COMPLETE")
    ids = (stack.physical("Eni"), stack.physical("Volume"))
    message = refused("ValidationError", stack.update, resources={**resources, "Volume": volume(Size=6)})
    assert "Size of Volume" in message
    message = refused("ValidationError", stack.update, resources={**resources, "Eni": eni(p, PrivateIpAddress=p.ip())})
    assert "PrivateIpAddress of Eni" in message
    assert (stack.physical("Eni"), stack.physical("Volume")) == ids


def update_adds_changes_and_removes(p: Probe) -> None:
    """Tags change in place, a new resource is made, one that is left out is removed unless it is retained."""
    resources = {"Eni": eni(p), "Old": volume(), "Kept": {**volume(), "DeletionPolicy": "Retain"}}
    stack = CfnStack(p, resources)
    stack.until("CREATE_COMPLETE")
    ids = {name: stack.physical(name) for name in resources}
    stack.update({"Eni": eni(p, Tags=[{"Key": "Name", "Value": "new"}]), "New": volume()})
    stack.until("UPDATE_COMPLETE")
    assert stack.physical("Eni") == ids["Eni"]
    assert {"Key": "Name", "Value": "new"} in p.show_eni(ids["Eni"])["TagSet"]
    assert p.show_volume(stack.physical("New"))["State"] == "available"
    assert p.show_volume(ids["Kept"])["State"] == "available"
    refused("InvalidVolume.NotFound", p.ec2.describe_volumes, VolumeIds=[ids["Old"]])


def failed_update_goes_back(p: Probe) -> None:
    """UPDATE_ROLLBACK_COMPLETE, with what it had before."""
    resources = {"Eni": eni(p)}
    stack = CfnStack(p, resources)
    stack.until("CREATE_COMPLETE")
    stack.update({**resources, "New": eni(p, PrivateIpAddress="10.99.0.1"), "Fine": volume()})
    stack.until("UPDATE_ROLLBACK_COMPLETE")
    found = stack.cfn.list_stack_resources(StackName=stack.name)["StackResourceSummaries"]
    assert [r["LogicalResourceId"] for r in found] == ["Eni"]
    assert refused("ValidationError", stack.update, resources=resources) == "No updates are to be performed."


def template_change_reaches_the_group_not_its_instances(p: Probe) -> None:
    """A new launch template version is the group's; the instance that runs stays."""
    resources = group(p)
    del resources["Group"]["CreationPolicy"]
    stack = CfnStack(p, resources)
    stack.until("CREATE_COMPLETE")
    name = stack.physical("Group")
    before = stack.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]
    resources["Template"]["Properties"]["LaunchTemplateData"]["InstanceType"] = "t3.medium"
    stack.update(resources)
    stack.until("UPDATE_COMPLETE")
    after = stack.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]
    assert after["LaunchTemplate"]["Version"] == "2"
    assert [i["InstanceId"] for i in after["Instances"]] == [i["InstanceId"] for i in before["Instances"]]


def change_set_without_changes_fails(p: Probe) -> None:
    """CreateChangeSet without a type is an UPDATE; without changes it fails, which check mode relies on."""
    resources = {"Eni": eni(p)}
    stack = CfnStack(p, resources)
    stack.until("CREATE_COMPLETE")
    make, body = stack.cfn.create_change_set, stack.body
    made = make(StackName=stack.name, ChangeSetName="none", TemplateBody=body(resources))
    shown = stack.cfn.describe_change_set(ChangeSetName=made["Id"])
    assert shown["Status"] == "FAILED"
    assert "didn't contain changes" in shown["StatusReason"]
    made = make(StackName=stack.name, ChangeSetName="one", TemplateBody=body({**resources, "V": volume()}))
    changes = stack.cfn.describe_change_set(ChangeSetName=made["Id"])["Changes"]
    assert [(c["ResourceChange"]["Action"], c["ResourceChange"]["LogicalResourceId"]) for c in changes] == [
        ("Add", "V")
    ]


def missing_capability_is_refused(p: Probe) -> None:
    """InsufficientCapabilitiesException."""
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": []}}}
    refused("InsufficientCapabilitiesException", CfnStack, p=p, resources={"Role": role})


def unknown_type_is_refused(p: Probe) -> None:
    """Unrecognized resource types."""
    resources: Resources = {"X": {"Type": "AWS::Nothing::Here"}}
    assert "AWS::Nothing::Here" in refused("ValidationError", CfnStack, p=p, resources=resources)


def unresolved_reference_is_refused(p: Probe) -> None:
    """Unresolved resource dependencies."""
    resources = {"Eni": eni(p, GroupSet=[{"Fn::GetAtt": ["Nothing", "GroupId"]}])}
    message = refused("ValidationError", CfnStack, p=p, resources=resources)
    assert "Unresolved resource dependencies [Nothing]" in message


def termination_protection_holds(p: Probe) -> None:
    """DeleteStack is refused until the protection is taken off."""
    stack = CfnStack(p, {"Eni": eni(p)}, EnableTerminationProtection=True)
    stack.until("CREATE_COMPLETE")
    assert "TerminationProtection" in refused("ValidationError", stack.cfn.delete_stack, StackName=stack.name)
    stack.cfn.update_termination_protection(StackName=stack.name, EnableTerminationProtection=False)
    stack.delete()


def export_in_use_holds_its_stack(p: Probe) -> None:
    """An exporting stack stays while another imports from it."""
    export = f"export-{next(NAMES)}"
    outputs = {"Id": {"Value": {"Ref": "Sg"}, "Export": {"Name": export}}}
    group_resource = {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "x", "VpcId": p.vpc_id}}
    first = CfnStack(p, {"Sg": group_resource}, outputs)
    shown = first.until("CREATE_COMPLETE")
    assert shown["Outputs"][0]["ExportName"] == export
    second = CfnStack(p, {"Eni": eni(p, GroupSet=[{"Fn::ImportValue": export}])})
    second.until("CREATE_COMPLETE")
    first.cfn.delete_stack(StackName=first.name)
    assert export in first.until("DELETE_FAILED")["StackStatusReason"]
    second.delete()
    first.delete()


def role_policies_are_enforced(p: Probe) -> None:
    """A role of a template is as good as one made by IAM (moto keeps its policy in a form that nothing can read)."""
    statement = {"Effect": "Allow", "Action": "ec2:DescribeVolumes", "Resource": "*"}
    role = {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []},
            "Policies": [{"PolicyName": "boot", "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}}],
        },
    }
    stack = CfnStack(p, {"Role": role}, Capabilities=["CAPABILITY_IAM"])
    stack.until("CREATE_COMPLETE")
    iam = p.client("iam")
    found = iam.get_role_policy(RoleName=stack.physical("Role"), PolicyName="boot")["PolicyDocument"]
    assert found["Statement"] == [statement]
    stack.delete()
    refused("NoSuchEntity", iam.get_role, RoleName=stack.physical("Role"))


CHECKS: list[Check] = [
    interface_properties_are_applied,
    volume_properties_are_applied,
    creation_waits_for_its_signals,
    failure_signal_rolls_back,
    missing_signal_rolls_back,
    signal_to_a_stack_that_waits_for_nothing_is_refused,
    do_nothing_leaves_what_failed,
    on_failure_delete_leaves_no_stack,
    failing_resource_rolls_back,
    failed_creation_keeps_nothing_marked_except_on_create,
    delete_obeys_the_deletion_policy,
    delete_waits_for_instances,
    group_completes_with_its_members,
    group_that_cannot_launch_fails,
    no_update_is_refused,
    lossy_update_is_refused,
    update_adds_changes_and_removes,
    failed_update_goes_back,
    template_change_reaches_the_group_not_its_instances,
    change_set_without_changes_fails,
    missing_capability_is_refused,
    unknown_type_is_refused,
    unresolved_reference_is_refused,
    termination_protection_holds,
    export_in_use_holds_its_stack,
    role_policies_are_enforced,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_strict(check: Check, strict: Probe) -> None:
    """The row holds here."""
    check(strict)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_stock_differs(check: Check, stock: Probe) -> None:
    """The row does not hold on stock moto, so its patch is needed."""
    does_not_hold(check, stock)


def test_a_creation_that_takes_longer_than_its_bound_rolls_back(strict_api: tuple[Probe, Any]) -> None:
    """API reference, CreateStack: TimeoutInMinutes. A minute is the least, so the clock is put forward here."""
    p, api = strict_api
    stack = CfnStack(p, group(p, timeout="PT5M"), TimeoutInMinutes=1)
    assert stack.show()["TimeoutInMinutes"] == 1
    with api.context.lock:
        memory_of(backend_of(api.context).stacks[stack.id]).deadline = 0.0
    stack.until("ROLLBACK_COMPLETE")
    reasons = [reason for status, reason in stack.events("Group") if status == "CREATE_FAILED"]
    assert reasons == ["Stack creation time exceeded"]
