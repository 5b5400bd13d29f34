# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes by their identity: a pid means nothing without its start time."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from lab.ledger import Ledger

# Waits until the ledger has the process; ends by itself if whoever started it is killed before.
_GATE = 'IFS= read -r go && [ "$go" = go ] || exit 125; exec "$@" </dev/null'


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if there is no such process or only its zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def is_same(pid: int, started: int | None) -> bool:
    """Return whether the process that had this pid and start time still runs."""
    return started is not None and start_time(pid) == started


def children(pid: int) -> list[int]:
    """Return the processes whose parent is *pid*."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in path.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def spawn(
    command: Sequence[str],
    ledger: Ledger,
    *,
    what: str,
    output: IO[bytes],
    environment: Mapping[str, str] | None = None,
    cgroups: Sequence[Path] = (),
) -> tuple[subprocess.Popen[bytes], str]:
    """Start *command* in its own session once the ledger knows its pid; return it and its ledger entry.

    The process joins *cgroups* before it becomes *command*.
    """
    read_end, write_end = os.pipe()
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _GATE, "sh", *command],
            stdin=read_end,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            start_new_session=True,
        )
    finally:
        os.close(read_end)
    try:
        entry = ledger.intend("process", what=what, pid=process.pid, started=start_time(process.pid))
        for group in cgroups:
            (group / "cgroup.procs").write_text(str(process.pid))
        os.write(write_end, b"go\n")
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        os.close(write_end)
    return process, entry


def kill(pid: int, started: int | None, number: int = signal.SIGKILL) -> None:
    """Send a signal to the process if it is still the same one."""
    try:
        handle = os.pidfd_open(pid)
    except (ProcessLookupError, OSError):
        return
    try:
        if is_same(pid, started):
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def wait_gone(pid: int, started: int | None, timeout: float) -> bool:
    """Wait until the process is gone (a zombie is gone); return whether it is."""
    try:
        handle = os.pidfd_open(pid)
    except (ProcessLookupError, OSError):
        return True
    try:
        if not is_same(pid, started):
            return True
        ready, _, _ = select.select([handle], [], [], timeout)
        return bool(ready)
    finally:
        os.close(handle)


def end(pid: int, started: int | None, patience: float) -> bool:
    """Ask the process to end, then kill it; return whether it is gone."""
    kill(pid, started, signal.SIGTERM)
    if wait_gone(pid, started, patience):
        return True
    kill(pid, started, signal.SIGKILL)
    return wait_gone(pid, started, 5.0)


def ancestors(pid: int) -> set[int]:
    """Return *pid* and every process above it."""
    found = set()
    while pid > 0 and pid not in found:
        found.add(pid)
        try:
            text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            break
        pid = int(text.rpartition(")")[2].split()[1])
    return found


def wait_until(condition: Callable[[], object], timeout: float, step: float = 0.02) -> bool:
    """Ask *condition* again and again until it holds; return whether it did in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step)
    return True
