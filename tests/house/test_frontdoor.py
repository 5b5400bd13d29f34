# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The front door counts honestly: what fails, hangs or finds nothing is a failure, and the last line says so."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.demo import process
from tests.frontdoor import beside, counts, leftovers, runner
from tests.frontdoor.suites import SUITES, Suite, UnknownSuiteError, select, split

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = """
import pytest
def test_good(): pass
def test_bad(): assert 1 == 2
@pytest.mark.skip(reason="not today")
def test_skipped(): pass
@pytest.fixture
def broken():
    yield
    raise RuntimeError("in teardown")
def test_teardown(broken): assert False
"""


def _runner(tmp_path: Path, said: list[str]) -> runner.Runner:
    return runner.Runner(tmp_path, said.append, 60)


def _suite(path: Path, **more: object) -> Suite:
    return Suite("sample", "a sample", "pytest", 30, paths=(str(path),), **more)  # type: ignore[arg-type]  # more is fields


def test_pytest_outcomes_are_counted_once_each(tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text(SAMPLE, encoding="utf-8")
    said: list[str] = []
    result = _runner(tmp_path, said).run(_suite(tmp_path / "test_sample.py"))
    assert (result.passed, result.failed, result.skipped) == (1, 2, 1)
    assert any("test_bad" in line for line in result.failures)
    assert any("not today" in line for line in result.skips)
    assert any("assert 1 == 2" in line for line in said), "a failure's explanation is shown"


def test_no_test_found_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_empty.py").write_text("", encoding="utf-8")
    result = _runner(tmp_path, []).run(_suite(tmp_path / "test_empty.py"))
    assert result.failures == ["sample: pytest found no test"]


def test_collection_error_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_broken.py").write_text("import no_such_module\n", encoding="utf-8")
    assert _runner(tmp_path, []).run(_suite(tmp_path / "test_broken.py")).failed == 1


def test_a_hanging_suite_is_stopped_and_counted(tmp_path: Path) -> None:
    (tmp_path / "test_hang.py").write_text(
        "import time\ndef test_a(): pass\ndef test_b(): time.sleep(600)\n", encoding="utf-8"
    )
    # The limit leaves time for the first test on a busy machine.
    hanging = Suite("sample", "hangs", "pytest", 15, paths=(str(tmp_path / "test_hang.py"),))
    started = time.monotonic()
    result = _runner(tmp_path, []).run(hanging)
    assert time.monotonic() - started < 300
    assert result.passed == 1
    assert any("stopped after its limit" in line for line in result.failures)


def test_unexplained_end_is_a_failure(tmp_path: Path) -> None:
    assert counts.of_pytest(3, tmp_path / "none.xml", "s", None).failed == 1
    assert counts.of_pytest(0, tmp_path / "none.xml", "s", None).failed == 1


def test_missing_capability_skips_every_test_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test_sample.py").write_text(SAMPLE, encoding="utf-8")
    monkeypatch.setattr(runner.capabilities, "missing", lambda needs: "no java on this machine" if needs else None)
    result = _runner(tmp_path, []).run(_suite(tmp_path / "test_sample.py", needs=("java",)))
    assert (result.passed, result.failed, result.skipped) == (0, 0, 4)
    assert result.skips == ["sample: all 4: no java on this machine"]


def test_a_process_that_ignores_the_polite_signal_is_ended(tmp_path: Path) -> None:
    stubborn = "import signal,time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)\n"
    ended = process.run([sys.executable, "-c", stubborn], tmp_path / "log", 2, lambda *_: None, grace_seconds=1)
    assert ended.timed_out
    assert ended.seconds < 20


def test_steps_have_no_standard_input(tmp_path: Path) -> None:
    ended = process.run(
        [sys.executable, "-c", "import sys; sys.exit(sys.stdin.read() != '')"], tmp_path / "log", 10, lambda *_: None
    )
    assert ended.returncode == 0


def test_selection_keeps_the_order_and_refuses_unknown_names() -> None:
    assert [suite.name for suite in select("integration,unit")] == ["unit", "integration"]
    assert select(None) == SUITES
    with pytest.raises(UnknownSuiteError, match="no suite named units"):
        select("units")


def test_the_last_line_is_the_count_and_the_status_follows_it() -> None:
    out = subprocess.run(
        [sys.executable, "-m", "tests.frontdoor", "--suites", "nothing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 2
    assert "no suite named nothing" in out.stdout
    total = counts.Counts(passed=3, skipped=1)
    assert total.line() == "3 passed, 0 failed, 1 skipped"
    total.fail("x")
    assert total.line() == "3 passed, 1 failed, 1 skipped"


def test_a_lab_left_up_is_taken_down_and_somebody_elses_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = leftovers.new_run()
    monkeypatch.setenv("HOLDFAST_LAB_STATE", str(tmp_path))
    monkeypatch.setenv(leftovers.RUN_VARIABLE, run)
    for name in (leftovers.lab_name("m"), "marked", "others"):
        (tmp_path / name).mkdir()
    environments = {"marked": f"A=1\0{leftovers.RUN_VARIABLE}={run}\0B=2".encode()}
    monkeypatch.setattr(leftovers, "_server_environment", lambda name: environments.get(name, b"A=1"))
    asked: list[str] = []

    def fake_run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command[4])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(leftovers.subprocess, "run", fake_run)
    lines = leftovers.remove(ROOT, run)
    assert asked == sorted([f"m{run}", "marked"])
    assert lines == [f"lab '{name}' was left up by a suite, taken down now" for name in asked]


def test_a_labs_server_is_read_through_its_journal_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_LAB_STATE", str(tmp_path))
    (tmp_path / "not-a-name").mkdir()
    (tmp_path / "empty").mkdir()
    assert not leftovers.is_ours("not-a-name", "aaaaa")
    assert not leftovers.is_ours("empty", "aaaaa")


def test_no_test_is_outside_of_every_suite() -> None:
    roots = tuple(ROOT / path for suite in SUITES for path in suite.paths)
    tests = (ROOT / "tests").rglob("test_*.py")
    assert [path for path in tests if not any(path.is_relative_to(root) for root in roots)] == []


def test_lanes_come_after_what_has_the_machine_for_itself() -> None:
    alone, lanes = split(SUITES)
    assert [suite.name for suite in alone] == ["lint", "unit", "model", "contract", "lab"]
    assert [[suite.name for suite in lane] for lane in lanes] == [["integration", "molecule"], ["scenarios"]]
    assert split(select("unit")) == (select("unit"), [])


LANE_MAIN = """
import signal, sys, time
from pathlib import Path
from tests.frontdoor.counts import Counts, Outcome
signal.signal(signal.SIGINT, signal.default_int_handler)
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
for name in options["--suites"].split(","):
    if name == "crashes":
        sys.exit(3)
    if name == "waits":
        Path(options["--lane"] + ".waits").touch()
        try:
            time.sleep(120)
        except KeyboardInterrupt:
            Path(options["--lane"] + ".ended").touch()
            raise
    counted = Counts(passed=2, failures=["why"], failed=1) if name == "fails" else Counts(passed=2)
    Outcome(name, 1.5, counted).append(Path(options["--lane"]))
sys.exit(4 if name == "lies" else 0)
"""


def _lane(*names: str) -> tuple[Suite, ...]:
    return tuple(Suite(name, name, "pytest", 30, lane=names[0]) for name in names)


def _fake_lanes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes of lanes be the few lines above."""
    (tmp_path / "fake.py").write_text(LANE_MAIN, encoding="utf-8")
    popen = subprocess.Popen

    def start(command: list[str], **more: object) -> subprocess.Popen[bytes]:
        return popen(
            [sys.executable, str(tmp_path / "fake.py"), *command[3:]], **{**more, "env": {"PYTHONPATH": str(ROOT)}}
        )  # type: ignore[call-overload]  # more is what Popen takes

    monkeypatch.setattr(beside.subprocess, "Popen", start)


def test_lanes_run_side_by_side_and_what_does_not_come_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake_lanes(tmp_path, monkeypatch)
    lanes = [_lane("good", "fails"), _lane("also", "crashes", "never"), _lane("lies")]
    now = time.monotonic()
    found = beside.run(ROOT, lanes, tmp_path, now, now + 60)
    assert [(one.suite, one.counts.passed, one.counts.failed) for one in found] == [
        ("good", 2, 0),
        ("fails", 2, 1),
        ("also", 2, 0),
        ("crashes", 0, 1),
        ("never", 0, 1),
        ("lies", 2, 1),
    ]
    assert found[1].counts.failures == ["why"]
    assert "status 3" in found[3].counts.failures[0]
    assert "no failure explains it" in found[5].counts.failures[0]


@pytest.mark.parametrize("late", [True, False])
def test_lanes_are_ended_when_they_are_late_and_when_the_run_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    _fake_lanes(tmp_path, monkeypatch)
    lanes = [_lane("waits"), _lane("good")]
    waits = tmp_path / "lane-waits.jsonl.waits"
    now = time.monotonic()

    def sleep(_seconds: float) -> None:
        time_sleep(0.05)
        if waits.exists() and not late:
            raise KeyboardInterrupt

    time_sleep = time.sleep
    monkeypatch.setattr(beside.time, "sleep", sleep)
    if late:
        monkeypatch.setattr(beside, "LATE_SECONDS", 2)
        found = beside.run(ROOT, lanes, tmp_path, now, now)
        assert [(one.suite, one.counts.failed) for one in found] == [("waits", 1), ("good", 0)]
    else:
        with pytest.raises(KeyboardInterrupt):
            beside.run(ROOT, lanes, tmp_path, now, now + 60)
    assert (tmp_path / "lane-waits.jsonl.ended").exists(), "the lane may tidy up"


def test_what_failed_first_is_in_the_summary() -> None:
    text = "TASK [a]\n│ ok: [x]\n│ fatal: [x]: FAILED! => {\n│   msg: no space left\n│ }\nPLAY RECAP\n"
    assert runner.first_trouble(text).startswith("fatal: [x]: FAILED! => { msg: no space left }")
    assert runner.first_trouble("a\nCRITICAL no such scenario\n") == "CRITICAL no such scenario"
    assert runner.first_trouble("a\nthe end\n\n") == "the end"
    assert runner.first_trouble("") == "no output"


def test_steps_can_be_interrupted_when_the_run_was_started_in_the_background() -> None:
    child = "import signal; print(signal.getsignal(signal.SIGINT) == signal.default_int_handler)"
    program = f"""
import signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.argv = ["frontdoor"]
from tests.frontdoor import __main__ as door
door.select = lambda names: ()
door.leftovers.remove = lambda *_: []
door.main()
subprocess.run([sys.executable, "-c", {child!r}])
"""
    out = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "True", out.stdout
