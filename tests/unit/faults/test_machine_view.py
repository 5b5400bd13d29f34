# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine's view reads from files: a volume's contents, a console that moved."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.config import LabConfig
from tests.faults import machine_view

VOLUME = "vol-0123456789abcdef0"


@pytest.fixture
def config(tmp_path: Path) -> LabConfig:
    """A lab that is only directories."""
    made = LabConfig(name="x", state_root=tmp_path)
    (made.state_dir / "volumes").mkdir(parents=True)
    return made


def _write(config: LabConfig, place: int, text: bytes) -> None:
    path = config.state_dir / "volumes" / f"{VOLUME}.img"
    with path.open("r+b" if path.exists() else "w+b") as volume:
        volume.truncate(64 << 20)
        volume.seek(place)
        volume.write(text)


def test_every_byte_and_its_place_count(config: LabConfig) -> None:
    assert machine_view.data_digest(config, VOLUME) == ""
    _write(config, 1 << 20, b"a" * 4096)
    first = machine_view.data_digest(config, VOLUME)
    assert first == machine_view.data_digest(config, VOLUME)
    _write(config, 1 << 20, b"b")
    second = machine_view.data_digest(config, VOLUME)
    _write(config, 32 << 20, b"c")
    third = machine_view.data_digest(config, VOLUME)
    assert len({first, second, third}) == 3


def test_a_console_is_read_where_it_is(config: LabConfig) -> None:
    assert machine_view.console(config, "i-1") == ""
    kept = config.kept_console("i-1")
    kept.parent.mkdir(parents=True)
    kept.write_text("kept", encoding="utf-8")
    assert machine_view.console(config, "i-1") == "kept"
    live = config.state_dir / "instances" / "i-1"
    live.mkdir(parents=True)
    (live / "console.log").write_bytes(b"[ OK ] live\r\r\nboot\r\n\r\n")
    assert machine_view.console(config, "i-1") == "[ OK ] live\nboot\n"


def test_a_process_outside_of_the_lab_is_nobodys() -> None:
    assert machine_view.instance_of(1, "holdfast-lab-x") is None


def test_zeroes_are_the_same_written_or_not(config: LabConfig) -> None:
    _write(config, 1 << 20, b"a" * 4096)
    before = machine_view.data_digest(config, VOLUME)
    _write(config, 40 << 20, bytes(1 << 17))
    _write(config, (1 << 20) + 4096, bytes(512))
    assert machine_view.data_digest(config, VOLUME) == before
