# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances: states that take time, launches that are checked first, templates that are applied in full."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.contract.ec2_harness import Check, Probe, does_not_hold, refused


def template(p: Probe, **data: Any) -> dict[str, str]:
    """Create a launch template; return its reference."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    p.ec2.create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData={"ImageId": p.image_id, "InstanceType": "t3.small", **data}
    )
    return {"LaunchTemplateName": name}


def profile(p: Probe) -> str:
    """Create a role and its instance profile; return the name."""
    iam, name = p.client("iam"), f"node-{uuid.uuid4().hex[:8]}"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return name


def pending_comes_before_running(p: Probe) -> None:
    """EC2 user guide, instance lifecycle."""
    with p.held("instance_start"):
        instance = p.run(wait=None)
        assert p.show(instance)["State"] == {"Code": 0, "Name": "pending"}
    p.until_state(instance, "running")


def shutting_down_comes_before_terminated(p: Probe) -> None:
    """EC2 user guide, instance lifecycle."""
    instance = p.run()
    with p.held("instance_terminate"):
        changed = p.ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"][0]
        assert (changed["PreviousState"]["Name"], changed["CurrentState"]["Name"]) == ("running", "shutting-down")
        assert p.show(instance)["State"] == {"Code": 32, "Name": "shutting-down"}
    p.until_state(instance, "terminated")


def stopping_comes_before_stopped(p: Probe) -> None:
    """EC2 user guide, instance lifecycle; a start in between is IncorrectInstanceState."""
    instance = p.run()
    with p.held("instance_stop"):
        p.ec2.stop_instances(InstanceIds=[instance])
        assert p.show(instance)["State"] == {"Code": 64, "Name": "stopping"}
        refused("IncorrectInstanceState", p.ec2.start_instances, InstanceIds=[instance])
    p.until_state(instance, "stopped")


def terminate_is_idempotent(p: Probe) -> None:
    """API reference, TerminateInstances: 'This operation is idempotent'."""
    nic = {"DeviceIndex": 0, "SubnetId": p.subnets["a"], "DeleteOnTermination": True}
    instance = p.run(NetworkInterfaces=[nic])
    p.terminate(instance)
    again = p.ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"][0]
    assert again["CurrentState"]["Name"] == "terminated"


def dead_instances_cannot_be_started(p: Probe) -> None:
    """EC2 API error codes: IncorrectInstanceState."""
    instance = p.run()
    p.terminate(instance)
    for call in (p.ec2.start_instances, p.ec2.stop_instances, p.ec2.reboot_instances):
        refused("IncorrectInstanceState", call, InstanceIds=[instance])


def there_is_one_root_device(p: Probe) -> None:
    """API reference, RunInstances: a mapping of the root device's name changes it, it does not add one."""
    mapping = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 12, "VolumeType": "gp3"}}
    reference = template(p, BlockDeviceMappings=[mapping])
    instance = p.run(LaunchTemplate=reference)
    shown = p.show(instance)
    assert [m["DeviceName"] for m in shown["BlockDeviceMappings"]] == [shown["RootDeviceName"]] == ["/dev/xvda"]
    assert p.show_volume(shown["BlockDeviceMappings"][0]["Ebs"]["VolumeId"])["Size"] == 12
    assert shown["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"] is True


