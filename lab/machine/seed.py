# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an instance's tree gets before its first boot: a name, a machine id, and eth0's address (DHCP's stand-in)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from lab.machine.protocol import InstanceSpec, Nic
from lab.machine.shell import MachineError

NETWORK_FILE = "etc/systemd/network/10-holdfast-lab-eth0.network"


def hostname(spec: InstanceSpec) -> str:
    """Return the host name as EC2 forms it from the primary address."""
    return "ip-" + spec.nics[0].private_ip.replace(".", "-")


def machine_id(instance_id: str) -> str:
    """Return a machine id that belongs to the instance; a given one also keeps systemd from its first-boot setup."""
    return hashlib.sha256(f"holdfast-lab {instance_id}".encode()).hexdigest()[:32]


def network_file(nic: Nic) -> str:
    """Return systemd-networkd's configuration of the primary interface."""
    return (
        "# Written by the lab before the first boot, in place of the VPC's DHCP.\n"
        f"[Match]\nMACAddress={nic.mac}\nName=eth0\n\n"
        f"[Network]\nAddress={nic.private_ip}/{nic.prefix_length}\nGateway={nic.gateway}\n"
        "LinkLocalAddressing=no\nIPv6AcceptRA=no\nLLDP=no\nEmitLLDP=no\n"
    )


def files(spec: InstanceSpec) -> dict[str, str]:
    """Return the files to place, by path in the tree."""
    name = hostname(spec)
    return {
        "etc/hostname": f"{name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost ip6-localhost ip6-loopback\n",
        "etc/machine-id": f"{machine_id(spec.instance_id)}\n",
        NETWORK_FILE: network_file(spec.nics[0]),
    }


def seed(root: Path, spec: InstanceSpec) -> None:
    """Place the files; an image's link that leads out of the tree is refused, and one at the file itself replaced."""
    resolved = root.resolve()
    for place, content in files(spec).items():
        target = root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if resolved not in target.parent.resolve().parents:
            raise MachineError(f"/{Path(place).parent} of image {spec.image_id} leads out of its tree")
        target.unlink(missing_ok=True)
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with os.fdopen(handle, "w") as output:
            output.write(content)
