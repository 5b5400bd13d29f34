# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serve the lab's git repository, read only, to clients of the smart and of the dumb HTTP protocol.

git's own backend does the work; it also serves shallow clones, which ansible-pull asks for and plain files cannot give.
"""

from __future__ import annotations

import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

MAX_BODY_BYTES = 16 * 1024 * 1024


class GitServer:
    """An HTTP server over one directory of bare repositories."""

    def __init__(self, host: str, port: int, directory: Path) -> None:
        """Bind the address; raise OSError if that fails."""

        class Handler(_Handler):
            root = directory

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="lab-git", daemon=True)

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Serve in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


class _Handler(BaseHTTPRequestHandler):
    """Hand a request to git-http-backend as CGI (RFC 3875)."""

    root = Path("/nonexistent")
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        """Answer a reader."""
        self._serve(b"")

    do_HEAD = do_GET  # noqa: N815 - http.server's names

    def do_POST(self) -> None:
        """Answer a smart client's negotiation."""
        body = self._body()
        if body is None:
            self.send_error(413)
        else:
            self._serve(body)

    def _body(self) -> bytes | None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts, total = [], 0
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                total += size
                if total > MAX_BODY_BYTES:
                    return None
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        length = int(self.headers.get("Content-Length") or 0)
        return None if length > MAX_BODY_BYTES else self.rfile.read(length)

    def _serve(self, body: bytes) -> None:
        url = urlsplit(self.path)
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": url.path,
            "QUERY_STRING": url.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": self.client_address[0],
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, capture_output=True, env=environment, check=False, timeout=60
        )
        head, separator, content = done.stdout.partition(b"\r\n\r\n")
        if not separator:
            self.send_error(500, "git http-backend said nothing")
            return
        status, headers = 200, []
        for line in head.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(": ")
            if name.lower() == "status":
                status = int(value.split()[0])
            else:
                headers.append((name, value))
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's names
        """Stay silent: the server's log is for what concerns the lab."""
