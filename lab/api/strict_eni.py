# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network interfaces as strict as EC2's: one holder, one zone, one index, attachments that take time."""

from __future__ import annotations

import time
from typing import Any

from moto.ec2.exceptions import InvalidNetworkAttachmentIdError, LastEniDetachError
from moto.ec2.models.elastic_network_interfaces import Attachment, NetworkInterface, NetworkInterfaceBackend
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.responses.elastic_network_interfaces import ElasticNetworkInterfaces
from moto.ec2.utils import random_mac_address

from lab.api import addresses
from lab.api.context import LabContext
from lab.api.errors import interface_in_use, invalid_value, refuse, wrong_instance_state
from lab.api.faults_delay import held_up
from lab.api.lifecycle import ask_machine, nic_of
from lab.api.patching import PatchSet

PATCHES = PatchSet()


def taken_addresses(backend: Any, subnet_id: str) -> set[str]:
    """Every private address that an interface of the subnet has."""
    return {
        item["PrivateIpAddress"]
        for eni in backend.enis.values()
        if eni.subnet.id == subnet_id
        for item in eni.private_ip_addresses
    }


def choose_address(backend: Any, subnet: Any, wanted: str | None) -> str:
    """Return ``wanted`` if it may be had, else the next free address; raise EC2's refusal."""
    taken = taken_addresses(backend, subnet.id)
    if wanted:
        addresses.check_wanted(subnet.cidr_block, wanted, taken)
        return wanted
    chosen = addresses.next_free(subnet.cidr_block, taken, getattr(subnet, "lab_last_address", None), subnet.id)
    subnet.lab_last_address = chosen
    return chosen


def check_attachable(eni: Any, instance: Any, device_index: int) -> None:
    """Raise what EC2 refuses for a hot or cold attach."""
    if eni.attachment_id:
        raise interface_in_use(eni.id)
    if instance.state not in ("running", "stopped"):
        raise wrong_instance_state(instance.id, instance.state, "'running' or 'stopped'")
    if eni.availability_zone != instance.placement.zone:
        raise refuse(
            "InvalidParameterCombination",
            "You may not attach a network interface to an instance if they are not in the same availability zone",
        )
    if device_index in instance.nics:
        raise invalid_value(
            f"Instance '{instance.id}' already has an interface attached at device index '{device_index}'."
        )
    limit = INSTANCE_TYPES.get(instance.instance_type, {}).get("NetworkInfo", {}).get("MaximumNetworkInterfaces", 15)
    if len(instance.nics) >= limit or device_index >= limit:
        raise refuse(
            "AttachmentLimitExceeded",
            f"Interface count {len(instance.nics) + 1} exceeds the limit for {instance.instance_type}",
        )


def bind(eni: Any, instance: Any, device_index: int, delete_on_termination: bool) -> None:
    """Record the attachment as ``attaching``."""
    instance.attach_eni(eni, device_index)
    eni.delete_on_termination = delete_on_termination
    eni.attachment_status = "attaching"


def mark_attached(context: LabContext, eni: Any) -> None:
    """The interface is in the instance now; call with the lock held."""
    news = eni.attachment_status != "attached" or not eni.lab_plugged
    eni.attachment_status = "attached"
    eni.lab_plugged = True
    if news:
        eni.lab_attached_at = time.monotonic()
        context.emit("eni_attached", eni_id=eni.id, instance_id=eni.instance.id, device_index=eni.device_index)


def begin_attach(context: LabContext, eni: Any) -> None:
    """Plug the interface in on the instance's queue."""
    instance, attachment_id = eni.instance, eni.attachment_id

    def current() -> bool:
        return eni.attachment_id == attachment_id and eni.attachment_status == "attaching"

    what = f"attach {eni.id} to {instance.id}"

    def attach() -> None:
        context.workers.pause(context.delays.eni_attaching_seconds)
        if not held_up(context, "attaching_stuck", instance, (eni.id,), what, plug):
            plug()

    def plug() -> None:
        with context.lock:
            if not current() or instance.state not in ("running", "stopping", "stopped"):
                return
            online, nic = instance.lab_online, nic_of(eni)
        if online and held_up(context, "eni_late", instance, (eni.id,), what, appear):
            with context.lock:
                if current():
                    mark_attached(context, eni)
                    eni.lab_plugged = False
            return
        if online and ask_machine(context, eni.id, "nic_attach", instance.id, nic):
            return  # EC2 shows what cannot be plugged in as attaching
        with context.lock:
            if current():
                mark_attached(context, eni)
                eni.lab_plugged = online

    def appear() -> None:
        """EC2 has called it attached for a while; now it comes into the instance, if it still is."""
        with context.lock:
            attached = eni.attachment_id == attachment_id and eni.attachment_status == "attached"
            if not attached or eni.lab_plugged or not instance.lab_online:
                return
            nic = nic_of(eni)
        if not ask_machine(context, eni.id, "nic_attach", instance.id, nic):
            with context.lock:
                eni.lab_plugged = True

    context.submit(instance.id, what, attach)


