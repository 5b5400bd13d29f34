# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an attach run asks EC2, the metadata service and the host about one ENI or one volume."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.attach_rules import Reading, next_device
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_ec2 import Ec2
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.host_devices import (
    find_interface,
    find_volume,
    names_in_use,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.imds import Imds, ImdsError
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Eni, Volume

IMDS_LAG_SECONDS = 30
IMDS_POLL_SECONDS = 0.25
DEVICE_LEAD_SECONDS = 20
DEVICE_POLL_SECONDS = 0.1


def known_eni(eni_id: str, told: Mapping[str, Any] | None) -> Eni | None:
    """Return the interface that the task says it has read, or None; raise HoldfastError on half a reading."""
    if not told:
        return None
    if told.get("id", eni_id) != eni_id or not told.get("status") or not told.get("mac"):
        raise HoldfastError("bad_parameter", f"known_status is not a reading of {eni_id} with its status and mac.")
    blank = {"id": eni_id, "private_ip": "", "subnet_id": "", "availability_zone": ""}
    return Eni(**{**blank, **{key: value for key, value in told.items() if key in Eni.__dataclass_fields__}})


def known_volume(volume_id: str, told: Mapping[str, Any] | None) -> Volume | None:
    """Return the volume that the task says it has read, or None; raise HoldfastError on half a reading."""
    if not told:
        return None
    if told.get("id", volume_id) != volume_id or not told.get("status"):
        raise HoldfastError("bad_parameter", f"known_status is not a reading of {volume_id} with its status.")
    blank = {"id": volume_id, "index": 0, "size_gib": 0, "availability_zone": ""}
    return Volume(**{**blank, **{key: value for key, value in told.items() if key in Volume.__dataclass_fields__}})


def await_on_host(find: Callable[[], str | None], seconds: float) -> str | None:
    """Return what C(find) finds, or None after C(seconds)."""
    until = time.monotonic() + seconds
    while True:
        found = find()
        if found or time.monotonic() >= until:
            return found
        time.sleep(DEVICE_POLL_SECONDS)


def require_on_host(find: Callable[[], str | None], seconds: float, message: str) -> str:
    """Return what C(find) finds within C(seconds); raise HoldfastError C(device_missing)."""
    found = await_on_host(find, seconds)
    if found is None:
        raise HoldfastError("device_missing", f"{message} within {seconds} s.")
    return found


class EniPort:
    """One ENI for the attach run; C(imds) is this instance's own metadata service, C(None) if EC2's API must tell."""

    one_place = True
    hint = "find out who detaches it (CloudTrail: DetachNetworkInterface)."
    stuck = (
        "Terminate this instance: EC2 frees the interface with it, and its replacement takes the identity. Open a "
        "support case if the attachment outlives the instance; never detach by force from an instance that runs."
    )

    def __init__(self, ec2: Ec2, imds: Imds | None, me: str, params: Mapping[str, Any]) -> None:
        self.ec2, self.imds, self.me = ec2, imds, me
        self.name: str = params["eni_id"]
        self.device_index: int = params["device_index"]
        self.timeout_seconds: float = params["timeout_seconds"]
        self._eni = known_eni(self.name, params["known_status"])

    @property
    def eni(self) -> Eni:
        """The last description; there is one after C(known) or C(read)."""
        assert self._eni is not None
        return self._eni

    def reading(self) -> Reading:
        """Return what the run needs of the last description."""
        eni = self.eni
        return Reading(
            eni.id,
            eni.status,
            eni.instance_id,
            eni.attachment_status,
            eni.device_index,
            eni.delete_on_termination,
            eni.attachment_id,
        )

    def known(self) -> Reading | None:
        """Return the first reading without an API call, if the task gave one."""
        if self._eni is None:
            return None
        if self._eni.instance_id == self.me and self.imds is not None:
            self._seen_by_imds(self.imds)
        return self.reading()

    def read(self) -> Reading:
        """Describe the interface."""
        self._eni = self.ec2.eni(self.name)
        return self.reading()

    def _seen_by_imds(self, imds: Imds) -> bool:
        """Wait, within the known lag, until the metadata service lists the interface as mine: EC2's own word."""
        until = time.monotonic() + min(IMDS_LAG_SECONDS, self.timeout_seconds)
        while not self._listed(imds):
            if time.monotonic() >= until:
                return False
            time.sleep(IMDS_POLL_SECONDS)
        self._eni = replace(self.eni, status="in-use", instance_id=self.me, attachment_status="attached")
        return True

    def _listed(self, imds: Imds) -> bool:
        """Ask once; a metadata service that does not answer proves nothing, and EC2 will be asked instead."""
        try:
            return imds.interface_id(self.eni.mac) == self.eni.id
        except ImdsError:
            return False

    def subnet_cidr(self, imds: Imds) -> str | None:
        """Return the IPv4 block of the interface's subnet, asked again within the known lag; raise ImdsError."""
        until = time.monotonic() + min(IMDS_LAG_SECONDS, self.timeout_seconds)
        while True:
            try:
                found = imds.interface_value(self.eni.mac, "subnet-ipv4-cidr-block")
            except ImdsError:
                if time.monotonic() >= until:
                    raise
                found = None
            if found is not None or time.monotonic() >= until:
                return found
            time.sleep(IMDS_POLL_SECONDS)

    def attach(self) -> Reading | None:
        """Attach, and prove it by the metadata service if that may answer; otherwise the next describe must."""
        attachment_id = self.ec2.attach_eni(self.name, self.me, self.device_index)
        if self.imds is None or not self._seen_by_imds(self.imds):
            return None
        self._eni = replace(
            self.eni, attachment_id=attachment_id, device_index=self.device_index, delete_on_termination=False
        )
        return self.reading()

    def keep(self, reading: Reading) -> None:
        """Make the interface outlive its instance."""
        self.ec2.keep_eni_on_termination(self.name, reading.attachment_id or "")
        self._eni = replace(self.eni, delete_on_termination=False)

    def holder_state(self, instance_id: str) -> str | None:
        """Return the holder's state."""
        return self.ec2.instance_states((instance_id,)).get(instance_id)

    def occupied(self) -> bool:
        """There is no other index to choose."""
        return False

    def occupant(self) -> str:
        """Return the interface at the index."""
        return self.ec2.eni_at(self.me, self.device_index) or ""

    def on_host(self) -> str:
        """Return the interface's name on this host; raise HoldfastError."""
        text = f"{self.name} is attached, but no interface with MAC {self.eni.mac} appeared on this host"
        return require_on_host(lambda: find_interface(self.eni.mac), self.timeout_seconds, text)


class VolumePort:
    """One volume for the attach run."""

    hint = (
        "if it is encrypted, the instance's role probably may not use its KMS key (kms:CreateGrant, kms:Decrypt, "
        "kms:GenerateDataKeyWithoutPlaintext, kms:ReEncrypt*), or the key is disabled."
    )
    stuck = (
        "The device name is probably taken inside the instance: detach the volume (aws ec2 detach-volume, without "
        "force) and attach it under another name (device), or terminate the instance: its successor takes over."
    )

    def __init__(self, ec2: Ec2, me: str, wait_device: bool, params: Mapping[str, Any]) -> None:
        self.ec2, self.me, self.wait_device = ec2, me, wait_device
        self.name: str = params["volume_id"]
        self.device: str | None = params["device"]
        self.one_place = self.device is not None
        self.timeout_seconds: float = params["timeout_seconds"]
        self._volume = known_volume(self.name, params["known_status"])
        self._index = self._volume.index if self._volume else 0
        self._device: str | None = None
        self._refused: set[str] = names_in_use() if wait_device else set()

    @property
    def volume(self) -> Volume:
        """The last description; there is one after C(known) or C(read)."""
        assert self._volume is not None
        return self._volume

    def reading(self) -> Reading:
        """Return what the run needs of the last description."""
        volume = self.volume
        return Reading(
            volume.id,
            volume.status,
            volume.instance_id,
            volume.attachment_status,
            volume.device,
            volume.delete_on_termination,
        )

    def known(self) -> Reading | None:
        """Return the first reading without an API call, if the task gave one."""
        return None if self._volume is None else self.reading()

    def read(self) -> Reading:
        """Describe the volume."""
        self._volume = replace(self.ec2.volume(self.name), index=self._index)
        return self.reading()

    def attach(self) -> Reading | None:
        """Attach under the chosen name, give the device time to show, and leave the proof to the next describe."""
        device = self.device or next_device(self._refused, self._index)
        if device is None:
            text = f"Every device name of {self.me} for {self.name} is taken: {', '.join(sorted(self._refused))}."
            raise HoldfastError("conflict", f"{text} Detach what does not belong to the identity.")
        self._device = device
        self.ec2.attach_volume(self.name, self.me, device)
        if self.wait_device:
            seconds = min(DEVICE_LEAD_SECONDS, self.timeout_seconds)
            await_on_host(lambda: find_volume(self.name, device), seconds)
        nothing_known_yet: Reading | None = None
        return nothing_known_yet

    def keep(self, reading: Reading) -> None:
        """Make the volume outlive its instance."""
        self.ec2.keep_volume_on_termination(self.me, str(reading.place))
        self._volume = replace(self.volume, delete_on_termination=False)

    def holder_state(self, instance_id: str) -> str | None:
        """Return the holder's state."""
        return self.ec2.instance_states((instance_id,)).get(instance_id)

    def occupied(self) -> bool:
        """Go to the next device name, unless the task insists on one."""
        if self._device is not None:
            self._refused.add(self._device)
        return self.device is None and next_device(self._refused, self._index) is not None

    def occupant(self) -> str:
        """EC2's message names the device already."""
        return ""

    def on_host(self) -> str:
        """Return the volume's block device on this host; raise HoldfastError."""
        text = f"{self.name} is attached as {self.volume.device}, but no such block device appeared on this host"
        return require_on_host(lambda: find_volume(self.name, self.volume.device), self.timeout_seconds, text)
