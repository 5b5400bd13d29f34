# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that route an ENI: for systemd-networkd, for the kernel's settings, for the table's name. Texts only."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from ansible_collections.holdfast.kafka.plugins.module_utils.eni_routing import Wanted

NETWORKD_DIRECTORY = "/etc/systemd/network"
SYSCTL_PATH = "/etc/sysctl.d/70-holdfast-eni.conf"
TABLES_PATH = "/etc/iproute2/rt_tables.d/holdfast.conf"
HEADER = "# Written by Ansible (holdfast.kafka.eni_routing). Changes made here are lost."

_NETWORKD = """\
{header}

[Match]
MACAddress={mac}

[Link]
# Without DHCP nobody else sets it, and the ENI would be the narrower way between two brokers.
MTUBytes={wanted.mtu}
# The primary interface alone decides whether the host is online.
RequiredForOnline=no

[Network]
DHCP=no
LinkLocalAddressing=no
IPv6AcceptRA=no

[Address]
Address={wanted.address}/{prefix_length}
# No route in the main table: what the host itself begins leaves by the primary interface.
AddPrefixRoute=false

[RoutingPolicyRule]
From={wanted.address}/32
Table={wanted.table_id}
Priority={wanted.priority}

# Without the connected route, neighbours in the subnet would be answered through the router.
[Route]
Destination={wanted.subnet_cidr}
Scope=link
PreferredSource={wanted.address}
Table={wanted.table_id}

[Route]
Gateway={wanted.gateway}
PreferredSource={wanted.address}
Table={wanted.table_id}
"""


def networkd_name(eni_id: str) -> str:
    """The name of the ENI's C(.network) file; files sorting before it win over it."""
    return f"70-holdfast-{eni_id}.network"


def networkd_text(wanted: Wanted, mac: str) -> str:
    """The interface's address, MTU, rule and routes, found by its MAC at each boot."""
    prefix_length = ipaddress.ip_network(wanted.subnet_cidr, strict=False).prefixlen
    return _NETWORKD.format(header=HEADER, mac=mac, wanted=wanted, prefix_length=prefix_length)


def sysctl_text(settings: Mapping[str, object]) -> str:
    """The kernel settings, for each boot."""
    return "\n".join([HEADER, *(f"{key} = {settings[key]}" for key in sorted(settings))]) + "\n"


def tables_text(table_id: int, table_name: str) -> str:
    """The table's name, for people who type C(ip route)."""
    return f"{HEADER}\n{table_id}\t{table_name}\n"
