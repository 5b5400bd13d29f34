# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a boot is cut off: each cut knows when it is reached, and when it came too late."""

from __future__ import annotations

import pytest

from tests.faults.theme_boot import CUTS, ORDER, Moment

# A boot, moment by moment, as the watch may see it.
BOOT = [
    Moment(frozenset(), eni=False, volume=False, mounted=False),
    Moment(frozenset(ORDER[:2]), eni=False, volume=False, mounted=False),
    Moment(frozenset(ORDER[:2]), eni=True, volume=False, mounted=False),
    Moment(frozenset(ORDER[:2]), eni=True, volume=True, mounted=False),
    Moment(frozenset(ORDER[:3]), eni=True, volume=True, mounted=True),
    Moment(frozenset(ORDER[:5]), eni=True, volume=True, mounted=True),
    Moment(frozenset(ORDER[:6]), eni=True, volume=True, mounted=True),
    Moment(frozenset(ORDER), eni=True, volume=True, mounted=True),
]


@pytest.mark.parametrize(
    ("name", "hits"), [("claim", [1]), ("eni", [2]), ("volume", [3]), ("mount", [4]), ("signal", [6])]
)
def test_a_cut_hits_its_own_moment_only(name: str, hits: list[int]) -> None:
    cut = CUTS[name]
    assert [index for index, now in enumerate(BOOT) if cut.reached(now) and not cut.passed(now)] == hits
    assert cut.passed(BOOT[-1])
