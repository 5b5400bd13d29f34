# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge one round's history. Pure, and it knows nothing of the claim's code: only what must hold.

It rests on ZooKeeper's own order of the writes, not on what claimants say; their words are then held against it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tests.herd.history import ClaimWrite, Expectation, History, Verdict


@dataclass(frozen=True)
class Violation:
    """One thing that must not be; C(kind) is a machine word."""

    kind: str
    message: str


DOUBLE = ("double_identity", "two_identities")


def check(history: History, expected: Expectation) -> list[Violation]:
    """Return everything in the history that must not be."""
    last = last_verdicts(history)
    return [
        *_whole(history),
        *_holders(history, expected),
        *_words(history, last, expected),
        *_outcomes(history, last, expected),
    ]


def last_verdicts(history: History) -> dict[str, Verdict]:
    """Return each claimant's verdict; of one that was started again, the last."""
    found: dict[str, Verdict] = {}
    for verdict in sorted(history.verdicts, key=lambda one: one.incarnation):
        found[verdict.instance_id] = verdict
    return found


def _by_node(history: History) -> dict[int, list[ClaimWrite]]:
    writes: dict[int, list[ClaimWrite]] = {}
    for write in sorted(history.writes, key=lambda one: one.zxid):
        writes.setdefault(write.node_id, []).append(write)
    return writes


def _whole(history: History) -> Iterator[Violation]:
    """Nothing is missing from the history itself, or nothing else that it shows can be believed."""
    by_node = _by_node(history)
    for node_id, writes in by_node.items():
        versions = [write.version for write in writes]
        if versions != list(range(len(writes))):
            yield Violation("torn_history", f"{node_id}: versions {versions} by order of zxid")
        if not all(write.readable for write in writes):
            yield Violation("unreadable_claim", f"{node_id}: a write that nobody can read")
    final = {item.node_id: item for item in history.final}
    for node_id in sorted(final.keys() | by_node.keys()):
        seen = final.get(node_id)
        if node_id not in by_node or seen is None:
            yield Violation("torn_history", f"{node_id}: {'not in the log' if seen else 'in the log only'}")
            continue
        written = by_node[node_id][-1]
        if (written.version, written.zxid, written.holder) != (seen.version, seen.mzxid, seen.holder):
            yield Violation("torn_history", f"{node_id}: the log ends with {written}, a client reads {seen}")


def _holders(history: History, expected: Expectation) -> Iterator[Violation]:
    """One holder at any time: only a dead holder is followed, and nobody holds two."""
    holders: dict[int, str | None] = {}
    for write in sorted(history.writes, key=lambda one: one.zxid):
        before = holders.get(write.node_id)
        if before is not None and write.holder != before and before not in expected.dead:
            yield Violation(
                "double_identity",
                f"{write.node_id}: written for {write.holder} at version {write.version} while {before} held it",
            )
        holders[write.node_id] = write.holder
        mine = sorted(node_id for node_id, holder in holders.items() if holder == write.holder)
        if write.holder is not None and len(mine) > 1 and write.holder not in expected.dead:
            yield Violation("two_identities", f"{write.holder} holds {mine}")


def _words(history: History, last: dict[str, Verdict], expected: Expectation) -> Iterator[Violation]:
    """What claimants say is what ZooKeeper has."""
    by_node = _by_node(history)
    won = {name: verdict for name, verdict in last.items() if verdict.succeeded}
    for node_id, count in Counter(verdict.node_id for verdict in won.values()).items():
        if count > 1:
            names = sorted(name for name, verdict in won.items() if verdict.node_id == node_id)
            yield Violation("double_identity", f"{node_id}: {', '.join(names)} all say that they hold it")
    for verdict in history.verdicts:
        if not verdict.succeeded:
            continue
        mine = [write for write in by_node.get(verdict.node_id, []) if write.holder == verdict.instance_id]  # type: ignore[arg-type]  # None finds nothing
        if verdict.version not in [write.version for write in mine]:
            yield Violation(
                "false_win",
                f"{verdict.instance_id} says {verdict.outcome} {verdict.node_id} at version {verdict.version}",
            )
    for item in history.final:
        if item.holder is None or item.holder in expected.dead:
            continue
        told = won.get(item.holder)
        if told is None or told.node_id != item.node_id:
            yield Violation("lost_identity", f"{item.node_id}: claimed for {item.holder}, which does not know it")
    for verdict in history.verdicts:
        for node_id, _action, result in verdict.attempts:
            if result == "lost" and node_id not in by_node:
                yield Violation("lost_to_nobody", f"{verdict.instance_id} lost {node_id}, which nobody ever wrote")


def _outcomes(history: History, last: dict[str, Verdict], expected: Expectation) -> Iterator[Violation]:
    """Everybody ends in time, as many succeed as there are identities, and the others say why."""
    for name in expected.claimants:
        if name not in last:
            yield Violation("no_verdict", f"{name} never came to an end")
    for name in sorted(last.keys() - set(expected.claimants)):
        yield Violation("stranger", f"{name} is no claimant of this round")
    winners = sum(verdict.succeeded for verdict in last.values())
    if winners != expected.winners:
        yield Violation("wrong_winners", f"{winners} of {len(expected.claimants)} succeeded, not {expected.winners}")
    for name, verdict in sorted(last.items()):
        if not verdict.succeeded and verdict.reason not in expected.loser_reasons:
            yield Violation("wrong_reason", f"{name} failed with {verdict.reason}: {verdict.message}")
        if verdict.seconds > expected.bound_seconds:
            yield Violation("too_late", f"{name} took {verdict.seconds:.1f} s, at most {expected.bound_seconds:.0f} s")
    if len(expected.claimants) >= len(expected.identities):
        held = {item.node_id for item in history.final if item.holder in expected.claimants}
        for node_id in sorted(set(expected.identities) - held):
            yield Violation("identity_not_taken", f"{node_id}: nobody's, with claimants enough")
    for item in history.final:
        if item.node_id not in expected.identities:
            yield Violation("stranger", f"{item.node_id} is no identity of this round")
