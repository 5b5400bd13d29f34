# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's report and its verdicts: each reason for failure fires."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from lab.demo import report
from lab.demo.fleet import Process, reconfigured, restarted
from lab.demo.replacement import Replacement
from lab.demo.workload import Verdict

ONE = Replacement(
    role="kafka",
    node_id=3,
    terminated_instance="i-old",
    replacement_instance="i-new",
    ip_before="192.0.2.23",
    ip_after="192.0.2.23",
    volume_before="vol-1",
    volume_after="vol-1",
    replace_seconds=50.5,
    holdfast_seconds=12.0,
    phases={"launch_seconds": 5.0, "in_isr_seconds": None},
)
GOOD = report.Figures([ONE], Verdict(10, 10, 0, 0, 0), [], [], 200.0, {"lab_up": 30.0})


def test_a_good_demo_has_no_fault_and_the_wanted_keys(tmp_path: Path) -> None:
    assert GOOD.faults() == []
    report.write(GOOD, tmp_path / "reports" / "demo.json")
    written = json.loads((tmp_path / "reports" / "demo.json").read_text(encoding="utf-8"))
    wanted = {
        "acked",
        "read_back",
        "lost",
        "processes_restarted_elsewhere",
        "configurations_changed_elsewhere",
        "total_seconds",
    }
    assert wanted <= set(written)
    fields = {"node_id", "terminated_instance", "replacement_instance", "ip_before", "ip_after", "volume_before"}
    assert fields | {"volume_after", "replace_seconds", "phases"} <= set(written["kafka"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"replacements": [dataclasses.replace(ONE, ip_after="192.0.2.24")]}, "did not come back as itself"),
        ({"replacements": [dataclasses.replace(ONE, volume_after="vol-2")]}, "did not come back as itself"),
        ({"replacements": [dataclasses.replace(ONE, replacement_instance="i-old")]}, "did not come back as itself"),
        ({"verdict": Verdict(10, 9, 1, 0, 0)}, "1 acknowledged messages cannot be read back"),
        ({"verdict": Verdict(0, 0, 0, 0, 0)}, "nothing is proven"),
        ({"restarted_elsewhere": ["kafka-1"]}, "processes restarted elsewhere: kafka-1"),
        ({"reconfigured_elsewhere": ["zookeeper-1"]}, "configurations changed elsewhere: zookeeper-1"),
    ],
)
def test_each_fault_is_named(change: dict[str, object], words: str) -> None:
    faults = dataclasses.replace(GOOD, **change).faults()  # type: ignore[arg-type]  # the fields are of different types
    assert len(faults) == 1
    assert words in faults[0]


def test_the_table_shows_both_sides_and_unknown_phases() -> None:
    text = report.table(GOOD)
    assert "i-old" in text
    assert "i-new" in text
    assert "in isr, s" in text
    assert text.splitlines()[-1] == "200 s in all"
    assert " -" in next(line for line in text.splitlines() if "in isr" in line)


WAS = {"kafka-1": Process("i-1", 100, 5000, "aa"), "kafka-2": Process("i-2", 100, 5000, "bb")}


@pytest.mark.parametrize(
    "now",
    [
        {"kafka-2": WAS["kafka-2"]},
        {**WAS, "kafka-1": Process("i-1", 101, 5000, "aa")},
        {**WAS, "kafka-1": Process("i-1", 100, 5001, "aa")},
        {**WAS, "kafka-1": Process("i-9", 100, 5000, "aa")},
    ],
)
def test_another_process_is_a_restart(now: dict[str, Process]) -> None:
    assert restarted(WAS, now, set()) == ["kafka-1"]
    assert restarted(WAS, now, {"kafka-1"}) == []
    assert restarted(WAS, WAS, set()) == []


def test_another_configuration_is_a_change() -> None:
    now = {**WAS, "kafka-1": Process("i-1", 100, 5000, "changed")}
    assert reconfigured(WAS, now, set()) == ["kafka-1"]
    assert reconfigured(WAS, now, {"kafka-1"}) == []
    assert reconfigured(WAS, {"kafka-1": WAS["kafka-1"]}, set()) == ["kafka-2"]