def template_is_applied_in_full(p: Probe) -> None:
    """API reference, LaunchTemplateData: profile, metadata options, tags of every kind."""
    tag = {"Tags": [{"Key": "from", "Value": "template"}]}
    reference = template(
        p,
        IamInstanceProfile={"Name": profile(p)},
        MetadataOptions={"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
        TagSpecifications=[{"ResourceType": kind, **tag} for kind in ("instance", "volume", "network-interface")],
    )
    shown = p.show(p.run(LaunchTemplate=reference))
    assert shown["MetadataOptions"]["HttpTokens"] == "required"
    assert "instance-profile/node-" in shown["IamInstanceProfile"]["Arn"]
    nic = p.show_eni(shown["NetworkInterfaces"][0]["NetworkInterfaceId"])
    volume = p.show_volume(shown["BlockDeviceMappings"][0]["Ebs"]["VolumeId"])
    for tags in (shown["Tags"], volume["Tags"], nic["TagSet"]):
        assert {"Key": "from", "Value": "template"} in tags


def client_token_makes_it_idempotent(p: Probe) -> None:
    """EC2 API reference, ensuring idempotency: IdempotentParameterMismatch for other parameters."""
    token = uuid.uuid4().hex
    first = p.run(ClientToken=token)
    assert p.run(ClientToken=token) == first
    refused("IdempotentParameterMismatch", p.run, ClientToken=token, InstanceType="t3.large")


def max_count_are_launched(p: Probe) -> None:
    """API reference, RunInstances: the largest possible number up to MaxCount."""
    arguments = {"ImageId": p.image_id, "InstanceType": "t3.small", "SubnetId": p.subnets["a"]}
    made = p.ec2.run_instances(MinCount=1, MaxCount=3, **arguments)["Instances"]
    assert len(made) == 3


def every_instance_gets_its_profile(p: Probe) -> None:
    """moto gives it to the first one only."""
    arguments = {"ImageId": p.image_id, "InstanceType": "t3.small", "SubnetId": p.subnets["a"]}
    wish = {"IamInstanceProfile": {"Name": profile(p)}}
    made = p.ec2.run_instances(MinCount=2, MaxCount=2, **arguments, **wish)["Instances"]
    for instance in made:
        assert "IamInstanceProfile" in p.show(instance["InstanceId"])


def existing_primary_interface_decides_the_zone(p: Probe) -> None:
    """RunInstances with an interface at index 0: subnet and zone are the interface's."""
    eni = p.eni("c")
    instance = p.run(NetworkInterfaces=[{"NetworkInterfaceId": eni, "DeviceIndex": 0}])
    shown = p.show(instance)
    assert shown["Placement"]["AvailabilityZone"] == "eu-central-1c"
    assert shown["SubnetId"] == p.subnets["c"]
    p.terminate(instance)
    assert p.show_eni(eni)["Status"] == "available", "an interface that existed before outlives the instance"


def unknown_image_is_refused(p: Probe) -> None:
    """EC2 API error codes: InvalidAMIID.NotFound."""
    refused("InvalidAMIID.NotFound", p.run, ImageId="ami-00000000000000000")


def unknown_key_is_refused(p: Probe) -> None:
    """EC2 API error codes: InvalidKeyPair.NotFound."""
    refused("InvalidKeyPair.NotFound", p.run, KeyName="nobody")


def unknown_type_is_refused(p: Probe) -> None:
    """EC2 API error codes: InvalidParameterValue."""
    refused("InvalidParameterValue", p.run, InstanceType="t9.enormous")


def refused_launch_leaves_nothing_behind(p: Probe) -> None:
    """An error means that nothing was made."""
    taken = p.ip()
    p.eni(PrivateIpAddress=taken)
    before = len(p.ec2.describe_network_interfaces()["NetworkInterfaces"]), len(p.ec2.describe_volumes()["Volumes"])
    nics = [
        {"DeviceIndex": 0, "SubnetId": p.subnets["a"]},
        {"DeviceIndex": 1, "SubnetId": p.subnets["a"], "PrivateIpAddress": taken},
    ]
    refused("InvalidIPAddress.InUse", p.run, NetworkInterfaces=nics)
    after = len(p.ec2.describe_network_interfaces()["NetworkInterfaces"]), len(p.ec2.describe_volumes()["Volumes"])
    assert before == after


def terminated_instance_has_no_address(p: Probe) -> None:
    """EC2 shows neither address, subnet nor devices of what is gone."""
    instance = p.run()
    p.terminate(instance)
    shown = p.show(instance)
    assert "PrivateIpAddress" not in shown
    assert "SubnetId" not in shown
    assert not shown["BlockDeviceMappings"]


def unknown_filter_is_refused(p: Probe) -> None:
    """EC2 API: InvalidParameterValue."""
    refused("InvalidParameterValue", p.ec2.describe_instances, Filters=[{"Name": "no-such-filter", "Values": ["x"]}])


def interface_filters_work(p: Probe) -> None:
    """API reference, DescribeInstances, filters."""
    eni, instance = p.eni(), p.run()
    p.attach(eni, instance)
    filters = [{"Name": "network-interface.network-interface-id", "Values": [eni]}]
    found = p.ec2.describe_instances(Filters=filters)["Reservations"]
    assert [i["InstanceId"] for r in found for i in r["Instances"]] == [instance]


PATCHED: list[Check] = [
    pending_comes_before_running,
    shutting_down_comes_before_terminated,
    stopping_comes_before_stopped,
    terminate_is_idempotent,
    dead_instances_cannot_be_started,
    there_is_one_root_device,
    template_is_applied_in_full,
    client_token_makes_it_idempotent,
    max_count_are_launched,
    every_instance_gets_its_profile,
    existing_primary_interface_decides_the_zone,
    unknown_image_is_refused,
    unknown_key_is_refused,
    unknown_type_is_refused,
    refused_launch_leaves_nothing_behind,
    terminated_instance_has_no_address,
    unknown_filter_is_refused,
    interface_filters_work,
]


@pytest.mark.parametrize("check", PATCHED)
def test_strict_ec2_holds(check: Check, strict: Probe) -> None:
    check(strict)


@pytest.mark.parametrize("check", PATCHED)
def test_stock_moto_does_not(check: Check, stock: Probe) -> None:
    does_not_hold(check, stock)


def test_machine_does_what_the_states_say(strict: Probe) -> None:
    assert strict.machine is not None
    instance = strict.run()
    strict.ec2.reboot_instances(InstanceIds=[instance])
    strict.ec2.stop_instances(InstanceIds=[instance])
    strict.until_state(instance, "stopped")
    assert strict.show(instance)["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    strict.ec2.start_instances(InstanceIds=[instance])
    strict.until_state(instance, "running")
    strict.terminate(instance)
    assert strict.machine.fake.verbs(instance) == [
        "instance_start",
        "instance_reboot",
        "instance_stop",
        "instance_start",
        "instance_terminate",
    ]


def test_launch_that_the_machine_cannot_do_ends_terminated(strict: Probe) -> None:
    """EC2 user guide, troubleshoot launches: terminated with Server.InternalError; nothing stays in use."""
    assert strict.machine is not None
    eni = strict.eni()
    with strict.machine.failing("instance_start", OSError("no space left")):
        instance = strict.run(wait="terminated", NetworkInterfaces=[{"NetworkInterfaceId": eni, "DeviceIndex": 0}])
    reason = strict.show(instance)["StateReason"]
    assert reason["Code"] == "Server.InternalError"
    assert "no space left" in reason["Message"]
    assert strict.show_eni(eni)["Status"] == "available"
    assert strict.machine.fake.verbs(instance) == ["instance_start", "instance_terminate"]


def test_start_that_the_machine_cannot_do_ends_stopped(strict: Probe) -> None:
    assert strict.machine is not None
    instance = strict.run()
    strict.ec2.stop_instances(InstanceIds=[instance])
    strict.until_state(instance, "stopped")
    with strict.machine.failing("instance_start", OSError("no memory")):
        strict.ec2.start_instances(InstanceIds=[instance])
        strict.until_state(instance, "stopped")
        strict.until(lambda: strict.show(instance)["StateReason"].get("Code") == "Server.InternalError", "reason")


def test_instance_that_cannot_die_stays_shutting_down(strict_api: tuple[Probe, Any]) -> None:
    strict, api = strict_api
    eni, instance = strict.eni(), strict.run()
    strict.attach(eni, instance)
    assert strict.machine is not None
    with strict.machine.failing("instance_terminate", OSError("stuck in the kernel")):
        strict.ec2.terminate_instances(InstanceIds=[instance])
        assert api.wait_idle()
    assert strict.show(instance)["State"]["Name"] == "shutting-down"
    assert strict.show_eni(eni)["Status"] == "in-use"


def test_shutdown_from_inside_follows_the_behaviour(strict_api: tuple[Probe, Any]) -> None:
    """EC2 user guide, instance initiated shutdown behaviour."""
    strict, api = strict_api
    stopping = strict.run()
    api.instance_exited(stopping)
    strict.until_state(stopping, "stopped")
    assert strict.show(stopping)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    ending = strict.run(InstanceInitiatedShutdownBehavior="terminate")
    api.instance_exited(ending)
    strict.until_state(ending, "terminated")


def test_termination_protection_protects_all_of_the_call(strict: Probe) -> None:
    plain, protected = strict.run(), strict.run()
    strict.ec2.modify_instance_attribute(InstanceId=protected, DisableApiTermination={"Value": True})
    refused("OperationNotPermitted", strict.ec2.terminate_instances, InstanceIds=[plain, protected])
    assert strict.show(plain)["State"]["Name"] == "running"


def test_console_is_the_machine_s(strict: Probe) -> None:
    instance = strict.run()
    assert strict.ec2.get_console_output(InstanceId=instance)["Output"].startswith(instance)


def test_terminated_instances_are_forgotten_in_the_end(strict_api: tuple[Probe, Any]) -> None:
    from lab.api.lifecycle import forget_terminated

    strict, api = strict_api
    instance = strict.run()
    strict.terminate(instance)
    api.clock.update({"terminated_visible_seconds": 0})
    try:
        forget_terminated(api.context)
    finally:
        api.clock.update({"terminated_visible_seconds": 3600})
    refused("InvalidInstanceID.NotFound", strict.show, instance_id=instance)
