# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks' figures: medians, bounds that are reached and missed, and what counts as not measured."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as bench
from benchmarks import boot
from benchmarks.figures import Bound, Figures, NotMeasuredError, Spread, spread
from lab.demo.replacement import Replacement

ONE = Replacement(
    role="kafka",
    node_id=1,
    terminated_instance="i-old",
    replacement_instance="i-new",
    ip_before="192.0.2.23",
    ip_after="192.0.2.23",
    volume_before="vol-1",
    volume_after="vol-1",
    replace_seconds=80.0,
    holdfast_seconds=15.0,
    phases={"claim_seconds": 2.0, "in_isr_seconds": 5.0},
)


def rounds(*own_seconds: float) -> list[Replacement]:
    """Rounds whose own part took so long, and the rest a minute."""
    return [dataclasses.replace(ONE, holdfast_seconds=own, replace_seconds=own + 60) for own in own_seconds]


def test_the_median_and_the_spread() -> None:
    figures = boot.summary(rounds(15.0, 30.0, 16.0), {"processors": 2})
    assert figures.spreads["kafka"]["claim_to_service_start_seconds"] == Spread(16.0, 15.0, 30.0, 3)
    assert [bound.reached for bound in figures.bounds] == [True, True]
    written = figures.as_json()
    assert written["conditions"] == {"processors": 2}
    assert written["spreads"]["kafka"]["claim_seconds"]["median"] == 2.0
    assert len(written["rounds"]) == 3
    json.dumps(written)


@pytest.mark.parametrize(
    ("own", "missed"),
    [
        (20.0, []),
        (20.1, ["kafka, claim to service start"]),
        (31.0, ["kafka, terminated to whole again", "kafka, claim to service start"]),
    ],
)
def test_a_bound_is_reached_or_missed_and_said(own: float, missed: list[str]) -> None:
    figures = boot.summary(rounds(own), {})
    assert [bound.name for bound in figures.bounds if not bound.reached] == missed
    for bound in figures.bounds:
        line = f"{'reached' if bound.reached else 'MISSED'}: {bound.name} {bound.value:.1f} s"
        assert line in figures.table()


@pytest.mark.parametrize(
    ("done", "words"),
    [
        ([dataclasses.replace(ONE, holdfast_seconds=None)], "0 of 1 rounds"),
        ([ONE, dataclasses.replace(ONE, phases={"claim_seconds": None, "in_isr_seconds": 5.0})], "1 of 2 rounds"),
        ([dataclasses.replace(ONE, volume_after="vol-2")], "did not come back as itself"),
    ],
)
def test_what_is_not_measured_is_no_figure(done: list[Replacement], words: str) -> None:
    with pytest.raises(NotMeasuredError, match=words):
        boot.summary(done, {})


def test_no_round_is_no_figure() -> None:
    with pytest.raises(NotMeasuredError):
        spread("nothing", [])


def _good(_rounds: int, _say: Any) -> Figures:
    return Figures({"one": {"all_seconds": spread("all", [1.0, 2.0])}}, (Bound("one", 1, 1.5),))


def _failing(error: BaseException) -> Any:
    def run(_rounds: int, _say: Any) -> Figures:
        raise error

    return run


def test_a_missed_bound_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.measure({"good": _good}, 2, tmp_path / "reports" / "bench.json") == 0
    assert json.loads((tmp_path / "reports" / "bench.json").read_text(encoding="utf-8"))["good"]["bounds"][0] == {
        "name": "one",
        "limit": 1,
        "value": 1.5,
        "unit": "seconds",
        "reached": False,
    }
    assert "MISSED: one 1.50 s, bound 1.00 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (NotMeasuredError("nothing moved"), "nothing moved"),
        (subprocess.TimeoutExpired("ansible-playbook", 900), "timed out after 900 seconds"),
        (AssertionError("no record"), "no record"),
    ],
)
def test_what_could_not_be_measured_fails_and_the_others_are_kept(
    error: Exception, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.measure({"bad": _failing(error), "good": _good}, 2, tmp_path / "bench.json") == 1
    assert list(json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))) == ["good"]
    assert re.search(f"NOT MEASURED: bad: .*{told}", capsys.readouterr().out)


def test_what_was_measured_is_kept_when_the_next_is_interrupted(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.measure({"good": _good, "endless": _failing(KeyboardInterrupt())}, 2, tmp_path / "bench.json")
    assert list(json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))) == ["good"]


@pytest.mark.parametrize("arguments", [["nonsense"], ["--rounds", "0"]])
def test_a_command_line_that_cannot_be_meant(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(arguments) == 2
    assert "benchmarks are: boot" in capsys.readouterr().out
