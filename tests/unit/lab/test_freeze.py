# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Freezing an instance: in either version of control groups, and never by half."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.machine import cgroups
from lab.machine.shell import MachineError


def group(root: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> Path:
    """Make the only hierarchy one with this group."""
    monkeypatch.setattr(cgroups, "hierarchies", lambda: [root])
    made = root / "holdfast" / "i-1"
    made.mkdir(parents=True)
    for name, text in files.items():
        (made / name.replace("_", ".")).write_text(text)
    return made


@pytest.mark.parametrize(
    ("files", "switch", "word"),
    [
        ({"cgroup_freeze": "0", "cgroup_events": "populated 1\nfrozen 1\n"}, "cgroup.freeze", "1"),
        ({"freezer_state": "THAWED"}, "freezer.state", "FROZEN"),
    ],
    ids=["version 2", "version 1"],
)
def test_it_is_asked_for_and_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], switch: str, word: str
) -> None:
    made = group(tmp_path, monkeypatch, **files)
    cgroups.freeze("holdfast/i-1", True)
    assert (made / switch).read_text() == word


def test_what_does_not_freeze_in_time_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = group(tmp_path, monkeypatch, cgroup_freeze="0", cgroup_events="populated 1\nfrozen 0\n")
    with pytest.raises(MachineError, match="did not come to say 'frozen 1'"):
        cgroups.freeze("holdfast/i-1", True, timeout=0.1)
    assert (made / "cgroup.freeze").read_text() == "0"


def test_without_a_group_that_can_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group(tmp_path, monkeypatch)
    with pytest.raises(MachineError, match="is not there"):
        cgroups.freeze("holdfast/i-1", True)
