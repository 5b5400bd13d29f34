# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock's path, its record and the token that proves it. Pure.

A lock that is released stays as a record without an owner, as a claim does: its version and its generation only ever
grow, so that a compare-and-set at a version that was read can never hit another run's lock.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import NAME
from ansible_collections.holdfast.kafka.plugins.module_utils.utc_time import utc_time

FORMAT = 1
#: Servers of an ensemble keep their clocks by NTP; after another was elected, this much is allowed for.
LEADER_SKEW_SECONDS = 60.0
PATH = re.compile(r"(/[^/\s]+)*/holdfast/[^/\s]+/locks/[^/\s]+")


@dataclass(frozen=True)
class Stamp:
    """When a znode was written, by the clock of the ZooKeeper leader of that C(epoch), in seconds since 1970."""

    seconds: float
    epoch: int


@dataclass(frozen=True)
class Owner:
    """The run that has the lock, and who started it; C(since) is the controller's UTC, for people only."""

    run_id: str
    holder: str
    playbook: str
    since: str
    expire_seconds: float


@dataclass(frozen=True)
class Record:
    """The lock as read; C(ended) says how the last run's lock ended, or whose expired one was taken over."""

    generation: int
    version: int
    written: Stamp
    owner: Owner | None
    ended: Mapping[str, Any] | None = None
    readable: bool = True

    @property
    def free(self) -> bool:
        """Whether nobody has the lock."""
        return self.readable and self.owner is None


@dataclass(frozen=True)
class Token:
    """What proves that a run has the lock: each acquisition has a generation of its own."""

    path: str
    run_id: str
    generation: int

    def as_dict(self) -> dict[str, Any]:
        """Return what modules hand on."""
        return asdict(self)

    def matches(self, record: Record | None) -> bool:
        """Whether this acquisition is still the lock's."""
        return (
            record is not None
            and record.owner is not None
            and (record.owner.run_id, record.generation) == (self.run_id, self.generation)
        )


def token_from(value: Mapping[str, Any]) -> Token:
    """Read a token that a module was given; ValueError says what is wrong with it."""
    path, run_id, generation = value.get("path"), value.get("run_id"), value.get("generation")
    if isinstance(generation, str) and generation.isdecimal():
        generation = int(generation)
    if not isinstance(path, str) or not PATH.fullmatch(path):
        raise ValueError(f"the lock's token has the path {path!r}; hand on what cluster_lock returned as token")
    if not isinstance(run_id, str) or not run_id or not isinstance(generation, int) or isinstance(generation, bool):
        raise ValueError("the lock's token needs run_id and generation; hand on what cluster_lock returned as token")
    return Token(path, run_id, generation)


def lock_path(cluster: str, chroot: str = "") -> str:
    """Return the znode of a cluster's lock; ValueError for names that cannot be a path element."""
    if not NAME.fullmatch(cluster):
        raise ValueError(f"{cluster!r} cannot be part of a ZooKeeper path: use letters, digits, '_', '.' and '-'.")
    return f"{chroot}/holdfast/{cluster}/locks/roll"


def encode(record: Record) -> bytes:
    """Return the znode's value; version and time are ZooKeeper's to keep."""
    value = {
        "version": FORMAT,
        "generation": record.generation,
        "owner": asdict(record.owner) if record.owner else None,
        "ended": dict(record.ended) if record.ended else None,
    }
    return json.dumps(value, separators=(",", ":")).encode()


def decode(value: bytes, version: int, written: Stamp) -> Record:
    """Read a znode; what cannot be read for sure is a lock of somebody unknown, never a free one."""
    unreadable = Record(0, version, written, None, readable=False)
    try:
        content: Any = json.loads(value)
        generation, owner, ended = content["generation"], content["owner"], content["ended"]
        if content["version"] != FORMAT or type(generation) is not int or not isinstance(ended, dict | None):
            return unreadable
        if owner is None:
            return Record(generation, version, written, None, ended)
        run_id, holder, playbook, since = (str(owner[name]) for name in ("run_id", "holder", "playbook", "since"))
        found = Owner(run_id, holder, playbook, since, float(owner["expire_seconds"]))
        return Record(generation, version, written, found, ended)
    except (ValueError, KeyError, TypeError):
        return unreadable


def taken(before: Record | None, owner: Owner) -> Record:
    """Return the record of a run that has taken a lock that was free or has expired."""
    if before is None:
        return Record(1, 0, Stamp(0.0, 0), owner)
    ended = before.ended
    if before.owner is not None:
        ended = {"how": "expired", "run_id": before.owner.run_id, "holder": before.owner.holder, "at": owner.since}
    return replace(before, generation=before.generation + 1, owner=owner, ended=ended)


def ended(before: Record, how: str, at: str, **more: str) -> Record:
    """Return the record of a lock that nobody has any more; C(how) is C(released) or C(forced)."""
    who = {"run_id": before.owner.run_id, "holder": before.owner.holder} if before.owner else {}
    return replace(before, owner=None, readable=True, ended={"how": how, **who, "at": at, **more})


def seconds_left(record: Record, now: Stamp) -> float:
    """Return how long the owner still has without a renewal; 0 or less when the lock has expired.

    Both times are ZooKeeper's. When the server that gave the one is not the leader that gave the other, what their
    clocks may differ by counts for the owner.
    """
    if record.owner is None:
        return 0.0
    age = now.seconds - record.written.seconds
    if now.epoch != record.written.epoch:
        age -= LEADER_SKEW_SECONDS
    return record.owner.expire_seconds - max(0.0, age)


def told(path: str, record: Record | None, left: float | None = None) -> dict[str, Any]:
    """Return the lock as modules show it."""
    owner = record.owner if record else None
    return {
        "path": path,
        "held": record is not None and not record.free,
        "readable": record is None or record.readable,
        "generation": record.generation if record else 0,
        **(asdict(owner) if owner else {}),
        "renewed_at": utc_time(record.written.seconds) if record else None,
        "seconds_left": None if left is None or owner is None else round(left, 1),
        "ended": dict(record.ended) if record and record.ended else None,
    }
