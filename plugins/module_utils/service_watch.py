# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a systemd service runs, restarts over and over, or still recovers its data.

The judgement has no I/O; ``Systemd`` reads ``systemctl``, the journal and /proc through the runner it is given.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.holdfast.kafka.plugins.module_utils import file_systems
from ansible_collections.holdfast.kafka.plugins.module_utils.secret_text import without_secrets

#: Runs a command; exit code, stdout, stderr.
Run = Callable[[list[str]], tuple[int, str, str]]

PROPERTIES = ("LoadState", "ActiveState", "SubState", "Result", "ConditionResult", "NRestarts", "MainPID")
#: What Kafka says while it loads and repairs its logs.
RECOVERY = re.compile(
    r"recover|loading|completed load|loaded \d+ logs|skipping recovery|truncat|rebuilding", re.IGNORECASE
)
#: What Kafka says before it ends because of an exception, which stands in the line after.
FATAL = ("Fatal error during KafkaServer startup", "Exiting Kafka due to fatal exception")
#: The exceptions of a broker that reached no ZooKeeper server, or none with a quorum.
ZOOKEEPER_AWAY = re.compile(
    r"ZooKeeperClientTimeoutException|ZooKeeperClientExpiredException|"
    r"KeeperException\$(ConnectionLoss|OperationTimeout|SessionExpired)Exception"
)
ZOOKEEPER_THERE = "[ZooKeeperClient Kafka server] Connected"
JOURNAL_LINES = 12
RECOVERY_LINES = 200
LINE_CHARACTERS = 300
#: Reads below this are heartbeats and class loading, not a recovery.
READ_STEP_BYTES = 16 << 20
#: With less than this free a file system is full for whoever has to write a log.
FULL_BYTES = 1 << 20


@dataclass(frozen=True)
class Service:
    """What systemd says of a unit."""

    unit: str
    load: str = ""
    active: str = ""
    sub: str = ""
    result: str = ""
    condition: bool = True
    restarts: int = 0
    pid: int = 0

    @property
    def ended(self) -> bool:
        """Whether nothing of it lives and nothing is about to start it."""
        return self.active in ("inactive", "failed") and self.pid == 0

    @property
    def runs(self) -> bool:
        """Whether its process lives now."""
        return self.active == "active" and self.pid > 0


@dataclass(frozen=True)
class Fault:
    """Why waiting for the service makes no sense. ``own`` says whether another instance would do better."""

    reason: str
    message: str
    own: bool


def show(unit: str, properties: Sequence[str]) -> list[str]:
    """Return the command that asks systemd for a unit's properties."""
    return ["systemctl", "show", f"--property={','.join(properties)}", unit]


def shown(text: str) -> dict[str, str]:
    """Read what C(show) answers."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def parse(unit: str, text: str) -> Service:
    """Read C(systemctl show)'s answer; what it does not say is empty or 0."""
    told = shown(text)

    def number(name: str) -> int:
        return int(told[name]) if told.get(name, "").isdigit() else 0

    return Service(
        unit=unit,
        load=told.get("LoadState", ""),
        active=told.get("ActiveState", ""),
        sub=told.get("SubState", ""),
        result=told.get("Result", ""),
        condition=told.get("ConditionResult", "yes") != "no",
        restarts=number("NRestarts"),
        pid=number("MainPID"),
    )


def judge(service: Service, restarts_before: int, restart_limit: int) -> Fault | None:
    """Return the fault if there is one. ``restarts_before`` is the count when the wait began."""
    again = service.restarts - restarts_before
    if again >= restart_limit:
        said = f"{service.unit} has ended and been restarted {again} times while it was waited for"
        return Fault("crash_loop", said, own=True)
    if service.load == "not-found":
        return Fault("service_failed", f"{service.unit} is no unit of this host", own=True)
    if service.active == "failed":
        return Fault("service_failed", f"{service.unit} has failed (result {service.result})", own=True)
    if service.active == "inactive" and not service.condition:
        return Fault(
            "service_failed", f"{service.unit} was not started: a condition of its unit does not hold", own=True
        )
    if service.active == "inactive":
        # It ended well: somebody stopped it, and that is no fault of this instance.
        return Fault("service_stopped", f"{service.unit} was stopped while it was waited for", own=False)
    return None


