# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One readable line for each phase of a boot, as console and journal show it. Pure; nothing of it is recorded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

PREFIX = "holdfast:"
#: What a phase means, in a few words; a phase that is not here is told by its name alone.
MEANINGS = {
    "claim_start": "looking for an identity",
    "claim_end": "identity claimed",
    "attach_end": "interface and volumes attached",
    "configure_end": "routed, mounted and configured",
    "service_start": "service started",
    "healthy": "serving",
    "signalled": "success signalled",
    "finished": "done",
    "gave_up": "GIVEN UP: marked unhealthy, the next instance takes over",
    "kept": "KEPT: it serves or will, nobody replaces it",
}
_CREDENTIALS = re.compile(r"//[^/@\s'\"]+@")
_SECRET = re.compile(
    r"(?i)\b([\w.-]*(?:password|secret|token|credential)[\w.-]*)(\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;]+)"
)


def redacted(text: str) -> str:
    """Leave out what follows a password's name, and user and password of addresses; on one line."""
    one_line = " ".join(text.split())
    return _SECRET.sub(r"\1\2***", _CREDENTIALS.sub("//***@", one_line))


def _seconds(phases: Mapping[str, str], phase: str | None, now: str) -> tuple[float, float]:
    """Return the seconds since the phase before, and since the first that is recorded."""
    times = sorted(datetime.fromisoformat(value) for name, value in phases.items() if name != phase)
    at = datetime.fromisoformat(now)
    earlier = [time for time in times if time <= at]
    if not earlier:
        return 0.0, 0.0
    return (at - earlier[-1]).total_seconds(), (at - earlier[0]).total_seconds()


def phase_line(phases: Mapping[str, str], phase: str, detail: str = "") -> str:
    """Tell that a phase was reached, when the record has it already."""
    last, whole = _seconds(phases, phase, phases[phase])
    told = MEANINGS.get(phase, "")
    words = f"{PREFIX} {phase:<13} {last:7.1f} s  {whole:7.1f} s since start  {told}"
    return words.rstrip() + (f": {redacted(detail)}" if detail else "")


def failure_line(phases: Mapping[str, str], now: str, message: str, reason: str = "") -> str:
    """Tell why a boot failed, after which phase, and where to read on."""
    last, whole = _seconds(phases, None, now)
    reached = max(phases, key=lambda name: phases[name]) if phases else "nothing"
    page = f" See docs/runbooks/reasons/{reason}.md" if reason else " See docs/runbooks/node_boot.md"
    told = f"{PREFIX} FAILED        {last:7.1f} s  {whole:7.1f} s since start  after {reached}"
    return f"{told}: reason={reason or 'none'}: {redacted(message)}{page}"
