# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The world of the rolls' stories, as far as it needs no lab."""

from __future__ import annotations

import signal
from contextlib import closing
from pathlib import Path

from lab.demo.stage import Stage
from tests.rolls.world import World


def test_close_leaves_no_playbook_behind(tmp_path: Path) -> None:
    ended, endless = ["sh", "-c", "exit 3"], ["sh", "-c", "sleep 600 & wait"]
    with closing(World(Stage("none", tmp_path, print), "none")) as world:
        first, running, paused = world.run("ended", ended), world.run("running", endless), world.run("paused", endless)
        assert first.wait().status == 3
        paused.pause()
    assert [one.wait().status for one in (first, running, paused)] == [3, -signal.SIGKILL, -signal.SIGKILL]
