# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a process has been started since a time, by ages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.holdfast.kafka.plugins.filter.started_since import FilterModule

started_since = FilterModule().filters()["started_since"]


def ago(seconds: float) -> str:
    """The time that was so long ago."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("process", "since_seconds", "wanted"),
    [
        ({"running": True, "age_seconds": 30.0}, 600, True),
        ({"running": True, "age_seconds": 3000.0}, 600, False),
        ({"running": False, "age_seconds": None}, 600, False),
        ({"running": True, "age_seconds": 30.0}, -600, False),
    ],
    ids=["younger", "older", "none", "a time to come"],
)
def test_ages_are_compared(process: dict[str, Any], since_seconds: int, wanted: bool) -> None:
    assert started_since(process, ago(since_seconds)) is wanted


def test_fractions_and_nothing() -> None:
    process = {"running": True, "age_seconds": 30.0}
    assert started_since(process, ago(600).replace("Z", ".123456Z")) is True
    assert started_since(process, "") is False


@pytest.mark.parametrize("since", ["yesterday", "2026-05-04T03:02:01", "12:30", "2026-13-01T00:00:00Z", 1767225600])
def test_what_is_no_time_is_refused(since: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="is no time in UTC such as"):
        started_since({"running": True, "age_seconds": 1.0}, since)
