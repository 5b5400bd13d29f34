# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting and clearing faults over the lab's own route, as `lab fault` does."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(endpoint: str, method: str, path: str = "faults", body: Any = None) -> tuple[int, Any]:
    """Return status and JSON of a route below /_lab."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{endpoint}/_lab/{path}", data=data, method=method)  # noqa: S310 - the lab's own address
    try:
        with OPENER.open(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


class FaultClient:
    """The faults of one API."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def set(self, kind: str, **parameters: Any) -> dict[str, Any]:
        """Set a fault; return it as the API describes it."""
        body = {"kind": kind, "parameters": {key: str(value) for key, value in parameters.items()}}
        status, found = ask(self.endpoint, "POST", body=body)
        assert status == 200, found
        return dict(found["set"])

    def refused(self, kind: str, **parameters: Any) -> str:
        """Require that the wish is refused and nothing is set; return the sentence."""
        before = self.listed()
        status, found = ask(self.endpoint, "POST", body={"kind": kind, "parameters": parameters})
        assert status == 400, found
        assert self.listed() == before
        return str(found["error"])

    def clear(self, which: str | None = None) -> list[dict[str, Any]]:
        """Clear all faults, a kind, or one by its id."""
        status, found = ask(self.endpoint, "DELETE", f"faults?which={which}" if which else "faults")
        assert status == 200, found
        return list(found["cleared"])

    def listed(self) -> list[dict[str, Any]]:
        """The faults that are set."""
        return list(ask(self.endpoint, "GET")[1]["set"])

    def events(self, fault_id: str) -> list[dict[str, Any]]:
        """The journal's entries of each time the fault struck."""
        found = ask(self.endpoint, "GET", "events?kind=fault_struck")[1]["events"]
        return [event for event in found if event["fault"] == fault_id]

    @contextmanager
    def during(self, kind: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Within, the fault is set."""
        made = self.set(kind, **parameters)
        try:
            yield made
        finally:
            self.clear(made["id"])
