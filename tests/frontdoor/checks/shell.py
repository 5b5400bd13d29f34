# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shell scripts pass shellcheck."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_SKIP = {".git", ".venv", ".cache", ".ansible", "collections", "reports"}


class CannotRunError(RuntimeError):
    """The tool this check needs is not on this machine."""


def scripts(root: Path) -> list[Path]:
    """Every tracked-looking file that is a shell script by name or by its first line."""
    found = []
    for top in sorted(root.iterdir()):
        if top.name in _SKIP:
            continue
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if not path.is_file() or path.is_symlink() or path.suffix in {".py", ".yml", ".j2", ".md", ".pyc", ".gz"}:
                continue
            with path.open("rb") as handle:
                head = handle.readline(80)
            if path.suffix == ".sh" or (
                head.startswith(b"#!") and head.split()[-1].rsplit(b"/", 1)[-1] in {b"sh", b"bash"}
            ):
                found.append(path)
    return found


def faults(root: Path) -> list[str]:
    """Return shellcheck's lines for the repository's shell scripts."""
    if not shutil.which("shellcheck"):
        raise CannotRunError("shellcheck is not installed on this machine")
    paths = [str(path.relative_to(root)) for path in scripts(root)]
    out = subprocess.run(["shellcheck", "--format=gcc", *paths], cwd=root, capture_output=True, text=True, check=False)
    return out.stdout.splitlines() or out.stderr.splitlines()
