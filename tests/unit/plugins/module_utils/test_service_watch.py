# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch over a service: each fault fires, a recovery that moves is seen, secrets stay in the journal."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import service_watch
from ansible_collections.holdfast.kafka.plugins.module_utils.service_watch import Service, Systemd, judge, parse

SHOWN = """LoadState=loaded
ActiveState=active
SubState=running
Result=success
ConditionResult=yes
NRestarts=3
MainPID=42
"""


def test_what_systemd_says_is_read() -> None:
    seen = parse("kafka.service", SHOWN)
    assert (seen.runs, seen.restarts, seen.pid, seen.condition) == (True, 3, 42, True)
    assert parse("kafka.service", "NRestarts=[not set]\n").restarts == 0


@pytest.mark.parametrize(
    ("service", "reason", "own"),
    [
        (Service("u", active="activating", restarts=9), "crash_loop", True),
        (Service("u", active="failed", result="exit-code", restarts=2), "service_failed", True),
        (Service("u", load="not-found", active="inactive", restarts=2), "service_failed", True),
        (Service("u", active="inactive", condition=False, restarts=2), "service_failed", True),
        (Service("u", active="inactive", result="success", restarts=2), "service_stopped", False),
    ],
)
def test_each_fault_fires(service: Service, reason: str, own: bool) -> None:
    fault = judge(service, restarts_before=2, restart_limit=5)
    assert fault is not None
    assert (fault.reason, fault.own) == (reason, own)
    assert "u " in fault.message


@pytest.mark.parametrize("active", ["active", "activating", "unknown"])
def test_some_restarts_are_no_fault(active: str) -> None:
    assert judge(Service("u", active=active, restarts=6), restarts_before=2, restart_limit=5) is None


class Host:
    """Answers in systemctl's and journalctl's place."""

    def __init__(self, journal: str = "", code: int = 0) -> None:
        self.journal, self.code = journal, code

    def run(self, argv: list[str]) -> tuple[int, str, str]:
        return self.code, SHOWN if argv[0] == "systemctl" else self.journal, ""


def test_a_recovery_that_moves_looks_different(tmp_path: Path) -> None:
    (tmp_path / "42" / "fd").mkdir(parents=True)
    (tmp_path / "42" / "io").write_text("rchar: 5\nread_bytes: 100\n")
    host = Host("1.0 INFO Recovering 3 segments\n2.0 INFO Socket opened\n")
    unit = Systemd("kafka.service", host.run, str(tmp_path))
    looks = [unit.recovery(unit.look())]
    host.journal += "3.0 INFO Socket opened\n"
    assert unit.recovery(unit.look()) == looks[0], "any line is no recovery"
    host.journal += "4.0 INFO Completed load of Log\n"
    looks.append(unit.recovery(unit.look()))
    (tmp_path / "42" / "fd" / "7").symlink_to("/var/lib/kafka/0/data/t-0/0.log")
    looks.append(unit.recovery(unit.look()))
    (tmp_path / "42" / "io").write_text(f"read_bytes: {service_watch.READ_STEP_BYTES * 2}\n")
    looks.append(unit.recovery(unit.look()))
    assert len(set(looks)) == 4


def test_without_a_process_nothing_recovers() -> None:
    assert Systemd("u", Host("INFO Recovering\n").run).recovery(Service("u", active="activating")) == ""


def test_a_systemd_that_does_not_answer_is_no_fault() -> None:
    seen = Systemd("u", Host(code=1).run).look()
    assert judge(seen, 0, 1) is None


@pytest.mark.parametrize(
    "secret",
    [
        "ssl.keystore.password=hunter2",
        "jaas.config = a b hunter2",
        '{"sasl_password": "hunter2"}',
        "fetch https://me:pw@hunter2/x@example.com/x failed",
        "key AKIAHUNTER2HUNTER2",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
    ],
)
def test_the_last_words_have_no_secrets(secret: str) -> None:
    words = Systemd("u", Host(f"INFO first\n{secret}\nINFO {'x' * 500}\n").run).last_words()
    assert "hunter2" not in words.lower()
    assert words.startswith(" Its last lines: INFO first | ")
    assert words.endswith(" | INFO " + "x" * (service_watch.LINE_CHARACTERS - len("INFO ")))


def test_an_empty_journal_is_told() -> None:
    assert "empty" in Systemd("u", Host().run).last_words()


FATAL = "ERROR Exiting Kafka due to fatal exception during startup. (kafka.Kafka$)"
TIMED_OUT = (
    "kafka.zookeeper.ZooKeeperClientTimeoutException: Timed out waiting for connection while in state: CONNECTING"
)
OTHER = "kafka.common.InconsistentBrokerIdException: Configured broker.id 1 doesn't match stored broker.id 2"
CONNECTED = "INFO [ZooKeeperClient Kafka server] Connected. (kafka.zookeeper.ZooKeeperClient)"


@pytest.mark.parametrize(
    ("lines", "away"),
    [
        ([FATAL, TIMED_OUT, "INFO shutting down"], True),
        ([FATAL, TIMED_OUT, "INFO starting", "INFO Waiting until connected."], True),
        ([FATAL, TIMED_OUT, "INFO starting", CONNECTED], False),
        ([CONNECTED, FATAL, TIMED_OUT], True),
        ([FATAL, TIMED_OUT, CONNECTED, FATAL, OTHER], False),
        ([FATAL, OTHER], False),
        ([FATAL], False),
        (["WARN Session 0x0 for server", TIMED_OUT], False),
        ([], False),
    ],
)
def test_what_ended_kafka_is_zookeepers_absence_or_its_own_fault(lines: list[str], away: bool) -> None:
    assert service_watch.ended_without_zookeeper(lines) is away
    assert Systemd("u", Host("\n".join(lines)).run).misses_zookeeper() is away


@pytest.mark.parametrize(
    ("free", "told"),
    [
        ({"/": 1 << 30, "/var/lib/kafka/0": 0}, " No space is left on /var/lib/kafka/0. Its journal is empty."),
        ({"/": 1 << 30, "/var/lib/kafka/0": 2 << 20}, " Its journal is empty."),
    ],
)
def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: dict[str, int], told: str) -> None:
    (tmp_path / "mounts").write_text(
        "/dev/root / ext4 rw 0 0\nproc /proc proc rw 0 0\n/dev/sdf /var/lib/kafka/0 ext4 rw 0 0\n"
    )
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(1 << 40, 0, free[path]))
    assert Systemd("u", Host().run, str(tmp_path)).last_words() == told


def test_a_host_whose_mounts_cannot_be_read_names_none(tmp_path: Path) -> None:
    assert Systemd("u", Host().run, str(tmp_path)).last_words() == " Its journal is empty."
