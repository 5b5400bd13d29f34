# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Claims in ZooKeeper: read all, create, set at a version. Thin: whether a claim may be written is decided elsewhere.

One session serves a whole run. A write whose reply is lost is not repeated here; the next read starts with a C(sync) on
the same session, so it shows for sure whether that write happened.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim, claims_path, decode

try:
    from kazoo.client import KazooClient
    from kazoo.exceptions import (
        AuthFailedError,
        BadVersionError,
        ConnectionLoss,
        KazooException,
        NoAuthError,
        NodeExistsError,
        NoNodeError,
        OperationTimeoutError,
        RequestTimeoutError,
        SessionExpiredError,
        SessionMovedError,
    )
    from kazoo.handlers.threading import KazooTimeoutError
    from kazoo.retry import KazooRetry

    HAS_KAZOO = True
    _LOSS: tuple[type[Exception], ...] = (
        ConnectionLoss,
        SessionExpiredError,
        SessionMovedError,
        OperationTimeoutError,
        RequestTimeoutError,
        KazooTimeoutError,
    )
except ImportError:
    HAS_KAZOO = False

SESSION_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 10.0
READ_ATTEMPTS = 3


class ZkUnreachableError(Exception):
    """No ZooKeeper server answered in time; nothing is known to have been written."""


class ZkReplyLostError(Exception):
    """A write was sent and its reply was lost: it may have happened."""


class ZkRefusedError(Exception):
    """ZooKeeper refused (access, or a value nobody expected)."""


class ClaimLostError(Exception):
    """Somebody else wrote the claim first."""


class ZkClaims:
    """The claims of one role, in one ZooKeeper session; use as a context manager."""

    def __init__(self, hosts: Sequence[str], cluster: str, role: str) -> None:
        self.hosts = list(hosts)
        self.path = claims_path(cluster, role)
        quiet = logging.getLogger("holdfast.kazoo")
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        never = KazooRetry(max_tries=0)
        forever = KazooRetry(max_tries=-1, delay=0.1, max_delay=2.0)
        self._client: Any = KazooClient(
            hosts=",".join(self.hosts),
            timeout=SESSION_TIMEOUT_SECONDS,
            connection_retry=forever,
            command_retry=never,
            logger=quiet,
        )
        self._started = False

    def __enter__(self) -> ZkClaims:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session, whatever state it is in."""
        try:
            self._client.stop()
        finally:
            self._client.close()

    def _connect(self) -> None:
        """Have a living connection or raise ZkUnreachableError; waits at most CONNECT_TIMEOUT_SECONDS."""
        if self._started:
            until = time.monotonic() + CONNECT_TIMEOUT_SECONDS
            while not self._client.connected:
                if time.monotonic() > until:
                    raise ZkUnreachableError(self._nobody())
                time.sleep(0.05)
            return
        try:
            self._client.start(timeout=CONNECT_TIMEOUT_SECONDS)
            self._started = True
        except KazooTimeoutError as error:
            raise ZkUnreachableError(self._nobody()) from error

    def _nobody(self) -> str:
        return (
            f"no ZooKeeper server of {', '.join(self.hosts)} accepted a session within {CONNECT_TIMEOUT_SECONDS:.0f} s"
        )

    def read_all(self) -> dict[int, Claim]:
        """Read every claim of the role, not older than this call; raise ZkUnreachableError or ZkRefusedError."""
        last = ""
        for _attempt in range(READ_ATTEMPTS):
            self._connect()
            try:
                return self._read_all()
            except _LOSS as error:
                last = type(error).__name__
            except (NoAuthError, AuthFailedError) as error:
                raise ZkRefusedError(f"ZooKeeper denies reading {self.path} ({type(error).__name__})") from error
            except KazooException as error:
                raise ZkRefusedError(f"reading {self.path} failed with {type(error).__name__}") from error
        raise ZkUnreachableError(
            f"ZooKeeper at {', '.join(self.hosts)} lost the connection {READ_ATTEMPTS} times ({last})"
        )

    def _read_all(self) -> dict[int, Claim]:
        self._client.sync("/")
        try:
            names = self._client.get_children(self.path)
        except NoNodeError:
            return {}
        pending = {name: self._client.get_async(f"{self.path}/{name}") for name in names if name.isdigit()}
        claims = {}
        for name, result in pending.items():
            try:
                value, stat = result.get(timeout=SESSION_TIMEOUT_SECONDS)
            except NoNodeError:
                continue
            claims[int(name)] = decode(int(name), value, stat.version, stat.mtime / 1000.0)
        return claims

    def create(self, node_id: int, value: bytes) -> int:
        """Create a claim and return its version; raise ClaimLostError, or one of the Zk errors."""
        self._write(lambda: self._client.create(f"{self.path}/{node_id}", value, makepath=True))
        return 0

    def set(self, node_id: int, value: bytes, version: int) -> int:
        """Set a claim at exactly C(version) and return the new one; raises as C(create) does."""
        stat = self._write(lambda: self._client.set(f"{self.path}/{node_id}", value, version=version))
        return int(stat.version)

    def _write(self, function: Callable[[], Any]) -> Any:
        self._connect()
        try:
            return function()
        except (NodeExistsError, BadVersionError, NoNodeError) as error:
            raise ClaimLostError(type(error).__name__) from error
        except _LOSS as error:
            raise ZkReplyLostError(type(error).__name__) from error
        except (NoAuthError, AuthFailedError) as error:
            raise ZkRefusedError(f"ZooKeeper denies writing below {self.path} ({type(error).__name__})") from error
        except KazooException as error:
            raise ZkRefusedError(f"writing below {self.path} failed with {type(error).__name__}") from error
