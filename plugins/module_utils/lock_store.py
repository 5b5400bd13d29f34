# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock's znode in one ZooKeeper session: read, create, set at a version, and ZooKeeper's own time. Thin.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils import lock_record, zk_security
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_errors import ZkReplyLostError, ZkUnreachableError
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_session import HAS_KAZOO, KazooException, ZkSession

if HAS_KAZOO:
    from ansible_collections.holdfast.kafka.plugins.module_utils.zk_session import LOSS, UNAUTHENTICATED
    from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError
    from kazoo.security import ACL, Id

# Longer than an election, and than a lone server that was just restarted needs before it takes sessions.
CONNECT_TIMEOUT_SECONDS = 30.0
READ_ATTEMPTS = 3


class LockChangedError(Exception):
    """Somebody else wrote the lock after it was read."""


class _NoParentError(LockChangedError):
    """The znode, or its parent, is not there (any more)."""


class LockStore:
    """A lock at C(path), in one session that C(close) ends."""

    def __init__(self, hosts: Sequence[str], path: str, security: zk_security.Security = zk_security.OPEN) -> None:
        self.path = path
        self.hosts = list(hosts)
        self._parent = path.rpartition("/")[0]
        # /holdfast and what is above it are also other clusters'.
        self._shared = set(zk_security.levels(path)[:-3])
        self._security = security
        self._session = ZkSession(hosts, security)
        self._read_in: Any = None

    def close(self) -> None:
        """End the session, whatever state it is in."""
        self._session.close()

    def read(self) -> lock_record.Record | None:
        """Return the record, not older than this call; raise ZkUnreachableError or ZkRefusedError."""
        last = ""
        for _attempt in range(READ_ATTEMPTS):
            self._session.connect(CONNECT_TIMEOUT_SECONDS)
            client = self._session.client
            self._read_in = client.client_id
            try:
                client.sync("/")
                value, stat = client.get(self.path)
            except NoNodeError:
                return None
            except (*LOSS, *UNAUTHENTICATED) as error:  # connect() decides whether it is the latter
                last = type(error).__name__
            except KazooException as error:
                raise self._session.explain(error, "reading", self.path) from error
            else:
                return lock_record.decode(value, stat.version, _stamp(stat))
        servers = ", ".join(self.hosts)
        raise ZkUnreachableError(f"ZooKeeper at {servers} lost the connection {READ_ATTEMPTS} times ({last})")

    def now(self) -> lock_record.Stamp:
        """Return ZooKeeper's own time, which only a write tells; the lock itself is not touched."""
        return _stamp(self._write("writing", self._parent, lambda client: client.set(self._parent, b"")))

    def create(self, value: bytes) -> None:
        """Write the record where there is none; LockChangedError when there is one."""
        try:
            self._create(self.path, value)
        except _NoParentError:
            for level in zk_security.levels(self._parent):
                with contextlib.suppress(LockChangedError):  # somebody made it
                    self._create(level, b"")
            self._create(self.path, value)

    def set(self, value: bytes, version: int) -> None:
        """Write the record at exactly C(version), or raise LockChangedError."""
        self._write("writing", self.path, lambda client: client.set(self.path, value, version=version))

    def _create(self, path: str, value: bytes) -> None:
        # Its parent's ACL decides.
        above = path.rpartition("/")[0] or "/"
        grants = self._security.shared_acl() if path in self._shared else self._security.own_acl()
        acl = [ACL(grant.permissions, Id(grant.scheme, grant.id)) for grant in grants]
        self._write("writing below", above, lambda client: client.create(path, value, acl=acl))

    def _write(self, doing: str, path: str, function: Callable[[Any], Any]) -> Any:
        self._session.connect(CONNECT_TIMEOUT_SECONDS)
        client = self._session.client
        # A session ends with the ensemble's data: in another one the version that was read may be another lock's.
        if client.client_id != self._read_in:
            raise LockChangedError("SessionChanged")
        try:
            return function(client)
        except NoNodeError as error:
            raise _NoParentError(type(error).__name__) from error
        except (NodeExistsError, BadVersionError) as error:
            raise LockChangedError(type(error).__name__) from error
        except (*LOSS, *UNAUTHENTICATED) as error:
            raise ZkReplyLostError(type(error).__name__) from error
        except KazooException as error:
            raise self._session.explain(error, doing, path) from error


def _stamp(stat: Any) -> lock_record.Stamp:
    return lock_record.Stamp(stat.mtime / 1000.0, stat.mzxid >> 32)
