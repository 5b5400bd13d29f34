# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directory trees and the mounts on them: read the mount table, mount overlays, never delete across a mount."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.machine.shell import MachineError, run

_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """One line of the mount table."""

    mount_id: int
    device: str
    root: str
    target: Path
    fstype: str
    source: str


def parse_mountinfo(text: str) -> list[Mount]:
    """Parse the kernel's mountinfo format (proc(5)), oldest mount first."""
    mounts = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        fields, tail = left.split(" "), right.split(" ")
        if not separator or len(fields) < 6 or len(tail) < 2:
            continue
        mounts.append(
            Mount(int(fields[0]), fields[2], _plain(fields[3]), Path(_plain(fields[4])), tail[0], _plain(tail[1]))
        )
    return mounts


def _plain(field: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), field)


def mounts(pid: int | str = "self") -> list[Mount]:
    """Return the mount table that process *pid* sees."""
    return parse_mountinfo(Path(f"/proc/{pid}/mountinfo").read_text(errors="surrogateescape"))


def at_or_below(table: Iterable[Mount], directory: Path) -> list[Mount]:
    """Return the mounts at or below *directory*."""
    return [mount for mount in table if mount.target == directory or directory in mount.target.parents]


def is_mounted(target: Path) -> bool:
    """Return whether something is mounted exactly at *target*."""
    return any(mount.target == target for mount in mounts())


def mount_overlay(lowers: Sequence[Path], upper: Path, work: Path, target: Path) -> None:
    """Mount the layers *lowers* (top first) with *upper* written to, at *target*.

    ``volatile`` spares the tree every fsync: it does not outlive the lab. The other options keep the upper directory
    such that it can become a lower one.
    """
    stale = work / "work" / "incompat" / "volatile"
    if stale.is_dir():
        shutil.rmtree(stale)
    layers = ":".join(str(path) for path in lowers)
    options = (
        f"lowerdir={layers},upperdir={upper},workdir={work},volatile,index=off,metacopy=off,redirect_dir=off,xino=off"
    )
    run(["mount", "-t", "overlay", "holdfast-lab", "-o", options, str(target)])


def unmount(target: Path) -> None:
    """Unmount everything mounted exactly at *target*; do nothing if nothing is."""
    for _ in range(16):
        if not is_mounted(target):
            return
        run(["umount", str(target)])
    raise MachineError(f"{target} is mounted more than 16 times")


def remove_tree(directory: Path) -> None:
    """Delete *directory* with all it holds, unless a file system is mounted in it.

    The check is made first and again by never leaving the directory's own device: a mount that appears in between
    ends the removal with an error and loses nothing.
    """
    try:
        top = os.lstat(directory)
    except FileNotFoundError:
        return
    resolved = directory.parent.resolve() / directory.name
    if below := at_or_below(mounts(), resolved):
        raise MachineError(f"{below[0].target} is mounted: {directory} was not deleted")
    if not stat.S_ISDIR(top.st_mode):
        directory.unlink()
        return
    _remove_within(directory, top.st_dev)


def _remove_within(directory: Path, device: int) -> None:
    with os.scandir(directory) as entries:
        for entry in entries:
            info = entry.stat(follow_symlinks=False)
            path = Path(entry.path)
            if not stat.S_ISDIR(info.st_mode):
                path.unlink()
            elif info.st_dev != device:
                raise MachineError(f"{path} is on another file system than {directory}: it was not deleted")
            else:
                _remove_within(path, device)
    directory.rmdir()
