# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster on a stage that somebody else has set up."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from lab.demo import cluster
from lab.demo.stage import Stage


def test_a_lab_that_is_up_is_used_left_up_and_has_a_place_for_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stage, "inside", lambda _stage: nullcontext({}))
    for verb in ("up", "down"):
        monkeypatch.setattr(Stage, verb, lambda _stage, verb=verb: pytest.fail(f"the lab was asked to go {verb}"))
    logs = tmp_path / "reports" / "stories"
    with cluster.on_stage("own", logs, print, existing="theirs") as stage:
        assert (stage.name, logs.is_dir()) == ("theirs", True)
