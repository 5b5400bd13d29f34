# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instance metadata service, version 2 only: who asks is told by the source address, and needs a token.

Behaviour after EC2's user guide, "Use the Instance Metadata Service to access instance metadata": a token is had by
PUT with a time to live of 1 to 21600 seconds (else 400), a PUT that came through a proxy is 403, a GET without a valid
token is 401.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lab.api.context import LabContext
from lab.api.faults_imds import ImdsFaults, NoAnswerError
from lab.api.imds_tree import VERSIONS, find, identity_document, listing, metadata, role_of, user_data
from lab.api.sources import instance_at
from lab.api.workers import LabStoppingError

TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105 - a header's name
TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
MAX_TTL_SECONDS = 21600
CREDENTIAL_SECONDS = 6 * 3600
RENEW_BEFORE_SECONDS = 900

Answer = tuple[int, bytes, dict[str, str]]


def _iso(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


class Metadata:
    """The service without its socket: ``answer`` takes a request and returns status, body and headers."""

    def __init__(self, context: LabContext) -> None:
        self._context = context
        self._tokens: dict[str, tuple[str, float]] = {}
        self._credentials: dict[tuple[str, str], tuple[float, str]] = {}

    def map_source(self, address: str, instance_id: str | None) -> None:
        """Let requests from ``address`` be the instance's (None: nobody's any more); for tests on loopback."""
        with self._context.lock:
            if instance_id is None:
                self._context.sources.pop(address, None)
            else:
                self._context.sources[address] = instance_id

    def answer(self, method: str, path: str, source: str, headers: dict[str, str]) -> Answer:
        """Answer one request; header names in lower case."""
        with self._context.lock:
            instance = instance_at(self._context, source)
            if instance is None:
                return 404, b"", {}
            if instance.metadata_options.http_endpoint == "disabled":
                return 403, b"", {}
            if path.rstrip("/") == "/latest/api/token":
                return self._token(method, instance.id, headers)
            known, expires = self._tokens.get(headers.get(TOKEN_HEADER.lower(), ""), ("", 0.0))
            if known != instance.id or expires < time.time():
                return 401, b"", {}
            if method not in ("GET", "HEAD"):
                return 405, b"", {"Allow": "GET, HEAD"}
            return self._get(instance, path)

    def _token(self, method: str, instance_id: str, headers: dict[str, str]) -> Answer:
        if method != "PUT":
            return 405, b"", {"Allow": "OPTIONS, PUT"}
        if "x-forwarded-for" in headers:
            return 403, b"", {}
        wish = headers.get(TTL_HEADER.lower(), "")
        if not wish.isdigit() or not 1 <= int(wish) <= MAX_TTL_SECONDS:
            return 400, b"", {}
        now = time.time()
        self._tokens = {token: entry for token, entry in self._tokens.items() if entry[1] >= now}
        token = secrets.token_urlsafe(42)
        self._tokens[token] = (instance_id, now + int(wish))
        return 200, token.encode(), {TTL_HEADER: wish}

    def _get(self, instance: Any, path: str) -> Answer:
        parts = [p for p in path.split("/") if p]
        if not parts:
            return 200, "\n".join(VERSIONS).encode(), {}
        if parts[0] not in VERSIONS:
            return 404, b"", {}
        rest = "/".join(parts[1:])
        data = user_data(instance)
        if rest == "user-data":
            return (200, data, {"Content-Type": "application/octet-stream"}) if data is not None else (404, b"", {})
        if rest.startswith("meta-data/iam/security-credentials/"):
            return self._credentials_answer(instance, parts[-1])
        tree: dict[str, Any] = {
            "dynamic": {"instance-identity": {"document": identity_document(self._context, instance)}},
            "meta-data": metadata(self._context, instance),
        }
        if data is not None:
            tree["user-data"] = ""
        if rest == "meta-data/public-keys":
            keys = find(tree, rest)
            return (200, f"0={instance.key_name}".encode(), {}) if keys else (404, b"", {})
        node = find(tree, rest)
        if node is None or node == {}:
            return 404, b"", {}
        text = listing(node) if isinstance(node, dict) else node
        return 200, text.encode(), {}

    def _credentials_answer(self, instance: Any, wanted: str) -> Answer:
        found = role_of(instance)
        if found is None or found[1].name != wanted:
            return 404, b"", {}
        role = found[1]
        now = time.time()
        expires, text = self._credentials.get((instance.id, role.arn), (0.0, ""))
        if expires - now < RENEW_BEFORE_SECONDS:
            expires, text = now + CREDENTIAL_SECONDS, self._mint(instance, role)
            self._credentials[(instance.id, role.arn)] = (expires, text)
        return 200, text.encode(), {}

    def _mint(self, instance: Any, role: Any) -> str:
        from moto.sts.models import sts_backends

        session = sts_backends[self._context.account_id]["aws"].assume_role(
            self._context.region, instance.id, role.arn, "", CREDENTIAL_SECONDS, ""
        )
        self._context.events.record(
            "credentials_minted", instance_id=instance.id, role=role.name, access_key_id=session.access_key_id
        )
        return json.dumps(
            {
                "Code": "Success",
                "LastUpdated": _iso(datetime.now(UTC)),
                "Type": "AWS-HMAC",
                "AccessKeyId": session.access_key_id,
                "SecretAccessKey": session.secret_access_key,
                "Token": session.session_token,
                "Expiration": _iso(session.expiration),
            },
            indent=2,
        )


class ImdsServer:
    """The service on a socket of its own; with port 0 it takes any free one, and ``port`` then says which."""

    def __init__(self, context: LabContext, host: str = "169.254.169.254", port: int = 80) -> None:
        self.metadata, self.faults = Metadata(context), ImdsFaults(context)
        self._server = ThreadingHTTPServer((host, port), self._handler())
        self._server.daemon_threads = True
        self.host, self.port = host, int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="lab-imds", daemon=True
        )

    @property
    def endpoint(self) -> str:
        """The base URL."""
        return f"http://{self.host}:{self.port}"

    def map_source(self, address: str, instance_id: str | None) -> None:
        """See ``Metadata.map_source``."""
        self.metadata.map_source(address, instance_id)

    def start(self) -> None:
        """Begin to serve on a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the service and free its address."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(5)
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service, faults = self.metadata, self.faults

        class Handler(BaseHTTPRequestHandler):
            """One connection; HTTP/1.1 so that clients may keep it."""

            protocol_version = "HTTP/1.1"
            server_version = "EC2ws"
            sys_version = ""

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                if length:
                    self.rfile.read(length)
                headers = {name.lower(): value for name, value in self.headers.items()}
                path, source = self.path.split("?", 1)[0], self.client_address[0]
                try:
                    answer = faults.meet(self.command, path, source)
                except (NoAnswerError, LabStoppingError):
                    self.close_connection = True
                    return
                status, body, extra = answer or service.answer(self.command, path, source, headers)
                self.send_response(status)
                for name, value in {"Content-Type": "text/plain", **extra}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - http.server's names

            def log_message(self, *_arguments: Any) -> None:
                return

        return Handler
