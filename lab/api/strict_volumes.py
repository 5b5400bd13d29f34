# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes as strict as EC2's: one holder, one zone, one device name, attachments that take time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models.elastic_block_store import EBSBackend, Volume, VolumeAttachment
from moto.ec2.responses.elastic_block_store import ElasticBlockStore

from lab.api.context import LabContext
from lab.api.errors import invalid_value, refuse, wrong_instance_state
from lab.api.faults_delay import held_up
from lab.api.lifecycle import GIB, ask_machine, forget_volume
from lab.api.patching import PatchSet
from lab.machine.protocol import VolumeAttachment as HostVolume

PATCHES = PatchSet()

VOLUME_TYPES = ("standard", "gp2", "gp3", "io1", "io2", "st1", "sc1")
GP3_DEFAULT_THROUGHPUT = 125
MAX_SIZE_GIB = 65536
DEVICE_NAME = re.compile(r"^(/dev/)?(sd[a-z][1-9]?[0-9]?|xvd[a-z]{1,2}[1-9]?)$")


@contextmanager
def bookkeeping_only(context: LabContext) -> Iterator[None]:
    """Within, moto's own volume code runs unchanged: no checks, no delays, no machine (images and launches use it)."""
    before = getattr(context.request, "bookkeeping_only", False)
    context.request.bookkeeping_only = True
    try:
        yield
    finally:
        context.request.bookkeeping_only = before


def _is_bookkeeping(context: LabContext) -> bool:
    return bool(getattr(context.request, "bookkeeping_only", False))


def set_attachment_status(volume: Any, status: str) -> None:
    """Show the attachment's state in DescribeVolumes and in DescribeInstances alike."""
    attachment = volume.attachment
    attachment.status = status
    block = attachment.instance.block_device_mapping.get(attachment.device)
    if block is not None:
        block.status = status


def mark_volume_attached(context: LabContext, volume: Any) -> None:
    """The device is in the instance now; call with the lock held."""
    news = volume.attachment.status != "attached"
    set_attachment_status(volume, "attached")
    if news:
        attachment = volume.attachment
        context.emit(
            "volume_attached", volume_id=volume.id, instance_id=attachment.instance.id, device=attachment.device
        )


