# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service's process was started with, against what is on the disk now.

The unit writes a stamp right before each start: the invocation, the release that the link led to, and a digest of each
file that the process is about to read. The comparison has no I/O; ``Host`` reads systemctl, /proc, /run and the files.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils import service_watch
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.utc_time import utc_time

#: Runs a command; exit code, stdout, stderr.
Run = Callable[[list[str]], tuple[int, str, str]]

PROPERTIES = (
    "LoadState",
    "ActiveState",
    "MainPID",
    "InvocationID",
    "NeedDaemonReload",
    "ExecMainStartTimestampMonotonic",
)
#: The jar whose name has the service's version. Kafka's libraries have a ZooKeeper among them.
JARS = {
    "kafka": re.compile(r"^kafka_[\d.]+-(\d+(?:\.\d+)+)\.jar$"),
    "zookeeper": re.compile(r"^zookeeper-(\d+(?:\.\d+)+)\.jar$"),
}
_DIGEST_LINE = re.compile(r"^([0-9a-f]{64})  (/.+)$")


@dataclass(frozen=True)
class Stamp:
    """What the unit noted before it started the process; ``digests`` by path."""

    invocation: str
    release: str
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """One look at the host; ``stamp`` is None when there is none of this process."""

    unit: str
    active: str = ""
    pid: int = 0
    age_seconds: float = 0.0
    version: str = ""
    release: str = ""
    installed_version: str = ""
    installed_release: str = ""
    reload_needed: bool = False
    java_replaced: bool = False
    stamp: Stamp | None = None
    digests: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether the service's process lives."""
        return self.active == "active" and self.pid > 0


def parse(text: str) -> Stamp | None:
    """Read a stamp; None when it is not whole, as one that a full disk has cut off."""
    words = dict(line.split(" ", 1) for line in text.splitlines() if line.startswith(("invocation ", "release /")))
    digests = {found[2]: found[1] for line in text.splitlines() if (found := _DIGEST_LINE.match(line))}
    if not (words.get("invocation") and words.get("release") and digests):
        return None
    return Stamp(words["invocation"], words["release"], digests)


def differences(seen: Seen) -> list[dict[str, str]]:
    """Return what on the disk is not what the process started with: C(what), C(path), C(detail)."""
    if not seen.running:
        return []
    found = []

    def note(what: str, path: str, detail: str) -> None:
        found.append({"what": what, "path": path, "detail": detail})

    unit_path = f"/etc/systemd/system/{seen.unit}"
    if seen.stamp is None:
        note("unknown", unit_path, "the process was started by a unit that notes nothing at a start")
    else:
        for path, digest in sorted(seen.stamp.digests.items()):
            now = seen.digests.get(path)
            if now != digest:
                what = "unit" if path == unit_path else "configuration"
                note(what, path, "is gone since the start" if now is None else "has changed since the start")
    if seen.reload_needed and not any(one["what"] == "unit" for one in found):
        note("unit", unit_path, "has changed and systemd has not read it again")
    if seen.release and seen.release != seen.installed_release:
        told = f"the process runs {seen.release}, installed is {seen.installed_release or 'nothing'}"
        note("version", seen.installed_release, told)
    if seen.java_replaced:
        note("java", "/usr/bin/java", "the process runs a java that is not installed any more")
    return found


def report(seen: Seen, now: float) -> dict[str, Any]:
    """Return the module's result; ``now`` is the time in epoch seconds."""
    found = differences(seen)
    since = utc_time(now - seen.age_seconds) if seen.running else ""
    return {
        "unit": seen.unit,
        "running": seen.running,
        "active_state": seen.active,
        "pid": seen.pid,
        "age_seconds": round(seen.age_seconds, 3),
        "since": since,
        "version": seen.version,
        "release": seen.release,
        "installed_version": seen.installed_version,
        "installed_release": seen.installed_release,
        "restart_pending": bool(found),
        "pending": sorted({one["what"] for one in found}),
        "differences": found,
    }


