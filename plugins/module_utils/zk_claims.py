# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Claims in ZooKeeper: read all, create, set at a version. Thin: whether a claim may be written is decided elsewhere.

One session serves a whole run. A write whose reply is lost is not repeated here; the next read starts with a C(sync) on
the same session, so it shows for sure whether that write happened.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from ansible.module_utils.common.warnings import warn
from ansible_collections.holdfast.kafka.plugins.module_utils import zk_security
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim, claims_path, decode
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_errors import (
    ZkAuthError,
    ZkRefusedError,
    ZkReplyLostError,
    ZkUnreachableError,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_session import (
    HAS_KAZOO,
    SESSION_TIMEOUT_SECONDS,
    KazooException,
    ZkSession,
)

if HAS_KAZOO:
    from ansible_collections.holdfast.kafka.plugins.module_utils.zk_session import LOSS, UNAUTHENTICATED
    from kazoo.exceptions import BadVersionError, NoAuthError, NodeExistsError, NoNodeError
    from kazoo.security import ACL, Id

__all__ = [
    "HAS_KAZOO",
    "ClaimLostError",
    "ZkAuthError",
    "ZkClaims",
    "ZkRefusedError",
    "ZkReplyLostError",
    "ZkUnreachableError",
]

CONNECT_TIMEOUT_SECONDS = 10.0
READ_ATTEMPTS = 3
# As create() writes a node id; "07" would be taken for claim 7, which somebody else holds.
CLAIM_NAME = re.compile(r"0|[1-9][0-9]{0,9}")


class ClaimLostError(Exception):
    """Somebody else wrote the claim first."""


class _NoParentError(ClaimLostError):
    """The claim that is set was deleted, or the parents of the one that is created are missing."""


class ZkClaims:
    """The claims of one role, in one ZooKeeper session; use as a context manager."""

    def __init__(
        self,
        hosts: Sequence[str],
        cluster: str,
        role: str,
        chroot: str = "",
        security: zk_security.Security = zk_security.OPEN,
    ) -> None:
        self.hosts = list(hosts)
        # Not kazoo's chroot: that one has to exist before the session, and it is made here with the rest of the path.
        self.path = chroot + claims_path(cluster, role)
        self._root = f"{chroot}/holdfast"
        self._shared = set(zk_security.levels(self._root))
        self._security = security
        self._session = ZkSession(hosts, security)
        self._read_in: Any = None
        self._strays: set[str] = set()
        # Paths that are open, or not this user's, and whose ACL is not this user's to change; loose() and secure() say.
        self.foreign: list[str] = []

    def __enter__(self) -> ZkClaims:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session, whatever state it is in."""
        self._session.close()

    @property
    def _client(self) -> Any:
        return self._session.client

    def read_all(self) -> dict[int, Claim]:
        """Read every claim of the role, not older than this call; raise ZkUnreachableError or ZkRefusedError."""
        return self._reading(self._read_all)

    def _reading(self, function: Callable[[], Any]) -> Any:
        last = ""
        for _attempt in range(READ_ATTEMPTS):
            self._session.connect(CONNECT_TIMEOUT_SECONDS)
            try:
                return function()
            except (*LOSS, *UNAUTHENTICATED) as error:  # connect() decides whether it is the latter
                last = type(error).__name__
            except KazooException as error:
                raise self._session.explain(error, "reading", self.path) from error
        raise ZkUnreachableError(
            f"ZooKeeper at {', '.join(self.hosts)} lost the connection {READ_ATTEMPTS} times ({last})"
        )

    def _read_all(self) -> dict[int, Claim]:
        self._read_in = self._client.client_id
        self._client.sync("/")
        pending = {name: self._client.get_async(f"{self.path}/{name}") for name in self._names()}
        claims = {}
        for name, result in pending.items():
            try:
                value, stat = result.get(timeout=SESSION_TIMEOUT_SECONDS)
            except NoNodeError:
                continue
            claims[int(name)] = decode(int(name), value, stat.version, stat.mtime / 1000.0)
        return claims

    def _names(self) -> list[str]:
        try:
            names = self._client.get_children(self.path)
        except NoNodeError:
            return []
        for name in sorted(set(names) - self._strays):
            if not CLAIM_NAME.fullmatch(name):
                self._strays.add(name)
                warn(f"ZooKeeper has {self.path}/{name!r}, which is no claim's name and is not read; who made it?")
        return [name for name in names if CLAIM_NAME.fullmatch(name)]

    def create(self, node_id: int, value: bytes) -> int:
        """Create a claim and return its version; raise ClaimLostError, or one of the Zk errors."""
        path = f"{self.path}/{node_id}"
        self._have_the_session_that_read()
        try:
            self._create(path, value)
        except _NoParentError:
            for level in zk_security.levels(self.path):
                with contextlib.suppress(ClaimLostError):  # somebody made it
                    self._create(level, b"")
            self._create(path, value)
        return 0

    def _create(self, path: str, value: bytes) -> None:
        # Its parent's ACL decides.
        parent = path.rpartition("/")[0] or "/"
        self._write("writing below", parent, lambda: self._client.create(path, value, acl=self._acl(path)))

    def set(self, node_id: int, value: bytes, version: int) -> int:
        """Set a claim at exactly C(version) and return the new one; raises as C(create) does."""
        path = f"{self.path}/{node_id}"
        self._have_the_session_that_read()
        stat = self._write("writing", path, lambda: self._client.set(path, value, version=version))
        return int(stat.version)

    def _have_the_session_that_read(self) -> None:
        """Raise ClaimLostError when a new session has begun since the claims were read.

        It may be that of an ensemble that was wiped meanwhile: there a claim that is created again begins at version 0,
        so that the version that was read could mean another claim. A session ends with the ensemble's data.
        """
        self._session.connect(CONNECT_TIMEOUT_SECONDS)
        if self._read_in is not None and self._client.client_id != self._read_in:
            raise ClaimLostError("SessionChanged")

    def _write(self, doing: str, path: str, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except NoNodeError as error:
            raise _NoParentError(type(error).__name__) from error
        except (NodeExistsError, BadVersionError) as error:
            raise ClaimLostError(type(error).__name__) from error
        except (*LOSS, *UNAUTHENTICATED) as error:
            raise ZkReplyLostError(type(error).__name__) from error
        except KazooException as error:
            raise self._session.explain(error, doing, path) from error

    # ---- access ------------------------------------------------------------------------------------------------------

    def _acl(self, path: str) -> list[Any]:
        return [ACL(grant.permissions, Id(grant.scheme, grant.id)) for grant in self._wanted(path)]

    def _wanted(self, path: str) -> list[zk_security.Grant]:
        return self._security.shared_acl() if path in self._shared else self._security.own_acl()

    def loose(self) -> list[str]:
        """Return the paths of claims and their parents that C(secure) would close; C(foreign) has what it cannot."""
        return [path for path, _acl, _version in self._reading(self._loose)] if self._security.auth else []

    def secure(self) -> list[str]:
        """Close what C(loose) finds, each at the version of the ACL that was read; return the paths."""
        closed = []
        for path, acl, version in self._reading(self._loose) if self._security.auth else []:
            try:
                self._set_acl(path, acl, version)
            except ClaimLostError:  # somebody else closes it
                continue
            except ZkAuthError:  # what lies below it may be ours all the same
                self.foreign.append(path)
                continue
            closed.append(path)
        return closed

    def _set_acl(self, path: str, acl: list[Any], version: int) -> None:
        self._write("changing the ACL of", path, lambda: self._client.set_acls(path, acl, version))

    def _loose(self) -> list[tuple[str, list[Any], int]]:
        self._client.sync("/")
        # A chroot is the operator's; what is ours begins below it.
        ours = [path for path in zk_security.levels(self.path) if path.startswith(self._root)]
        found = []
        self.foreign = []
        for path in [*ours, *(f"{self.path}/{name}" for name in self._names())]:
            try:
                current, stat = self._client.get_acls(path)
            except (NoNodeError, NoAuthError):
                continue  # what not even we may look at is not open
            grants = [zk_security.Grant(acl.perms, acl.id.scheme, acl.id.id) for acl in current]
            shared = path in self._shared
            better = zk_security.tightened(grants, self._wanted(path), shared)
            if better is None:
                continue
            if not zk_security.may_change(grants, self._security):
                # How readable a shared level is, is for its owner to say.
                if not shared or zk_security.world_rights(grants) & ~(zk_security.READ | zk_security.CREATE):
                    self.foreign.append(path)
            else:
                found.append(
                    (path, [ACL(grant.permissions, Id(grant.scheme, grant.id)) for grant in better], stat.aversion)
                )
        return found
