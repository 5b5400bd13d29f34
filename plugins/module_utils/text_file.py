# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let a small text file be as wanted: content, mode, owner. Says what differed; writes nothing in check mode."""

from __future__ import annotations

import difflib
import grp
import pwd
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TextFile:
    """A file as wanted; C(mode) as a number, no C(owner) or C(group) means whose it is."""

    path: str
    content: str
    mode: int = 0o644
    owner: str | None = None
    group: str | None = None


def ensure(module: Any, wanted: TextFile) -> str | None:
    """Write the file if it differs, all of it at once; return the difference, None if there was none."""
    place = Path(wanted.path)
    before = place.read_text(encoding="utf-8", errors="replace") if place.is_file() else None
    told_before = "" if before is None else _attributes(place)
    if before != wanted.content and not module.check_mode:
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=module.tmpdir, encoding="utf-8", delete=False) as scratch:
            scratch.write(wanted.content)
        module.atomic_move(scratch.name, wanted.path)
    mended = False
    if place.exists():
        # The owner before the mode, which must never be wide for somebody else.
        mended = module.set_owner_if_different(wanted.path, wanted.owner, mended)
        mended = module.set_group_if_different(wanted.path, wanted.group, mended)
        mended = module.set_mode_if_different(wanted.path, wanted.mode, mended)
    if before == wanted.content and not mended:
        return None
    told_after = _wanted_attributes(wanted, place) if mended and before is not None else told_before
    return _difference(wanted, before or "", told_before, told_after)


def _attributes(place: Path) -> str:
    """Mode and owner in a line."""
    found = place.stat()
    return f"mode {stat.S_IMODE(found.st_mode):04o} owner {_user(found.st_uid)} group {_group(found.st_gid)}"


def _wanted_attributes(wanted: TextFile, place: Path) -> str:
    found = place.stat()
    owner, group = wanted.owner or _user(found.st_uid), wanted.group or _group(found.st_gid)
    return f"mode {wanted.mode:04o} owner {owner} group {group}"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _difference(wanted: TextFile, before: str, told_before: str, told_after: str) -> str:
    """A unified diff, with a line for the attributes if they differ."""
    old = before.splitlines(keepends=True)
    new = wanted.content.splitlines(keepends=True)
    lines = list(difflib.unified_diff(old, new, f"{wanted.path} (before)", f"{wanted.path} (after)"))
    if told_before != told_after:
        lines += [f"-{wanted.path} {told_before}\n", f"+{wanted.path} {told_after}\n"]
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
