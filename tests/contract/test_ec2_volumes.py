# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes: what EC2 refuses, in which states an attachment is, and what Describe always shows."""

from __future__ import annotations

import pytest

from tests.contract.ec2_harness import Check, Probe, does_not_hold, found_by_each, one_of_fifty_wins, refused


def in_use_is_refused(p: Probe) -> None:
    """EC2 API error codes: VolumeInUse."""
    volume, holder, other = p.volume(), p.run(), p.run()
    p.attach_volume(volume, holder)
    for instance in (other, holder):
        refused("VolumeInUse", p.ec2.attach_volume, VolumeId=volume, InstanceId=instance, Device="/dev/sdg")
    assert p.show_volume(volume)["Attachments"][0]["InstanceId"] == holder


def other_zone_is_refused(p: Probe) -> None:
    """EC2 API error codes: InvalidVolume.ZoneMismatch."""
    volume, instance = p.volume("b"), p.run("a")
    refused("InvalidVolume.ZoneMismatch", p.ec2.attach_volume, VolumeId=volume, InstanceId=instance, Device="/dev/sdf")


def occupied_device_is_refused(p: Probe) -> None:
    """'Attachment point /dev/sdf is already in use', the case ec2_vol silently takes for its own volume."""
    instance = p.run()
    p.attach_volume(p.volume(), instance, "/dev/sdf")
    attach = p.ec2.attach_volume
    refused("InvalidParameterValue", attach, VolumeId=p.volume(), InstanceId=instance, Device="/dev/sdf")


def bad_device_name_is_refused(p: Probe) -> None:
    """EC2 user guide, device names for volumes."""
    refused(
        "InvalidParameterValue", p.ec2.attach_volume, VolumeId=p.volume(), InstanceId=p.run(), Device="/dev/nvme1n1"
    )


