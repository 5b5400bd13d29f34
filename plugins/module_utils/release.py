# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Released versions of Kafka and ZooKeeper, as numbers that compare. No I/O.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from typing import NamedTuple

VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-[0-9a-f]{7,})?")


class Version(NamedTuple):
    """A released version."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        """Return it as Apache writes it."""
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def series(self) -> tuple[int, int]:
        """Return major and minor."""
        return (self.major, self.minor)


def parse(text: str) -> Version:
    """Read ``3.8.4`` or what a server says (``3.8.4-9316c2a7...``); ValueError when it is no release."""
    found = VERSION.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no released version, such as 3.9.1")
    return Version(*(int(part) for part in found.groups()[:3]))
