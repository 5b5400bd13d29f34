# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who manages this host's network, and whether an ENI is routed as wanted. Pure: works on texts and C(ip -j) output."""

from __future__ import annotations

import fnmatch
import ipaddress
from dataclasses import dataclass
from typing import Any

#: systemd units (active ones are handed in) and the manager that each stands for, most specific first.
UNITS = {
    "NetworkManager.service": "NetworkManager",
    "networking.service": "ifupdown",
    "systemd-networkd.service": "systemd-networkd",
}
#: Files whose presence means that a second manager of secondary interfaces is installed.
EC2_NET_UTILS_PATHS = (
    "/usr/share/amazon-ec2-net-utils/lib.sh",
    "/usr/bin/setup-policy-routes",
    "/etc/sysconfig/network-scripts/ec2net-functions",
)


@dataclass(frozen=True)
class Wanted:
    """The routing that one ENI should have; C(mtu) in bytes, 0 for any."""

    interface: str
    address: str
    subnet_cidr: str
    gateway: str
    table_id: int
    priority: int
    mtu: int = 0


def subnet_gateway(cidr: str) -> str:
    """The VPC router's address: the first one after the subnet's base."""
    return str(ipaddress.ip_network(cidr, strict=False).network_address + 1)


def main_manager(active_units: list[str], interface_lines: str = "") -> str:
    """The manager of this host. ifupdown counts only when C(/etc/network/interfaces) brings up more than loopback."""
    for unit, manager in UNITS.items():
        if unit not in active_units:
            continue
        if manager == "ifupdown" and not ifupdown_interfaces(interface_lines):
            continue
        return manager
    return "none"


def ifupdown_interfaces(text: str) -> list[str]:
    """Interfaces other than lo which C(/etc/network/interfaces) brings up by itself."""
    names: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if words and words[0] in ("auto", "allow-hotplug"):
            names += [word for word in words[1:] if word != "lo"]
    return names


def match_section(text: str) -> dict[str, list[str]]:
    """The [Match] section of a systemd .network file, key to words."""
    section = ""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if stripped.startswith("["):
            section = stripped
        elif section == "[Match]" and "=" in stripped:
            key, _sep, value = stripped.partition("=")
            found.setdefault(key.strip(), []).extend(value.split())
    return found


def network_file_matches(text: str, interface: str, mac: str) -> bool:
    """Whether systemd-networkd would take this file for the interface, by Name, OriginalName, MACAddress and Type.

    Keys that only udev can answer (Driver, Path, Property) count as no match; the final verification catches those.
    """
    match = match_section(text)
    if not match:
        return False
    for key, words in match.items():
        if key in ("Name", "OriginalName"):
            good = [word for word in words if not word.startswith("!")]
            bad = [word.lstrip("!") for word in words if word.startswith("!")]
            if any(fnmatch.fnmatchcase(interface, word) for word in bad):
                return False
            if good and not any(fnmatch.fnmatchcase(interface, word) for word in good):
                return False
        elif key in ("MACAddress", "PermanentMACAddress"):
            if mac.lower() not in [word.lower().replace("-", ":") for word in words]:
                return False
        elif key == "Type":
            if "ether" not in words:
                return False
        else:
            return False
    return True


def conflicts(
    wanted: Wanted,
    mac: str,
    files: dict[str, str],
    own_file: str,
    rules: list[dict[str, Any]],
    other_managers: list[str],
) -> list[str]:
    """Sentences about everything else that routes, or would route, this ENI. Empty when nobody does.

    C(files): path to text of all .network files; C(rules): C(ip -j rule show).
    """
    found = [f"{name} is installed and sets up secondary interfaces itself" for name in other_managers]
    own_name = own_file.rpartition("/")[2]
    for path in sorted(files, key=lambda name: name.rpartition("/")[2]):
        if path.rpartition("/")[2] >= own_name:
            continue
        if network_file_matches(files[path], wanted.interface, mac):
            by = " (written by netplan, probably from cloud-init)" if "netplan" in path else ""
            found.append(f"{path}{by} matches {wanted.interface} and sorts before {own_name}")
    for rule in rules:
        if rule.get("src") != wanted.address:
            continue
        if table_number(rule.get("table")) != wanted.table_id or rule.get("priority") != wanted.priority:
            found.append(
                f"a rule with priority {rule.get('priority')} sends {wanted.address} to table {rule.get('table')}"
            )
    return found


