# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All faults, in the order in which they are played."""

from __future__ import annotations

from tests.faults import theme_api, theme_boot, theme_holders, theme_pool, theme_zookeeper
from tests.faults.model import Fault

FAULTS: tuple[Fault, ...] = (
    *theme_boot.FAULTS,
    *theme_holders.FAULTS,
    *theme_zookeeper.FAULTS,
    *theme_pool.FAULTS,
    *theme_api.FAULTS,
)


class UnknownFaultError(ValueError):
    """A name was asked for that no fault has."""


def select(names: str | None) -> tuple[Fault, ...]:
    """The faults named in a comma-separated list, in the table's order; all for None or ''."""
    if not names:
        return FAULTS
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    unknown = wanted - {fault.name for fault in FAULTS}
    if unknown:
        known = ", ".join(fault.name for fault in FAULTS)
        raise UnknownFaultError(f"no fault named {', '.join(sorted(unknown))}; there are: {known}")
    return tuple(fault for fault in FAULTS if fault.name in wanted)
