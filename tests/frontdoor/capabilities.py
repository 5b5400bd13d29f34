# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this machine can do, and one sentence for each thing it cannot."""

from __future__ import annotations

import shutil
import subprocess

from lab import preflight


def _java() -> str | None:
    return None if shutil.which("java") else "no java on this machine"


def _maven() -> str | None:
    return (
        None
        if shutil.which("mvn")
        else "no mvn on this machine (Kafka and ZooKeeper are assembled from Maven artifacts)"
    )


def _lab() -> str | None:
    """The lab's own preflight."""
    return preflight.blocking_reason()


_CHECKS = {"java": _java, "maven": _maven, "lab": _lab}


def missing(needs: tuple[str, ...]) -> str | None:
    """Return why these needs are not met here (the first reason), or None when they are."""
    for need in needs:
        reason = _CHECKS[need]()
        if reason:
            return reason
    return None


def tool_version(command: list[str]) -> str:
    """First line of a tool's version output, for the head of the run; empty when it does not answer."""
    try:
        out = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (out.stdout or out.stderr).strip().splitlines()[0] if (out.stdout or out.stderr).strip() else ""
