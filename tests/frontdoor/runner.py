# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running one suite, whatever its kind, and counting what came of it; a failing suite never stops the next one."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.client import LabDownError, LabRefusedError
from lab.demo import cluster, images, process
from lab.demo.stage import Stage, StageError
from tests.frontdoor import capabilities, counts, leftovers, lint
from tests.frontdoor.recorder import RESULTS_VARIABLE
from tests.frontdoor.suites import Suite

Say = Callable[[str], None]
HERE = Path(__file__).resolve().parents[2]
# The scenario that bakes the image from which the others start.
BAKES = "node_image"
# How much of a failure the summary's line tells.
TROUBLE_CHARACTERS = 400


def clock(seconds: float) -> str:
    """Seconds as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Runner:
    """Runs suites against one deadline; ``say`` receives every line meant for the person who watches.

    ``started`` is when the whole run began, by the monotonic clock, which is one for all processes of a machine.
    """

    def __init__(self, root: Path, say: Say, total_timeout_seconds: float, started: float | None = None) -> None:
        self.root = root
        self.say = say
        self.started = time.monotonic() if started is None else started
        self.deadline = self.started + total_timeout_seconds
        self.reports = root / "reports" / "test"
        self.python = sys.executable
        self.bin = Path(sys.executable).parent

    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.started

    def run(self, suite: Suite) -> counts.Counts:
        """Run one suite, whatever its kind."""
        reason = capabilities.missing(suite.needs)
        if reason:
            return self._skip(suite, reason)
        runners: dict[str, Callable[[Suite], counts.Counts]] = {
            "lint": self._lint,
            "pytest": self._run_pytest,
            "molecule": self._molecule,
        }
        return runners[suite.kind](suite)

    def _step(
        self, label: str, command: list[str], log: Path, timeout_seconds: float, extra: Mapping[str, str] | None = None
    ) -> process.Ended:
        def heartbeat(seconds: float, last: str) -> None:
            self.say(f"    {label} {clock(seconds)}  {last}")

        bound = max(1.0, min(timeout_seconds, self.deadline - time.monotonic()))
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
            "PYTHONUNBUFFERED": "1",
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "ANSIBLE_NOCOLOR": "1",
            "NO_COLOR": "1",
            **(extra or {}),
        }
        return process.run(command, log, bound, heartbeat, env=env)

    # -- lint -----------------------------------------------------------------------------------------------------
    def _lint(self, suite: Suite) -> counts.Counts:
        total = counts.Counts()
        for step in lint.steps(self.root):
            log = self.reports / f"lint-{step.step_id}.log"
            ended = self._step(step.step_id, step.command, log, suite.timeout_seconds)
            text = log.read_text(encoding="utf-8", errors="replace").strip()
            if ended.returncode == 0:
                total.passed += 1
                verdict = "ok"
            elif ended.returncode == lint.SKIPPED_STATUS:
                total.skipped += 1
                total.skips.append(f"lint {step.step_id}: {text.splitlines()[-1] if text else 'no reason given'}")
                verdict = "skipped"
            else:
                total.fail(f"lint {step.step_id}" + (" (stopped at its limit)" if ended.timed_out else ""))
                verdict = "FAILED"
            self.say(f"    {step.step_id:<16} {verdict:<8} {clock(ended.seconds)}")
            if verdict == "FAILED":
                self._show(text, 60)
        return total

    # -- pytest ---------------------------------------------------------------------------------------------------
    def _pytest(self, suite: Suite, *more: str) -> tuple[process.Ended, Path, Path]:
        results = self.reports / f"{suite.name}.jsonl"
        self.reports.mkdir(parents=True, exist_ok=True)
        results.unlink(missing_ok=True)
        log = self.reports / f"{suite.name}.log"
        workers = ["-n", str(suite.workers), "--dist", "loadfile"] if suite.workers and not more else []
        command = [self.python, "-m", "pytest", "-v", "--color=no", "-p", "tests.frontdoor.recorder"]
        command += [*workers, *suite.options, *more]
        extra = {RESULTS_VARIABLE: str(results), "PYTHONPATH": str(HERE)}
        return self._step(suite.name, [*command, *suite.paths], log, suite.timeout_seconds, extra), log, results

    def _run_pytest(self, suite: Suite) -> counts.Counts:
        ended, log, results = self._pytest(suite)
        result = counts.of_pytest(
            ended.returncode, results, suite.name, int(ended.seconds) if ended.timed_out else None
        )
        if result.failed:
            self._show(failure_part(log.read_text(encoding="utf-8", errors="replace")), 200)
        return result

    # -- molecule -------------------------------------------------------------------------------------------------
    def _scenarios(self) -> list[str]:
        return sorted(
            path.parent.name for path in self.root.glob("molecule/*/molecule.yml") if path.parent.name != "default"
        )

    def _molecule(self, suite: Suite) -> counts.Counts:
        """All scenarios in one lab; they run inside its network, where their instances and the API are."""
        total = counts.Counts()
        names = self._scenarios()
        if not names:
            total.fail("molecule: no scenario found")
            return total
        stage = Stage(leftovers.lab_name("m"), self.reports / "molecule", self.say)
        try:
            cluster.prepare(stage)
            try:
                stage.up()
                with stage.inside():
                    images.reuse(stage)
                    # The bake comes first: the others start from its image. They mostly wait, so several run at once.
                    first = [name for name in names if name == BAKES]
                    rest = [name for name in names if name != BAKES]
                    with ThreadPoolExecutor(max_workers=max(1, suite.workers)) as pool:
                        for group in (first, rest):
                            for found in pool.map(lambda name: self._molecule_scenario(suite, name), group):
                                total.add(found)
                    images.remember(stage)
            finally:
                stage.down()
        except (StageError, LabDownError, LabRefusedError) as error:
            total.fail(f"molecule: {error}")
        return total

    def _molecule_scenario(self, suite: Suite, name: str) -> counts.Counts:
        total = counts.Counts()
        log = self.reports / f"molecule-{name}.log"
        ended = self._step(name, [str(self.bin / "molecule"), "test", "-s", name], log, suite.timeout_seconds)
        if ended.returncode == 0:
            total.passed += 1
        else:
            text = log.read_text(encoding="utf-8", errors="replace")
            total.fail(f"molecule {name}: " + ("stopped at its limit" if ended.timed_out else first_trouble(text)))
            self._show(text, 80)
        self.say(f"    {name:<16} {'ok' if ended.returncode == 0 else 'FAILED':<8} {clock(ended.seconds)}")
        return total

    # -- skipped as a whole ---------------------------------------------------------------------------------------
    def _skip(self, suite: Suite, reason: str) -> counts.Counts:
        if suite.kind == "molecule":
            number = len(self._scenarios())
        else:
            number = counts.collected(self._pytest(suite, "--collect-only")[2])
        return counts.Counts(skipped=number, skips=[f"{suite.name}: all {number}: {reason}"])

    def _show(self, text: str, lines: int) -> None:
        kept = text.splitlines()
        if len(kept) > lines:
            self.say(f"      ... {len(kept) - lines} lines more in reports/test/")
        for line in kept[-lines:]:
            self.say(f"      | {line}")


def first_trouble(text: str) -> str:
    """What failed first by Ansible's or molecule's output, with the lines after it; the last line when nothing did."""
    lines = [line.strip(" │") for line in text.splitlines() if line.strip(" │")]
    told = [at for at, line in enumerate(lines) if re.match(r"(fatal|failed): \[|\[?(ERROR|CRITICAL)\b", line)]
    return " ".join(lines[told[0] :] if told else lines[-1:])[:TROUBLE_CHARACTERS] or "no output"


def failure_part(text: str) -> str:
    """The part of pytest's output that explains failures: from the first ERRORS or FAILURES heading on."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("=") and (" FAILURES " in line or " ERRORS " in line):
            return "\n".join(lines[number:])
    return text
