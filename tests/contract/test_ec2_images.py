# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images made of instances."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.contract.ec2_harness import Check, Probe, does_not_hold, refused


def name() -> str:
    """A name that no other check used."""
    return f"image-{uuid.uuid4().hex[:8]}"


def show(p: Probe, image_id: str) -> dict[str, Any]:
    """Describe an image."""
    return dict(p.ec2.describe_images(ImageIds=[image_id])["Images"][0])


def image(p: Probe, **more: Any) -> str:
    """Make an image of a new instance, wait until it is available."""
    made: str = p.ec2.create_image(InstanceId=p.run(), Name=name(), **more)["ImageId"]
    p.until(lambda: show(p, made)["State"] == "available", "available")
    return made


def pending_comes_before_available(p: Probe) -> None:
    """API reference, Image.state; a launch from a pending image is refused."""
    instance = p.run()
    with p.held("image_create"):
        made = p.ec2.create_image(InstanceId=instance, Name=name())["ImageId"]
        assert show(p, made)["State"] == "pending"
        refused("InvalidAMIID.Unavailable", p.run, ImageId=made)
    p.until(lambda: show(p, made)["State"] == "available", "available")
    p.run(ImageId=made)


def name_is_given_once(p: Probe) -> None:
    """EC2 API error codes: InvalidAMIName.Duplicate."""
    instance, wanted = p.run(), name()
    p.ec2.create_image(InstanceId=instance, Name=wanted)
    refused("InvalidAMIName.Duplicate", p.ec2.create_image, InstanceId=instance, Name=wanted)


def snapshot_tags_are_taken(p: Probe) -> None:
    """API reference, CreateImage: TagSpecifications for image and snapshot."""
    tags = [{"Key": "holdfast:image", "Value": "node"}]
    specifications = [{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")]
    made = show(p, image(p, TagSpecifications=specifications))
    assert made["Tags"] == tags
    snapshot = made["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    assert p.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]["Tags"] == tags


def root_device_is_an_ebs_volume(p: Probe) -> None:
    """API reference, Image: rootDeviceType ebs, and the root volume goes with the instance."""
    made = show(p, image(p))
    assert (made["RootDeviceName"], made["RootDeviceType"]) == ("/dev/xvda", "ebs")
    assert made["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"] is True


def gone_instances_cannot_become_images(p: Probe) -> None:
    """EC2 API error codes: IncorrectState."""
    instance = p.run()
    p.terminate(instance)
    refused("IncorrectState", p.ec2.create_image, InstanceId=instance, Name=name())


def unknown_filter_is_refused(p: Probe) -> None:
    """EC2 API: InvalidParameterValue."""
    refused("InvalidParameterValue", p.ec2.describe_images, Filters=[{"Name": "no-such-filter", "Values": ["x"]}])


PATCHED: list[Check] = [
    pending_comes_before_available,
    name_is_given_once,
    snapshot_tags_are_taken,
    root_device_is_an_ebs_volume,
    gone_instances_cannot_become_images,
    unknown_filter_is_refused,
]


@pytest.mark.parametrize("check", PATCHED)
def test_strict_ec2_holds(check: Check, strict: Probe) -> None:
    check(strict)


@pytest.mark.parametrize("check", PATCHED)
def test_stock_moto_does_not(check: Check, stock: Probe) -> None:
    does_not_hold(check, stock)


@pytest.mark.parametrize(
    ("no_reboot", "verbs"),
    [
        (False, ["instance_start", "instance_stop", "image_create", "instance_start"]),
        (True, ["instance_start", "image_create"]),
    ],
)
def test_running_instance_is_restarted_unless_told_not_to(strict: Probe, no_reboot: bool, verbs: list[str]) -> None:
    """API reference, CreateImage.NoReboot."""
    assert strict.machine is not None
    instance = strict.run()
    made = strict.ec2.create_image(InstanceId=instance, Name=name(), NoReboot=no_reboot)["ImageId"]
    strict.until(lambda: show(strict, made)["State"] == "available", "available")
    assert strict.machine.fake.verbs(instance) == verbs
    assert strict.show(instance)["State"]["Name"] == "running"


def test_image_that_the_machine_cannot_keep_has_failed(strict: Probe) -> None:
    assert strict.machine is not None
    instance = strict.run()
    with strict.machine.failing("image_create", OSError("disk full")):
        made = strict.ec2.create_image(InstanceId=instance, Name=name())["ImageId"]
        strict.until(lambda: show(strict, made)["State"] == "failed", "failed")
    assert "disk full" in show(strict, made)["StateReason"]["Message"]


def test_deregistered_image_is_forgotten_by_the_machine(strict: Probe) -> None:
    assert strict.machine is not None
    machine = strict.machine
    made = image(strict)
    strict.ec2.deregister_image(ImageId=made)
    strict.until(lambda: "image_delete" in machine.fake.verbs(made), "image_delete")
    refused("InvalidAMIID.NotFound", strict.run, ImageId=made)


def test_base_image_is_found_by_owner_name_and_tag(strict: Probe) -> None:
    for filters in (
        [{"Name": "name", "Values": ["debian-12-*"]}],
        [{"Name": "tag:holdfast:image", "Values": ["base"]}, {"Name": "state", "Values": ["available"]}],
    ):
        found = strict.ec2.describe_images(Owners=["self"], Filters=filters)["Images"]
        assert [i["ImageId"] for i in found] == [strict.image_id]