def last_recovery_line(lines: Sequence[str]) -> str:
    """Return the newest line that speaks of loading or repairing logs, with its time; empty when none does."""
    return next((line for line in reversed(lines) if RECOVERY.search(line)), "")


def ended_without_zookeeper(lines: Sequence[str]) -> bool:
    """Whether the last thing that ended Kafka was that no ZooKeeper answered, and it has met none since."""
    for number in range(len(lines) - 1, -1, -1):
        if ZOOKEEPER_THERE in lines[number]:
            return False
        if any(words in lines[number] for words in FATAL):
            return bool(ZOOKEEPER_AWAY.search(" ".join(lines[number : number + 2])))
    return False


class Systemd:
    """One unit of this host."""

    def __init__(self, unit: str, run: Run, proc: str = "/proc") -> None:
        self.unit = unit
        self._run = run
        self._proc = Path(proc)

    def look(self) -> Service:
        """Ask systemd; without an answer the service counts as running, for this is a check and not the goal."""
        code, out, _err = self._run(show(self.unit, PROPERTIES))
        return parse(self.unit, out) if code == 0 else Service(self.unit, active="unknown")

    def stop(self) -> str:
        """Tell systemd to stop it and do not wait; return what systemd has against that, or nothing."""
        code, out, err = self._run(["systemctl", "stop", "--no-block", self.unit])
        return "" if code == 0 else (err.strip() or out.strip() or f"systemctl ended with {code}")

    def recovery(self, service: Service) -> str:
        """Return a text that changes while the service loads or repairs its data; empty without a process."""
        if not service.runs:
            return ""
        line = last_recovery_line(self._journal(RECOVERY_LINES, "short-unix"))
        return f"{service.pid} {self._open_segments(service.pid)} {self._read_steps(service.pid)} {line}"

    def misses_zookeeper(self) -> bool:
        """Whether Kafka ends again and again only because ZooKeeper is away: no fault of this instance's."""
        return ended_without_zookeeper(self._journal(RECOVERY_LINES, "cat"))

    def last_words(self) -> str:
        """Return which file systems are full and the newest lines of its journal, for a failure's message."""
        text = without_secrets("\n".join(self._journal(JOURNAL_LINES, "cat")))
        lines = [line[:LINE_CHARACTERS] for line in text.splitlines()]
        return self._full() + (f" Its last lines: {' | '.join(lines)}" if lines else " Its journal is empty.")

    def _full(self) -> str:
        """Return which file systems of the host are full, as a sentence; what ends for that may say so long before."""
        try:
            mounts = (self._proc / "mounts").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""  # the journal's lines are left to tell
        found = file_systems.usage(mounts, [])
        full = [path for path, room in sorted(found.items()) if room["free_bytes"] < FULL_BYTES]
        return f" No space is left on {', '.join(full)}." if full else ""

    def _journal(self, count: int, form: str) -> list[str]:
        command = ["journalctl", f"--unit={self.unit}", f"--lines={count}", f"--output={form}", "--no-pager", "--quiet"]
        code, out, _err = self._run(command)
        return out.splitlines()[-count:] if code == 0 else []

    def _open_segments(self, pid: int) -> int:
        count = 0
        try:
            for entry in (self._proc / str(pid) / "fd").iterdir():
                try:
                    count += entry.readlink().suffix in (".log", ".index")
                except FileNotFoundError:
                    continue  # closed between the listing and the look
        except OSError:
            return 0  # the process ended, or this is not root: the journal's lines are left to tell
        return count

    def _read_steps(self, pid: int) -> int:
        try:
            text = (self._proc / str(pid) / "io").read_text(encoding="ascii")
        except OSError:
            return 0  # as above
        found = re.search(r"^read_bytes: (\d+)$", text, re.MULTILINE)
        return int(found[1]) // READ_STEP_BYTES if found else 0
