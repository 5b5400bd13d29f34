# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lint steps: read from .pre-commit-config.yaml, so that a commit hook and the front door cannot differ."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import yaml

# A step that cannot run here ends with this status and says why in its last line (automake's convention).
SKIPPED_STATUS = 77


@dataclass(frozen=True)
class Step:
    """One lint step."""

    step_id: str
    name: str
    command: list[str]


def steps(root: Path) -> list[Step]:
    """Return the hooks of .pre-commit-config.yaml as lint steps, in order."""
    config = yaml.safe_load((root / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    return [
        Step(hook["id"], hook["name"], shlex.split(hook["entry"])) for repo in config["repos"] for hook in repo["hooks"]
    ]
