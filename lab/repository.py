# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The project's files as a bare git repository that the lab's instances pull from."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lab.machine.shell import MachineError, run

BRANCH = "main"
NAME = "holdfast.git"
_IDENTITY = {
    "GIT_AUTHOR_NAME": "Holdfast lab",
    "GIT_AUTHOR_EMAIL": "lab@localhost",
    "GIT_COMMITTER_NAME": "Holdfast lab",
    "GIT_COMMITTER_EMAIL": "lab@localhost",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


def sync(worktree: Path, directory: Path) -> str:
    """Commit the work tree as it is into ``directory/holdfast.git`` and return the commit's id.

    What is tracked and what is untracked but not ignored goes in, as `git add` would take it, so it works the same on
    an unpacked archive without .git. Clones see either the old commit or the new one.
    """
    bare = directory / NAME
    if not bare.is_dir():
        directory.mkdir(parents=True, exist_ok=True)
        _git(["init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(bare)])
        _git(["--git-dir", str(bare), "config", "http.receivepack", "false"])
    index = directory / "index"
    index.unlink(missing_ok=True)
    environment = {"GIT_DIR": str(bare), "GIT_WORK_TREE": str(worktree), "GIT_INDEX_FILE": str(index)}
    listing = _files(worktree)
    if listing is None:
        _git(["add", "--all", "."], environment, cwd=worktree)
    else:
        _git(["update-index", "--add", "-z", "--stdin"], environment, cwd=worktree, stdin=listing)
    index_tree = _git(["write-tree"], environment)
    previous = _git(["rev-parse", "--verify", "--quiet", f"refs/heads/{BRANCH}"], environment, may_fail=True)
    if previous and _git(["rev-parse", f"{previous}^{{tree}}"], environment) == index_tree:
        return previous
    parents = ["-p", previous] if previous else []
    commit = _git(["commit-tree", index_tree, *parents, "-m", "The work tree as the lab took it"], environment)
    _git(["update-ref", f"refs/heads/{BRANCH}", commit], environment)
    _git(["repack", "-a", "-d", "-q"], environment)
    _git(["update-server-info"], environment)
    return commit


def _files(worktree: Path) -> bytes | None:
    """Return the NUL-separated names of the files to take, None where there is no git repository to ask."""
    if not (worktree / ".git").exists():
        return None
    names = run(["git", "-c", "safe.directory=*", "-C", str(worktree), "ls-files", "-z", "-co", "--exclude-standard"])
    kept = [name for name in names.split("\0") if name and os.path.lexists(worktree / name)]
    return "".join(f"{name}\0" for name in kept).encode(errors="surrogateescape")


def _git(
    arguments: list[str],
    environment: dict[str, str] | None = None,
    *,
    cwd: Path | None = None,
    stdin: bytes = b"",
    may_fail: bool = False,
) -> str:
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", "-c", "core.autocrlf=false", "-c", "gc.auto=0", *arguments],
        input=stdin,
        capture_output=True,
        env={**_clean_environment(), **_IDENTITY, **(environment or {})},
        cwd=cwd,
        check=False,
        timeout=120,
    )
    if done.returncode != 0 and not may_fail:
        raise MachineError(f"git {arguments[0]} failed: {' '.join(done.stderr.decode(errors='replace').split())}")
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""


def _clean_environment() -> dict[str, str]:
    """Return the environment without what a surrounding git (a hook, say) has set."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
