# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathering once: the fingerprint follows what decides the artifacts."""

from __future__ import annotations

from pathlib import Path

from lab.demo import artifacts
from lab.demo.stage import REPOSITORY


def test_the_fingerprint_follows_contents_and_names(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("a", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    first = artifacts.fingerprint(tmp_path, ["file.txt", "folder"])
    assert artifacts.fingerprint(tmp_path, ["file.txt", "folder"]) == first
    (tmp_path / "folder" / "new").write_text("", encoding="utf-8")
    second = artifacts.fingerprint(tmp_path, ["file.txt", "folder"])
    (tmp_path / "file.txt").write_text("b", encoding="utf-8")
    assert len({first, second, artifacts.fingerprint(tmp_path, ["file.txt", "folder"])}) == 3


def test_every_input_is_there() -> None:
    assert [name for name in artifacts.INPUTS if not (REPOSITORY / name).exists()] == []
