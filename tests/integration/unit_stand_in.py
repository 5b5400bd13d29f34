# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ``systemctl`` for tests that know their service as a process: it shows one process as a unit and may end it.

What the modules ask of systemd is what it answers here; the process, its end and what its peers make of it are real.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.services import Member

SCRIPT = """#!/bin/sh
# A zombie has ended; its parent has only not asked yet.
runs() { [ -r /proc/{pid}/stat ] && [ "$(sed 's/.*) //' /proc/{pid}/stat | cut -d' ' -f1)" != Z ]; }
case $1 in
  show)
    if runs; then echo ActiveState=active; echo MainPID={pid}; else echo ActiveState=inactive; echo MainPID=0; fi
    echo LoadState=loaded; echo Result=success ;;
  stop) kill -TERM {pid} ;;
  *) exit 64 ;;
esac
"""


def show_as_unit(member: Member, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let modules that this test runs find the member's process as their unit."""
    directory.mkdir(parents=True, exist_ok=True)
    script = directory / "systemctl"
    script.write_text(SCRIPT.replace("{pid}", str(member.pid)))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
