# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of kazoo that makes connections and threads, made to tell what kazoo only logs. Needs kazoo.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Callable
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.zk_errors import ZkAuthError
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_security import TLS_VARIABLE, Tls
from kazoo.handlers.threading import SequentialThreadingHandler

#: A machine that is gone answers nothing, and kazoo would give one server the time that there is for all.
CONNECT_SECONDS = 3.0
# Alerts and certificates are an answer; a handshake that just ends may be a server that goes down.
TLS_LOSS = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLWantReadError, ssl.SSLWantWriteError, TimeoutError)


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Make the TLS settings; ZkAuthError names what cannot be used."""
    try:
        context = ssl.create_default_context(cafile=tls.ca_file, cadata=tls.ca_pem)
        context.check_hostname = tls.check_hostname
        if tls.certificate_file:
            context.load_cert_chain(tls.certificate_file, tls.key_file)
        if tls.identity_pem:
            # OpenSSL's interface takes files only; this one is the user's own (0600) and gone at once.
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
                file.write(tls.identity_pem)
                file.flush()
                context.load_cert_chain(file.name)
    except (OSError, ValueError) as error:
        used = [f"{name} {value}" for name, value in vars(tls).items() if name.endswith("_file") and value]
        used += [name for name, value in vars(tls).items() if name.endswith("_pem") and value]
        raise ZkAuthError(f"{TLS_VARIABLE} cannot be used: {error} ({', '.join(used) or 'defaults'})") from error
    return context


class Handler(SequentialThreadingHandler):
    """kazoo's own handler that makes TLS connections our way, and keeps what kazoo only logs."""

    def __init__(self, tls: Tls | None) -> None:
        super().__init__()
        self.refusals: dict[str, str] = {}
        self.hints: dict[str, str] = {}
        self.ended_by: Exception | None = None
        self._context = tls_context(tls) if tls else None

    def create_connection(self, *, address: tuple[str, int], hostname: str, timeout: float, **_ours: Any) -> Any:
        """Connect to a server; raises OSError, which kazoo takes for a lost connection."""
        plain = socket.create_connection(address, min(timeout, CONNECT_SECONDS))
        plain.settimeout(timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is None:
            return plain
        server = f"{hostname}:{address[1]}"
        try:
            self._context.sslsocket_class = self._noting(server)
            return self._context.wrap_socket(plain, server_hostname=hostname)
        except OSError as error:
            self.note(server, error)
            plain.close()
            raise

    def note(self, server: str, error: OSError) -> None:
        """Keep a refusal by its server; what may have been a server's end is only a hint."""
        if isinstance(error, ssl.SSLError) and not isinstance(error, TLS_LOSS):
            self.refusals[server] = str(error)
        else:
            self.hints[server] = f"the TLS handshake ended ({error}); is this the port for TLS?"

    def spawn(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Start a thread whose failure is kept instead of printed."""

        def kept() -> None:
            try:
                func(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the thread ends here; connect() tells it
                self.ended_by = error

        return super().spawn(kept)

    def _noting(self, server: str) -> type[ssl.SSLSocket]:
        note = self.note

        class NotingSocket(ssl.SSLSocket):
            """With TLS 1.3 a server refuses the client's certificate only after the handshake."""

            def recv(self, *args: Any, **kwargs: Any) -> bytes:
                try:
                    return super().recv(*args, **kwargs)
                except ssl.SSLError as error:
                    note(server, error)
                    raise

        return NotingSocket
