# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The repository that instances pull from, with and without a git repository behind it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from lab import repository
from lab.git_http import GitServer


def git(*arguments, cwd=None):
    return subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@x", *arguments],
        cwd=cwd,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.fixture
def worktree(tmp_path):
    place = tmp_path / "work"
    place.mkdir()
    (place / ".gitignore").write_text("*.secret\n/.cache/\n")
    (place / "playbook.yml").write_text("one\n")
    (place / "key.secret").write_text("no\n")
    (place / ".cache").mkdir()
    (place / ".cache/big").touch()
    (place / "link").symlink_to("playbook.yml")
    return place


def contents(bare) -> list[str]:
    return git("--git-dir", str(bare), "ls-tree", "-r", "--name-only", "main").split()


@pytest.mark.parametrize("with_git", [True, False])
def test_tracked_and_new_files_go_in_and_ignored_ones_do_not(worktree, tmp_path, with_git):
    if with_git:
        git("init", "-q", cwd=worktree)
        git("add", "playbook.yml", cwd=worktree)
    first = repository.sync(worktree, tmp_path / "git")
    assert contents(tmp_path / "git/holdfast.git") == [".gitignore", "link", "playbook.yml"]
    assert repository.sync(worktree, tmp_path / "git") == first
    (worktree / "playbook.yml").write_text("two\n")
    (worktree / "link").unlink()
    second = repository.sync(worktree, tmp_path / "git")
    assert second != first
    assert contents(tmp_path / "git/holdfast.git") == [".gitignore", "playbook.yml"]
    assert git("--git-dir", str(tmp_path / "git/holdfast.git"), "rev-parse", "main^").strip() == first


@pytest.fixture
def served(worktree, tmp_path) -> Iterator[str]:
    repository.sync(worktree, tmp_path / "git")
    server = GitServer("127.0.0.1", 0, tmp_path / "git")
    server.start()
    yield f"http://127.0.0.1:{server.port}/holdfast.git"
    server.stop()


@pytest.mark.parametrize("depth", [[], ["--depth", "1"]])
def test_it_can_be_cloned_also_shallowly(served, tmp_path, depth, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    git("clone", "-q", *depth, served, str(tmp_path / "clone"))
    assert (tmp_path / "clone/playbook.yml").read_text() == "one\n"


def test_it_cannot_be_pushed_to(served, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    git("clone", "-q", served, str(tmp_path / "clone"))
    git("commit", "-q", "--allow-empty", "-m", "x", cwd=tmp_path / "clone")
    with pytest.raises(subprocess.CalledProcessError):
        git("push", "-q", cwd=tmp_path / "clone")
