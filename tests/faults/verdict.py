# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what was seen is what was expected. Pure: every reason for a no is a sentence of its own."""

from __future__ import annotations

from tests.faults.model import Expected, Refusal, Seen


def differences(expected: Expected, seen: Seen) -> list[str]:
    """Why a fault did not end as expected; empty when it did."""
    found = list(seen.problems)
    found += _data(seen)
    found += _bystanders(seen)
    if seen.recovered_seconds is None:
        found.append("the cluster was not whole again within its bound")
    if not seen.same_address_and_volumes:
        found.append("the identity's address or volumes are not what they were")
    replaced = seen.holder_before != seen.holder_after
    if expected.outcome == "unharmed" and replaced:
        found.append(f"the holder {seen.holder_before} was replaced by {seen.holder_after or 'nobody'}")
    if expected.outcome != "unharmed" and not replaced:
        found.append(f"no other instance holds the identity: still {seen.holder_before}")
    if expected.outcome in ("refused", "kept") and not seen.refusals:
        found.append(f"nobody refused ({expected.reason})")
    for refusal in seen.refusals:
        found += _refusal(expected, refusal)
    return found


def _data(seen: Seen) -> list[str]:
    found = []
    if seen.lost:
        found.append(f"{seen.lost} acknowledged messages cannot be read back")
    if not seen.acked:
        found.append("nothing was acknowledged, so nothing is proven about the data")
    if not seen.samples:
        found.append("the observer saw nothing, so nothing is proven about the identities")
    elif not seen.samples_with_claims:
        found.append("the observer never read the claims, so nothing is proven about them")
    found += [f"double identity: {double}" for double in seen.doubles]
    return found


def _bystanders(seen: Seen) -> list[str]:
    found = []
    if seen.restarted_elsewhere:
        found.append(f"processes restarted elsewhere: {', '.join(seen.restarted_elsewhere)}")
    if seen.reconfigured_elsewhere:
        found.append(f"configurations changed elsewhere: {', '.join(seen.reconfigured_elsewhere)}")
    return found


def _refusal(expected: Expected, refusal: Refusal) -> list[str]:
    who = refusal.instance_id
    found = []
    if expected.reason and refusal.reason != expected.reason:
        found.append(f"{who} was asked for the reason {refusal.reason}, {expected.reason} is expected")
    if not refusal.on_console:
        found.append(f"the console of {who} does not say {refusal.reason}")
    if expected.outcome == "kept":
        if refusal.marked_unhealthy or refusal.signalled_failure:
            found.append(f"{who} gave itself up, although the next instance would find the same")
        if not refusal.kept:
            found.append(f"{who} does not say that it is kept")
    else:
        if not refusal.marked_unhealthy:
            found.append(f"{who} did not mark itself unhealthy")
        if not refusal.signalled_failure:
            found.append(f"{who} did not signal failure to its stack")
    found += [f"{who} changed {what}" for what in refusal.changed]
    return found


def sentence(seen: Seen) -> str:
    """What was seen, for the report."""
    parts = []
    for refusal in seen.refusals:
        told = [
            word
            for word, flag in (
                ("marked unhealthy", refusal.marked_unhealthy),
                ("failure signalled", refusal.signalled_failure),
                ("kept", refusal.kept),
            )
            if flag
        ]
        said = refusal.reason if refusal.on_console else f"not {refusal.reason}"
        parts.append(f"an instance said {said} ({', '.join(told) or 'told nobody'})")
    same = "the same identity" if seen.same_address_and_volumes else "ANOTHER identity"
    if seen.holder_after == seen.holder_before:
        parts.append(f"the holder stayed, {same}")
    elif seen.holder_after:
        parts.append(f"another instance came back as {same}")
    else:
        parts.append("nobody holds the identity")
    return "; ".join([*parts, *seen.notes])
