# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which versions of ZooKeeper may serve side by side, and so which step a rolling upgrade may take. No I/O.

Servers of neighbouring minor versions speak with each other; a release series is skipped by nobody.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from typing import NamedTuple

VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-[0-9a-f]{7,})?")
#: The oldest series whose servers write what the next one reads without a look at every server's snapshot.
OLDEST = (3, 5)


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
        raise ValueError(f"{text!r} is no released version of ZooKeeper, such as 3.9.3")
    return Version(*(int(part) for part in found.groups()[:3]))


def step_fault(running: Version, wanted: Version, *, downgrade_allowed: bool) -> str | None:
    """Say why a server of C(running) must not be restarted as C(wanted) beside others of C(running); None if it may."""
    if running.major != wanted.major:
        return f"{running} and {wanted} are of different major versions; no roll leads from one to the other"
    if running.series < OLDEST or wanted.series < OLDEST:
        told = ".".join(str(part) for part in OLDEST)
        return f"from {running} to {wanted} is a way through versions before {told}; go by hand to {told} first"
    if abs(wanted.minor - running.minor) > 1:
        step = running.minor + (1 if wanted.minor > running.minor else -1)
        return f"{wanted} is more than one release series from {running}; go to {running.major}.{step}.x first"
    if wanted < running and not downgrade_allowed:
        return (
            f"{wanted} is older than {running}, which runs; going back is meant for an upgrade that went wrong, and "
            "has to be allowed with downgrade_allowed"
        )
    return None
