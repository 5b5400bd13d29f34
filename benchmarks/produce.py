# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What those who write noticed of something that was done to a cluster, in figures.

Two pauses are told, because they say different things. That of the producer is the longest time in which it got no
acknowledgement at all; it writes to one partition for a while, so whether it meets the one that is moved is chance. The
longest wait is that of one of many sends to every partition in turn: nothing that happens to a partition escapes it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.figures import Bound, NotMeasuredError, Spread, spread
from tests.rolls.traffic import Traffic

# With fewer, the largest of them would be all that p99 says.
FEWEST_SENDS = 200


@dataclass(frozen=True)
class Sends:
    """Sends at fixed moments; ``unacknowledged`` are those that failed or never ended."""

    acked: int
    unacknowledged: int
    p50_milliseconds: float
    p99_milliseconds: float
    longest_wait_seconds: float


@dataclass(frozen=True)
class Seen:
    """What producer and consumer say, and the sends at fixed moments beside them."""

    acked: int
    failed_sends: int
    lost: int
    longest_produce_pause_seconds: float
    sends: Sends


def share(values: Sequence[float], part: float) -> float:
    """The smallest value that this part of all does not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def sends(lines: Iterable[str], sent: int) -> Sends:
    """What a canary's file says of so many sends; NotMeasuredError when they are too few for a p99."""
    waits = [float(line.split()[1]) for line in lines]
    if len(waits) < FEWEST_SENDS:
        raise NotMeasuredError(f"{len(waits)} of {sent} sends were acknowledged; a p99 needs {FEWEST_SENDS}")
    return Sends(len(waits), sent - len(waits), share(waits, 0.5), share(waits, 0.99), round(max(waits) / 1000, 3))


def seen(traffic: Traffic) -> Seen:
    """Stop the traffic, and judge."""
    verdict = traffic.verdict()
    with traffic.canary.output.open(encoding="utf-8") as lines:
        measured = sends(lines, traffic.canary.sent)
    return Seen(**vars(verdict), sends=measured)


def rows(kind: str, found: Sequence[Seen]) -> dict[str, Spread]:
    """The rows of a table's column."""
    return {
        **send_rows(kind, [one.sends for one in found]),
        "producer_longest_pause_seconds": spread(f"{kind} pause", [one.longest_produce_pause_seconds for one in found]),
        "failed_sends": spread(f"{kind} failed sends", [failed(one) for one in found]),
        "lost": spread(f"{kind} lost", [one.lost for one in found]),
    }


def send_rows(kind: str, found: Sequence[Sends]) -> dict[str, Spread]:
    """The rows of the sends at fixed moments."""
    return {
        "longest_wait_for_an_ack_seconds": spread(f"{kind} wait", [one.longest_wait_seconds for one in found]),
        "p99_wait_for_an_ack_milliseconds": spread(f"{kind} p99", [one.p99_milliseconds for one in found]),
        "p50_wait_for_an_ack_milliseconds": spread(f"{kind} p50", [one.p50_milliseconds for one in found]),
    }


def failed(one: Seen) -> int:
    """The sends of both that were not acknowledged."""
    return one.failed_sends + one.sends.unacknowledged


def nothing_failed_nor_lost(by_kind: Mapping[str, Sequence[Seen]]) -> list[Bound]:
    """Two bounds of nothing for each kind, over all its rounds."""
    bounds = []
    for kind, found in by_kind.items():
        bounds.append(Bound(f"{kind}: failed sends in all rounds", 0, sum(failed(one) for one in found), ""))
        bounds.append(Bound(f"{kind}: acknowledged and lost in all rounds", 0, sum(one.lost for one in found), ""))
    return bounds
