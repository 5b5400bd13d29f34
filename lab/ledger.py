# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of what the lab makes, written and synced before it is made.

`down` removes what this journal names and nothing else. Each entry carries what identifies the thing beyond its name
(a namespace's inode, a process's start time, a loop device's backing file), so that a thing that somebody else made
under the same name is left alone.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORMAT = 1
KINDS = ("netns", "mount", "loop", "process", "cgroup")


class LedgerError(RuntimeError):
    """A journal that this version of the lab cannot read."""


@dataclass(frozen=True)
class Entry:
    """One thing the lab made or was about to make."""

    entry_id: str
    kind: str
    facts: dict[str, Any]


def boot_id() -> str:
    """Return the running kernel's boot id: nothing but files outlives it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Ledger:
    """An append-only journal; safe to use from several threads of one process."""

    def __init__(self, path: Path) -> None:
        """Use the journal at *path*, which may be of a lab that was killed."""
        self.path = path
        self._lock = threading.Lock()

    def create(self, lab: str, made_root: bool = False) -> None:
        """Begin a journal in a directory that must not have one; *made_root*: the directory above is the lab's too."""
        with self.path.open("x"):
            pass
        self._append({"event": "begin", "format": FORMAT, "lab": lab, "boot": boot_id(), "made_root": made_root})
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def intend(self, kind: str, **facts: Any) -> str:
        """Record that a thing is about to be made; return the entry's id."""
        if kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}")
        entry_id = secrets.token_hex(6)
        self._append({"event": "intend", "id": entry_id, "kind": kind, "facts": facts})
        return entry_id

    def learn(self, entry_id: str, **facts: Any) -> None:
        """Record what became known about a thing once it was there."""
        self._append({"event": "learn", "id": entry_id, "facts": facts})

    def forget(self, entry_id: str) -> None:
        """Record that the thing is gone."""
        self._append({"event": "forget", "id": entry_id})

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Return what is still to be removed, oldest first."""
        found: dict[str, Entry] = {}
        for record in self._records():
            event = record["event"]
            if event == "intend":
                found[record["id"]] = Entry(record["id"], record["kind"], dict(record["facts"]))
            elif event == "learn" and record["id"] in found:
                found[record["id"]].facts.update(record["facts"])
            elif event == "forget":
                found.pop(record["id"], None)
        return [entry for entry in found.values() if kind in (None, entry.kind)]

    def made_root(self) -> bool:
        """Return whether the directory above the lab's own was made for it."""
        return any(record.get("made_root") for record in self._records() if record["event"] == "begin")

    def same_boot(self) -> bool:
        """Return whether the machine has not been restarted since the journal began."""
        return any(record.get("boot") == boot_id() for record in self._records() if record["event"] == "begin")

    def _append(self, record: dict[str, Any]) -> None:
        line = (json.dumps(record, sort_keys=True) + "\n").encode()
        with self._lock:
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            try:
                _end_the_last_line(handle)
                os.write(handle, line)
                os.fsync(handle)
            finally:
                os.close(handle)

    def _records(self) -> list[dict[str, Any]]:
        """Read the journal; a line that a kill cut off is skipped: nothing is made before its line is synced."""
        records = []
        for line in self.path.read_text(errors="replace").splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(record, dict) and "event" in record:
                records.append(record)
        begin = [record for record in records if record["event"] == "begin"]
        if begin and begin[0].get("format") != FORMAT:
            raise LedgerError(f"{self.path} has format {begin[0].get('format')}, this version reads {FORMAT}")
        return records


def _end_the_last_line(handle: int) -> None:
    size = os.lseek(handle, 0, os.SEEK_END)
    if size and os.pread(handle, 1, size - 1) != b"\n":
        os.write(handle, b"\n")
