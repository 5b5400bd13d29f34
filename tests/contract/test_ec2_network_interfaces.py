# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network interfaces: what EC2 refuses, and in which states an attachment is."""

from __future__ import annotations

import pytest

from tests.contract.ec2_harness import ZONES, Check, Probe, does_not_hold, found_by_each, one_of_fifty_wins, refused


def in_use_is_refused(p: Probe) -> None:
    """hashicorp/terraform-provider-aws#27513: InvalidNetworkInterface.InUse."""
    eni, holder, other = p.eni(), p.run(), p.run()
    p.attach(eni, holder)
    attach = p.ec2.attach_network_interface
    refused("InvalidNetworkInterface.InUse", attach, NetworkInterfaceId=eni, InstanceId=other, DeviceIndex=1)
    refused("InvalidNetworkInterface.InUse", attach, NetworkInterfaceId=eni, InstanceId=holder, DeviceIndex=2)
    assert p.show_eni(eni)["Attachment"]["InstanceId"] == holder
    nics = [{"NetworkInterfaceId": eni, "DeviceIndex": 0}]
    refused("InvalidNetworkInterface.InUse", p.run, NetworkInterfaces=nics)


def other_zone_is_refused(p: Probe) -> None:
    """EC2 user guide, elastic network interfaces: interface and instance are in one Availability Zone."""
    refused(
        "InvalidParameterCombination",
        p.ec2.attach_network_interface,
        NetworkInterfaceId=p.eni("b"),
        InstanceId=p.run("a"),
        DeviceIndex=1,
    )


def occupied_index_is_refused(p: Probe) -> None:
    """lstoll/k8s-vpcnet#71: 'already has an interface attached at device index'."""
    instance = p.run()
    p.attach(p.eni(), instance, 1)
    attach = p.ec2.attach_network_interface
    message = refused("InvalidParameterValue", attach, NetworkInterfaceId=p.eni(), InstanceId=instance, DeviceIndex=1)
    assert "already has an interface attached at device index '1'" in message


def dying_or_dead_target_is_refused(p: Probe) -> None:
    """EC2 API error codes: IncorrectState."""
    eni, instance = p.eni(), p.run()
    attach = p.ec2.attach_network_interface
    with p.held("instance_terminate"):
        p.ec2.terminate_instances(InstanceIds=[instance])
        assert p.show(instance)["State"]["Name"] == "shutting-down"
        refused("IncorrectState", attach, NetworkInterfaceId=eni, InstanceId=instance, DeviceIndex=1)
    p.until_state(instance, "terminated")
    refused("IncorrectState", attach, NetworkInterfaceId=eni, InstanceId=instance, DeviceIndex=1)
    assert p.show_eni(eni)["Status"] == "available"


def attachment_limit_is_enforced(p: Probe) -> None:
    """EC2 user guide, IP addresses per interface per instance type: t3.small has three interfaces."""
    instance = p.run()
    for index in (1, 2):
        p.attach(p.eni(), instance, index)
    attach = p.ec2.attach_network_interface
    refused("AttachmentLimitExceeded", attach, NetworkInterfaceId=p.eni(), InstanceId=instance, DeviceIndex=3)


def attaching_comes_before_attached(p: Probe) -> None:
    """API reference, NetworkInterfaceAttachment: attaching, attached, detaching, detached."""
    eni, instance = p.eni(), p.run()
    with p.held("nic_attach"):
        p.ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId=instance, DeviceIndex=1)
        shown = p.show_eni(eni)
        assert (shown["Status"], shown["Attachment"]["Status"]) == ("in-use", "attaching")
        nics = {n["NetworkInterfaceId"]: n["Attachment"]["Status"] for n in p.show(instance)["NetworkInterfaces"]}
        assert nics[eni] == "attaching"
    p.until(lambda: p.show_eni(eni)["Attachment"]["Status"] == "attached", "attached")


