# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labs that a run brought up and did not take down. Several runs may share a machine: each knows its own by a mark."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

from lab import client
from lab.config import STATE_ROOT, ConfigError, load
from lab.ledger import LedgerError

# In the environment of everything a run starts, a lab's server included; also the end of the names the run gives.
RUN_VARIABLE = "HOLDFAST_TEST_RUN"


def new_run() -> str:
    """A mark for one run: five characters out of 0-9a-f, so that a lab's name has room for it."""
    return secrets.token_hex(3)[:5]


def lab_name(letter: str) -> str:
    """The name of a suite's lab: of this run's own when there is one, so that a lab somebody works in is left alone."""
    return f"{letter}{os.environ.get(RUN_VARIABLE) or 'tests'}"


def state_root() -> Path:
    """Where the lab keeps one directory per lab."""
    return Path(os.environ.get("HOLDFAST_LAB_STATE") or STATE_ROOT)


def labs() -> set[str]:
    """Names of the labs this machine has state of."""
    root = state_root()
    return {path.name for path in root.iterdir() if path.is_dir()} if root.is_dir() else set()


def _server_environment(name: str) -> bytes:
    """The environment of the lab's server process; empty when it does not run (or is not a lab of ours to read)."""
    try:
        pid = client.server_pid(load(name=name))
        return Path(f"/proc/{pid}/environ").read_bytes() if pid else b""
    except (OSError, ConfigError, LedgerError):
        return b""


def is_ours(name: str, run: str) -> bool:
    """Whether a suite of this run brought this lab up."""
    return name.endswith(run) or f"{RUN_VARIABLE}={run}".encode() in _server_environment(name).split(b"\0")


def remove(root: Path, run: str) -> list[str]:
    """Take down this run's labs that are still there; each one found is worth a line, because its suite forgot it."""
    lines = []
    for name in sorted(labs()):
        if not is_ours(name, run):
            continue
        command = [sys.executable, "-m", "lab", "--name", name, "down"]
        out = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300, check=False)
        verdict = "taken down now" if out.returncode == 0 else f"and `lab down` failed: {out.stderr.strip()[-200:]}"
        lines.append(f"lab '{name}' was left up by a suite, {verdict}")
    return lines
