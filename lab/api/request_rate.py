# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2's request rate limits, off unless somebody sets them: a token bucket per action, refused as EC2 refuses.

EC2 documents, per account, Region and action: 100 tokens and 20 a second for actions that only read, 50 and 5 for those
that change something.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from lab.api.context import LabContext

READING = ("Describe", "Get", "List", "Search")
CODE = "RequestLimitExceeded"
BODY = (
    f"<Response><Errors><Error><Code>{CODE}</Code><Message>Request limit exceeded.</Message></Error></Errors>"
    "<RequestID>lab</RequestID></Response>"
).encode()


@dataclass(frozen=True)
class RateLimits:
    """Bucket sizes in requests and refill rates in requests per second; the defaults are those that EC2 documents."""

    reading_burst: float = 100.0
    reading_per_second: float = 20.0
    changing_burst: float = 50.0
    changing_per_second: float = 5.0

    def of(self, action: str) -> tuple[float, float]:
        """Return (bucket size, refill per second) of an action."""
        if action.startswith(READING):
            return self.reading_burst, self.reading_per_second
        return self.changing_burst, self.changing_per_second


class Bucket:
    """One action's tokens; C(now) in monotonic seconds."""

    def __init__(self, size: float, per_second: float, now: float) -> None:
        self.size = size
        self.per_second = per_second
        self.tokens = size
        self.at = now

    def take(self, now: float) -> bool:
        """Take one token if there is one."""
        self.tokens = min(self.size, self.tokens + (now - self.at) * self.per_second)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class RequestRate:
    """Stands before the API's application and refuses EC2 requests beyond the limits; journals what it refused."""

    def __init__(
        self,
        application: Callable[..., Iterable[bytes]],
        context: LabContext,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.application = application
        self.context = context
        self.refused = 0
        self._monotonic = monotonic
        self._limits: RateLimits | None = None
        self._buckets: dict[str, Bucket] = {}
        self._lock = threading.Lock()

    def limit(self, limits: RateLimits | None) -> None:
        """Set the limits, with full buckets; None takes them away."""
        with self._lock:
            self._limits = limits
            self._buckets = {}
            self.refused = 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self._limits is None or "/ec2/aws4_request" not in environ.get("HTTP_AUTHORIZATION", ""):
            return self.application(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        action = parse_qs(body.decode("utf-8", "replace")).get("Action", [""])[0]
        if self._allows(action):
            return self.application(environ, start_response)
        self.context.events.record("api", service="ec2", action=action, parameters={}, status=503, error=CODE)
        start_response("503 Service Unavailable", [("Content-Type", "text/xml"), ("Content-Length", str(len(BODY)))])
        return [BODY]

    def _allows(self, action: str) -> bool:
        with self._lock:
            now = self._monotonic()
            if self._limits is None:
                return True
            if action not in self._buckets:
                self._buckets[action] = Bucket(*self._limits.of(action), now)
            allowed = self._buckets[action].take(now)
            self.refused += not allowed
            return allowed
