# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the unit tests."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that runs the tests may be an instance of somebody's: nobody asks its metadata service."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
