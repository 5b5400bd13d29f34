# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running one step: own process group, output to a log, a heartbeat on the terminal, a bound on time."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

HEARTBEAT_SECONDS = 20
# After the polite signal, how long a step may tidy up (pytest writes its results then, fixtures stop their processes).
GRACE_SECONDS = 90
_TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(.+)\] \**$")


@dataclass(frozen=True)
class Ended:
    """How a step ended. ``timed_out`` says that it was stopped at its bound."""

    returncode: int
    seconds: float
    timed_out: bool


def newest(lines: list[str]) -> str:
    """What a step is at, for a person: its last line, which Ansible's `ok: [host]` is not without the task's name."""
    if not lines:
        return ""
    last = lines[-1].strip()
    tasks = [found[1] for line in lines if (found := _TASK.match(line.strip()))]
    return (f"{tasks[-1]}: {last}" if tasks and not _TASK.match(last) else last.rstrip("* "))[:110]


def _last_line(log: Path) -> str:
    with log.open("rb") as handle:
        handle.seek(0, os.SEEK_END)
        handle.seek(max(0, handle.tell() - 4000))
        return newest(handle.read().decode(errors="replace").strip().splitlines())


def stop_group(process: subprocess.Popen[bytes], grace_seconds: float = GRACE_SECONDS) -> None:
    """Ask the step to end, then end its whole process group."""
    for sig, wait in ((signal.SIGINT, grace_seconds), (signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        try:
            if sig == signal.SIGINT:
                process.send_signal(sig)
            else:
                os.killpg(process.pid, sig)
            process.wait(timeout=wait)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def run(
    command: list[str],
    log: Path,
    timeout_seconds: float,
    heartbeat: Callable[[float, str], None],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    grace_seconds: float = GRACE_SECONDS,
) -> Ended:
    """Run a command without standard input, output to ``log``; call ``heartbeat(seconds, last line)`` now and then."""
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=dict(env) if env is not None else None,
            cwd=cwd,
        )
        try:
            while True:
                left = timeout_seconds - (time.monotonic() - started)
                try:
                    process.wait(timeout=max(0.0, min(HEARTBEAT_SECONDS, left)))
                    return Ended(process.returncode, time.monotonic() - started, timed_out=False)
                except subprocess.TimeoutExpired:
                    seconds = time.monotonic() - started
                    if seconds >= timeout_seconds:
                        stop_group(process, grace_seconds)
                        return Ended(process.wait(), time.monotonic() - started, timed_out=True)
                    heartbeat(seconds, _last_line(log))
        except BaseException:
            stop_group(process, grace_seconds)
            raise
