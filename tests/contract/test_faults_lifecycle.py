# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that hold EC2's transitions up."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.contract.ec2_harness import Probe, refused
from tests.contract.fault_client import FaultClient


def stays(condition: Callable[[], bool], seconds: float = 0.3) -> None:
    """Require that the condition holds all that time."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        assert condition()
        time.sleep(0.03)


def test_a_long_shutdown_keeps_what_the_instance_holds(strict: Probe, faults: FaultClient) -> None:
    """EC2 User Guide, "Amazon EC2 instance state changes": shutting-down comes before terminated; EC2 API Reference,
    AttachNetworkInterface: an interface that is attached is in use."""
    instance, heir, eni, volume = strict.run(), strict.run(), strict.eni(), strict.volume()
    strict.attach(eni, instance)
    strict.attach_volume(volume, instance)
    fault = faults.set("shutting_down_long", seconds=3600, instance=instance)
    strict.ec2.terminate_instances(InstanceIds=[instance])
    stays(lambda: strict.show(instance)["State"]["Name"] == "shutting-down")
    wish = {"NetworkInterfaceId": eni, "InstanceId": heir, "DeviceIndex": 1}
    refused("InvalidNetworkInterface.InUse", strict.ec2.attach_network_interface, **wish)
    refused("VolumeInUse", strict.ec2.attach_volume, VolumeId=volume, InstanceId=heir, Device="/dev/sdf")
    strict.terminate(strict.run())
    assert [event["instance_id"] for event in faults.events(fault["id"])] == [instance]
    faults.clear("shutting_down_long")
    strict.until_state(instance, "terminated")
    strict.attach(eni, heir)


def test_a_long_shutdown_ends_by_itself(strict: Probe, faults: FaultClient) -> None:
    with faults.during("shutting_down_long", seconds=0.3, times=1):
        instance = strict.run()
        strict.ec2.terminate_instances(InstanceIds=[instance])
        stays(lambda: strict.show(instance)["State"]["Name"] == "shutting-down", 0.15)
        strict.until_state(instance, "terminated")
        strict.terminate(strict.run())


def test_a_long_detach_keeps_the_interface_and_the_volume_in_use(strict: Probe, faults: FaultClient) -> None:
    """EC2 API Reference, NetworkInterfaceAttachment and VolumeAttachment: the status detaching; a volume or an
    interface is available only after it."""
    instance, eni, volume = strict.run(), strict.eni(), strict.volume()
    attachment = strict.attach(eni, instance)
    strict.attach_volume(volume, instance)
    faults.set("detach_long", seconds=3600)
    strict.ec2.detach_network_interface(AttachmentId=attachment)
    strict.ec2.detach_volume(VolumeId=volume)
    stays(lambda: strict.show_eni(eni)["Attachment"]["Status"] == "detaching")
    assert strict.show_eni(eni)["Status"] == "in-use"
    assert strict.show_volume(volume)["Attachments"][0]["State"] == "detaching"
    faults.clear("detach_long")
    strict.until(lambda: strict.show_eni(eni)["Status"] == "available", "interface available")
    strict.until(lambda: strict.show_volume(volume)["State"] == "available", "volume available")


def test_an_instance_can_die_during_a_long_detach(strict: Probe, faults: FaultClient) -> None:
    instance, eni = strict.run(), strict.eni()
    attachment = strict.attach(eni, instance)
    faults.set("detach_long", seconds=3600, resource=eni)
    strict.ec2.detach_network_interface(AttachmentId=attachment)
    strict.terminate(instance)
    assert strict.show_eni(eni)["Status"] == "available"
    heir = strict.run()
    strict.attach(eni, heir)
    faults.clear()
    stays(lambda: strict.show_eni(eni)["Attachment"]["InstanceId"] == heir)


def test_a_stuck_attachment_holds_nothing_else_up(strict: Probe, faults: FaultClient) -> None:
    """EC2 User Guide, "Troubleshoot ... volume stuck in the attaching state" (EBS attachment stays attaching)."""
    instance, eni, volume, other = strict.run(), strict.eni(), strict.volume(), strict.eni()
    faults.set("attaching_stuck", resource=eni)
    faults.set("attaching_stuck", resource=volume)
    strict.ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId=instance, DeviceIndex=1)
    strict.ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
    strict.attach(other, instance, index=2)
    stays(lambda: strict.show_eni(eni)["Attachment"]["Status"] == "attaching")
    assert strict.show_eni(eni)["Status"] == "in-use"
    assert strict.show_volume(volume)["Attachments"][0]["State"] == "attaching"
    assert strict.machine is not None
    assert [call.arguments[1].eni_id for call in strict.machine.fake.calls if call.verb == "nic_attach"][-1] == other
    faults.clear("attaching_stuck")
    strict.until(lambda: strict.show_eni(eni)["Attachment"]["Status"] == "attached", "interface attached")
    strict.until(lambda: strict.show_volume(volume)["Attachments"][0]["State"] == "attached", "volume attached")


def test_a_stuck_attachment_ends_with_its_instance(strict: Probe, faults: FaultClient) -> None:
    instance, eni = strict.run(), strict.eni()
    faults.set("attaching_stuck")
    strict.ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId=instance, DeviceIndex=1)
    strict.terminate(instance)
    assert strict.show_eni(eni)["Status"] == "available"
    faults.clear()
    stays(lambda: strict.show_eni(eni)["Status"] == "available")


def test_a_late_interface_is_attached_before_it_appears(strict: Probe, faults: FaultClient) -> None:
    """EC2 User Guide, "Attach a network interface": the operating system sees a hot-attached interface on its own time;
    the attachment's status says nothing of it."""
    instance, eni = strict.run(), strict.eni()
    fault = faults.set("eni_late", seconds=3600, resource=eni)
    strict.attach(eni, instance)
    assert faults.events(fault["id"])[0]["resource_ids"] == sorted([eni, instance])
    stays(lambda: eni not in _plugged(strict))
    faults.clear("eni_late")
    strict.until(lambda: eni in _plugged(strict), "the interface appears")


