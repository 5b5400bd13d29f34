# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as a stage: up, into its network with its environment, down."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import client, namespaces
from lab.config import LabConfig, load
from lab.demo import process

REPOSITORY = Path(__file__).resolve().parents[2]
Say = Callable[[str], None]


class StageError(RuntimeError):
    """A step of the stage failed; the message is one sentence and where the log is."""


@dataclass
class Stage:
    """One lab by name; ``logs`` is where the output of its steps goes."""

    name: str
    logs: Path
    say: Say

    def command(self, *arguments: str) -> list[str]:
        """A command of this lab."""
        return [sys.executable, "-m", "lab", "--name", self.name, *arguments]

    def step(
        self, label: str, command: list[str], timeout_seconds: float, env: Mapping[str, str] | None = None
    ) -> float:
        """Run one step with progress; return its seconds, raise StageError with the log's end when it fails."""
        log = self.logs / f"{label.replace(' ', '-')}.log"

        def heartbeat(seconds: float, last: str) -> None:
            self.say(f"    {label} {seconds:.0f} s  {last}")

        self.say(f"{label} ...")
        ended = process.run(command, log, timeout_seconds, heartbeat, env=env, cwd=REPOSITORY)
        if ended.returncode != 0 or ended.timed_out:
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-40:])
            how = f"took more than {timeout_seconds:.0f} s" if ended.timed_out else f"ended with {ended.returncode}"
            raise StageError(f"'{label}' {how}; the end of {log}:\n{tail}")
        self.say(f"    {label}: {ended.seconds:.1f} s")
        return ended.seconds

    def lab(self, *arguments: str) -> str:
        """Run a short command of this lab; return what it printed, raise OSError with its words when it fails."""
        command = self.command(*arguments)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=REPOSITORY)
        if done.returncode != 0:
            raise OSError(f"lab {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def up(self, *options: str) -> float:
        """Bring the lab up; return the seconds it took."""
        return self.step("lab up", self.command("up", *options), 600)

    def down(self) -> float:
        """Take the lab down; return the seconds it took."""
        return self.step("lab down", self.command("down"), 300)

    @property
    def config(self) -> LabConfig:
        """The lab's names and paths."""
        return load(name=self.name)

    @contextmanager
    def inside(self) -> Iterator[dict[str, str]]:
        """Put this process into the lab's network and environment, and back out at the end.

        Only the calling thread moves; child processes and threads that it starts meanwhile are inside too.
        """
        environment = client.environment(self.config)
        before = dict(os.environ)
        with Path("/proc/self/ns/net").open("rb") as outside:
            client.enter(self.config)
            os.environ.update(environment)
            try:
                yield environment
            finally:
                os.environ.clear()
                os.environ.update(before)
                namespaces.enter_network(Path(f"/proc/self/fd/{outside.fileno()}"))


def wait_until(
    what: str,
    condition: Callable[[], str | None],
    timeout_seconds: float,
    poll_seconds: float = 0.5,
    evidence: Callable[[], str] | None = None,
) -> float:
    """Wait until ``condition`` returns None; it returns what is still missing. Returns seconds waited.

    Raises StageError naming what was still missing at the bound, and what ``evidence`` finds then.
    """
    started = time.monotonic()
    while True:
        missing = condition()
        waited = time.monotonic() - started
        if missing is None:
            return waited
        if waited >= timeout_seconds:
            found = f" [{evidence()}]" if evidence else ""
            raise StageError(f"{what}: not within {timeout_seconds:.0f} s; last seen: {missing}{found}")
        time.sleep(poll_seconds)
