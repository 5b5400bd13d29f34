# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lanes of suites side by side, each in a process of its own: a suite changes its process's network and environment."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from lab.demo import process
from tests.frontdoor.counts import Outcome
from tests.frontdoor.suites import Suite

POLL_SECONDS = 0.2
# A lane ends by its own deadline; this much later it is ended.
LATE_SECONDS = 120
# How long an interrupted lane may stop its step (see ``process.GRACE_SECONDS``) and take its lab down.
GRACE_SECONDS = 300


def run(root: Path, lanes: list[tuple[Suite, ...]], folder: Path, started: float, deadline: float) -> list[Outcome]:
    """Run the lanes until each has ended, and return what each of their suites came to, lane by lane.

    They write to this process's output, line by line. An interrupt stops them all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    running: list[tuple[tuple[Suite, ...], Path, subprocess.Popen[bytes]]] = []
    try:
        for lane in lanes:
            outcomes = folder / f"lane-{lane[0].lane}.jsonl"
            outcomes.unlink(missing_ok=True)
            command = [sys.executable, "-m", "tests.frontdoor", "--suites", ",".join(suite.name for suite in lane)]
            command += ["--lane", str(outcomes), "--started", str(started)]
            child = subprocess.Popen(command, cwd=root, stdin=subprocess.DEVNULL, start_new_session=True)
            running.append((lane, outcomes, child))
        while any(child.poll() is None for _, _, child in running) and time.monotonic() < deadline + LATE_SECONDS:
            time.sleep(POLL_SECONDS)
    finally:
        for _, _, child in running:
            if child.poll() is None:
                process.stop_group(child, GRACE_SECONDS)
    return [outcome for lane, outcomes, child in running for outcome in _collect(lane, outcomes, child.returncode)]


def _collect(lane: tuple[Suite, ...], outcomes: Path, status: int) -> list[Outcome]:
    """What the lane wrote; a suite that it did not come to, or an end that no failure explains, is a failure."""
    found = {outcome.suite: outcome for outcome in Outcome.read(outcomes)}
    for suite in lane:
        if suite.name not in found:
            found[suite.name] = Outcome(suite.name)
            found[suite.name].counts.fail(f"{suite.name}: its lane ended with status {status} before it was counted")
    if status and not any(outcome.counts.failed for outcome in found.values()):
        found[lane[-1].name].counts.fail(
            f"{lane[-1].name}: its lane ended with status {status}, and no failure explains it"
        )
    return list(found.values())
