# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host and port as people write them.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from typing import NamedTuple


class Address(NamedTuple):
    """A host and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return ``host:port``, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str, default_port: int) -> Address:
    """Read ``host``, ``host:port``, ``[v6]`` or ``[v6]:port``; ValueError says what is wrong."""
    stripped = text.strip()
    if stripped.startswith("["):
        host, closing, rest = stripped[1:].partition("]")
        if not closing or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is not host:port")
        port_text = rest[1:] if rest else None
    elif stripped.count(":") > 1:
        host, port_text = stripped, None
    else:
        host, colon, after = stripped.partition(":")
        port_text = after if colon else None
    if not host or any(one.isspace() or not one.isprintable() or one in "/,[]" for one in host):
        raise ValueError(f"{text!r} is not host:port")
    if port_text is None:
        return Address(host, default_port)
    if not (port_text.isascii() and port_text.isdigit() and 0 < int(port_text) < 65536):
        raise ValueError(f"{text!r} has no port between 1 and 65535")
    return Address(host, int(port_text))
