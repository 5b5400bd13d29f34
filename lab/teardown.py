# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove what a lab's journal names, in the order in which things hold each other, and nothing else.

It needs no server and no memory of the run: a lab that was killed at any point is removed the same way.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lab.config import LabConfig
from lab.ledger import Entry, Ledger
from lab.machine import cgroups, netns, nspawn, processes, volumes
from lab.machine.shell import MachineError
from lab.machine.trees import at_or_below, is_mounted, mounts, remove_tree, unmount

Say = Callable[[str], None]
LOOP_PATIENCE = 20.0
WRITER_PATIENCE = 10.0


@dataclass
class Outcome:
    """What `down` found; ``problems`` are sentences, and empty when the machine is as before."""

    found: bool = False
    removed: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def count(self, what: str) -> None:
        """Count one removed thing."""
        self.removed[what] = self.removed.get(what, 0) + 1


def lab_exists(config: LabConfig) -> bool:
    """Return whether there is a lab of this name, whole or not."""
    return config.ledger_path.is_file() or _is_empty_directory(config.state_dir)


def _is_empty_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())


def teardown(config: LabConfig, say: Say) -> Outcome:
    """Remove the lab of this name; what cannot be removed stays in the journal for the next try."""
    outcome = Outcome()
    if not lab_exists(config):
        if config.state_dir.exists():
            outcome.problems.append(f"{config.state_dir} is not a lab's (it has no journal): nothing was removed")
        return outcome
    outcome.found = True
    if config.ledger_path.is_file():
        ledger = Ledger(config.ledger_path)
        if ledger.same_boot():
            _Removal(config, ledger, outcome, say).run()
    if not outcome.problems:
        _guarded(outcome, lambda: _remove_files(config))
    return outcome


def _guarded(outcome: Outcome, step: Callable[[], None]) -> None:
    try:
        step()
    except (MachineError, OSError) as error:
        outcome.problems.append(str(error))


class _Removal:
    """One removal; each entry is tried even if an earlier one failed."""

    def __init__(self, config: LabConfig, ledger: Ledger, outcome: Outcome, say: Say) -> None:
        self.config, self.ledger, self.outcome, self.say = config, ledger, outcome, say
        self.spared = processes.ancestors(os.getpid())
        self.instances = self._instance_roots()

    def run(self) -> None:
        """Processes first, then what they held."""
        for kind, step in (
            ("process", self._end_process),
            ("cgroup", self._empty_cgroup),
            ("netns", self._empty_netns),
            ("loop", self._free_loop),
            ("netns", self._delete_netns),
            ("mount", self._unmount),
            ("cgroup", self._remove_cgroup),
        ):
            # The server is the oldest process and ends first: it must not replace what is taken from it.
            entries = self.ledger.entries(kind)
            for entry in entries if kind == "process" else reversed(entries):
                _guarded(self.outcome, lambda entry=entry, step=step: step(entry))  # type: ignore[misc]  # a lambda's defaults have no types
        for instance_id, (device, inode) in self.instances.items():
            _guarded(self.outcome, lambda i=instance_id, d=device, n=inode: nspawn.sweep(i, d, n))  # type: ignore[misc]  # a lambda's defaults have no types

    def _instance_roots(self) -> dict[str, tuple[int, int]]:
        found = {}
        for path in (self.config.state_dir / "instances").glob("i-*"):
            try:
                info = (path / "root").stat()
            except FileNotFoundError:
                continue
            found[path.name] = (info.st_dev, info.st_ino)
        return found

    def _gone(self, entry: Entry, what: str) -> None:
        self.ledger.forget(entry.entry_id)
        self.outcome.count(what)

    def _end_process(self, entry: Entry) -> None:
        pid, started = entry.facts["pid"], entry.facts["started"]
        if processes.is_same(pid, started):
            self.say(f"ending {entry.facts['what']} (process {pid})")
            leader = nspawn.leader_of(pid) if entry.facts["what"].startswith("nspawn ") else None
            if leader is not None:
                self._thaw(entry.facts["what"].partition(" ")[2])
                processes.kill(leader, processes.start_time(leader))
                processes.wait_gone(pid, started, 10.0)
            if not processes.end(pid, started, patience=10.0):
                raise MachineError(f"process {pid} ({entry.facts['what']}) survived being killed")
        self._gone(entry, "processes")

    def _thaw(self, instance_id: str) -> None:
        group = f"{self.config.cgroup}/{instance_id}"
        if cgroups.exists(group):
            cgroups.freeze(group, False)

    def _empty_cgroup(self, entry: Entry) -> None:
        self._kill(cgroups.processes(entry.facts["path"]))

    def _empty_netns(self, entry: Entry) -> None:
        self._kill(set(netns.processes_in({entry.facts["inode"]})))

    def _kill(self, pids: set[int]) -> None:
        """Kill what lives in the lab; whoever runs `down` from inside of it is spared."""
        for pid in pids - self.spared:
            started = processes.start_time(pid)
            processes.kill(pid, started)
            if not processes.wait_gone(pid, started, 5.0):
                raise MachineError(f"process {pid} survived being killed")

    def _free_loop(self, entry: Entry) -> None:
        backing = Path(entry.facts["backing"])
        for device in volumes.devices_behind(backing):
            deadline = time.monotonic() + LOOP_PATIENCE
            while volumes.in_use(device):
                if time.monotonic() > deadline:
                    raise MachineError(f"{device} is still mounted somewhere, so {backing.name} cannot be freed")
                time.sleep(0.05)
            volumes.release(device, backing, deadline)
        self._gone(entry, "loop devices")

    def _delete_netns(self, entry: Entry) -> None:
        name, inode = entry.facts["name"], entry.facts["inode"]
        if not netns.delete(name, inode):
            self.say(f"the network namespace {name} is another one than this lab's and was left alone")
        self._gone(entry, "namespaces")

    def _unmount(self, entry: Entry) -> None:
        target = Path(entry.facts["target"])
        if entry.facts.get("only_if_empty") and is_mounted(target):
            others = [mount for mount in at_or_below(mounts(), target) if mount.target != target]
            if others or any(target.iterdir()):
                self._gone(entry, "mounts left to others")
                return
        unmount(target)
        self._gone(entry, "mounts")

    def _remove_cgroup(self, entry: Entry) -> None:
        if left := cgroups.remove(entry.facts["path"]):
            raise MachineError(f"the control group {left[0]} still has processes")
        self._gone(entry, "control groups")


def _remove_files(config: LabConfig) -> None:
    """Remove the state directory, its journal last: what a kill leaves is still known to be the lab's."""
    below = at_or_below(mounts(), config.state_dir.resolve())
    if below:
        raise MachineError(f"{below[0].target} is mounted and the lab did not do it: unmount it and try again")
    _remove_all_but(config.state_dir, config.ledger_path)
    made_root = config.ledger_path.is_file() and Ledger(config.ledger_path).made_root()
    config.ledger_path.unlink(missing_ok=True)
    config.state_dir.rmdir()
    if made_root and _is_empty_directory(config.state_root):
        config.state_root.rmdir()


def _remove_all_but(directory: Path, kept: Path) -> None:
    """Empty *directory* but for *kept*; a tool that a killed `up` had started may write for a moment still."""
    deadline = time.monotonic() + WRITER_PATIENCE
    while left := [path for path in directory.iterdir() if path != kept]:
        try:
            for path in left:
                remove_tree(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
