# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict of a fault: each thing that must not be is planted once, and is found by its own sentence."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.faults.model import Expected, Refusal, Seen
from tests.faults.verdict import differences, sentence

NO = Refusal("i-no", "no_candidate", on_console=True, marked_unhealthy=True, signalled_failure=True, kept=False)
STAYS = Refusal("i-no", "id_mismatch", on_console=True, marked_unhealthy=False, signalled_failure=False, kept=True)
RECOVERS, REFUSED = Expected("recovers"), Expected("refused", "no_candidate")
KEPT, UNHARMED = Expected("kept", "id_mismatch"), Expected("unharmed", "no_candidate")


def seen(**changes: Any) -> Seen:
    """A flawless replacement, with changes."""
    return Seen(
        **{
            "acked": 100,
            "samples": 40,
            "samples_with_claims": 30,
            "recovered_seconds": 31.0,
            "same_address_and_volumes": True,
            "holder_before": "i-old",
            "holder_after": "i-new",
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("expected", "what"),
    [
        (RECOVERS, seen()),
        (REFUSED, seen(refusals=[NO])),
        (KEPT, seen(refusals=[STAYS])),
        (UNHARMED, seen(holder_after="i-old", refusals=[NO])),
        (Expected("unharmed"), seen(holder_after="i-old")),
    ],
    ids=lambda value: value.outcome if isinstance(value, Expected) else "",
)
def test_what_was_expected_is_no_difference(expected: Expected, what: Seen) -> None:
    assert differences(expected, what) == []


def _no(**changes: Any) -> Seen:
    return seen(refusals=[dataclasses.replace(NO, **changes)])


def _stays(**changes: Any) -> Seen:
    return seen(refusals=[dataclasses.replace(STAYS, **changes)])


@pytest.mark.parametrize(
    ("expected", "what", "words"),
    [
        (RECOVERS, seen(lost=1), "1 acknowledged messages cannot be read back"),
        (RECOVERS, seen(acked=0), "nothing was acknowledged"),
        (RECOVERS, seen(samples=0), "the observer saw nothing"),
        (RECOVERS, seen(samples_with_claims=0), "never read the claims"),
        (RECOVERS, seen(doubles=["kafka-1 runs 2 times: on i-a, i-b"]), "double identity: kafka-1"),
        (RECOVERS, seen(recovered_seconds=None), "not whole again"),
        (RECOVERS, seen(same_address_and_volumes=False), "address or volumes"),
        (RECOVERS, seen(holder_after="i-old"), "no other instance holds the identity"),
        (RECOVERS, seen(restarted_elsewhere=["kafka-3"]), "processes restarted elsewhere: kafka-3"),
        (RECOVERS, seen(reconfigured_elsewhere=["kafka-3"]), "configurations changed elsewhere: kafka-3"),
        (RECOVERS, seen(problems=["the story broke off"]), "the story broke off"),
        (REFUSED, seen(), "nobody refused (no_candidate)"),
        (REFUSED, _no(reason="pool_fault"), "no_candidate is expected"),
        (REFUSED, _no(on_console=False), "does not say no_candidate"),
        (REFUSED, _no(marked_unhealthy=False), "did not mark itself unhealthy"),
        (REFUSED, _no(signalled_failure=False), "did not signal failure"),
        (REFUSED, _no(changed=("the claim of kafka-1",)), "changed the claim of kafka-1"),
        (KEPT, seen(), "nobody refused (id_mismatch)"),
        (KEPT, _stays(marked_unhealthy=True), "gave itself up"),
        (KEPT, _stays(signalled_failure=True), "gave itself up"),
        (KEPT, _stays(kept=False), "does not say that it is kept"),
        (KEPT, _stays(changed=("the content of vol-1",)), "changed the content of vol-1"),
        (KEPT, _stays(reason="refill_refused"), "id_mismatch is expected"),
        (UNHARMED, seen(), "was replaced by i-new"),
        (UNHARMED, seen(holder_after=""), "was replaced by nobody"),
    ],
)
def test_each_difference_is_found(expected: Expected, what: Seen, words: str) -> None:
    found = differences(expected, what)
    assert len(found) == 1, found
    assert words in found[0]


@pytest.mark.parametrize("outcome", ["perhaps", "refused", "kept"])
def test_an_expectation_that_checks_nothing_is_refused(outcome: str) -> None:
    with pytest.raises(ValueError, match="outcome"):
        Expected(outcome)


def test_the_sentence_says_what_was_seen() -> None:
    assert sentence(seen(refusals=[NO])) == (
        "an instance said no_candidate (marked unhealthy, failure signalled); "
        "another instance came back as the same identity"
    )
    assert "said not id_mismatch (kept)" in sentence(_stays(on_console=False))
    assert sentence(seen(holder_after="i-old", notes=["a note"])) == "the holder stayed, the same identity; a note"
    assert "nobody holds the identity" in sentence(seen(holder_after=""))
    assert "ANOTHER identity" in sentence(seen(same_address_and_volumes=False))
