# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kept against refilled: slopes, the extrapolation and what is not enough for one."""

from __future__ import annotations

import pytest

from benchmarks.figures import NotMeasuredError
from benchmarks.refill import Line, Timed, line, summary, whole_again


def rounds(kind: str, seconds: dict[int, list[float]]) -> list[Timed]:
    """Rounds of one kind: seconds by size."""
    return [Timed(kind, size, 1, value, size * 10**6) for size, values in seconds.items() for value in values]


KEPT = rounds("kept", {100: [20.0, 22.0, 21.0], 1000: [21.0], 2000: [21.0]})
REFILLED = rounds("refilled", {100: [22.0], 1000: [40.0], 2000: [60.0]})


def test_slopes_are_those_of_the_medians() -> None:
    figures = summary(KEPT + REFILLED, {"processors": 2})
    assert figures.conditions["kept_seconds_per_gigabyte"] == 0.0
    assert figures.conditions["refilled_seconds_per_gigabyte"] == 20.0
    assert figures.conditions["measured_factor_at_largest"] == round(60 / 21, 2)
    # (20 + 20 * 8000) / 21
    assert figures.conditions["extrapolated_factor_at_8_terabytes"] == pytest.approx(7620.0, rel=0.001)
    assert figures.conditions["processors"] == 2
    assert "100 megabytes" in figures.table()


def test_a_slope_below_nothing_counts_as_none() -> None:
    assert Line(20.0, -0.5).at(8_000_000) == 20.0


def test_two_sizes_make_no_slope() -> None:
    with pytest.raises(NotMeasuredError, match="three sizes"):
        line([(1, 1.0), (2, 2.0), (2, 2.5)])


def test_a_kind_without_a_round_is_not_measured() -> None:
    with pytest.raises(NotMeasuredError):
        summary(KEPT, {})


@pytest.mark.parametrize(
    ("before", "after", "believed"),
    [
        (256_500_000, 256_400_000, True),
        # The data went elsewhere, as in a cluster of more brokers than replicas.
        (128_000_000, 128_000_000, False),
        # It came back before it had copied what was there.
        (256_500_000, 128_000_000, False),
        (512_000_000, 256_500_000, False),
    ],
)
def test_a_refill_that_copied_too_little_is_no_measurement(before: int, after: int, believed: bool) -> None:
    if believed:
        assert whole_again("kafka-1", 256, before, after) == after
    else:
        with pytest.raises(NotMeasuredError, match="kafka-1 should hold 256 MB"):
            whole_again("kafka-1", 256, before, after)
