# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work behind an instance's states: calls the machine in order, outside the lock, and moves the states on.

``begin_*`` are called with the lock held, after the state of the request's answer was set; what they submit runs on
the instance's own queue.
"""

from __future__ import annotations

import time
from typing import Any

from moto.ec2.models.instances import StateReason

from lab.api.context import LabContext
from lab.api.faults_delay import held_up
from lab.machine.protocol import InstanceSpec, Nic, VolumeAttachment

STATE_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
GONE = ("shutting-down", "terminated")
GIB = 1024**3
USER_SHUTDOWN = ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")
INSTANCE_SHUTDOWN = (
    "Client.InstanceInitiatedShutdown",
    "Client.InstanceInitiatedShutdown: Instance initiated shutdown",
)
INTERNAL_ERROR = "Server.InternalError"


def set_state(context: LabContext, instance: Any, state: str, reason: tuple[str, str] | None = None) -> None:
    """Move the instance to ``state`` and tell the listeners; ``reason`` is (code, message), kept while it is None."""
    previous = instance._state.name
    instance._state.name, instance._state.code = state, STATE_CODES[state]
    if reason is not None:
        instance.state_reason = StateReason(reason[1], reason[0])
        instance._reason = reason[1]
    fields = {"reason": reason[1]} if reason and reason[1] else {}
    context.emit("instance_state_changed", instance_id=instance.id, state=state, previous=previous, **fields)


def ask_machine(context: LabContext, resource_id: str, verb: str, *arguments: Any) -> Exception | None:
    """Let the machine do ``verb``; return what it raised (kept in the journal), None when the consequence is there."""
    try:
        getattr(context.machine, verb)(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever a machine raises means the same: it did not happen
        text = f"{type(error).__name__}: {error}"
        context.events.record("machine_error", verb=verb, resource_id=resource_id, error=text)
        return error
    return None


def nic_of(eni: Any) -> Nic:
    """The interface as the machine must make it."""
    network = eni.subnet.cidr
    return Nic(
        eni_id=eni.id,
        mac=eni.mac_address,
        private_ip=eni.private_ip_address,
        prefix_length=network.prefixlen,
        gateway=str(network.network_address + 1),
        subnet_id=eni.subnet.id,
        device_index=int(eni.device_index),
    )


def spec_of(instance: Any) -> InstanceSpec:
    """What the machine must boot: interfaces by index, data volumes by device (the root device is the machine's)."""
    volumes = []
    for device, block in sorted(instance.block_device_mapping.items()):
        volume = instance.ec2_backend.volumes[block.volume_id]
        if not getattr(volume, "lab_root", False) and volume.attachment.status in ("attaching", "attached"):
            volumes.append(VolumeAttachment(block.volume_id, device))
    nics = tuple(
        nic_of(eni)
        for _, eni in sorted(instance.nics.items())
        if getattr(eni, "attachment_status", "attached") in ("attaching", "attached")
    )
    return InstanceSpec(
        instance_id=instance.id,
        image_id=instance.image_id,
        instance_type=instance.instance_type,
        availability_zone=instance.placement.zone,
        nics=nics,
        volumes=tuple(volumes),
    )


def begin_boot(context: LabContext, instance: Any, first: bool) -> None:
    """From ``pending`` to ``running``; a first boot that fails ends in ``terminated``, a later one in ``stopped``."""

    def boot() -> None:
        context.workers.pause(context.delays.pending_seconds)
        with context.lock:
            if instance.state != "pending":
                return
            new_volumes = [v for v in _data_volumes(instance) if not v.lab_made]
        for volume in new_volumes:
            arguments = (volume.id, int(volume.size) * GIB, volume.snapshot_id or None)
            if error := ask_machine(context, volume.id, "volume_create", *arguments):
                _boot_failed(context, instance, first, error)
                return
            volume.lab_made = True
        with context.lock:
            spec = spec_of(instance)
            instance.lab_booted_at = time.monotonic()
        if error := ask_machine(context, instance.id, "instance_start", spec):
            _boot_failed(context, instance, first, error)
            return
        with context.lock:
            instance.lab_online = True
            _settle_attachments(context, instance)
            if instance.state == "pending":
                set_state(context, instance, "running")

    context.submit(instance.id, f"boot {instance.id}", boot)


def begin_stop(context: LabContext, instance: Any) -> None:
    """From ``stopping`` to ``stopped``; a machine that cannot stop it leaves it ``stopping``."""

    def stop() -> None:
        with context.lock:
            if instance.state != "stopping":
                return
            online = instance.lab_online
        if online and ask_machine(context, instance.id, "instance_stop", instance.id):
            return  # EC2 shows an instance that does not stop as stopping
        context.workers.pause(context.delays.stopping_seconds)
        with context.lock:
            instance.lab_online = False
            if instance.state == "stopping":
                set_state(context, instance, "stopped")

    context.submit(instance.id, f"stop {instance.id}", stop)


def begin_reboot(context: LabContext, instance: Any) -> None:
    """Restart the operating system; the state stays ``running``."""

    def reboot() -> None:
        with context.lock:
            if instance.state != "running":
                return
            instance.lab_booted_at = time.monotonic()
        ask_machine(context, instance.id, "instance_reboot", instance.id)

    context.submit(instance.id, f"reboot {instance.id}", reboot)


def begin_terminate(context: LabContext, instance: Any) -> None:
    """From ``shutting-down`` to ``terminated``: interfaces and volumes come free at the end, not before."""

    def die() -> None:
        for attempt in (1, 2, 3):
            if not ask_machine(context, instance.id, "instance_terminate", instance.id):
                break
            if attempt == 3:
                return  # EC2 shows an instance that cannot die as shutting-down
            context.workers.pause(0.2 * attempt)
        with context.lock:
            finish_terminate(context, instance)

    what = f"terminate {instance.id}"

    def terminate() -> None:
        context.workers.pause(context.delays.shutting_down_seconds)
        if not held_up(context, "shutting_down_long", instance, (), what, die):
            die()

    context.submit(instance.id, what, terminate)


def finish_terminate(context: LabContext, instance: Any, reason: tuple[str, str] | None = None) -> None:
    """Free everything the instance held and show it as ``terminated``; call with the lock held."""
    backend = instance.ec2_backend
    instance.lab_online = False
    for eni in list(instance.nics.values()):
        instance.detach_eni(eni)
        eni.attachment_status = None
        if eni.delete_on_termination:
            backend.enis.pop(eni.id, None)
            backend.tags.pop(eni.id, None)
        context.emit("eni_detached", eni_id=eni.id, instance_id=instance.id)
    for block in list(instance.block_device_mapping.values()):
        volume = backend.volumes[block.volume_id]
        volume.attachment = None
        context.emit("volume_detached", volume_id=volume.id, instance_id=instance.id)
        if block.delete_on_termination:
            forget_volume(context, volume)
    instance.block_device_mapping.clear()
    association = backend.iam_instance_profile_associations.get(instance.id)
    if association:
        backend.disassociate_iam_instance_profile(association_id=association.association_id)
    set_state(context, instance, "terminated", reason)
    instance.lab_terminated_at = time.monotonic()


def forget_volume(context: LabContext, volume: Any) -> None:
    """Remove the volume from the API and its content from the machine; call with the lock held."""
    volume.ec2_backend.volumes.pop(volume.id, None)
    volume.ec2_backend.tags.pop(volume.id, None)
    context.events.record("volume_deleted", volume_id=volume.id)
    if getattr(volume, "lab_root", False) or not getattr(volume, "lab_made", True):
        return

    def delete() -> None:
        ask_machine(context, volume.id, "volume_delete", volume.id)

    context.submit(volume.id, f"delete {volume.id}", delete)


def instance_exited(context: LabContext, instance_id: str) -> None:
    """The operating system shut itself down: act by the instance's shutdown behaviour, as EC2 does."""
    with context.lock:
        instance = context.ec2.get_instance(instance_id)
        if instance.state != "running":
            return
        instance.lab_online = False
        if instance.instance_initiated_shutdown_behavior == "terminate":
            set_state(context, instance, "shutting-down", INSTANCE_SHUTDOWN)
            begin_terminate(context, instance)
        else:
            set_state(context, instance, "stopping", INSTANCE_SHUTDOWN)
            begin_stop(context, instance)


def _data_volumes(instance: Any) -> list[Any]:
    volumes = [instance.ec2_backend.volumes[block.volume_id] for block in instance.block_device_mapping.values()]
    return [volume for volume in volumes if not getattr(volume, "lab_root", False)]


def _settle_attachments(context: LabContext, instance: Any) -> None:
    """What was part of the boot is attached now."""
    from lab.api.strict_eni import mark_attached
    from lab.api.strict_volumes import mark_volume_attached

    for eni in instance.nics.values():
        if eni.attachment_status in ("attaching", "attached"):
            mark_attached(context, eni)
    for block in instance.block_device_mapping.values():
        volume = instance.ec2_backend.volumes[block.volume_id]
        if volume.attachment.status in ("attaching", "attached"):
            volume.attachment.lab_plugged = True
            mark_volume_attached(context, volume)


def _boot_failed(context: LabContext, instance: Any, first: bool, error: Exception) -> None:
    reason = (INTERNAL_ERROR, f"{INTERNAL_ERROR}: Internal error on launch: {error}")
    if not first:
        with context.lock:
            if instance.state == "pending":
                set_state(context, instance, "stopped", reason)
        return
    ask_machine(context, instance.id, "instance_terminate", instance.id)
    with context.lock:
        if instance.state != "terminated":
            finish_terminate(context, instance, reason)


def forget_terminated(context: LabContext) -> None:
    """Stop describing instances that were terminated longer ago than EC2 would remember them."""
    limit = time.monotonic() - context.delays.terminated_visible_seconds
    with context.lock:
        backend = context.ec2
        for reservation in list(backend.reservations.values()):
            for instance in list(reservation.instances):
                if instance.state == "terminated" and getattr(instance, "lab_terminated_at", limit) < limit:
                    reservation.instances.remove(instance)
                    backend.tags.pop(instance.id, None)
            if not reservation.instances:
                backend.reservations.pop(reservation.id, None)
