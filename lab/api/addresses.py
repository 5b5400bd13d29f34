# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private addresses of a subnet: which are taken, which may be asked for, which comes next."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from lab.api.errors import invalid_value, refuse

DYNAMIC_OFFSET = 100
"""Addresses without a wish start here in a /24 or larger, so that fixed ones below never meet them."""


def is_reserved(network: IPv4Network, address: IPv4Address) -> bool:
    """EC2 keeps the first four addresses and the last one of every subnet."""
    offset = int(address) - int(network.network_address)
    return offset < 4 or offset >= network.num_addresses - 1


def check_wanted(cidr: str, wanted: str, taken: Collection[str]) -> None:
    """Raise EC2's refusal if ``wanted`` is malformed, outside ``cidr``, reserved or taken."""
    network = IPv4Network(cidr)
    try:
        address = IPv4Address(wanted)
    except AddressValueError:
        raise refuse("InvalidParameterValue", f"invalid value for parameter address: {wanted}") from None
    if address not in network:
        raise invalid_value(f"Address {wanted} does not fall within the subnet's address range")
    if is_reserved(network, address):
        raise invalid_value(f"Address {wanted} is in subnet's reserved address range")
    if wanted in taken:
        raise refuse("InvalidIPAddress.InUse", f"Address {wanted} is in use.")


def next_free(cidr: str, taken: Collection[str], after: str | None, subnet_id: str) -> str:
    """Return the next free dynamic address, going round from ``after`` so that a freed one rests as long as it can.

    Raises ``InsufficientFreeAddressesInSubnet`` when none is left.
    """
    network = IPv4Network(cidr)
    first = DYNAMIC_OFFSET if network.num_addresses >= 256 else 4
    count = network.num_addresses - 1 - first
    start = 0
    if after is not None and IPv4Address(after) in network:
        start = int(IPv4Address(after)) - int(network.network_address) - first + 1
    for step in range(count):
        address = str(network.network_address + first + (start + step) % count)
        if address not in taken:
            return address
    raise refuse("InsufficientFreeAddressesInSubnet", f"Insufficient free addresses in subnet '{subnet_id}'.")
