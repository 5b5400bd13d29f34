# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers that bound something are finite and not too small."""

from __future__ import annotations

import math

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.number_bounds import require_numbers


@pytest.mark.parametrize(
    ("value", "least", "wanted"),
    [
        (math.nan, None, "positive"),
        (math.inf, None, "positive"),
        (-math.inf, 0, "0 or more"),
        (math.nan, 0, "0 or more"),
        (0, None, "positive"),
        (-0.5, 0, "0 or more"),
        (29.9, 30, "30 or more"),
    ],
)
def test_what_bounds_nothing_is_refused_by_name(value: float, least: float | None, wanted: str) -> None:
    with pytest.raises(ValueError, match=rf"^b_seconds is {value:g}; it must be {wanted}$"):
        require_numbers({"a_seconds": 60, "b_seconds": value}, ("a_seconds", "b_seconds"), least)


@pytest.mark.parametrize(("value", "least"), [(1, None), (0.001, None), (0, 0), (30, 30)])
def test_what_bounds_something_is_taken(value: float, least: float | None) -> None:
    require_numbers({"a_seconds": value, "other": math.nan}, ["a_seconds"], least)
