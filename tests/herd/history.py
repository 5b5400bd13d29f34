# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened in one round, as data: every write of a claim in ZooKeeper's order, and every claimant's verdict."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

SUCCESSES = ("claimed", "taken_over", "restored", "already_held")


@dataclass(frozen=True)
class ClaimWrite:
    """One committed write of a claim; C(zxid) is its place in ZooKeeper's order, C(holder) None is "given back"."""

    zxid: int
    node_id: int
    version: int
    holder: str | None
    session_id: int = 0
    readable: bool = True


@dataclass(frozen=True)
class Final:
    """A claim as a client reads it when all is over."""

    node_id: int
    version: int
    mzxid: int
    holder: str | None


@dataclass(frozen=True)
class Verdict:
    """What one claimant's process said in the end; times in seconds of the machine's monotonic clock.

    C(signalled) is when all claimants were told to start, C(started) when this process was first scheduled after that.
    """

    instance_id: str
    incarnation: int
    signalled: float
    started: float
    ended: float
    outcome: str | None = None
    node_id: int | None = None
    version: int | None = None
    reason: str | None = None
    message: str = ""
    attempts: tuple[tuple[int, str, str], ...] = ()
    waits: tuple[str, ...] = ()
    waited_seconds: float = 0.0
    requests: tuple[str, ...] = ()
    cpu_seconds: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether the claimant holds an identity by its own word."""
        return self.outcome in SUCCESSES

    @property
    def seconds(self) -> float:
        """From the common start to the verdict."""
        return self.ended - self.signalled

    @property
    def own_seconds(self) -> float:
        """From this process' first instruction after the start to its verdict."""
        return self.ended - self.started

    def results(self, word: str) -> int:
        """How many of its writes ended in this way (C(won), C(lost), C(unknown))."""
        return sum(result == word for _node, _action, result in self.attempts)


@dataclass(frozen=True)
class Expectation:
    """What the round was made of. C(dead) are instances that EC2 calls terminated from the start."""

    claimants: tuple[str, ...]
    identities: tuple[int, ...]
    dead: frozenset[str] = frozenset()
    bound_seconds: float = 60.0
    loser_reasons: tuple[str, ...] = ("no_candidate",)

    @property
    def winners(self) -> int:
        """How many claimants must succeed."""
        return min(len(self.claimants), len(self.identities))


@dataclass(frozen=True)
class History:
    """One round."""

    writes: tuple[ClaimWrite, ...]
    final: tuple[Final, ...]
    verdicts: tuple[Verdict, ...]
    notes: dict[str, Any] = field(default_factory=dict)


def holder_of(value: bytes) -> tuple[str | None, bool]:
    """Return (holder, readable) of a claim's value, by the bench's own reading of its JSON."""
    try:
        content = json.loads(value)
        holder = content["instance_id"]
    except (ValueError, KeyError, TypeError):
        return None, False
    return (holder, True) if holder is None or isinstance(holder, str) else (None, False)
