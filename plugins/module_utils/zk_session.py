# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One ZooKeeper session by kazoo, with authentication and TLS, that knows why it could not begin.

kazoo calls a connection made before it has authenticated, and tries a refused TLS handshake again for ever. A session
counts as begun here when a request was answered in it.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.zk_errors import (
    ZkAuthError,
    ZkRefusedError,
    ZkUnreachableError,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_security import (
    AUTH_VARIABLE,
    OPEN,
    TLS_VARIABLE,
    Security,
    denied,
)

try:
    from ansible_collections.holdfast.kafka.plugins.module_utils.zk_handler import Handler
    from kazoo.client import KazooClient
    from kazoo.exceptions import (
        AuthFailedError,
        ConnectionClosedError,
        ConnectionLoss,
        InvalidACLError,
        KazooException,
        NoAuthError,
        OperationTimeoutError,
        RequestTimeoutError,
        SessionClosedRequireSaslError,
        SessionExpiredError,
        SessionMovedError,
    )
    from kazoo.handlers.threading import KazooTimeoutError
    from kazoo.protocol.states import KeeperState
    from kazoo.retry import KazooRetry

    HAS_KAZOO = True
    LOSS: tuple[type[Exception], ...] = (
        ConnectionClosedError,
        ConnectionLoss,
        SessionExpiredError,
        SessionMovedError,
        OperationTimeoutError,
        RequestTimeoutError,
        KazooTimeoutError,
    )
    DENIED: tuple[type[Exception], ...] = (NoAuthError, InvalidACLError)
    UNAUTHENTICATED: tuple[type[Exception], ...] = (AuthFailedError, SessionClosedRequireSaslError)
except ImportError:
    HAS_KAZOO = False
    KazooException = Exception

try:
    import puresasl  # noqa: F401 - kazoo imports it for SASL

    HAS_PURESASL = True
except ImportError:
    HAS_PURESASL = False

SESSION_TIMEOUT_SECONDS = 10.0
# A server that dies in the middle of SASL looks like one that refuses; only what is refused again is refused.
AUTH_ATTEMPTS = 3
AUTH_PAUSE_SECONDS = 1.0
# A server without SASL accepts the session and never answers the first word of it.
SASL_SILENCE_SECONDS = 5.0


def missing_library(auth: Mapping[str, Any] | None) -> str | None:
    """Return the library that a session with this C(zookeeper_auth) needs and the host does not have."""
    if not HAS_KAZOO:
        return "kazoo"
    return "pure-sasl" if auth and auth["scheme"] == "sasl" and not HAS_PURESASL else None


class ZkSession:
    """A session that is begun by C(connect); C(client) is kazoo's client, whose errors C(explain) tells apart."""

    def __init__(
        self, hosts: Sequence[str], security: Security = OPEN, session_timeout_seconds: float = SESSION_TIMEOUT_SECONDS
    ) -> None:
        self.hosts = list(hosts)
        self.security = security
        self.client: Any = None
        self._timeout = session_timeout_seconds
        self._handler: Any = None
        self._failed = False
        self._accepted = False

    def connect(self, timeout_seconds: float) -> None:
        """Have an authenticated connection; ZkUnreachableError or ZkAuthError. A session that lives is kept."""
        if self.client is not None and not self._over():
            self._await(time.monotonic() + timeout_seconds)
            return
        if self.client is not None:
            self.close()
            # What the old session sent and nobody answered must be over before another session reads.
            time.sleep(1.5 * self._timeout)
        for attempt in range(1, AUTH_ATTEMPTS + 1):
            try:
                self._begin(time.monotonic() + timeout_seconds)
            except (ZkAuthError, ZkUnreachableError) as error:
                self.close()
                if attempt == AUTH_ATTEMPTS or isinstance(error, ZkUnreachableError):
                    raise
                time.sleep(AUTH_PAUSE_SECONDS)
            else:
                return

    def close(self) -> None:
        """End the session, whatever state it is in."""
        client, self.client = self.client, None
        if client is None:
            return
        try:
            client.stop()
        finally:
            client.close()

    def explain(self, error: Exception, doing: str, path: str) -> ZkRefusedError:
        """Return what an error in the session that is no loss means."""
        if isinstance(error, DENIED):
            return ZkAuthError(denied(self.security, doing, path))
        return ZkRefusedError(f"{doing} {path} failed with {error!r}")

    def _begin(self, until: float) -> None:
        self._failed = self._accepted = False
        self._handler = Handler(self.security.tls)
        auth = self.security.auth
        credentials = {"username": auth.username, "password": auth.password} if auth else {}
        quiet = logging.getLogger("holdfast.kazoo")
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        self.client = KazooClient(
            hosts=",".join(self.hosts),
            timeout=self._timeout,
            handler=self._handler,
            connection_retry=KazooRetry(max_tries=-1, delay=0.1, max_delay=2.0),
            command_retry=KazooRetry(max_tries=0),
            logger=quiet,
            use_ssl=self.security.tls is not None,
            sasl_options={"mechanism": "DIGEST-MD5", **credentials} if auth and auth.scheme == "sasl" else None,
            auth_data=[("digest", f"{auth.username}:{auth.password}")] if auth and auth.scheme == "digest" else None,
        )
        self.client.add_listener(self._watch)
        self.client.start_async()
        sasl = auth is not None and auth.scheme == "sasl"
        self._await(until, time.monotonic() + SASL_SILENCE_SECONDS if sasl else None)

    def _await(self, until: float, silent_until: float | None = None) -> None:
        """Wait until a request is answered; C(silent_until) bounds a server's silence about SASL."""
        while True:
            if self.client.connected and self._answers(min(until, silent_until or until)):
                self._handler.refusals.clear()
                return
            self._raise_if_refused()
            if silent_until is not None and self._accepted and time.monotonic() > silent_until:
                raise ZkAuthError(
                    f"ZooKeeper at {', '.join(self.hosts)} accepts a session and does not answer SASL: compare "
                    f"{AUTH_VARIABLE} with the server's authProvider and JAAS file"
                )
            if time.monotonic() > until:
                told = self._told({**self._handler.hints, **self._handler.refusals})
                raise ZkUnreachableError(f"no ZooKeeper server of {', '.join(self.hosts)} accepted a session{told}")
            time.sleep(0.02)

    def _answers(self, until: float) -> bool:
        """Whether the server answers in this session what needs no right to be asked."""
        try:
            self.client.exists_async("/").get(timeout=max(0.1, until - time.monotonic()))
        except UNAUTHENTICATED as error:
            raise ZkAuthError(self._not_accepted()) from error
        except LOSS:
            return False
        return True

    def _raise_if_refused(self) -> None:
        ended_by = self._handler.ended_by
        if self._failed or isinstance(ended_by, UNAUTHENTICATED):
            raise ZkAuthError(self._not_accepted())
        if len(self._handler.refusals) >= len(self.hosts):
            told = self._told(self._handler.refusals)
            raise ZkAuthError(f"TLS with every ZooKeeper server was refused: look at {TLS_VARIABLE}{told}")
        if ended_by is not None:
            raise ZkUnreachableError(f"the connection to ZooKeeper ended with {type(ended_by).__name__}: {ended_by}")

    @staticmethod
    def _told(by_server: dict[str, str]) -> str:
        return f" ({'; '.join(f'{server}: {text}' for server, text in sorted(by_server.items()))})" if by_server else ""

    def _watch(self, _state: Any) -> None:
        # kazoo shows these states only to listeners, and overwrites AUTH_FAILED at once.
        state = self.client.client_state if self.client is not None else None
        self._accepted = self._accepted or state == KeeperState.CONNECTED
        self._failed = self._failed or state == KeeperState.AUTH_FAILED

    def _over(self) -> bool:
        return self._failed or self._handler.ended_by is not None

    def _not_accepted(self) -> str:
        servers = ", ".join(self.hosts)
        if self.security.auth is None:
            return f"ZooKeeper at {servers} requires authentication, and {AUTH_VARIABLE} is not set"
        hint = " and the server's JAAS file" if self.security.auth.scheme == "sasl" else " and enforce.auth.schemes"
        return f"ZooKeeper at {servers} does not accept {self.security.who}: compare {AUTH_VARIABLE}{hint}"
