# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench's helper processes: the nursery of claimants and the cutting proxy, spoken to by lines of JSON."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
PR_SET_PDEATHSIG = 1


class HelperError(RuntimeError):
    """A helper process ended, or said nothing in time."""


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Helper:
    """One module of this package as a process; start it from a thread that lives as long as it should."""

    def __init__(self, module: str, *arguments: str) -> None:
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "ANSIBLE_"))},
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'collections'}",
            "PYTHONUNBUFFERED": "1",
        }
        self.module = module
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=_die_with_parent,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in = self.process.stdin
        self._out = self.process.stdout
        self._rest = b""

    def tell(self, order: dict[str, Any]) -> None:
        """Send one order."""
        self._in.write((json.dumps(order) + "\n").encode())
        self._in.flush()

    def lines(self, seconds: float = 0.0) -> list[dict[str, Any]]:
        """Return the whole lines that came within this time; at once when there are some."""
        if not select.select([self._out], [], [], seconds)[0]:
            return []
        data = os.read(self._out.fileno(), 1 << 20)
        if not data:
            raise HelperError(f"{self.module} ended with {self.process.wait()}")
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in whole]

    def answer(self, seconds: float) -> dict[str, Any]:
        """Wait for one line."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.lines(max(0.0, min(1.0, deadline - time.monotonic())))
            if found:
                return found[0]
        raise HelperError(f"{self.module} said nothing within {seconds:.0f} s")

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        self._in.close()
        self._out.close()


class Nursery(Helper):
    """See C(tests.herd.nursery)."""

    def __init__(self) -> None:
        started = time.monotonic()
        super().__init__("tests.herd.nursery")
        self.answer(START_SECONDS)
        self.start_seconds = time.monotonic() - started


class Cutter(Helper):
    """See C(tests.herd.cutter)."""

    def __init__(self, targets: list[str], seed: int, write_chance: float, read_chance: float) -> None:
        order = {"targets": targets, "seed": seed, "write_chance": write_chance, "read_chance": read_chance}
        super().__init__("tests.herd.cutter", json.dumps(order))
        self.hosts: list[str] = self.answer(START_SECONDS)["hosts"]
        self.cuts: Counter[str] = Counter()

    def collect(self) -> Counter[str]:
        """Return how often it has cut, by way; raise HelperError when it met what it did not expect."""
        while found := self.lines():
            for line in found:
                if "fault" in line:
                    raise HelperError(f"the proxy met {line['fault']}")
                self.cuts[line["cut"]] += 1
        return self.cuts
