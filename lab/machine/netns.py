# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network namespaces: the VPC with a bridge per subnet, one namespace per instance, and the veths between them.

A namespace is made nameless first; its inode goes into the ledger before its name appears, so that `down` can tell
the lab's namespace from one that somebody else made under the same name.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.config import IMDS_ADDRESS, SUBNETS, VPC_ADDRESS, LabConfig, Subnet
from lab.ledger import Ledger
from lab.machine.protocol import Nic
from lab.machine.shell import CommandError, MachineError, run
from lab.machine.trees import is_mounted

NETNS_DIR = Path("/run/netns")
VOID_BRIDGE = "br-void"
# Runs in a new namespace: says so on its output and waits until its input ends.
_HOLDER = "import sys; print('ready', flush=True); sys.stdin.read()"


@dataclass(frozen=True)
class Namespace:
    """A named network namespace and the inode that identifies it."""

    name: str
    inode: int
    ledger_entry: str

    @property
    def path(self) -> Path:
        """Return the path under which the namespace can be entered."""
        return NETNS_DIR / self.name


def inode_of(name: str) -> int | None:
    """Return the inode of the namespace with this name, None if there is no namespace behind the name."""
    path = NETNS_DIR / name
    try:
        info = path.stat()
    except FileNotFoundError:
        return None
    return info.st_ino if is_mounted(path) else None


def create(name: str, ledger: Ledger) -> Namespace:
    """Make a namespace under a name that must be free."""
    path = NETNS_DIR / name
    if path.exists():
        raise MachineError(f"a network namespace named {name} exists already and is not this lab's")
    _prepare_directory(ledger)
    holder = subprocess.Popen(
        ["unshare", "--net", "--", sys.executable, "-I", "-S", "-c", _HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        if holder.stdout.readline().strip() != "ready":
            _, said = holder.communicate(timeout=10)
            raise MachineError(f"a network namespace cannot be made here: {' '.join(said.split())}")
        source = Path(f"/proc/{holder.pid}/ns/net")
        inode = source.stat().st_ino
        entry = ledger.intend("netns", name=name, inode=inode)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0o444))
        except FileExistsError as error:
            ledger.forget(entry)
            raise MachineError(f"a network namespace named {name} exists already and is not this lab's") from error
        run(["mount", "--bind", str(source), str(path)])
    finally:
        holder.communicate(timeout=10)
    run(["ip", "-n", name, "link", "set", "lo", "up"])
    return Namespace(name, inode, entry)


def delete(name: str, inode: int) -> bool:
    """Remove the namespace if it is the one with *inode*; return whether nothing of it is left.

    An empty file under the name, without a namespace mounted on it, is what a kill in the middle of `create` leaves.
    """
    path = NETNS_DIR / name
    found = inode_of(name)
    if found is not None:
        if found != inode:
            return False
        run(["umount", str(path)])
        if is_mounted(path):
            return False
        path.unlink(missing_ok=True)
        return True
    if path.is_file() and path.stat().st_size == 0:
        path.unlink()
    return True


def _prepare_directory(ledger: Ledger) -> None:
    """Make the directory of names a shared mount, as `ip netns add` does, so that an unmount reaches every process."""
    NETNS_DIR.mkdir(mode=0o755, parents=True, exist_ok=True)
    if is_mounted(NETNS_DIR):
        return
    ledger.intend("mount", target=str(NETNS_DIR), only_if_empty=True)
    run(["mount", "--bind", str(NETNS_DIR), str(NETNS_DIR)])
    run(["mount", "--make-shared", str(NETNS_DIR)])


def build_vpc(config: LabConfig, ledger: Ledger) -> Namespace:
    """Make the VPC: the service addresses on its loopback, a bridge with the gateway's address per subnet."""
    vpc = create(config.vpc_netns, ledger)
    commands = [f"address add {address}/32 dev lo" for address in (VPC_ADDRESS, IMDS_ADDRESS)]
    for subnet in SUBNETS:
        commands += [
            f"link add {subnet.bridge} type bridge stp_state 0 forward_delay 0",
            f"link set {subnet.bridge} up",
            f"address add {subnet.gateway}/{subnet.prefix_length} dev {subnet.bridge}",
        ]
    run(["ip", "-n", vpc.name, "-batch", "-"], text_input="\n".join(commands) + "\n")
    settings = ["net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0"]
    settings += [f"net.ipv4.conf.{subnet.bridge}.rp_filter=0" for subnet in SUBNETS]
    settings += [f"net.ipv4.conf.{subnet.bridge}.send_redirects=0" for subnet in SUBNETS]
    run(["nsenter", f"--net={vpc.path}", "sysctl", "-q", "-w", *settings])
    return vpc


