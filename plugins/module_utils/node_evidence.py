# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node can still tell of its service after a failure. Never raises; what cannot be read is told.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils import file_systems, service_watch
from ansible_collections.holdfast.kafka.plugins.module_utils.secret_text import without_secrets

#: Of a unit's properties, those that tell how it fares. None of them carries a command line or an environment.
PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "ConditionResult",
    "ExecMainStatus",
    "ExecMainCode",
    "NRestarts",
    "MainPID",
    "ActiveEnterTimestamp",
    "InactiveEnterTimestamp",
    "StateChangeTimestamp",
    "MemoryCurrent",
    "TasksCurrent",
)
LONGEST_LINE = 1000


def collect(
    run: Callable[[list[str]], tuple[int, str, str]], unit: str, lines: int, proc: str = "/proc"
) -> dict[str, Any]:
    """Return the evidence; C(run) runs a command and returns its exit code, output and errors."""
    problems: list[str] = []

    def output(command: list[str]) -> str:
        try:
            code, out, err = run(command)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the other evidence counts
            problems.append(f"{command[0]}: {error!r}")
            return ""
        if code != 0:
            problems.append(f"{command[0]} ended with {code}: {without_secrets(err.strip())[:LONGEST_LINE]}")
        return out

    def read(path: str) -> str:
        try:
            return Path(proc, path).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            problems.append(f"{error}")
            return ""

    state = output(service_watch.show(unit, PROPERTIES))
    journal = output(
        ["journalctl", f"--unit={unit}", f"--lines={lines}", "--output=short-iso-precise", "--no-pager", "--quiet"]
    )
    return {
        "unit": unit,
        "state": service_watch.shown(state),
        "journal": [line[:LONGEST_LINE] for line in without_secrets(journal).splitlines()[-lines:]],
        "memory_available_bytes": _available(read("meminfo")),
        "filesystems": file_systems.usage(read("mounts"), problems),
        "problems": problems,
    }


def _available(meminfo: str) -> int | None:
    for line in meminfo.splitlines():
        name, _colon, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return None
