# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image is baked from, gathered once: outside of the lab's network, because it needs the package registries."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

from lab.demo.playbooks import INVENTORY, ansible_environment, playbook
from lab.demo.stage import REPOSITORY, Stage

TIMEOUT_SECONDS = 900
# All that decides what is gathered; `site` runs the same playbook again and would notice what this list forgets.
INPUTS = (
    "constraints.txt",
    "requirements-node.txt",
    "lab/artifacts",
    "roles/node_artifacts",
    f"{INVENTORY}/group_vars/all",
    "playbooks/artifacts_gather.yml",
)


def fingerprint(root: Path, inputs: Iterable[str] = INPUTS) -> str:
    """A hash over names and contents of the input files."""
    digest = hashlib.sha256()
    for name in inputs:
        place = root / name
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(f"{path.relative_to(root)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def gather(stage: Stage) -> float:
    """Gather unless this very thing was gathered before; return the seconds it took."""
    directory = stage.config.artifacts_dir
    stamp = stage.config.cache_dir / "artifacts.stamp"
    wanted = fingerprint(REPOSITORY)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and (directory / "SHA512SUMS").is_file():
        stage.say("artifacts: gathered before")
        return 0.0
    seconds = stage.step("assemble archives", [sys.executable, "-m", "lab.artifacts", str(directory)], TIMEOUT_SECONDS)
    seconds += stage.step(
        "gather artifacts",
        # node.yml alone: the rest of the inventory asks EC2, which is not up yet.
        playbook("artifacts_gather.yml", inventory=f"{INVENTORY}/node.yml"),
        TIMEOUT_SECONDS,
        env={**ansible_environment(), "HOLDFAST_LAB_ARTIFACTS_DIR": str(directory)},
    )
    stamp.write_text(wanted, encoding="utf-8")
    return seconds
