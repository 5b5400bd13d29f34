# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A headless Chromium that is told what to do through a pipe, by the DevTools protocol; it needs nothing beside it."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMMAND = "chromium"
ANSWER_SECONDS = 60.0
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]


class BrowserError(RuntimeError):
    """The browser gave no answer, or refused."""


class Page:
    """One tab; C(events) are what it has reported."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._number, self._session = 0, ""
        self._rest = b""
        self.events: list[dict[str, Any]] = []

    def begin(self) -> None:
        """Open the tab."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        command = {"id": self._number, "method": method, "params": parameters, **session}
        os.write(self._write, json.dumps(command).encode() + b"\0")
        number = self._number
        answer = self._await(lambda message: message.get("id") == number, method)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    def open(self, path: Path, width: int, height: int, **media: str) -> None:
        """Show a file at this size; C(media) are features such as prefers_color_scheme."""
        self.events.clear()
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        self.ask("Emulation.setEmulatedMedia", features=features)
        self.ask("Page.navigate", url=path.as_uri())
        loaded = "Page.loadEventFired"
        if not any(event.get("method") == loaded for event in self.events):
            self._await(lambda message: message.get("method") == loaded, loaded)

    def value(self, expression: str) -> Any:
        """Return what an expression comes to in the page."""
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Take a picture of the whole page."""
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self) -> bytes:
        """Print the page."""
        return base64.b64decode(self.ask("Page.printToPDF", printBackground=True)["data"])

    def _await(self, wanted: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        until = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < until:
            while b"\0" in self._rest:
                one, _zero, self._rest = self._rest.partition(b"\0")
                message: dict[str, Any] = json.loads(one)
                if "method" in message:
                    self.events.append(message)
                if wanted(message):
                    return message
            if select.select([self._read], [], [], 1.0)[0]:
                chunk = os.read(self._read, 1 << 20)
                if not chunk:
                    raise BrowserError(f"the browser ended before {what}")
                self._rest += chunk
        raise BrowserError(f"no {what} within {ANSWER_SECONDS:.0f} s")


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """Run a browser with a profile of its own for as long as the block lasts."""
    child_read, write = os.pipe()
    read, child_write = os.pipe()
    # It reads commands from descriptor 3 and writes to 4; a shell moves ours there.
    script = f'exec "$@" 3<&{child_read} 4>&{child_write}'
    command = ["bash", "-c", script, "chromium", COMMAND, *OPTIONS, f"--user-data-dir={profile}"]
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with (profile.parent / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**environment, "HOME": str(profile)},
            pass_fds=(child_read, child_write),
        )
    os.close(child_read)
    os.close(child_write)
    page = Page(write, read)
    try:
        page.begin()
        yield page
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(write)
        os.close(read)