def dying_or_dead_target_is_refused(p: Probe) -> None:
    """EC2 API error codes: IncorrectState."""
    volume, instance = p.volume(), p.run()
    with p.held("instance_terminate"):
        p.ec2.terminate_instances(InstanceIds=[instance])
        refused("IncorrectState", p.ec2.attach_volume, VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
    p.until_state(instance, "terminated")
    refused("IncorrectState", p.ec2.attach_volume, VolumeId=volume, InstanceId=instance, Device="/dev/sdf")


def pending_target_is_refused(p: Probe) -> None:
    """'Instance is not running': the state has to be waited for."""
    volume = p.volume()
    with p.held("instance_start"):
        instance = p.run(wait="pending")
        refused("IncorrectState", p.ec2.attach_volume, VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
    p.until_state(instance, "running")
    p.attach_volume(volume, instance)


def creating_comes_before_available(p: Probe) -> None:
    """API reference, Volume: creating, available, in-use, deleting, error."""
    instance = p.run()
    with p.held("volume_create"):
        made = p.ec2.create_volume(AvailabilityZone="eu-central-1a", Size=5, VolumeType="gp3")["VolumeId"]
        assert p.show_volume(made)["State"] == "creating"
        refused("IncorrectState", p.ec2.attach_volume, VolumeId=made, InstanceId=instance, Device="/dev/sdf")
    p.until(lambda: p.show_volume(made)["State"] == "available", "available")


def attaching_comes_before_attached(p: Probe) -> None:
    """API reference, VolumeAttachment: attaching, attached, detaching, detached, busy."""
    volume, instance = p.volume(), p.run()
    with p.held("volume_attach"):
        p.ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
        shown = p.show_volume(volume)
        assert (shown["State"], shown["Attachments"][0]["State"]) == ("in-use", "attaching")
        mapped = {m["DeviceName"]: m["Ebs"]["Status"] for m in p.show(instance)["BlockDeviceMappings"]}
        assert mapped["/dev/sdf"] == "attaching"
    p.until(lambda: p.show_volume(volume)["Attachments"][0]["State"] == "attached", "attached")


def detaching_comes_before_available(p: Probe) -> None:
    """As above."""
    volume, instance, other = p.volume(), p.run(), p.run()
    p.attach_volume(volume, instance)
    with p.held("volume_detach"):
        assert p.ec2.detach_volume(VolumeId=volume)["State"] == "detaching"
        assert p.show_volume(volume)["Attachments"][0]["State"] == "detaching"
        refused("VolumeInUse", p.ec2.attach_volume, VolumeId=volume, InstanceId=other, Device="/dev/sdf")
    p.until(lambda: p.show_volume(volume)["State"] == "available", "available")
    p.attach_volume(volume, other)


def freed_only_after_the_holder_is_terminated(p: Probe) -> None:
    """EC2 user guide, instance lifecycle: volumes are detached at termination, not before."""
    volume, holder, heir = p.volume(), p.run(), p.run()
    p.attach_volume(volume, holder)
    with p.held("instance_terminate"):
        p.ec2.terminate_instances(InstanceIds=[holder])
        assert p.show_volume(volume)["State"] == "in-use"
        refused("VolumeInUse", p.ec2.attach_volume, VolumeId=volume, InstanceId=heir, Device="/dev/sdf")
    p.until_state(holder, "terminated")
    assert p.show_volume(volume)["State"] == "available"
    p.attach_volume(volume, heir)


def delete_on_termination_shows_in_both_describes(p: Probe) -> None:
    """API reference, VolumeAttachment.deleteOnTermination; set by ModifyInstanceAttribute."""
    volume, instance = p.volume(), p.run()
    p.attach_volume(volume, instance)
    assert p.show_volume(volume)["Attachments"][0]["DeleteOnTermination"] is False
    wish = [{"DeviceName": "/dev/sdf", "Ebs": {"DeleteOnTermination": True}}]
    p.ec2.modify_instance_attribute(InstanceId=instance, BlockDeviceMappings=wish)
    assert p.show_volume(volume)["Attachments"][0]["DeleteOnTermination"] is True
    p.terminate(instance)
    refused("InvalidVolume.NotFound", p.show_volume, volume_id=volume)


def modify_of_an_empty_device_is_refused(p: Probe) -> None:
    """EC2 API error codes: InvalidInstanceAttributeValue, 'No device is currently mapped'."""
    wish = [{"DeviceName": "/dev/sdz", "Ebs": {"DeleteOnTermination": True}}]
    modify = p.ec2.modify_instance_attribute
    refused("InvalidInstanceAttributeValue", modify, InstanceId=p.run(), BlockDeviceMappings=wish)


def wrong_instance_cannot_detach(p: Probe) -> None:
    """EC2 API error codes: InvalidAttachment.NotFound, 'an instance to which it is not attached'."""
    volume, holder, other = p.volume(), p.run(), p.run()
    p.attach_volume(volume, holder)
    p.attach_volume(p.volume(), other)
    refused("InvalidAttachment.NotFound", p.ec2.detach_volume, VolumeId=volume, InstanceId=other)
    assert p.show_volume(volume)["Attachments"][0]["State"] == "attached"
    assert len(p.show(other)["BlockDeviceMappings"]) == 2


def detach_needs_no_instance(p: Probe) -> None:
    """API reference, DetachVolume: InstanceId is required only for a volume with several attachments."""
    volume, instance = p.volume(), p.run()
    p.attach_volume(volume, instance)
    p.ec2.detach_volume(VolumeId=volume)
    p.until(lambda: p.show_volume(volume)["State"] == "available", "available")


def detach_of_an_available_volume_is_refused(p: Probe) -> None:
    """EC2 API error codes: IncorrectState, 'Volume ... is in the available state'."""
    refused("IncorrectState", p.ec2.detach_volume, VolumeId=p.volume())


def root_volume_cannot_be_detached(p: Probe) -> None:
    """EC2 user guide: stop the instance before its root volume is detached."""
    instance = p.run()
    root = p.show(instance)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    refused("OperationNotPermitted", p.ec2.detach_volume, VolumeId=root)


def one_of_fifty_attaches_wins(p: Probe) -> None:
    """A volume has one holder among any number of calls."""
    volume = p.volume()
    attach = p.ec2.attach_volume
    one_of_fifty_wins(p, "VolumeInUse", lambda node: attach(VolumeId=volume, InstanceId=node, Device="/dev/sdf"))


def gp3_has_its_throughput(p: Probe) -> None:
    """EBS user guide: gp3 has 3000 IOPS and 125 MiB/s."""
    shown = p.show_volume(p.volume())
    assert (shown["Iops"], shown["Throughput"]) == (3000, 125)


def fields_are_always_there(p: Probe) -> None:
    """ec2_vol and ec2_vol_info index these keys."""
    shown = p.show_volume(p.volume())
    assert shown["MultiAttachEnabled"] is False
    assert shown["SnapshotId"] == ""


def attachment_filters_work(p: Probe) -> None:
    """API reference, DescribeVolumes, filters."""
    volume, instance = p.volume(), p.run()
    p.attach_volume(volume, instance)
    values = {"attachment.delete-on-termination": "false", "multi-attach-enabled": "false"}
    found_by_each(p.ec2.describe_volumes, ("VolumeId", volume), instance, values)


def unknown_filter_is_refused(p: Probe) -> None:
    """EC2 API: InvalidParameterValue, 'The filter ... is invalid'."""
    refused("InvalidParameterValue", p.ec2.describe_volumes, Filters=[{"Name": "no-such-filter", "Values": ["x"]}])


def volume_status_can_be_described(p: Probe) -> None:
    """API reference, DescribeVolumeStatus."""
    volume = p.volume()
    statuses = p.ec2.describe_volume_status(VolumeIds=[volume])["VolumeStatuses"]
    assert [(s["VolumeId"], s["VolumeStatus"]["Status"]) for s in statuses] == [(volume, "ok")]


def volumes_do_not_shrink(p: Probe) -> None:
    """EBS user guide, modify a volume: the size can only grow."""
    refused("InvalidParameterValue", p.ec2.modify_volume, VolumeId=p.volume(Size=20), Size=5)


def unknown_type_is_refused(p: Probe) -> None:
    """EC2 API error codes: UnknownVolumeType."""
    arguments = {"AvailabilityZone": "eu-central-1a", "Size": 5, "VolumeType": "zz9"}
    refused("UnknownVolumeType", p.ec2.create_volume, **arguments)


PATCHED: list[Check] = [
    in_use_is_refused,
    other_zone_is_refused,
    occupied_device_is_refused,
    bad_device_name_is_refused,
    dying_or_dead_target_is_refused,
    pending_target_is_refused,
    creating_comes_before_available,
    attaching_comes_before_attached,
    detaching_comes_before_available,
    freed_only_after_the_holder_is_terminated,
    delete_on_termination_shows_in_both_describes,
    modify_of_an_empty_device_is_refused,
    wrong_instance_cannot_detach,
    detach_needs_no_instance,
    detach_of_an_available_volume_is_refused,
    root_volume_cannot_be_detached,
    one_of_fifty_attaches_wins,
    gp3_has_its_throughput,
    fields_are_always_there,
    attachment_filters_work,
    unknown_filter_is_refused,
    volume_status_can_be_described,
    volumes_do_not_shrink,
    unknown_type_is_refused,
]


@pytest.mark.parametrize("check", PATCHED)
def test_strict_ec2_holds(check: Check, strict: Probe) -> None:
    check(strict)


@pytest.mark.parametrize("check", PATCHED)
def test_stock_moto_does_not(check: Check, stock: Probe) -> None:
    does_not_hold(check, stock)


def test_busy_volume_is_detached_once_it_is_free(strict: Probe) -> None:
    """A mounted volume shows as busy and is let go when the instance has unmounted it."""
    assert strict.machine is not None
    volume, instance = strict.volume(), strict.run()
    strict.attach_volume(volume, instance)
    with strict.machine.failing("volume_detach", OSError("target is busy")):
        strict.ec2.detach_volume(VolumeId=volume)
        strict.until(lambda: strict.show_volume(volume)["Attachments"][0]["State"] == "busy", "busy")
    strict.until(lambda: strict.show_volume(volume)["State"] == "available", "available")


def test_machine_makes_and_forgets_the_volume(strict: Probe) -> None:
    assert strict.machine is not None
    volume = strict.volume(Size=7)
    made = [c.arguments for c in strict.machine.fake.calls if c.verb == "volume_create" and c.arguments[0] == volume]
    assert made == [(volume, 7 * 1024**3, None)]
    strict.ec2.delete_volume(VolumeId=volume)
    refused("InvalidVolume.NotFound", strict.show_volume, volume_id=volume)
    strict.until(lambda: "volume_delete" in strict.machine.fake.verbs(volume), "forgotten")  # type: ignore[union-attr]  # strict has a machine


def test_volume_that_the_machine_cannot_make_is_in_error(strict: Probe) -> None:
    assert strict.machine is not None
    with strict.machine.failing("volume_create", OSError("disk full")):
        volume = strict.ec2.create_volume(AvailabilityZone="eu-central-1a", Size=5)["VolumeId"]
        strict.until(lambda: strict.show_volume(volume)["State"] == "error", "error")


def test_stopped_instance_keeps_its_volumes(strict: Probe) -> None:
    assert strict.machine is not None
    volume, instance = strict.volume(), strict.run()
    strict.attach_volume(volume, instance, "/dev/sdh")
    strict.ec2.stop_instances(InstanceIds=[instance])
    strict.until_state(instance, "stopped")
    assert strict.show_volume(volume)["Attachments"][0]["InstanceId"] == instance
    strict.ec2.start_instances(InstanceIds=[instance])
    strict.until_state(instance, "running")
    spec = [c.arguments[1] for c in strict.machine.fake.calls if c.verb == "instance_start"][-1]
    assert [(v.volume_id, v.device) for v in spec.volumes] == [(volume, "/dev/sdh")]


def test_data_volume_of_a_launch_is_made_before_the_boot(strict: Probe) -> None:
    assert strict.machine is not None
    mappings = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 3, "DeleteOnTermination": True}}]
    instance = strict.run(BlockDeviceMappings=mappings)
    shown = {m["DeviceName"]: m["Ebs"]["VolumeId"] for m in strict.show(instance)["BlockDeviceMappings"]}
    assert sorted(shown) == ["/dev/sdf", "/dev/xvda"]
    data, root = shown["/dev/sdf"], shown["/dev/xvda"]
    assert strict.machine.fake.verbs(data) == ["volume_create"]
    assert strict.machine.fake.verbs(root) == []
    strict.terminate(instance)
    refused("InvalidVolume.NotFound", strict.show_volume, volume_id=data)
