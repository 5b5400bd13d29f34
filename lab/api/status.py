# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's own routes: what there is, what happened, how slow EC2 is."""

from __future__ import annotations

import functools
from typing import Any

from lab.api import clock
from lab.api.context import LabContext, LabRequest, RouteError


def _tags(backend: Any, resource_id: str) -> dict[str, str]:
    return dict(backend.tags.get(resource_id, {}))


def instances(context: LabContext) -> list[dict[str, Any]]:
    """Instances, also the terminated ones that can still be described; call with the lock held."""
    backend = context.ec2
    return [
        {
            "instance_id": i.id,
            "state": i.state,
            "state_reason": i.state_reason.message or None,
            "name": _tags(backend, i.id).get("Name"),
            "image_id": i.image_id,
            "instance_type": i.instance_type,
            "availability_zone": i.placement.zone,
            "private_ip": i.private_ip,
            "network_interfaces": {str(index): eni.id for index, eni in sorted(i.nics.items())},
            "volumes": {device: block.volume_id for device, block in sorted(i.block_device_mapping.items())},
            "launch_time": i.launch_time.isoformat(),
            "tags": _tags(backend, i.id),
        }
        for reservation in backend.reservations.values()
        for i in reservation.instances
    ]


def network_interfaces(context: LabContext) -> list[dict[str, Any]]:
    """Network interfaces with their attachments; call with the lock held."""
    backend = context.ec2
    return [
        {
            "eni_id": e.id,
            "name": _tags(backend, e.id).get("Name"),
            "private_ip": e.private_ip_address,
            "mac": e.mac_address,
            "subnet_id": e.subnet.id,
            "availability_zone": e.availability_zone,
            "status": e.status,
            "attachment": {
                "attachment_id": e.attachment_id,
                "instance_id": e.instance.id,
                "device_index": e.device_index,
                "status": e.attachment_status,
                "delete_on_termination": bool(e.delete_on_termination),
            }
            if e.attachment_id
            else None,
            "tags": _tags(backend, e.id),
        }
        for e in backend.enis.values()
    ]


def volumes(context: LabContext) -> list[dict[str, Any]]:
    """Volumes with their attachments; call with the lock held."""
    backend = context.ec2
    return [
        {
            "volume_id": v.id,
            "name": _tags(backend, v.id).get("Name"),
            "size_gib": v.size,
            "type": v.volume_type,
            "availability_zone": v.availability_zone,
            "status": v.status,
            "root": v.lab_root,
            "attachment": {
                "instance_id": v.attachment.instance.id,
                "device": v.attachment.device,
                "status": v.attachment.status,
                "delete_on_termination": v.attachment.delete_on_termination,
            }
            if v.attachment
            else None,
            "tags": _tags(backend, v.id),
        }
        for v in backend.volumes.values()
    ]


def images(context: LabContext) -> list[dict[str, Any]]:
    """Images; call with the lock held."""
    backend = context.ec2
    return [
        {"image_id": a.id, "name": a.name, "state": a.state, "tags": _tags(backend, a.id)}
        for a in backend.amis.values()
    ]


def groups(context: LabContext) -> list[dict[str, Any]]:
    """Auto Scaling groups; call with the lock held."""
    from moto.autoscaling.models import autoscaling_backends

    backend = autoscaling_backends[context.account_id][context.region]
    return [
        {
            "name": g.name,
            "desired": g.desired_capacity,
            "instances": {
                s.instance.id: {"health": s.health_status, "lifecycle": s.lifecycle_state} for s in g.instance_states
            },
            "suspended": [p.get("ProcessName") if isinstance(p, dict) else p for p in g.suspended_processes],
        }
        for g in backend.autoscaling_groups.values()
    ]


def stacks(context: LabContext) -> list[dict[str, Any]]:
    """CloudFormation stacks; call with the lock held."""
    from moto.cloudformation.models import cloudformation_backends

    backend = cloudformation_backends[context.account_id][context.region]
    return [{"name": s.name, "status": s.status, "stack_id": s.stack_id} for s in backend.stacks.values()]


def register(context: LabContext) -> None:
    """Serve ``/_lab/status``, ``/_lab/events`` and ``/_lab/delays``."""
    sections = {
        "instances": instances,
        "network_interfaces": network_interfaces,
        "volumes": volumes,
        "images": images,
        "groups": groups,
        "stacks": stacks,
    }
    for name, section in sections.items():
        context.register_status(name, functools.partial(section, context))

    def status(request: LabRequest) -> dict[str, Any]:
        wanted = request.query.get("sections")
        names = wanted.split(",") if wanted else list(context.status_sections)
        unknown = [name for name in names if name not in context.status_sections]
        if unknown:
            raise RouteError(404, f"no such section: {', '.join(unknown)}")
        with context.lock:
            return {name: context.status_sections[name]() for name in names}

    def events(request: LabRequest) -> dict[str, Any]:
        try:
            since = int(request.query.get("since", "0"))
        except ValueError:
            raise RouteError(400, "'since' must be the sequence number of an event") from None
        found = context.events.since(since, request.query.get("kind"))
        return {"last_sequence": context.events.last_sequence, "events": found}

    def delays(request: LabRequest) -> dict[str, float]:
        if request.method == "PUT":
            wish = dict(request.body or {})
            try:
                values = clock.preset(wish.pop("preset")).as_dict() if "preset" in wish else {}
                context.delays.update(values | wish)
            except ValueError as error:
                raise RouteError(400, str(error)) from None
            context.events.record("delays_changed", delays=context.delays.as_dict())
        elif request.method != "GET":
            raise RouteError(405, "delays are read with GET and set with PUT")
        return context.delays.as_dict()

    context.register_route("status", status)
    context.register_route("events", events)
    context.register_route("delays", delays)
