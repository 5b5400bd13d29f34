# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an inventory says about pools and subnets: is it whole, and which Auto Scaling groups follow from it.

PRIVATE to the collection. Pure functions: no AWS, no files. Every fault is one sentence that names the variable, the
value it has and what to do about it, and all faults are found in one go.
"""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

ROLES = ("zookeeper", "kafka")
VOLUME_TYPES = ("gp3", "gp2", "io1", "io2", "st1")
MAX_NODE_ID = {"zookeeper": 255, "kafka": 999}
MIN_NODE_ID = {"zookeeper": 1, "kafka": 0}
RESERVED_HOSTS = 4  # AWS keeps the first four addresses of a subnet and the last one

Subnet = Mapping[str, Any]
Identity = Mapping[str, Any]
Pools = Mapping[str, Sequence[Identity]]


def subnet_faults(subnets: Sequence[Subnet]) -> list[str]:
    """Return what is wrong with C(holdfast_subnets) by itself."""
    faults: list[str] = []
    zones: dict[str, int] = {}
    for index, subnet in enumerate(subnets):
        where = f"holdfast_subnets[{index}]"
        missing = [key for key in ("availability_zone", "subnet_id", "cidr") if not subnet.get(key)]
        if missing:
            faults.append(f"{where} has no {' and no '.join(missing)}; give availability_zone, subnet_id and cidr.")
            continue
        zone = str(subnet["availability_zone"])
        if zone in zones:
            faults.append(
                f"{where}.availability_zone is {zone}, as is that of holdfast_subnets[{zones[zone]}]; "
                f"name one subnet per zone."
            )
        zones.setdefault(zone, index)
        if _network(subnet) is None:
            faults.append(f"{where}.cidr is {subnet['cidr']!r}, which is no IPv4 network; write it like 10.0.1.0/24.")
    return faults


def pool_faults(pools: Pools, subnets: Sequence[Subnet]) -> list[str]:
    """Return every fault of C(holdfast_pools) against C(holdfast_subnets); an empty list means that it can be built."""
    faults = subnet_faults(subnets)
    by_zone = {str(s.get("availability_zone")): s for s in subnets}
    addresses: dict[str, str] = {}
    for role, identities in pools.items():
        if role not in ROLES:
            faults.append(f"holdfast_pools has a role {role!r}; the roles are {' and '.join(ROLES)}.")
            continue
        ids: dict[int, str] = {}
        for index, identity in enumerate(identities):
            where = f"holdfast_pools.{role}[{index}]"
            faults += _identity_faults(role, where, identity, by_zone)
            _collect(faults, ids, identity.get("node_id"), f"{where}.node_id", "give every node of a role its own id")
            address = identity.get("private_ip")
            _collect(faults, addresses, address, f"{where}.private_ip", "give every identity its own address")
    faults += [f"holdfast_pools has no identity of the role {r}; list at least one." for r in ROLES if not pools.get(r)]
    return faults


def _collect(faults: list[str], seen: dict[Any, str], value: Any, where: str, fix: str) -> None:
    """Note C(value) as used at C(where); a second use is a fault."""
    if value is None or isinstance(value, bool):
        return
    if value in seen:
        faults.append(f"{where} is {value}, as is {seen[value]}; {fix}.")
    seen.setdefault(value, where)


def _identity_faults(role: str, where: str, identity: Identity, by_zone: Mapping[str, Subnet]) -> list[str]:
    faults: list[str] = []
    node_id = identity.get("node_id")
    low, high = MIN_NODE_ID[role], MAX_NODE_ID[role]
    if isinstance(node_id, bool) or not isinstance(node_id, int) or not low <= node_id <= high:
        faults.append(f"{where}.node_id is {node_id!r}; it must be a whole number from {low} to {high}.")
    zone = str(identity.get("availability_zone"))
    subnet = by_zone.get(zone)
    if subnet is None:
        known = ", ".join(sorted(by_zone)) or "empty"
        faults.append(
            f"{where}.availability_zone is {zone}, for which holdfast_subnets has no subnet (it has: {known})."
        )
    faults += _address_faults(where, identity.get("private_ip"), subnet)
    if not isinstance(identity.get("auto_scaling", True), bool):
        faults.append(
            f"{where}.auto_scaling is {identity['auto_scaling']!r}; it must be true, or false for an identity whose "
            "instance instance_create launches."
        )
    volumes = identity.get("volumes")
    if not isinstance(volumes, Sequence) or isinstance(volumes, str) or not volumes:
        faults.append(f"{where}.volumes is {volumes!r}; list at least one volume as {{size_gib: 100, type: gp3}}.")
    else:
        for number, volume in enumerate(volumes):
            faults += _volume_faults(f"{where}.volumes[{number}]", volume)
    return faults


def _address_faults(where: str, address: Any, subnet: Subnet | None) -> list[str]:
    try:
        ip = ipaddress.IPv4Address(address)
    except ValueError:
        return [f"{where}.private_ip is {address!r}, which is no IPv4 address; write it like 10.0.1.11."]
    network = _network(subnet) if subnet else None
    if subnet is None or network is None:
        return []
    if ip not in network:
        return [
            f"{where}.private_ip is {ip}, outside {network}, the subnet of {subnet['availability_zone']}; "
            f"choose an address inside it or another zone."
        ]
    offset = int(ip) - int(network.network_address)
    if offset < RESERVED_HOSTS or ip == network.broadcast_address:
        return [f"{where}.private_ip is {ip}, which AWS reserves in {network} (first four, last); choose another."]
    return []


def _volume_faults(where: str, volume: Any) -> list[str]:
    if not isinstance(volume, Mapping):
        return [f"{where} is {volume!r}; write it as {{size_gib: 100, type: gp3}}."]
    faults: list[str] = []
    size = volume.get("size_gib")
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= 65536:
        faults.append(f"{where}.size_gib is {size!r}; it must be a whole number of GiB from 1 to 65536.")
    kind = volume.get("type", "gp3")
    if kind not in VOLUME_TYPES:
        faults.append(f"{where}.type is {kind!r}; it must be one of {', '.join(VOLUME_TYPES)}.")
    return faults


def _network(subnet: Subnet) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(subnet.get("cidr"))
    except ValueError:
        return None


def pool_groups(pools: Pools, subnets: Sequence[Subnet]) -> list[dict[str, Any]]:
    """Return one Auto Scaling group per (role, zone): role, availability_zone, subnet_id, count of identities.

    An identity with C(auto_scaling: false) gets its instance by hand and is not counted; where nothing else is, the
    group is there all the same, empty, for it holds the launch template.
    """
    by_zone = {str(s["availability_zone"]): s for s in subnets}
    counts: dict[tuple[str, str], int] = {}
    for role in ROLES:
        for identity in pools.get(role, ()):
            key = (role, str(identity["availability_zone"]))
            counts[key] = counts.get(key, 0) + int(identity.get("auto_scaling", True))
    order = sorted(counts, key=lambda key: (ROLES.index(key[0]), key[1]))
    return [
        {"role": role, "availability_zone": zone, "subnet_id": by_zone[zone]["subnet_id"], "count": counts[role, zone]}
        for role, zone in order
    ]


def unknown_variables(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return a sentence for each name that is not known, with the nearest known one."""
    known = sorted(known)
    faults = []
    for name in sorted(set(names) - set(known)):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        alike = [other for other in known if other.split("_")[0] == name.split("_")[0]] or known
        hint = f"did you mean {near[0]}?" if near else f"the known ones are {', '.join(alike)}."
        faults.append(f"the variable {name} is set, but Holdfast has none of that name; {hint}")
    return faults
