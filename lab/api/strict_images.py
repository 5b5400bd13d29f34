# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images made of instances: pending until the machine has kept the tree, and gone with it."""

from __future__ import annotations

from typing import Any

from moto.ec2.models.amis import Ami, AmiBackend
from moto.ec2.models.instances import StateReason
from moto.ec2.responses.amis import AmisResponse

from lab.api.context import LabContext
from lab.api.errors import refuse, wrong_instance_state
from lab.api.lifecycle import ask_machine, spec_of
from lab.api.patching import PatchSet
from lab.api.strict_launch import ROOT_SIZE_GIB
from lab.api.strict_volumes import bookkeeping_only

PATCHES = PatchSet()

ROOT_DEVICE = "/dev/xvda"


def set_image_state(context: LabContext, image: Any, state: str, reason: str = "") -> None:
    """Show the image as ``state``; call with the lock held."""
    image.state = state
    image.state_reason = StateReason(reason, "Client.ImageCreationError") if reason else None
    context.emit("image_state_changed", image_id=image.id, state=state)


def make_bootable(image: Any) -> None:
    """What every image of the lab is: one EBS root device, x86_64, hvm."""
    image.root_device_name, image.root_device_type = ROOT_DEVICE, "ebs"
    image.virtualization_type, image.architecture, image.hypervisor = "hvm", image.architecture or "x86_64", "xen"


def _begin_create(context: LabContext, image: Any, instance: Any, reboot: bool) -> None:
    def create() -> None:
        with context.lock:
            restart = reboot and instance.lab_online and instance.state == "running"
            spec = spec_of(instance)
        error = ask_machine(context, image.id, "instance_stop", instance.id) if restart else None
        error = error or ask_machine(context, image.id, "image_create", instance.id, image.id)
        if restart:
            error = ask_machine(context, image.id, "instance_start", spec) or error
        if error:
            with context.lock:
                set_image_state(context, image, "failed", str(error))
            return
        context.workers.pause(context.delays.image_pending_seconds)
        with context.lock:
            set_image_state(context, image, "available")

    context.submit(instance.id, f"create {image.id} of {instance.id}", create)


@PATCHES.function(Ami, "__init__")
def _ami(context: LabContext, original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    with bookkeeping_only(context):
        original(self, *args, **kwargs)
    self.state_reason = None
    self.lab_tree = False


@PATCHES.getter(Ami, "block_device_mappings")
def _mappings(_context: LabContext, _original: Any, self: Any) -> list[dict[str, Any]]:
    ebs = {
        "SnapshotId": self.ebs_snapshot.id,
        "VolumeSize": ROOT_SIZE_GIB,
        "DeleteOnTermination": True,
        "VolumeType": "gp3",
        "Encrypted": False,
    }
    return [{"DeviceName": self.root_device_name, "Ebs": ebs}]


@PATCHES.function(AmiBackend, "create_image")
def _create(
    context: LabContext,
    original: Any,
    self: Any,
    instance_id: str,
    name: str,
    description: str,
    tag_specifications: list[dict[str, Any]],
) -> Any:
    with context.lock:
        instance = self.get_instance(instance_id)
        if instance.state not in ("running", "stopped"):
            raise wrong_instance_state(instance_id, instance.state, "'running' or 'stopped'")
        for image in self.amis.values():
            if image.name == name and image.owner_id == self.account_id:
                raise refuse("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {image.id}")
        own = [s for s in tag_specifications if s["ResourceType"] != "snapshot"]
        image = original(self, instance_id, name, description, own)
        make_bootable(image)
        image.lab_tree = True
        for specification in tag_specifications:
            if specification["ResourceType"] == "snapshot":
                image.ebs_snapshot.add_tags({t["Key"]: t["Value"] for t in specification["Tags"]})
        set_image_state(context, image, "pending")
        _begin_create(context, image, instance, reboot=not getattr(context.request, "no_reboot", False))
        return image


@PATCHES.function(AmisResponse, "create_image")
def _create_response(context: LabContext, original: Any, self: Any) -> Any:
    context.request.no_reboot = str(self._get_param("NoReboot", False)).lower() == "true"
    try:
        return original(self)
    finally:
        context.request.no_reboot = False


@PATCHES.function(AmiBackend, "deregister_image")
def _deregister(context: LabContext, original: Any, self: Any, ami_id: str) -> None:
    with context.lock:
        image = self.amis.get(ami_id)
        original(self, ami_id)
        context.events.record("image_deregistered", image_id=ami_id)
        if image is None or not image.lab_tree:
            return

    def delete() -> None:
        ask_machine(context, ami_id, "image_delete", ami_id)

    context.submit(ami_id, f"delete {ami_id}", delete)
