# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a long step's progress line says."""

from __future__ import annotations

import pytest

from lab.demo.process import newest

TASK = "TASK [Wait for the ensemble] ***************************************"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], ""),
        (["making the image"], "making the image"),
        ([TASK], "TASK [Wait for the ensemble]"),
        ([TASK, "ok: [localhost]"], "Wait for the ensemble: ok: [localhost]"),
        ([TASK, "ok: [localhost]", "RUNNING HANDLER [reload] ***", "changed: [a]"], "reload: changed: [a]"),
        ([TASK, "x" * 200], "Wait for the ensemble: " + "x" * 87),
    ],
)
def test_progress_names_the_task(lines: list[str], said: str) -> None:
    assert newest(lines) == said
