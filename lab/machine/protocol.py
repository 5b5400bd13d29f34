# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the EC2 API asks of the machine that plays it.

The API's worker threads call these; never while holding the API's lock, so every call may block.
For one instance the calls come one at a time, in the order of the API's events. An exception means that the consequence
did not happen: the API then shows what EC2 would show (an instance goes to ``terminated`` with a state reason,
an attachment stays ``attaching``) and keeps the message for `lab logs`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from lab.machine.shell import MachineError


class NothingThereError(MachineError):
    """What a fault was to touch has no process or is not there (any more)."""


@dataclass(frozen=True)
class Nic:
    """A network interface as the host must see it."""

    eni_id: str
    mac: str
    private_ip: str
    prefix_length: int
    gateway: str
    subnet_id: str
    device_index: int


@dataclass(frozen=True)
class VolumeAttachment:
    """A volume under the EC2 device name (``/dev/sdf``) it was attached as."""

    volume_id: str
    device: str


@dataclass(frozen=True)
class InstanceSpec:
    """Everything needed to start an instance; ``nics[0]`` is the primary interface."""

    instance_id: str
    image_id: str
    instance_type: str
    availability_zone: str
    nics: tuple[Nic, ...]
    volumes: tuple[VolumeAttachment, ...] = field(default=())


class Machine(Protocol):
    """The consequences of EC2's verbs on this machine."""

    def instance_start(self, spec: InstanceSpec) -> None:
        """Create the instance's tree from its image if it has none yet, then boot it; return when it is booting."""

    def instance_stop(self, instance_id: str) -> None:
        """Shut the instance down in an orderly way (bounded, then by force); its tree stays for the next start."""

    def instance_reboot(self, instance_id: str) -> None:
        """Restart the operating system; interfaces and volumes stay."""

    def instance_terminate(self, instance_id: str) -> None:
        """Kill every process, unmount, remove interfaces, free its devices and its tree; return when all is gone."""

    def nic_attach(self, instance_id: str, nic: Nic) -> None:
        """Make the interface appear (down, without an address) as ``eth<device_index>`` with its MAC."""

    def nic_detach(self, instance_id: str, nic: Nic) -> None:
        """Remove the interface from the instance."""

    def volume_create(self, volume_id: str, size_bytes: int, snapshot_id: str | None) -> None:
        """Reserve the volume (sparse)."""

    def volume_attach(self, instance_id: str, attachment: VolumeAttachment) -> None:
        """Make the block device appear under its NVMe name and ``/dev/disk/by-id`` link."""

    def volume_detach(self, instance_id: str, attachment: VolumeAttachment) -> None:
        """Take the block device away; raise if the instance still has it mounted (EC2 would stay ``busy``)."""

    def volume_delete(self, volume_id: str) -> None:
        """Forget the volume's content."""

    def image_create(self, instance_id: str, image_id: str) -> None:
        """Keep the instance's tree as an image."""

    def image_delete(self, image_id: str) -> None:
        """Forget an image's tree."""

    def partition(self, instance_id: str, device_index: int | None, cut: bool) -> None:
        """Let the instance's interfaces (or the one with this index) carry nothing, or again what they carried."""

    def freeze(self, instance_id: str, frozen: bool) -> None:
        """Stop every process of the instance where it stands, or let them go on."""

    def crash(self, instance_id: str) -> None:
        """Take the power away: every process is killed at once, and nobody is told."""

    def unit_signal(self, instance_id: str, unit: str, signal: str) -> None:
        """Send a signal to every process of a unit; raise ``NothingThereError`` unless it is active."""

    def disk_at(self, instance_id: str, mount: str) -> str:
        """Return the id of the volume that is mounted there; raise if none is."""

    def disk_fill(self, instance_id: str, mount: str, leave_bytes: int) -> int:
        """Let one file take the file system's free space but for ``leave_bytes``; return its size."""

    def disk_unfill(self, volume_id: str) -> None:
        """Remove that file from wherever the volume is mounted now."""

    def disk_readonly(self, instance_id: str, mount: str) -> None:
        """Let the file system go read-only as after an error of its journal; only a new mount writes again."""

    def disk_dead(self, instance_id: str, mount: str) -> str:
        """Let every read and write of the device fail; return the volume's id."""

    def disk_revive(self, volume_id: str) -> None:
        """Let the device work again; a file system that has given up needs a new mount."""

    def boot_phases(self, instance_id: str) -> frozenset[str]:
        """Return what this boot has recorded, as ``phase@boot id``, and ``mounted`` when a volume is."""

    def console_output(self, instance_id: str) -> str:
        """Return what the instance printed on its console so far (empty if nothing)."""