def subnet_of(nic: Nic) -> Subnet:
    """Return the subnet whose gateway is the interface's."""
    for subnet in SUBNETS:
        if subnet.gateway == nic.gateway:
            return subnet
    raise MachineError(f"{nic.eni_id} has the gateway {nic.gateway}, which no subnet of the lab has")


def outer_name(eni_id: str) -> str:
    """Return the name of the VPC's end of an interface's veth (at most 15 characters)."""
    return f"e-{eni_id[-12:]}"


def plug(config: LabConfig, instance_id: str, nic: Nic) -> None:
    """Make the interface appear in the instance's namespace: down, without an address."""
    outer, inner = outer_name(nic.eni_id), f"eth{nic.device_index}"
    subnet = subnet_of(nic)
    namespace = config.instance_netns(instance_id)
    add = f"link add {outer} type veth peer name {inner} address {nic.mac} netns {namespace}"
    inside = ["ip", "-n", config.vpc_netns]
    try:
        run([*inside, *add.split()])
    except CommandError as error:
        raise MachineError(f"{nic.eni_id} could not be plugged into {instance_id} as {inner}: {error}") from error
    try:
        run([*inside, "link", "set", outer, "master", subnet.bridge, "up"])
    except CommandError as error:
        unplug(config, nic.eni_id)
        raise MachineError(f"{nic.eni_id} could not be connected to {subnet.bridge}: {error}") from error


def unplug(config: LabConfig, eni_id: str) -> None:
    """Take the interface away; do nothing if it is not there."""
    try:
        run(["ip", "-n", config.vpc_netns, "link", "delete", outer_name(eni_id)])
    except CommandError as error:
        if "Cannot find device" not in error.output:
            raise


def plugged(config: LabConfig, instance_id: str) -> dict[str, str]:
    """Return the Ethernet interfaces of an instance's namespace: name by MAC."""
    listing = run(["ip", "-n", config.instance_netns(instance_id), "-o", "link", "show", "type", "veth"])
    found = {}
    for line in listing.splitlines():
        fields = line.split()
        found[fields[fields.index("link/ether") + 1]] = fields[1].partition("@")[0].rstrip(":")
    return found


def outer_ends(config: LabConfig, instance_id: str) -> dict[str, str]:
    """Return the VPC's end of each of an instance's veths, by the name of the instance's end."""
    listing = run(["ip", "-n", config.vpc_netns, "-o", "link", "show", "type", "veth"])
    outer = {}
    for line in listing.splitlines():
        index, name = line.split()[:2]
        outer[index.rstrip(":")] = name.partition("@")[0].rstrip(":")
    found = {}
    inside = run(["ip", "-n", config.instance_netns(instance_id), "-o", "link", "show", "type", "veth"])
    for line in inside.splitlines():
        name, _, peer = line.split()[1].rstrip(":").partition("@if")
        found[name] = outer[peer]
    return found


def connect(config: LabConfig, outer: str, bridge: str | None) -> None:
    """Put the VPC's end of a veth on a bridge; without one on a bridge that is down, which drops everything.

    The carrier stays, so that the instance sees an interface that is up and nobody who answers.
    """
    inside = ["ip", "-n", config.vpc_netns, "link"]
    if bridge is None:
        try:
            run([*inside, "add", VOID_BRIDGE, "type", "bridge"])
        except CommandError as error:
            if "File exists" not in error.output:
                raise
    run([*inside, "set", outer, "master", bridge or VOID_BRIDGE])


def unplug_all(config: LabConfig, instance_id: str) -> None:
    """Remove every veth of an instance's namespace, the VPC's ends with them."""
    for name in plugged(config, instance_id).values():
        run(["ip", "-n", config.instance_netns(instance_id), "link", "delete", name])


def processes_in(inodes: set[int]) -> list[int]:
    """Return the processes that live in one of the namespaces."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            inode = (entry / "ns/net").stat().st_ino
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ESRCH, errno.EACCES):
                continue
            raise
        if inode in inodes:
            found.append(int(entry.name))
    return sorted(found)
