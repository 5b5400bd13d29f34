# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The WSGI application: one request of the API at a time, journaled; ``/_lab/...`` beside it."""

from __future__ import annotations

import io
import json
import logging
import re
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, parse_qsl

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from lab.api.context import LabContext, LabRequest, RouteError
from lab.api.faults_stale import answering_from
from lab.api.faults_wire import WireFaults, cut, error_body

log = logging.getLogger(__name__)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

LOCK_FREE_ACTIONS = ("GetConsoleOutput",)
"""These call the machine before they can answer, and take the lock themselves where they need it."""
_CODE = re.compile(rb"<Code>([^<]+)</Code>")
_SECRET = re.compile(r"password|secret|token|userdata|policydocument|templatebody", re.IGNORECASE)
_LONGEST_VALUE = 120


def describe_call(environ: Environ, body: bytes) -> tuple[str, str, dict[str, str]]:
    """Return (service, action, parameters worth keeping) of an AWS request; pure."""
    scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    service = scope.group(1) if scope else "unknown"
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return service, target.rsplit(".", 1)[-1], {}
    parameters = dict(parse_qsl(environ.get("QUERY_STRING", "")))
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        parameters |= dict(parse_qsl(body.decode("utf-8", "replace")))
    action = parameters.pop("Action", "") or f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO')}"
    parameters.pop("Version", None)
    kept = {
        key: value if len(value) <= _LONGEST_VALUE else f"<{len(value)} characters>"
        for key, value in parameters.items()
        if not _SECRET.search(key)
    }
    return service, action, kept


class LabApplication:
    """Serves AWS calls by moto under the context's lock, and the lab's own routes as JSON."""

    def __init__(self, context: LabContext) -> None:
        self.context = context
        self._aws = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        path = environ.get("PATH_INFO", "")
        if path.startswith("/_lab"):
            return self._lab_route(environ, body, start_response)
        if path.startswith(("/moto-api", "/latest/")):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"not served here: the lab's own routes are under /_lab, metadata is at 169.254.169.254\n"]
        environ["wsgi.input"] = io.BytesIO(body)
        return self._aws_call(environ, body, start_response)

    def _aws_call(self, environ: Environ, body: bytes, start_response: StartResponse) -> list[bytes]:
        service, action, parameters = describe_call(environ, body)
        started = time.monotonic()
        answer: dict[str, Any] = {}

        def capture(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> None:
            answer["status"], answer["headers"] = status, headers

        is_json = bool(environ.get("HTTP_X_AMZ_TARGET"))
        faults = WireFaults(
            self.context, service, action, environ.get("REMOTE_ADDR", ""), frozenset(parameters.values())
        )
        try:
            if refusal := faults.refusal():
                kind, content = error_body(service, refusal.code, refusal.message, is_json, refusal.status)
                capture(refusal.status_line, [("Content-Type", kind), ("Content-Length", str(len(content)))])
            elif action in LOCK_FREE_ACTIONS:
                content = b"".join(self._aws(environ, capture))
            else:
                stale = faults.stale()
                with self.context.lock, answering_from(self.context, stale):
                    content = b"".join(self._aws(environ, capture))
        except Exception as error:  # the boundary to the client: answered as AWS would, kept in the journal
            missing = isinstance(error, NotImplementedError)
            if not missing:
                log.exception("%s %s failed", service, action)
            code = "UnsupportedOperation" if missing else "InternalError"
            message = f"the lab does not do this: {error}" if missing else f"{type(error).__name__}: {error}"
            kind, content = error_body(service, code, message, is_json, 400 if missing else 500)
            answer["status"] = "400 Bad Request" if missing else "500 Internal Server Error"
            answer["headers"] = [("Content-Type", kind), ("Content-Length", str(len(content)))]
        self._journal(environ, service, action, parameters, answer["status"], content, started)
        if faults.reply_is_lost():
            cut(environ)
        start_response(answer["status"], answer["headers"])
        return [content]

    def _journal(
        self,
        environ: Environ,
        service: str,
        action: str,
        parameters: dict[str, str],
        status: str,
        content: bytes,
        started: float,
    ) -> None:
        key = re.search(r"Credential=([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
        fields: dict[str, Any] = {
            "service": service,
            "action": action,
            "parameters": parameters,
            "status": int(status.split(" ", 1)[0]),
            "source": environ.get("REMOTE_ADDR", ""),
            "access_key_id": key.group(1) if key else "",
            "seconds": round(time.monotonic() - started, 4),
        }
        if fields["status"] >= 400:
            code = _CODE.search(content)
            fields["error"] = code.group(1).decode() if code else content[:200].decode("utf-8", "replace")
        self.context.events.record("api", **fields)

    def _lab_route(self, environ: Environ, body: bytes, start_response: StartResponse) -> list[bytes]:
        path = environ["PATH_INFO"].rstrip("/")
        status, result = 200, None
        try:
            handler, rest = self._find_route(path)
            query = {k: v[-1] for k, v in parse_qs(environ.get("QUERY_STRING", "")).items()}
            try:
                parsed = json.loads(body) if body else None
            except ValueError as error:
                raise RouteError(400, f"the request's body is not JSON: {error}") from None
            result = handler(LabRequest(environ["REQUEST_METHOD"], path, rest, query, parsed))
        except RouteError as error:
            status, result = error.status, {"error": str(error)}
        except Exception as error:  # the boundary to the client
            log.exception("%s failed", path)
            status, result = 500, {"error": f"{type(error).__name__}: {error}"}
        content = json.dumps(result, default=str).encode()
        start_response(
            f"{status} {'OK' if status < 400 else 'Error'}",
            [("Content-Type", "application/json"), ("Content-Length", str(len(content)))],
        )
        return [content]

    def _find_route(self, path: str) -> tuple[Callable[[LabRequest], Any], str]:
        routes = self.context.routes
        if path in routes:
            return routes[path], ""
        prefixes = [p for p in routes if p.endswith("/") and (path + "/").startswith(p)]
        if not prefixes:
            raise RouteError(404, f"no such route: {path} (known: {', '.join(sorted(routes))})")
        best = max(prefixes, key=len)
        return routes[best], path[len(best) :]
