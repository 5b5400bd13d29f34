# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One lock per cluster for whatever stops services: take it, keep it, prove it, give it back.

Every step is one compare-and-set on the lock's record. A write whose reply is lost is resolved by reading again. Right
before a service is stopped, C(check) proves by a write that the run still has the lock, so that nobody can take it over
for as long as the lock lives without a renewal.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple, NoReturn, Protocol, TypeVar

from ansible_collections.holdfast.kafka.plugins.module_utils import lock_record, zk_security
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.lock_record import Owner, Record, Stamp, Token
from ansible_collections.holdfast.kafka.plugins.module_utils.lock_store import LockChangedError, LockStore
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_errors import (
    ZkRefusedError,
    ZkReplyLostError,
    ZkUnreachableError,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_security import OPEN, Security

# Whoever loses a race has lost it to somebody who went on, so this many in a row are no race.
ATTEMPTS = 20
Result = TypeVar("Result")


class LockPort(Protocol):
    """The lock's znode; every method may raise the Zk errors, a write also LockChangedError."""

    path: str

    def read(self) -> Record | None:
        """Return the record, not older than this call."""

    def now(self) -> Stamp:
        """Return ZooKeeper's own time."""

    def create(self, value: bytes) -> None:
        """Write the record where there is none."""

    def set(self, value: bytes, version: int) -> None:
        """Write the record at exactly the version that was read."""


class Taken(NamedTuple):
    """A lock that this run has: its token, whether this call took it, and the run that had let it expire."""

    token: Token
    changed: bool
    expired_owner: Owner | None = None


def check(
    hosts: Sequence[str], token: Mapping[str, Any], security: Security = OPEN, *, read_only: bool = False
) -> dict[str, Any]:
    """Prove right before a stop that the run still has the lock, and renew it; return the lock as modules show it.

    C(hosts) are ZooKeeper's servers as C(host:port), C(token) is what the module C(cluster_lock) returned. Stop
    nothing on a HoldfastError, which is C(lock_lost), C(bad_parameter), C(lost_race), C(zookeeper_unreachable),
    C(zookeeper_refused) or C(zookeeper_auth_failed). With C(read_only), for check mode, nothing is written.
    """
    try:
        known = lock_record.token_from(token)
    except ValueError as error:
        raise HoldfastError("bad_parameter", f"{error}.") from error
    with closing(LockStore(hosts, known.path, security)) as store:
        record = confirm(store, known) if read_only else renew(store, known)
    return lock_record.told(known.path, record)


def prover(parameters: Mapping[str, Any], read_only: bool) -> Callable[[], dict[str, Any]] | None:
    """Return what does C(check) with a module's options; None without its C(lock).

    They are C(lock), C(zookeeper_hosts) and those of the fragment C(zookeeper). ValueError when it can never be proven.
    """
    if parameters["lock"] is None:
        return None
    hosts = zk_security.checked_hosts(parameters)
    if not hosts:
        raise ValueError("lock is given without zookeeper_hosts, which have it")
    security = zk_security.from_parameters(parameters)
    lock_record.token_from(parameters["lock"])
    return lambda: check(hosts, parameters["lock"], security, read_only=read_only)


def acquire(port: LockPort, owner: Owner) -> Taken:
    """Take the lock if it is free or has expired; HoldfastError C(locked) names who has it."""
    wrote = False
    robbed: Owner | None = None

    def attempt() -> Taken:
        nonlocal wrote, robbed
        record = port.read()
        if record is not None and record.owner is not None and record.owner.run_id == owner.run_id:
            return Taken(Token(port.path, owner.run_id, record.generation), wrote, robbed if wrote else None)
        if record is not None and not record.free:
            _require_expired(port, record)
        wrote, robbed = True, record.owner if record else None
        wanted = lock_record.taken(record, owner)
        if record is None:
            port.create(lock_record.encode(wanted))
        else:
            port.set(lock_record.encode(wanted), record.version)
        return Taken(Token(port.path, owner.run_id, wanted.generation), True, robbed)

    return _until_sure(port, attempt)


def look(port: LockPort) -> Record | None:
    """Return the lock's record, None when there never was a lock; HoldfastError for what ZooKeeper says."""
    return _until_sure(port, port.read)


def confirm(port: LockPort, token: Token) -> Record:
    """Return the lock's record when it is still this token's; HoldfastError C(lock_lost) when it is not."""

    def attempt() -> Record:
        record = port.read()
        if record is None or not token.matches(record):
            _lost(token, record)
        return record

    return _until_sure(port, attempt)


def renew(port: LockPort, token: Token) -> Record:
    """Begin the lock's time anew; HoldfastError C(lock_lost) when somebody else has it, or nobody.

    Several nodes of one batch may do so at once: a renewal by another of them after this one's first look is as good.
    """
    first: list[int] = []

    def attempt() -> Record:
        record = port.read()
        if record is None or not token.matches(record):
            _lost(token, record)
        if first and record.version > first[0]:
            return record
        first.append(record.version)
        port.set(lock_record.encode(record), record.version)
        return record

    return _until_sure(port, attempt)


def release(port: LockPort, token: Token, at: str) -> bool:
    """Give the lock back and return whether that was left to do; HoldfastError C(lock_lost)."""
    wrote = False

    def attempt() -> bool:
        nonlocal wrote
        record = port.read()
        if record is not None and record.free and record.generation == token.generation:
            last = record.ended or {}
            if (last.get("how"), last.get("run_id")) == ("released", token.run_id):
                return wrote
        if record is None or not token.matches(record):
            _lost(token, record)
        wrote = True
        port.set(lock_record.encode(lock_record.ended(record, "released", at)), record.version)
        return True

    return _until_sure(port, attempt)


def release_by_force(port: LockPort, by: str, why: str, at: str) -> Record | None:
    """Take the lock from whoever has it, for the record with C(by) and C(why); return what was there, None if free."""
    robbed: Record | None = None

    def attempt() -> Record | None:
        nonlocal robbed
        record = port.read()
        if record is None or record.free:
            return robbed
        robbed = record
        port.set(lock_record.encode(lock_record.ended(record, "forced", at, by=by, why=why)), record.version)
        return robbed

    return _until_sure(port, attempt)


def _until_sure(port: LockPort, attempt: Callable[[], Result]) -> Result:
    """Repeat a read and its write until its outcome is known; HoldfastError for what ZooKeeper says."""
    last = ""
    for _number in range(ATTEMPTS):
        try:
            return attempt()
        except (LockChangedError, ZkReplyLostError) as error:
            last = str(error)
        except ZkUnreachableError as error:
            raise HoldfastError("zookeeper_unreachable", f"The lock {port.path} is not known: {error}.") from error
        except ZkRefusedError as error:
            raise HoldfastError(error.reason, f"{error}.") from error
    message = f"The lock {port.path} was not to be had in {ATTEMPTS} attempts ({last}): it changes all the time. Retry."
    raise HoldfastError("lost_race", message)


def _require_expired(port: LockPort, record: Record) -> None:
    left = lock_record.seconds_left(record, port.now()) if record.owner else None
    if left is None or left > 0:
        refuse(port.path, record, left)


def refuse(path: str, record: Record, left: float | None) -> NoReturn:
    """Raise HoldfastError C(locked): who has the lock, since when, how long still, and what to do."""
    help_text = "If that run is gone for sure, give its lock back with the playbook lock_release."
    if record.owner is None:
        text = f"The lock {path} has content that is no record of a lock, so its owner is unknown. Look at it with "
        text += f"`zkCli.sh get {path}`. {help_text}"
    else:
        text = f"{_who(record.owner)} has the lock {path} since {record.owner.since}"
        text += (
            f"; without a renewal it expires in {max(0.0, left or 0.0):.0f} s. Wait for that run to end. {help_text}"
        )
    raise HoldfastError("locked", text, lock=lock_record.told(path, record, left))


def _lost(token: Token, record: Record | None) -> NoReturn:
    if record is None:
        now = "there is no such lock any more; was ZooKeeper's data lost?"
    elif record.owner is not None:
        now = f"{_who(record.owner)} has it since {record.owner.since}"
    elif not record.readable:
        now = "it has content that is no record of a lock"
    else:
        last = record.ended or {}
        by = f" by {last['by']} ({last.get('why')})" if "by" in last else ""
        now = f"it was {last.get('how', 'given back')}{by} at {last.get('at', 'an unknown time')}"
    text = (
        f"Run {token.run_id} does not have the lock {token.path} any more: {now}. Nothing more is stopped. Make sure "
    )
    text += "that no other run works on this cluster, then start the playbook again; it resumes."
    raise HoldfastError("lock_lost", text, lock=lock_record.told(token.path, record))


def _who(owner: Owner) -> str:
    return f"Run {owner.run_id} ({owner.playbook}, by {owner.holder})"