class Host:
    """This host; ``root`` is where its file tree begins."""

    def __init__(self, run: Run, root: str = "/") -> None:
        self._run = run
        self._root = Path(root)

    def look(self, service: str) -> Seen:
        """Look at a service; HoldfastError ``not_found`` without its unit, ``read_failed`` without an answer."""
        unit = f"{service}.service"
        told = self._systemd(unit)
        if told.get("LoadState") == "not-found":
            raise HoldfastError(
                "not_found",
                f"{unit} is no unit of this host; the role {service} writes it (its entry point configure).",
            )
        installed = self._installed(service)
        pid = int(told.get("MainPID") or 0)
        if told.get("ActiveState") != "active" or pid == 0:
            return Seen(
                unit=unit,
                active=told.get("ActiveState", ""),
                installed_version=self._version_below(service, installed),
                installed_release=installed,
            )
        stamp = self._stamp(service, told.get("InvocationID", ""))
        running = self._running_jar(service, pid)
        return Seen(
            unit=unit,
            active=told["ActiveState"],
            pid=pid,
            age_seconds=self._age_seconds(told),
            version=_version(service, running) or self._version_below(service, stamp.release if stamp else ""),
            release=str(running.parent.parent) if running else (stamp.release if stamp else ""),
            installed_version=self._version_below(service, installed),
            installed_release=installed,
            reload_needed=told.get("NeedDaemonReload") == "yes",
            java_replaced=self._java_replaced(pid),
            stamp=stamp,
            digests={path: self._digest(path) for path in (stamp.digests if stamp else {})},
        )

    def _systemd(self, unit: str) -> dict[str, str]:
        code, out, err = self._run(service_watch.show(unit, PROPERTIES))
        if code != 0:
            raise HoldfastError("read_failed", f"systemd does not tell the state of {unit}: {err.strip() or code}.")
        return service_watch.shown(out)

    @staticmethod
    def _age_seconds(told: Mapping[str, str]) -> float:
        """How long the process runs, on this host's own monotonic clock: no two clocks are compared."""
        return max(0.0, time.monotonic() - int(told.get("ExecMainStartTimestampMonotonic") or 0) / 1e6)

    def _stamp(self, service: str, invocation: str) -> Stamp | None:
        """Return the stamp of the running process; one of another invocation is none."""
        path = self._root / "run" / service / "started-with"
        try:
            found = parse(path.read_text(encoding="utf-8", errors="replace"))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HoldfastError("read_failed", f"{path} cannot be read: {error}; run this as root.") from error
        return found if found and found.invocation == invocation else None

    def _digest(self, path: str) -> str | None:
        try:
            return hashlib.sha256((self._root / path.lstrip("/")).read_bytes()).hexdigest()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HoldfastError("read_failed", f"{path} cannot be read: {error}; run this as root.") from error

    def _running_jar(self, service: str, pid: int) -> Path | None:
        """Return the open jar that names the version; None when the process does not hold it open."""
        try:
            entries = list((self._root / "proc" / str(pid) / "fd").iterdir())
        except FileNotFoundError:
            return None  # it ended between two looks; what systemd says next time is what counts
        except OSError as error:
            raise HoldfastError("read_failed", f"/proc/{pid}/fd cannot be read: {error}; run this as root.") from error
        for entry in entries:
            try:
                target = Path(str(entry.readlink()).removesuffix(" (deleted)"))
            except FileNotFoundError:
                continue  # closed between the listing and the look
            if JARS[service].match(target.name):
                return target
        return None

    def _java_replaced(self, pid: int) -> bool:
        try:
            return str((self._root / "proc" / str(pid) / "exe").readlink()).endswith(" (deleted)")
        except FileNotFoundError:
            return False  # it ended between two looks

    def _installed(self, service: str) -> str:
        link = self._root / "opt" / service
        if not link.exists():
            return ""
        return "/" + str(link.resolve().relative_to(self._root.resolve()))

    def _version_below(self, service: str, release: str) -> str:
        """Return the version of the release's own jar, in C(libs) or C(lib); empty without one."""
        if not release:
            return ""
        place = self._root / release.lstrip("/")
        jars = [*place.glob("libs/*.jar"), *place.glob("lib/*.jar")]
        return next((found for jar in sorted(jars) if (found := _version(service, jar))), "")


def _version(service: str, jar: Path | None) -> str:
    found = JARS[service].match(jar.name) if jar else None
    return found[1] if found else ""