def detaching_comes_before_available(p: Probe) -> None:
    """As above: the interface stays in use until it is out."""
    eni, instance, other = p.eni(), p.run(), p.run()
    attachment = p.attach(eni, instance)
    with p.held("nic_detach"):
        p.ec2.detach_network_interface(AttachmentId=attachment)
        shown = p.show_eni(eni)
        assert (shown["Status"], shown["Attachment"]["Status"]) == ("in-use", "detaching")
        attach = p.ec2.attach_network_interface
        refused("InvalidNetworkInterface.InUse", attach, NetworkInterfaceId=eni, InstanceId=other, DeviceIndex=1)
    p.until(lambda: p.show_eni(eni)["Status"] == "available", "available")
    p.attach(eni, other)


def freed_only_after_the_holder_is_terminated(p: Probe) -> None:
    """AndrewGuenther/fck-nat#43: the replacement meets the interface while the old instance shuts down."""
    eni, holder, heir = p.eni(), p.run(), p.run()
    p.attach(eni, holder)
    attach = p.ec2.attach_network_interface
    with p.held("instance_terminate"):
        p.ec2.terminate_instances(InstanceIds=[holder])
        assert p.show_eni(eni)["Status"] == "in-use"
        refused("InvalidNetworkInterface.InUse", attach, NetworkInterfaceId=eni, InstanceId=heir, DeviceIndex=1)
    p.until_state(holder, "terminated")
    assert p.show_eni(eni)["Status"] == "available"
    assert "Attachment" not in p.show_eni(eni)
    assert not p.show(holder).get("NetworkInterfaces")
    p.attach(eni, heir)


def delete_on_termination_can_be_set(p: Probe) -> None:
    """API reference, ModifyNetworkInterfaceAttribute: Attachment with AttachmentId and DeleteOnTermination."""
    eni, instance = p.eni(), p.run()
    attachment = p.attach(eni, instance)
    assert p.show_eni(eni)["Attachment"]["DeleteOnTermination"] is False
    wish = {"AttachmentId": attachment, "DeleteOnTermination": True}
    p.ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, Attachment=wish)
    assert p.show_eni(eni)["Attachment"]["DeleteOnTermination"] is True
    p.terminate(instance)
    refused("InvalidNetworkInterfaceID.NotFound", p.show_eni, eni_id=eni)


def primary_interface_dies_with_its_instance(p: Probe) -> None:
    """EC2 user guide: the primary interface that a launch made is deleted on termination."""
    instance = p.run()
    primary = p.show(instance)["NetworkInterfaces"][0]
    assert primary["Attachment"]["DeleteOnTermination"] is True
    p.terminate(instance)
    refused("InvalidNetworkInterfaceID.NotFound", p.show_eni, eni_id=primary["NetworkInterfaceId"])


def primary_interface_cannot_be_detached(p: Probe) -> None:
    """EC2 user guide: you can't detach a primary network interface."""
    instance = p.run()
    p.attach(p.eni(), instance)
    primary = next(n for n in p.show(instance)["NetworkInterfaces"] if n["Attachment"]["DeviceIndex"] == 0)
    detach = p.ec2.detach_network_interface
    refused("OperationNotPermitted", detach, AttachmentId=primary["Attachment"]["AttachmentId"])


def in_use_cannot_be_deleted(p: Probe) -> None:
    """API reference, DeleteNetworkInterface: you must detach it first."""
    eni, instance = p.eni(), p.run()
    p.attach(eni, instance)
    message = refused("InvalidParameterValue", p.ec2.delete_network_interface, NetworkInterfaceId=eni)
    assert "is currently in use" in message


def address_is_given_once(p: Probe) -> None:
    """linuxkit/linuxkit#2388, pulumi/pulumi-aws#2169: InvalidIPAddress.InUse."""
    address = p.ip()
    eni = p.eni(PrivateIpAddress=address)
    refused("InvalidIPAddress.InUse", p.eni, PrivateIpAddress=address)
    refused("InvalidIPAddress.InUse", p.run, PrivateIpAddress=address)
    p.ec2.delete_network_interface(NetworkInterfaceId=eni)
    p.eni(PrivateIpAddress=address)


def address_outside_the_subnet_is_refused(p: Probe) -> None:
    """EC2 VPC user guide, subnet sizing: the first four addresses and the last one are reserved."""
    for address in ("10.77.2.50", "10.77.1.1", "10.77.1.255"):
        refused("InvalidParameterValue", p.eni, PrivateIpAddress=address)


