# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules of a ZooKeeper roll share: reading the ensemble's addresses, and asking all of its servers at once.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils import addresses, zk_4lw

CLIENT_PORT = 2181
HIGHEST_ID = 255


def read_addresses(servers: Mapping[Any, Any]) -> dict[int, addresses.Address]:
    """Return address by node id of what a playbook says; ValueError names what is wrong."""
    found: dict[int, addresses.Address] = {}
    for key, told in servers.items():
        text = str(key)
        if not text.isdigit() or not 1 <= int(text) <= HIGHEST_ID or str(int(text)) != text:
            raise ValueError(f"{text!r} is no server's id; they are 1 to {HIGHEST_ID}")
        address = addresses.parse(str(told), default_port=CLIENT_PORT)
        if address in found.values():
            raise ValueError(f"server {text} has the address of another one ({address})")
        found[int(text)] = address
    if not found:
        raise ValueError("there is no server")
    return dict(sorted(found.items()))


def ask_all(servers: Mapping[int, addresses.Address], timeout_seconds: float) -> dict[int, zk_4lw.Server]:
    """Ask every server at the same time; one that does not answer is an answer."""

    def one(address: addresses.Address) -> zk_4lw.Server:
        return zk_4lw.read_server(address, lambda where, word: zk_4lw.ask(where, word, timeout_seconds))

    with ThreadPoolExecutor(max_workers=len(servers)) as pool:
        return dict(zip(servers, pool.map(one, servers.values()), strict=True))