def check_attachable(volume: Any, instance: Any, device: str) -> None:
    """Raise what EC2 refuses for an attach."""
    if volume.attachment:
        raise refuse("VolumeInUse", f"{volume.id} is already attached to an instance")
    if volume.status != "available":
        raise refuse("IncorrectState", f"{volume.id} is not 'available'.")
    if instance.state not in ("running", "stopped"):
        raise wrong_instance_state(instance.id, instance.state, "'running'")
    if volume.availability_zone != instance.placement.zone:
        raise refuse(
            "InvalidVolume.ZoneMismatch",
            f"The volume '{volume.id}' is not in the same availability zone as instance '{instance.id}'",
        )
    if not device or not DEVICE_NAME.match(device):
        raise invalid_value(
            f"Value ({device}) for parameter device is invalid. {device} is not a valid EBS device name."
        )
    if device in instance.block_device_mapping:
        raise invalid_value(f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use")


def _begin_create(context: LabContext, volume: Any) -> None:
    def create() -> None:
        context.workers.pause(context.delays.volume_creating_seconds)
        arguments = (volume.id, int(volume.size) * GIB, volume.snapshot_id or None)
        error = ask_machine(context, volume.id, "volume_create", *arguments)
        with context.lock:
            volume.lab_made = error is None
            volume.lab_state = "error" if error else None

    context.submit(volume.id, f"create {volume.id}", create)


def _begin_attach(context: LabContext, volume: Any) -> None:
    attachment = volume.attachment
    instance = attachment.instance

    def current() -> bool:
        return volume.attachment is attachment and attachment.status == "attaching"

    what = f"attach {volume.id} to {instance.id}"

    def attach() -> None:
        context.workers.pause(context.delays.volume_attaching_seconds)
        if not held_up(context, "attaching_stuck", instance, (volume.id,), what, plug):
            plug()

    def plug() -> None:
        with context.lock:
            if not current() or instance.state not in ("running", "stopping", "stopped"):
                return
            online = instance.lab_online
        host_volume = HostVolume(volume.id, attachment.device)
        if online and held_up(context, "volume_late", instance, (volume.id,), what, appear):
            with context.lock:
                if current():
                    mark_volume_attached(context, volume)
            return
        if online and ask_machine(context, volume.id, "volume_attach", instance.id, host_volume):
            return  # EC2 shows what cannot be plugged in as attaching
        with context.lock:
            attachment.lab_plugged = online
            if current():
                mark_volume_attached(context, volume)

    def appear() -> None:
        """EC2 has called it attached for a while; now it comes into the instance, if it still is."""
        with context.lock:
            attached = volume.attachment is attachment and attachment.status == "attached"
            if not attached or getattr(attachment, "lab_plugged", False) or not instance.lab_online:
                return
        host_volume = HostVolume(volume.id, attachment.device)
        if not ask_machine(context, volume.id, "volume_attach", instance.id, host_volume):
            attachment.lab_plugged = True

    context.submit(instance.id, what, attach)


def _begin_detach(context: LabContext, volume: Any, wait_seconds: float) -> None:
    attachment = volume.attachment
    instance = attachment.instance

    what = f"detach {volume.id} from {instance.id}"

    def detach() -> None:
        context.workers.pause(wait_seconds)
        if not held_up(context, "detach_long", instance, (volume.id,), what, unplug):
            unplug()

    def unplug() -> None:
        with context.lock:
            if volume.attachment is not attachment:
                return
            plugged = instance.lab_online
        host_volume = HostVolume(volume.id, attachment.device)
        if plugged and ask_machine(context, volume.id, "volume_detach", instance.id, host_volume):
            # still mounted: EC2 says busy, and goes on by itself once it is not
            with context.lock:
                if volume.attachment is attachment:
                    set_attachment_status(volume, "busy")
                    pause = context.delays.busy_retry_seconds
                    context.schedule(pause, lambda: _retry_detach(context, volume, attachment))
            return
        with context.lock:
            if volume.attachment is attachment:
                instance.block_device_mapping.pop(attachment.device, None)
                attachment.status = "detached"
                volume.attachment = None
                context.emit("volume_detached", volume_id=volume.id, instance_id=instance.id)

    context.submit(instance.id, what, detach)


def _retry_detach(context: LabContext, volume: Any, attachment: Any) -> None:
    with context.lock:
        if volume.attachment is attachment and attachment.status == "busy":
            _begin_detach(context, volume, 0)


@PATCHES.function(Volume, "__init__")
def _volume(_context: LabContext, original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    original(self, *args, **kwargs)
    self.snapshot_id = self.snapshot_id or ""
    self.multi_attach_enabled = bool(self.multi_attach_enabled)
    if self.volume_type == "gp3" and not self.throughput:
        self.throughput = GP3_DEFAULT_THROUGHPUT
    self.lab_state, self.lab_made, self.lab_root = None, False, False


@PATCHES.getter(Volume, "status")
def _volume_status(_context: LabContext, original: Any, self: Any) -> str:
    return getattr(self, "lab_state", None) or str(original(self))


@PATCHES.added_getter(VolumeAttachment, "delete_on_termination")
def _delete_on_termination(self: Any) -> bool:
    block = self.instance.block_device_mapping.get(self.device)
    return bool(block.delete_on_termination) if block else False


@PATCHES.function(EBSBackend, "create_volume")
def _create(context: LabContext, original: Any, self: Any, size: Any, zone_name: str, *args: Any, **kwargs: Any) -> Any:
    if _is_bookkeeping(context):
        return original(self, size, zone_name, *args, **kwargs)
    with context.lock:
        volume_type = kwargs.get("volume_type") or "gp2"
        if volume_type not in VOLUME_TYPES:
            raise refuse("UnknownVolumeType", f"Unsupported volume type '{volume_type}' for volume creation.")
        if self.get_zone_by_name(zone_name) is None:
            raise refuse("InvalidZone.NotFound", f"The zone '{zone_name}' does not exist.")
        if size is not None and not 1 <= int(size) <= MAX_SIZE_GIB:
            raise invalid_value(f"Volume of {size}GiB is outside the limits of 1 to {MAX_SIZE_GIB}GiB.")
        volume = original(self, int(size) if size is not None else None, zone_name, *args, **kwargs)
        volume.lab_state = "creating"
        context.events.record("volume_created", volume_id=volume.id, size_gib=volume.size, availability_zone=zone_name)
        _begin_create(context, volume)
        return volume


@PATCHES.function(EBSBackend, "delete_volume")
def _delete(context: LabContext, original: Any, self: Any, volume_id: str) -> Any:
    if _is_bookkeeping(context):
        return original(self, volume_id)
    with context.lock:
        volume = self.get_volume(volume_id)
        if volume.attachment:
            holder = volume.attachment.instance.id
            raise refuse("VolumeInUse", f"Volume {volume_id} is currently attached to {holder}")
        forget_volume(context, volume)
        return volume


@PATCHES.function(EBSBackend, "attach_volume")
def _attach(
    context: LabContext,
    original: Any,
    self: Any,
    volume_id: str,
    instance_id: str,
    device_path: str,
    delete_on_termination: bool = False,
) -> Any:
    if _is_bookkeeping(context):
        return original(self, volume_id, instance_id, device_path, delete_on_termination)
    with context.lock:
        volume, instance = self.get_volume(volume_id), self.get_instance(instance_id)
        check_attachable(volume, instance, device_path)
        original(self, volume_id, instance_id, device_path, delete_on_termination)
        set_attachment_status(volume, "attaching")
        _begin_attach(context, volume)
        return volume.attachment


@PATCHES.function(EBSBackend, "detach_volume")
def _detach(
    context: LabContext, original: Any, self: Any, volume_id: str, instance_id: str | None, device_path: str | None
) -> Any:
    if _is_bookkeeping(context):
        return original(self, volume_id, instance_id, device_path)
    with context.lock:
        volume = self.get_volume(volume_id)
        attachment = volume.attachment
        if attachment is None:
            raise refuse("IncorrectState", f"Volume '{volume_id}' is in the 'available' state.")
        instance = attachment.instance
        if (instance_id and instance.id != instance_id) or (device_path and device_path != attachment.device):
            place = instance_id or device_path
            raise refuse("InvalidAttachment.NotFound", f"The volume '{volume_id}' is not attached to '{place}'.")
        if attachment.device == instance.root_device_name and instance.state != "stopped":
            raise refuse(
                "OperationNotPermitted", f"Unable to detach root volume '{volume_id}' from instance '{instance.id}'"
            )
        if attachment.status in ("attaching", "attached"):
            set_attachment_status(volume, "detaching")
            _begin_detach(context, volume, context.delays.volume_detaching_seconds)
        return attachment


@PATCHES.function(EBSBackend, "modify_volume")
def _modify(_context: LabContext, original: Any, self: Any, volume_id: str, target_size: Any = None, *args: Any) -> Any:
    volume = self.get_volume(volume_id)
    if target_size and int(target_size) < int(volume.size):
        raise invalid_value("New size cannot be smaller than existing size")
    return original(self, volume_id, target_size, *args)


@PATCHES.function(ElasticBlockStore, "describe_volume_status")
def _describe_status(_context: LabContext, _original: Any, self: Any) -> ActionResult:
    wanted = self._get_param("VolumeIds", [])
    volumes = [self.ec2_backend.get_volume(v) for v in wanted] or list(self.ec2_backend.volumes.values())
    statuses = [
        {
            "VolumeId": volume.id,
            "AvailabilityZone": volume.availability_zone,
            "VolumeStatus": {"Status": "ok", "Details": [{"Name": "io-enabled", "Status": "passed"}]},
            "Actions": [],
            "Events": [],
        }
        for volume in volumes
    ]
    return ActionResult({"VolumeStatuses": statuses})
