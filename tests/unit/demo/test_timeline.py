# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Phases from timestamps."""

from __future__ import annotations

from lab.demo import timeline

BOOT = {
    "system_start": "2030-01-01T00:00:05.000Z",
    "cloud_init_end": "2030-01-01T00:00:09.500Z",
    "claim_start": "2030-01-01T00:00:12.000Z",
    "claim_end": "2030-01-01T00:00:14.000Z",
    "attach_end": "2030-01-01T00:00:17.000Z",
    "configure_end": "2030-01-01T00:00:20.000Z",
    "service_start": "2030-01-01T00:00:21.000Z",
}
START = timeline.epoch("2030-01-01T00:00:00.000Z")


def test_phases_add_up_to_the_whole() -> None:
    found = timeline.phases("kafka", START, BOOT, START + 30)
    assert found["launch_seconds"] == 5.0
    assert found["in_isr_seconds"] == 9.0
    assert sum(value for value in found.values() if value is not None) == 30.0
    assert "in_quorum_seconds" in timeline.phases("zookeeper", START, BOOT, START + 30)


def test_a_phase_that_was_not_recorded_is_unknown_and_not_zero() -> None:
    found = timeline.phases("kafka", START, {}, START + 30)
    assert set(found.values()) == {None}
    assert timeline.own_part({"claim_start": BOOT["claim_start"]}) is None


def test_own_part_is_claim_to_service_start() -> None:
    assert timeline.own_part(BOOT) == 9.0
