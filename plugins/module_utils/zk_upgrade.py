# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which versions of ZooKeeper may serve side by side, and so which step a rolling upgrade may take. No I/O.

Servers of neighbouring minor versions speak with each other; a release series is skipped by nobody.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from ansible_collections.holdfast.kafka.plugins.module_utils.release import Version

#: The oldest series whose servers write what the next one reads without a look at every server's snapshot.
OLDEST = (3, 5)


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