def _plugged(probe: Probe) -> list[str]:
    assert probe.machine is not None
    calls = probe.machine.fake.calls
    enis = [call.arguments[1].eni_id for call in calls if call.verb == "nic_attach"]
    return enis + [call.arguments[1].volume_id for call in calls if call.verb == "volume_attach"]


def test_a_late_volume_is_attached_before_it_appears(strict: Probe, faults: FaultClient) -> None:
    """Amazon EBS User Guide, "Attach an Amazon EBS volume to an Amazon EC2 instance"."""
    instance, volume = strict.run(), strict.volume()
    fault = faults.set("volume_late", seconds=0.4, instance=instance)
    strict.attach_volume(volume, instance)
    assert volume not in _plugged(strict)
    strict.until(lambda: volume in _plugged(strict), "the volume appears")
    assert len(faults.events(fault["id"])) == 1


def test_what_was_detached_meanwhile_does_not_appear(strict: Probe, faults: FaultClient) -> None:
    instance, eni, volume = strict.run(), strict.eni(), strict.volume()
    faults.set("eni_late", seconds=3600)
    faults.set("volume_late", seconds=3600)
    attachment = strict.attach(eni, instance)
    strict.attach_volume(volume, instance)
    strict.ec2.detach_network_interface(AttachmentId=attachment)
    strict.ec2.detach_volume(VolumeId=volume)
    strict.until(lambda: strict.show_eni(eni)["Status"] == "available", "interface available")
    strict.until(lambda: strict.show_volume(volume)["State"] == "available", "volume available")
    faults.clear()
    stays(lambda: not {eni, volume} & set(_plugged(strict)))


def test_a_new_instance_is_not_found_for_a_while(strict: Probe, faults: FaultClient) -> None:
    """EC2 API Reference, "Eventual consistency in the Amazon EC2 API": InvalidInstanceID.NotFound right after
    RunInstances."""
    old = strict.run()
    faults.set("instance_not_found_for", seconds=3600, times=1)
    new, newer = strict.run(wait=None), strict.run()
    sentence = refused("InvalidInstanceID.NotFound", strict.ec2.describe_instances, InstanceIds=[old, new])
    assert sentence == f"The instance ID '{new}' does not exist"
    refused("InvalidInstanceID.NotFound", strict.ec2.describe_instance_status, InstanceIds=[new])
    assert new not in _described(strict)
    assert {old, newer} <= set(_described(strict))
    by_id = [{"Name": "instance-id", "Values": [new]}]
    assert strict.ec2.describe_instances(Filters=by_id)["Reservations"] == []
    faults.clear()
    assert new in _described(strict)
    assert strict.ec2.describe_instances(Filters=by_id)["Reservations"] != []


def _described(probe: Probe) -> list[str]:
    found = probe.ec2.describe_instances()["Reservations"]
    return [one["InstanceId"] for reservation in found for one in reservation["Instances"]]


def test_a_new_instance_is_found_by_itself(strict: Probe, faults: FaultClient) -> None:
    with faults.during("instance_not_found_for", seconds=0.4):
        new = strict.run(wait=None)
        assert new not in _described(strict)
        strict.until(lambda: new in _described(strict), "described")