def table_number(table: Any, names: dict[str, int] | None = None) -> int | None:
    """A routing table as a number; C(ip -j -N) gives digits, otherwise names are looked up."""
    text = str(table)
    if text.isdigit():
        return int(text)
    return {"local": 255, "main": 254, "default": 253, **(names or {})}.get(text)


def missing(
    wanted: Wanted, links: list[dict[str, Any]], rules: list[dict[str, Any]], routes: list[dict[str, Any]]
) -> list[str]:
    """What is not there yet, as C(ip -j) tells it. Empty means that the ENI is routed as wanted.

    C(links): C(ip -j addr show dev), C(rules): C(ip -j -N rule), C(routes): C(ip -j -N route show table <id>).
    """
    gaps: list[str] = []
    link = next((item for item in links if item.get("ifname") == wanted.interface), None)
    if link is None:
        return [f"interface {wanted.interface}"]
    if "UP" not in link.get("flags", []):
        gaps.append(f"{wanted.interface} up")
    if "LOWER_UP" not in link.get("flags", []):
        gaps.append(f"carrier on {wanted.interface}")
    if wanted.mtu and link.get("mtu") != wanted.mtu:
        gaps.append(f"MTU {wanted.mtu} on {wanted.interface} (it is {link.get('mtu')})")
    addresses = [item for item in link.get("addr_info", []) if item.get("local") == wanted.address]
    if not addresses:
        gaps.append(f"address {wanted.address} on {wanted.interface}")
    elif any("tentative" in item for item in addresses):
        gaps.append(f"address {wanted.address} still tentative")
    if not any(_is_wanted_rule(rule, wanted) for rule in rules):
        gaps.append(f"rule from {wanted.address} lookup {wanted.table_id} priority {wanted.priority}")
    mine = [route for route in routes if route.get("dev") == wanted.interface]
    if not any(route.get("dst") == "default" and route.get("gateway") == wanted.gateway for route in mine):
        gaps.append(f"default route via {wanted.gateway} in table {wanted.table_id}")
    if not any(route.get("dst") == wanted.subnet_cidr and "gateway" not in route for route in mine):
        gaps.append(f"connected route {wanted.subnet_cidr} in table {wanted.table_id}")
    return gaps


def _is_wanted_rule(rule: dict[str, Any], wanted: Wanted) -> bool:
    return (
        rule.get("src") == wanted.address
        and rule.get("priority") == wanted.priority
        and table_number(rule.get("table")) == wanted.table_id
    )


def primary_mtu(interface: str, routes: list[dict[str, Any]], links: list[dict[str, Any]]) -> int | None:
    """The MTU, in bytes, of the host's primary interface: the one of the best default route that is not the ENI's.

    C(routes): C(ip -j -N route show default) of the main table, C(links): C(ip -j link). None if there is no such way.
    """
    ways = [route for route in routes if route.get("dev") not in (None, interface)]
    if not ways:
        return None
    primary = min(ways, key=lambda route: int(route.get("metric", 0)))["dev"]
    return next((int(link["mtu"]) for link in links if link.get("ifname") == primary and link.get("mtu")), None)


def sysctl_gaps(wanted: dict[str, str], actual: dict[str, str]) -> list[str]:
    """Kernel settings that differ, as C(key=actual, wanted value)."""
    wrong = {key: value for key, value in wanted.items() if actual.get(key) != value}
    return [f"{key}={actual.get(key, 'unreadable')}, wanted {value}" for key, value in wrong.items()]
