# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this host is the one that a module was meant for.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import socket

from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError


def require_local(who: str, host: str) -> None:
    """HoldfastError ``wrong_host`` unless this host has ``who``'s address: its unit would be another's."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise HoldfastError("wrong_host", f"{who}'s address {host}: {error}") from error
    for family, kind, protocol, _name, address in found:
        with socket.socket(family, kind, protocol) as probe:
            try:
                probe.bind(address)
            except OSError:
                continue  # not an address of this host; the next may be
            return
    told = f"this host does not have the address {host} of {who}; its unit would be another's"
    raise HoldfastError("wrong_host", f"{told}. Look at how the inventory reaches the node")
