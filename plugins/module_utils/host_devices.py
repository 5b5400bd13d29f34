# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find on this host what EC2 attached: an interface by its MAC, a volume by its id; never by letter, index or size."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path, PurePosixPath

NVME_LINK = "nvme-Amazon_Elastic_Block_Store_{serial}"
EBS_MODEL = "Amazon Elastic Block Store"
LETTER = re.compile(r"(?:sd|xvd)([a-z])\d*$")
IP_TIMEOUT_SECONDS = 10


def interface_in_links(links_json: str, mac: str) -> str | None:
    """Return the name of the interface with this MAC in the answer of C(ip -j link)."""
    links = json.loads(links_json or "[]")
    for link in links:
        if str(link.get("address", "")).lower() == mac.lower() and link.get("link_type") != "loopback":
            return str(link["ifname"])
    return None


def find_interface(mac: str, root: Path = Path("/")) -> str | None:
    """Return the interface with this MAC; by netlink first, because sysfs shows another namespace in containers."""
    try:
        answer = subprocess.run(
            ["ip", "-j", "link"], capture_output=True, text=True, check=True, timeout=IP_TIMEOUT_SECONDS
        )
        return interface_in_links(answer.stdout, mac)
    except (OSError, subprocess.SubprocessError, ValueError):
        return _interface_in_sysfs(mac, root)


def _interface_in_sysfs(mac: str, root: Path) -> str | None:
    for address in sorted((root / "sys/class/net").glob("*/address")):
        if address.read_text().strip().lower() == mac.lower():
            return address.parent.name
    return None


def serial_of(volume_id: str) -> str:
    """Return the NVMe serial of an EBS volume: its id without the hyphen."""
    return volume_id.replace("-", "", 1)


def find_volume(volume_id: str, ec2_device: str | None = None, root: Path = Path("/")) -> str | None:
    """Return the block device that is this volume, as a path that is stable over reboots where there is one.

    On Nitro the NVMe serial is the volume's id. On Xen there is no serial, and C(ec2_device) (the name EC2 has for the
    attachment) is the only trace: it is used only on a host without any EBS volume on NVMe. Some Xen types do have
    NVMe disks, of the instance itself.
    """
    serial = serial_of(volume_id)
    link = root / "dev/disk/by-id" / NVME_LINK.format(serial=serial)
    if link.exists() and _serial_of_block(link.resolve().name, root) in ("", serial):
        return "/" + str(link.relative_to(root))
    blocks = root / "sys/block"
    for entry in sorted(blocks.glob("*/device/serial")):
        if _serial_of_block(entry.parent.parent.name, root) == serial:
            return f"/dev/{entry.parent.parent.name}"
    if ec2_device and not any(_is_ebs(entry) for entry in blocks.glob("nvme*")):
        return _xen_device(ec2_device, root)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _serial_of_block(name: str, root: Path) -> str:
    """Return a disk's serial, empty where the kernel knows none; udev's link may be older than the disk behind it."""
    return serial_of(_read(root / "sys/block" / name / "device/serial"))


def _is_ebs(block: Path) -> bool:
    """Whether an NVMe disk is an EBS volume; one that does not say what it is counts as one."""
    model = _read(block / "device/model")
    return model in ("", EBS_MODEL)


def _xen_device(ec2_device: str, root: Path) -> str | None:
    """Return what the kernel made of EC2's name: C(sdf) is C(xvdf) to some kernels, and the other way round.

    Two different disks under the two names: nobody can tell which of them EC2 means, so neither.
    """
    name = PurePosixPath(ec2_device).name
    letters = name.removeprefix("xvd") if name.startswith("xvd") else name.removeprefix("sd")
    found = [root / "dev" / f"{kind}{letters}" for kind in ("sd", "xvd")]
    found = [path for path in found if path.exists()]
    if len({path.resolve() for path in found}) != 1:
        return None
    wanted = root / "dev" / name
    return f"/dev/{(wanted if wanted in found else found[0]).name}"


def names_in_use(root: Path = Path("/")) -> set[str]:
    """Return the EC2 device names whose letter this host's kernel uses already.

    EC2 refuses a name that it gave away itself; one that the kernel took otherwise (C(xvdf) for C(sdf)) it accepts, and
    the volume stays C(attaching).
    """
    letters = (LETTER.match(entry.name) for entry in (root / "sys/block").glob("*"))
    return {f"/dev/sd{found[1]}" for found in letters if found}
