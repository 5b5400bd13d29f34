# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing a lab's files while a tool of a killed `up` still writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import teardown
from lab.config import LabConfig
from lab.machine import trees


@pytest.fixture
def config(tmp_path: Path) -> LabConfig:
    config = LabConfig(name="unit", state_root=tmp_path)
    (config.state_dir / "git" / "objects").mkdir(parents=True)
    config.ledger_path.touch()
    return config


def _writer(config: LabConfig, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a file into git/objects right after it was emptied, *times* times: rmdir then meets a full directory."""
    left = times
    within = trees._remove_within

    def written_to(directory: Path, device: int) -> None:
        nonlocal left
        if directory.name == "objects" and left > 0:
            left -= 1
            raise OSError(39, "Directory not empty", str(directory))
        within(directory, device)

    monkeypatch.setattr(trees, "_remove_within", written_to)


def test_a_late_writer_is_outlasted(config: LabConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    _writer(config, 3, monkeypatch)
    teardown._remove_files(config)
    assert not config.state_dir.exists()


def test_a_writer_without_end_is_reported_and_the_journal_stays(
    config: LabConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    _writer(config, 1_000_000, monkeypatch)
    monkeypatch.setattr(teardown, "WRITER_PATIENCE", 0.2)
    with pytest.raises(OSError, match="Directory not empty"):
        teardown._remove_files(config)
    assert config.ledger_path.is_file()
