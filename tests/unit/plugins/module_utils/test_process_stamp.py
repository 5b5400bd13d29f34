# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restart is due exactly when another start would run something else than what runs."""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import process_stamp
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError

from tests.unit.roles.test_service_units import unit

PID = 4711
UNIT = "/etc/systemd/system/kafka.service"
CONFIGURATION = "/etc/kafka/server.properties"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _unit_unread(machine: Machine) -> None:
    machine.write(UNIT, "new\n")
    machine.told.update(NeedDaemonReload="yes")


class Machine:
    """A file tree with a running broker, and systemd's words about it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.code = 0
        self.told = {
            "LoadState": "loaded",
            "ActiveState": "active",
            "MainPID": str(PID),
            "InvocationID": "abc",
            "NeedDaemonReload": "no",
            "ExecMainStartTimestampMonotonic": str(int((time.monotonic() - 90) * 1e6)),
        }
        for path in (CONFIGURATION, UNIT):
            self.write(path, "as started\n")
        for version in ("3.8.1", "3.9.1"):
            self.write(f"/opt/kafka_2.13-{version}/libs/kafka_2.13-{version}.jar", "")
            self.write(f"/opt/kafka_2.13-{version}/libs/zookeeper-3.8.4.jar", "")
        self.link("/opt/kafka", self.at("/opt/kafka_2.13-3.9.1"))
        self.link(f"/proc/{PID}/exe", Path("/usr/lib/jvm/java"))
        self.link(f"/proc/{PID}/fd/3", Path("/opt/kafka_2.13-3.9.1/libs/zookeeper-3.8.4.jar"))
        self.link(f"/proc/{PID}/fd/4", Path("/opt/kafka_2.13-3.9.1/libs/kafka_2.13-3.9.1.jar"))
        self.stamp()

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def write(self, path: str, text: str) -> None:
        self.at(path).parent.mkdir(parents=True, exist_ok=True)
        self.at(path).write_text(text, encoding="utf-8")

    def link(self, path: str, target: Path) -> None:
        self.at(path).parent.mkdir(parents=True, exist_ok=True)
        self.at(path).unlink(missing_ok=True)
        self.at(path).symlink_to(target)

    def stamp(self, invocation: str = "abc", release: str = "/opt/kafka_2.13-3.9.1") -> None:
        lines = [f"invocation {invocation}", f"release {release}"]
        lines += [f"{digest(self.at(path).read_text())}  {path}" for path in (CONFIGURATION, UNIT)]
        self.write("/run/kafka/started-with", "\n".join(lines) + "\n")

    def run(self, command: list[str]) -> tuple[int, str, str]:
        assert command[0] == "systemctl"
        return self.code, "".join(f"{key}={value}\n" for key, value in self.told.items()), "Failed to connect to bus"

    def look(self) -> process_stamp.Seen:
        return process_stamp.Host(self.run, str(self.root)).look("kafka")

    def pending(self) -> list[str]:
        return [f"{one['what']} {one['path']}" for one in process_stamp.differences(self.look())]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_process_that_runs_what_is_there_needs_nothing(machine: Machine) -> None:
    report = process_stamp.report(machine.look(), now=1_000_000_000)
    assert (report["running"], report["pid"], report["restart_pending"], report["pending"]) == (True, PID, False, [])
    assert (report["version"], report["release"]) == ("3.9.1", "/opt/kafka_2.13-3.9.1")
    assert (report["installed_version"], report["installed_release"]) == ("3.9.1", "/opt/kafka_2.13-3.9.1")
    assert 89 < report["age_seconds"] < 120
    assert report["since"].startswith("2001-09-09T01:4")


CHANGES: list[tuple[str, Callable[[Machine], None], list[str]]] = [
    ("configuration", lambda m: m.write(CONFIGURATION, "new\n"), [f"configuration {CONFIGURATION}"]),
    ("configuration gone", lambda m: m.at(CONFIGURATION).unlink(), [f"configuration {CONFIGURATION}"]),
    ("unit", lambda m: m.write(UNIT, "new\n"), [f"unit {UNIT}"]),
    ("unit not read again", lambda m: m.told.update(NeedDaemonReload="yes"), [f"unit {UNIT}"]),
    ("unit changed and not read again is one thing", _unit_unread, [f"unit {UNIT}"]),
    (
        "release",
        lambda m: m.link("/opt/kafka", m.at("/opt/kafka_2.13-3.8.1")),
        ["version /opt/kafka_2.13-3.8.1"],
    ),
    ("java", lambda m: m.link(f"/proc/{PID}/exe", Path("/usr/lib/jvm/java (deleted)")), ["java /usr/bin/java"]),
    ("no stamp", lambda m: m.at("/run/kafka/started-with").unlink(), [f"unknown {UNIT}"]),
    ("a stamp of the process before", lambda m: m.stamp(invocation="xyz"), [f"unknown {UNIT}"]),
    ("half a stamp", lambda m: m.write("/run/kafka/started-with", "invocation abc\n"), [f"unknown {UNIT}"]),
]


@pytest.mark.parametrize(("change", "expected"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_each_difference_is_told(machine: Machine, change: Callable[[Machine], None], expected: list[str]) -> None:
    assert machine.pending() == []
    change(machine)
    assert machine.pending() == expected


def test_a_file_changed_and_changed_back_needs_nothing(machine: Machine) -> None:
    machine.write(CONFIGURATION, "new\n")
    machine.write(CONFIGURATION, "as started\n")
    assert machine.pending() == []


def test_without_the_jar_the_stamp_tells_the_release(machine: Machine) -> None:
    machine.at(f"/proc/{PID}/fd/4").unlink()
    seen = machine.look()
    assert (seen.release, seen.version) == ("/opt/kafka_2.13-3.9.1", "3.9.1")


@pytest.mark.parametrize("state", ["inactive", "failed", "activating"])
def test_a_service_that_does_not_run_has_no_restart_pending(machine: Machine, state: str) -> None:
    machine.told.update(ActiveState=state, MainPID="0")
    report = process_stamp.report(machine.look(), now=0)
    assert (report["running"], report["active_state"], report["restart_pending"]) == (False, state, False)
    assert (report["version"], report["since"], report["installed_version"]) == ("", "", "3.9.1")


def test_a_host_without_a_release_says_so(machine: Machine) -> None:
    machine.at("/opt/kafka").unlink()
    assert machine.pending() == ["version "]


def test_no_unit(machine: Machine) -> None:
    machine.told["LoadState"] = "not-found"
    with pytest.raises(HoldfastError, match=r"kafka\.service is no unit") as caught:
        machine.look()
    assert caught.value.reason == "not_found"


def test_no_answer_from_systemd(machine: Machine) -> None:
    machine.code = 1
    with pytest.raises(HoldfastError, match="Failed to connect to bus") as caught:
        machine.look()
    assert caught.value.reason == "read_failed"


@pytest.mark.parametrize("place", ["/run/kafka/started-with", CONFIGURATION, f"/proc/{PID}/fd"])
def test_what_cannot_be_read_is_no_guess(machine: Machine, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    method = {"/run/kafka/started-with": "read_text", CONFIGURATION: "read_bytes"}.get(place, "iterdir")
    monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(HoldfastError, match="run this as root") as caught:
        machine.look()
    assert caught.value.reason == "read_failed"


@pytest.mark.parametrize("service", ["kafka", "zookeeper"])
def test_the_units_line_writes_what_the_module_reads(service: str, tmp_path: Path) -> None:
    """The shell of ExecStartPre, run as systemd hands it over, on files of its own."""
    text = unit(service)
    line = text.split("ExecStartPre=-/bin/sh -c '", 1)[1].split("'\nExecStart=", 1)[0]
    files = [word.rstrip(";") for word in line.split() if word.startswith("/etc/")]
    assert files[-1].rstrip(";") == f"/etc/systemd/system/{service}.service"
    for path in files:
        place = tmp_path / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(path)
    stamp = tmp_path / "run" / service / "started-with"
    stamp.parent.mkdir(parents=True)
    script = line.replace("$$", "$").replace("\\\n", "").replace("/etc/", f"{tmp_path}/etc/")
    script = script.replace("/run/", f"{tmp_path}/run/")
    subprocess.run(["/bin/sh", "-c", script], env={"INVOCATION_ID": "abc", "PATH": "/usr/bin:/bin"}, check=True)
    assert stamp.stat().st_mode & 0o777 == 0o600
    found = process_stamp.parse(stamp.read_text().replace(str(tmp_path), ""))
    assert found == process_stamp.Stamp("abc", "/opt", {path: digest(path) for path in files})
