# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of AWX's API as the modules of awx.awx need to make, look up and change objects; nothing runs in it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

ROOT = "/api/v2/"
#: Objects that a fresh AWX has, or an operator has made.
BEGINNING = {"organizations": [{"name": "Default"}], "credentials": [{"name": "nodes"}, {"name": "aws"}]}


class Awx:
    """The objects by endpoint, and the writes by method and path."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[int, dict[str, Any]]] = {}
        self.surveys: dict[int, dict[str, Any]] = {}
        self.writes: list[tuple[str, str]] = []
        self._next = 1
        for endpoint, ones in BEGINNING.items():
            for one in ones:
                self.make(endpoint, one)

    def names(self, endpoint: str) -> set[str]:
        """Return the names at an endpoint."""
        return {one["name"] for one in self.objects.get(endpoint, {}).values()}

    def named(self, endpoint: str, name: str) -> dict[str, Any]:
        """Return one object."""
        return next(one for one in self.objects[endpoint].values() if one["name"] == name)

    def make(self, endpoint: str, content: dict[str, Any]) -> dict[str, Any]:
        """Create an object."""
        number, self._next = self._next, self._next + 1
        url = f"{ROOT}{endpoint}/{number}/"
        related = {"credentials": f"{url}credentials/", "survey_spec": f"{url}survey_spec/"}
        known = {"id": number, "url": url, "type": endpoint.rstrip("s"), "related": related, "summary_fields": {}}
        self.objects.setdefault(endpoint, {})[number] = {**content, **known}
        return self.objects[endpoint][number]

    def find(self, endpoint: str, query: dict[str, str]) -> list[dict[str, Any]]:
        """Return what the modules look for, by name or id and by plain fields."""
        found = list(self.objects.get(endpoint, {}).values())
        if endpoint == "unified_job_templates":
            found = [
                one for kind in ("job_templates", "inventory_sources") for one in self.objects.get(kind, {}).values()
            ]
        for key, value in query.items():
            if key.startswith("or__"):
                continue
            found = [one for one in found if str(one.get(key)) == value]
        either = [(key.removeprefix("or__"), value) for key, value in query.items() if key.startswith("or__")]
        return [one for one in found if not either or any(str(one.get(key)) == value for key, value in either)]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    awx: Awx

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        parts, query = self._parts()
        if not parts or parts == ["ping"]:
            self._answer(200, {"version": "24.6.1"})
        elif len(parts) == 1:
            found = self.awx.find(parts[0], query)
            self._answer(200, {"count": len(found), "results": found, "next": None})
        elif parts[-1] == "survey_spec":
            self._answer(200, self.awx.surveys.get(int(parts[1]), {}))
        elif parts[-1] == "credentials":
            wanted = self.awx.objects[parts[0]][int(parts[1])].get("credentials", [])
            found = [self.awx.objects["credentials"][number] for number in wanted]
            self._answer(200, {"count": len(found), "results": found, "next": None})
        else:
            one = self.awx.objects.get(parts[0], {}).get(int(parts[1]))
            self._answer(200 if one else 404, one or {"detail": "Not found."})

    def do_POST(self) -> None:
        parts, _query = self._parts()
        content = self._content()
        self.awx.writes.append(("POST", "/".join(parts)))
        if parts[-1] == "survey_spec":
            self.awx.surveys[int(parts[1])] = content
            self._answer(200, {})
        elif parts[-1] == "credentials":
            self.awx.objects[parts[0]][int(parts[1])].setdefault("credentials", []).append(content["id"])
            self._answer(204, None)
        else:
            self._answer(201, self.awx.make(parts[0], content))

    def do_PATCH(self) -> None:
        parts, _query = self._parts()
        self.awx.writes.append(("PATCH", "/".join(parts)))
        one = self.awx.objects[parts[0]][int(parts[1])]
        one.update(self._content())
        self._answer(200, one)

    def do_DELETE(self) -> None:
        parts, _query = self._parts()
        self.awx.writes.append(("DELETE", "/".join(parts)))
        self.awx.surveys.pop(int(parts[1]), None)
        self._answer(200, {})

    def _parts(self) -> tuple[list[str], dict[str, str]]:
        url = urlsplit(self.path)
        return [part for part in url.path.removeprefix(ROOT).split("/") if part], dict(parse_qsl(url.query))

    def _content(self) -> dict[str, Any]:
        length = int(self.headers.get("Content-Length") or 0)
        content = json.loads(self.rfile.read(length) or b"{}")
        assert isinstance(content, dict)
        return content

    def _answer(self, status: int, content: Any) -> None:
        body = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-API-Product-Name", "AWX")
        self.send_header("X-API-Product-Version", "24.6.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def awx_server() -> Iterator[tuple[str, Awx]]:
    """Serve an AWX with nothing but an organization and two credentials; gives its address and its objects."""
    awx = Awx()
    handler = type("BoundHandler", (Handler,), {"awx": awx})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", awx
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