def exhausted_subnet_is_refused(p: Probe) -> None:
    """EC2 API error codes: InsufficientFreeAddressesInSubnet."""
    cidr = {"VpcId": p.vpc_id, "CidrBlock": "10.77.200.0/28", "AvailabilityZone": ZONES["a"]}
    subnet = p.ec2.create_subnet(**cidr)["Subnet"]["SubnetId"]
    made = [p.ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"] for _ in range(11)]
    assert len({m["PrivateIpAddress"] for m in made}) == 11
    refused("InsufficientFreeAddressesInSubnet", p.ec2.create_network_interface, SubnetId=subnet)


def one_of_fifty_attaches_wins(p: Probe) -> None:
    """The arbiter of the ``attachment`` strategy: among any number of calls exactly one succeeds."""
    eni = p.eni()
    attach = p.ec2.attach_network_interface
    one_of_fifty_wins(
        p,
        "InvalidNetworkInterface.InUse",
        lambda node: attach(NetworkInterfaceId=eni, InstanceId=node, DeviceIndex=1),
    )


def attachment_filters_work(p: Probe) -> None:
    """API reference, DescribeNetworkInterfaces, filters."""
    eni, instance = p.eni(), p.run()
    p.attach(eni, instance)
    values = {
        "attachment.status": "attached",
        "attachment.device-index": "1",
        "attachment.delete-on-termination": "false",
    }
    found_by_each(p.ec2.describe_network_interfaces, ("NetworkInterfaceId", eni), instance, values)
    others = p.ec2.describe_network_interfaces(Filters=[{"Name": "attachment.status", "Values": ["detaching"]}])
    assert others["NetworkInterfaces"] == []


def unknown_filter_is_refused(p: Probe) -> None:
    """EC2 API: InvalidParameterValue, 'The filter ... is invalid'."""
    refused(
        "InvalidParameterValue",
        p.ec2.describe_network_interfaces,
        Filters=[{"Name": "no-such-filter", "Values": ["x"]}],
    )


def groups_are_the_interface_own(p: Probe) -> None:
    """EC2 user guide: security groups belong to an interface."""
    groups = [
        p.ec2.create_security_group(GroupName=f"{name}-{p.ip()}", Description="x", VpcId=p.vpc_id)["GroupId"]
        for name in ("node", "pool")
    ]
    eni, instance = p.eni(Groups=[groups[1]]), p.run(SecurityGroupIds=[groups[0]])
    p.attach(eni, instance)
    assert [g["GroupId"] for g in p.show_eni(eni)["Groups"]] == [groups[1]]


def unknown_group_is_refused(p: Probe) -> None:
    """EC2 API error codes: InvalidGroup.NotFound."""
    refused("InvalidGroup.NotFound", p.eni, Groups=["sg-00000000000000000"])


PATCHED: list[Check] = [
    in_use_is_refused,
    other_zone_is_refused,
    occupied_index_is_refused,
    dying_or_dead_target_is_refused,
    attachment_limit_is_enforced,
    attaching_comes_before_attached,
    detaching_comes_before_available,
    freed_only_after_the_holder_is_terminated,
    delete_on_termination_can_be_set,
    primary_interface_dies_with_its_instance,
    primary_interface_cannot_be_detached,
    in_use_cannot_be_deleted,
    address_is_given_once,
    address_outside_the_subnet_is_refused,
    exhausted_subnet_is_refused,
    one_of_fifty_attaches_wins,
    attachment_filters_work,
    unknown_filter_is_refused,
    groups_are_the_interface_own,
    unknown_group_is_refused,
]


@pytest.mark.parametrize("check", PATCHED)
def test_strict_ec2_holds(check: Check, strict: Probe) -> None:
    check(strict)


@pytest.mark.parametrize("check", PATCHED)
def test_stock_moto_does_not(check: Check, stock: Probe) -> None:
    does_not_hold(check, stock)


def basics(p: Probe) -> None:
    """What both servers do: without it a row's failure on stock moto would prove nothing."""
    eni, instance = p.eni(PrivateIpAddress=p.ip()), p.run(KeyName="lab")
    p.ec2.detach_network_interface(AttachmentId=p.attach(eni, instance))
    p.until(lambda: p.show_eni(eni)["Status"] == "available", "available")
    p.attach_volume(p.volume(), instance)
    p.terminate(instance)


def test_basics_hold_on_both(strict: Probe, stock: Probe) -> None:
    basics(strict)
    basics(stock)


def test_filters_of_the_pool_read(strict: Probe) -> None:
    """Tags with wildcards, several values of one filter, zone and status: one call reads a pool."""
    tags = {"ResourceType": "network-interface", "Tags": [{"Key": "Name", "Value": "c1-kafka-7"}]}
    eni = strict.eni(TagSpecifications=[tags])
    for filters in (
        [{"Name": "tag:Name", "Values": ["c1-kafka-*"]}],
        [{"Name": "tag:Name", "Values": ["nothing", "c1-kafka-?"]}],
        [{"Name": "tag-key", "Values": ["Name"]}, {"Name": "status", "Values": ["available"]}],
        [{"Name": "tag:Name", "Values": ["c1-*"]}, {"Name": "availability-zone", "Values": list(ZONES.values())}],
    ):
        found = strict.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        assert eni in [n["NetworkInterfaceId"] for n in found], filters
    none = strict.ec2.describe_network_interfaces(Filters=[{"Name": "tag:Name", "Values": ["C1-KAFKA-7"]}])
    assert none["NetworkInterfaces"] == []


def test_stopped_instance_keeps_its_interfaces(strict: Probe) -> None:
    eni, instance = strict.eni(), strict.run()
    strict.attach(eni, instance)
    strict.ec2.stop_instances(InstanceIds=[instance])
    strict.until_state(instance, "stopped")
    assert strict.show_eni(eni)["Attachment"]["InstanceId"] == instance
    assert strict.machine is not None
    strict.ec2.start_instances(InstanceIds=[instance])
    strict.until_state(instance, "running")
    spec = [c.arguments[1] for c in strict.machine.fake.calls if c.verb == "instance_start"][-1]
    assert [(nic.eni_id == eni, nic.device_index) for nic in spec.nics] == [(False, 0), (True, 1)]


def test_attach_to_a_stopped_instance_waits_for_its_start(strict: Probe) -> None:
    """The machine hears of it by the next start; the API shows it attached."""
    assert strict.machine is not None
    eni, instance = strict.eni(), strict.run()
    strict.ec2.stop_instances(InstanceIds=[instance])
    strict.until_state(instance, "stopped")
    strict.attach(eni, instance)
    assert "nic_attach" not in strict.machine.fake.verbs(instance)
    strict.ec2.start_instances(InstanceIds=[instance])
    strict.until_state(instance, "running")
    attachment = strict.show_eni(eni)["Attachment"]["AttachmentId"]
    strict.ec2.detach_network_interface(AttachmentId=attachment)
    strict.until(lambda: strict.show_eni(eni)["Status"] == "available", "available")
    assert "nic_detach" in strict.machine.fake.verbs(instance)


def test_machine_that_cannot_attach_leaves_it_attaching(strict_api: tuple[Probe, object]) -> None:
    strict, api = strict_api
    assert strict.machine is not None
    eni, instance = strict.eni(), strict.run()
    with strict.machine.failing("nic_attach", OSError("no veth")):
        strict.ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId=instance, DeviceIndex=1)
        assert api.wait_idle()  # type: ignore[attr-defined]  # strict only
    assert strict.show_eni(eni)["Attachment"]["Status"] == "attaching"
    errors = api.events.since(kind="machine_error")  # type: ignore[attr-defined]  # strict only
    assert any(e["resource_id"] == eni and "no veth" in e["error"] for e in errors)
    strict.ec2.detach_network_interface(AttachmentId=strict.show_eni(eni)["Attachment"]["AttachmentId"])
    strict.until(lambda: strict.show_eni(eni)["Status"] == "available", "a stuck attachment can be given up")
