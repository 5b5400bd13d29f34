# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What udev would do for an instance: NVMe nodes and the links below /dev/disk.

No udev runs in an instance, because /sys is read-only there. The links live in a directory of the host that is bound
at the instance's /dev/disk; the nodes are made in the instance's /dev through its leader's root.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from lab.machine.filesystems import Filesystem
from lab.machine.protocol import VolumeAttachment
from lab.machine.shell import MachineError
from lab.machine.volumes import LoopDevice, filesystem_on

BY_ID_PREFIX = "nvme-Amazon_Elastic_Block_Store_"
MAX_VOLUMES = 26


@dataclass
class Disk:
    """A volume as an instance has it; ``number`` is the N of /dev/nvmeNn1."""

    attachment: VolumeAttachment
    number: int
    loop: LoopDevice
    filesystem: Filesystem | None = field(default=None)

    @property
    def node(self) -> str:
        """Return the device's name in the instance."""
        return f"nvme{self.number}n1"

    @property
    def by_id(self) -> str:
        """Return the name of its link below /dev/disk/by-id: the serial is the volume id without its dash."""
        return BY_ID_PREFIX + self.attachment.volume_id.replace("-", "")


def free_number(disks: list[Disk]) -> int:
    """Return the lowest free N; 0 is the root volume."""
    taken = {disk.number for disk in disks}
    for number in range(1, MAX_VOLUMES + 1):
        if number not in taken:
            return number
    raise MachineError(f"the instance has {MAX_VOLUMES} volumes already")


def write_links(directory: Path, disks: list[Disk]) -> None:
    """Make *directory* (the instance's /dev/disk) say what *disks* says, and nothing else."""
    wanted = {
        "by-id": {disk.by_id: f"../../{disk.node}" for disk in disks},
        "by-uuid": {disk.filesystem.uuid: f"../../{disk.node}" for disk in disks if disk.filesystem},
    }
    for kind, links in wanted.items():
        place = directory / kind
        place.mkdir(parents=True, exist_ok=True)
        for path in place.iterdir():
            if path.name not in links:
                path.unlink()
        for name, target in links.items():
            _link(place / name, target)


def _link(path: Path, target: str) -> None:
    if path.is_symlink() and str(path.readlink()) == target:
        return
    fresh = path.with_name(f".new-{path.name}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.rename(path)


def probe(disks: list[Disk]) -> bool:
    """Look at each disk's content again; return whether a file system appeared, changed or went."""
    changed = False
    for disk in disks:
        found = filesystem_on(disk.loop.path)
        if found != disk.filesystem:
            disk.filesystem = found
            changed = True
    return changed


def make_node(leader: int, disk: Disk) -> None:
    """Make the device's node in a running instance."""
    path = Path(f"/proc/{leader}/root/dev/{disk.node}")
    path.unlink(missing_ok=True)
    os.mknod(path, stat.S_IFBLK | 0o660, os.makedev(disk.loop.major, disk.loop.minor))


def remove_node(leader: int, disk: Disk) -> None:
    """Take the device's node away."""
    Path(f"/proc/{leader}/root/dev/{disk.node}").unlink(missing_ok=True)
