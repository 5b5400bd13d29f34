# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports for servers of tests, free until the server binds them, and again whenever it restarts.

A port that the kernel picks for ``bind(0)`` lies where it also picks the source ports of outgoing connections, and
nothing keeps it for a server that starts a second later: a broker then ends with "Address already in use".
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOWEST = 10_000
TRIES = 1_000
# A port is this process's own as long as it holds it here. Servers listen on 127.0.0.1, so they are not in the way.
CLAIM_ADDRESS = "127.77.77.77"
LOCAL_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")

_claims: list[socket.socket] = []


def ephemeral_from() -> int:
    """The lowest port that the kernel gives to outgoing connections (ip(7), ``ip_local_port_range``)."""
    return int(LOCAL_PORT_RANGE.read_text().split()[0])


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1, all different, that no other caller gets until this process ends.

    RuntimeError when there are none.
    """
    below = ephemeral_from()
    found: list[int] = []
    for _ in range(TRIES):
        if len(found) == count:
            break
        port = random.randrange(LOWEST, below)
        claim = socket.socket()
        try:
            claim.bind((CLAIM_ADDRESS, port))
            with socket.socket() as trial:
                trial.bind(("127.0.0.1", port))
        except OSError:  # somebody else's
            claim.close()
            continue
        _claims.append(claim)
        found.append(port)
    if len(found) < count:
        raise RuntimeError(
            f"of {count} free ports from {LOWEST} to {below - 1} only {len(found)} were found in {TRIES} tries"
        )
    return found