def begin_detach(context: LabContext, eni: Any) -> None:
    """Take the interface out on the instance's queue, then show it as available."""
    instance, attachment_id = eni.instance, eni.attachment_id

    what = f"detach {eni.id} from {instance.id}"

    def detach() -> None:
        context.workers.pause(context.delays.eni_detaching_seconds)
        if not held_up(context, "detach_long", instance, (eni.id,), what, unplug):
            unplug()

    def unplug() -> None:
        with context.lock:
            if eni.attachment_id != attachment_id:
                return
            plugged, nic = instance.lab_online and eni.lab_plugged, nic_of(eni)
        if plugged and ask_machine(context, eni.id, "nic_detach", instance.id, nic):
            return  # EC2 shows what cannot be taken out as detaching
        with context.lock:
            if eni.attachment_id == attachment_id:
                instance.detach_eni(eni)
                eni.attachment_status, eni.lab_plugged = None, False
                context.emit("eni_detached", eni_id=eni.id, instance_id=instance.id)

    context.submit(instance.id, what, detach)


@PATCHES.function(Attachment, "__init__")
def _attachment(_context: LabContext, original: Any, self: Any, eni: Any) -> None:
    original(self, eni)
    self.status = getattr(eni, "attachment_status", None) or "attached"


@PATCHES.getter(NetworkInterface, "group_set")
def _group_set(_context: LabContext, _original: Any, self: Any) -> Any:
    """An interface has its own groups, not also those of the instance's other interfaces."""
    return self._group_set


@PATCHES.function(NetworkInterface, "delete")
def _delete(_context: LabContext, _original: Any, self: Any) -> None:
    self.ec2_backend.delete_network_interface(eni_id=self.id)


@PATCHES.function(NetworkInterfaceBackend, "create_network_interface")
def _create(
    context: LabContext,
    original: Any,
    self: Any,
    subnet: Any,
    private_ip_address: Any,
    private_ip_addresses: Any = None,
    group_ids: Any = None,
    *args: Any,
    **kwargs: Any,
) -> Any:
    with context.lock:
        subnet = self.get_subnet(subnet) if isinstance(subnet, str) else subnet
        listed = [
            dict(item) if isinstance(item, dict) else {"PrivateIpAddress": item} for item in private_ip_addresses or []
        ]
        wanted = private_ip_address[0] if isinstance(private_ip_address, list) else private_ip_address
        primaries = [item for item in listed if item.get("Primary") is True]
        wanted = wanted or (primaries[0]["PrivateIpAddress"] if primaries else None)
        for group_id in group_ids or []:
            if self.get_security_group_from_id(group_id) is None:
                raise refuse("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
        address = choose_address(self, subnet, wanted)
        others = [item["PrivateIpAddress"] for item in listed if item["PrivateIpAddress"] != address]
        for other in others:
            addresses.check_wanted(subnet.cidr_block, other, taken_addresses(self, subnet.id))
        items = [{"Primary": True, "PrivateIpAddress": address}]
        items += [{"Primary": False, "PrivateIpAddress": other} for other in others]
        eni = original(self, subnet, address, items, group_ids, *args, **kwargs)
        eni.device_index, eni.attachment_status, eni.lab_plugged = None, None, False
        macs = {e.mac_address for e in self.enis.values() if e is not eni}
        while eni.mac_address in macs:
            eni.mac_address = random_mac_address()
        eni.private_dns_name = f"ip-{address.replace('.', '-')}.{context.region}.compute.internal"
        for item in eni.private_ip_addresses:
            if item.get("Primary"):
                item["PrivateDnsName"] = eni.private_dns_name
        context.events.record("eni_created", eni_id=eni.id, private_ip=address, subnet_id=subnet.id)
        return eni


@PATCHES.function(NetworkInterfaceBackend, "delete_network_interface")
def _delete_backend(context: LabContext, original: Any, self: Any, eni_id: str) -> None:
    with context.lock:
        eni = self.get_network_interface(eni_id)
        if eni.attachment_id:
            raise invalid_value(f"Network interface '{eni_id}' is currently in use.")
        original(self, eni_id)
        self.tags.pop(eni_id, None)
        context.events.record("eni_deleted", eni_id=eni_id)


@PATCHES.function(NetworkInterfaceBackend, "attach_network_interface")
def _attach(context: LabContext, _original: Any, self: Any, eni_id: str, instance_id: str, device_index: Any) -> Any:
    with context.lock:
        eni, instance, index = self.get_network_interface(eni_id), self.get_instance(instance_id), int(device_index)
        check_attachable(eni, instance, index)
        bind(eni, instance, index, delete_on_termination=False)
        begin_attach(context, eni)
        return eni.attachment


@PATCHES.function(NetworkInterfaceBackend, "detach_network_interface")
def _detach(context: LabContext, _original: Any, self: Any, attachment_id: str) -> None:
    with context.lock:
        eni = next((e for e in self.enis.values() if e.attachment_id == attachment_id), None)
        if eni is None:
            raise InvalidNetworkAttachmentIdError(attachment_id)
        if eni.device_index == 0:
            raise LastEniDetachError
        if eni.attachment_status == "detaching":
            raise refuse("IncorrectState", f"The network interface attachment '{attachment_id}' is already detaching.")
        eni.attachment_status = "detaching"
        begin_detach(context, eni)


@PATCHES.function(ElasticNetworkInterfaces, "modify_network_interface_attribute")
def _modify(_context: LabContext, original: Any, self: Any) -> Any:
    wish = self._get_param("Attachment") or {}
    if wish.get("DeleteOnTermination") is None:
        return original(self)
    self.error_on_dryrun()
    eni = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
    if not eni.attachment_id or eni.attachment_id != wish.get("AttachmentId"):
        raise InvalidNetworkAttachmentIdError(wish.get("AttachmentId"))
    result = original(self)
    eni.delete_on_termination = str(wish["DeleteOnTermination"]).lower() == "true"
    return result
