# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of a boot: in order, with seconds, with the reason and its page, and without a secret."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.boot_story import (
    MEANINGS,
    failure_line,
    phase_line,
    redacted,
)

PHASES = {
    "system_start": "2030-01-01T00:00:00.000Z",
    "claim_start": "2030-01-01T00:00:10.000Z",
    "claim_end": "2030-01-01T00:00:12.500Z",
}


def test_a_line_has_phase_seconds_and_what_it_brought() -> None:
    assert phase_line(PHASES, "claim_end", "kafka 1 (claimed), eni-1, vol-1") == (
        "holdfast: claim_end         2.5 s     12.5 s since start  identity claimed: kafka 1 (claimed), eni-1, vol-1"
    )
    assert phase_line({"healthy": PHASES["claim_start"]}, "healthy").endswith("0.0 s since start  serving")
    assert phase_line({"other": PHASES["claim_start"]}, "other") == phase_line(
        {"other": PHASES["claim_start"]}, "other", ""
    )


def test_a_phase_that_is_dated_later_does_not_make_seconds_negative() -> None:
    later = {**PHASES, "healthy": "2030-01-01T01:00:00.000Z"}
    assert "  2.5 s" in phase_line(later, "claim_end")


def test_a_failure_names_the_last_phase_the_reason_and_the_page() -> None:
    line = failure_line(PHASES, "2030-01-01T00:01:00.000Z", "Claim: none\n  is free", "no_candidate")
    assert line.startswith("holdfast: FAILED           47.5 s     60.0 s since start  after claim_end: ")
    assert line.endswith("reason=no_candidate: Claim: none is free See docs/runbooks/reasons/no_candidate.md")
    assert failure_line({}, "2030-01-01T00:01:00.000Z", "x").endswith("See docs/runbooks/node_boot.md")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("git clone https://user:hunter2@git.example/x failed", "hunter2"),
        ("https://hunter2@git.example/x", "hunter2"),
        ("javax.jaas password=hunter2; more", "hunter2"),
        ('sasl_password: "hunter2 and more"', "hunter2"),
        ("aws_secret_access_key = hunter2", "hunter2"),
        ("X-Amz-Security-Token: hunter2", "hunter2"),
        ("ssl.key.password='hunter2'", "hunter2"),
    ],
)
def test_no_secret_is_told(text: str, secret: str) -> None:
    for line in (
        redacted(text),
        phase_line(PHASES, "claim_end", text),
        failure_line(PHASES, PHASES["claim_end"], text, "auth"),
    ):
        assert secret not in line
        assert "***" in line


def test_what_is_no_secret_stays() -> None:
    told = "demo-kafka-1 eni-0a vol-0b 10.77.1.21 as eth1; see https://example.org/x"
    assert redacted(told) == told


def test_every_ending_has_words() -> None:
    assert {"signalled", "finished", "gave_up", "kept"} <= set(MEANINGS)
