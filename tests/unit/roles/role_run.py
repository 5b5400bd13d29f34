# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run tasks of a role on this machine in check mode, as a node's play would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
PLAYBOOK = str(Path(sys.executable).with_name("ansible-playbook"))
PLAY = {"holdfast_cluster": "orders", "holdfast_role": "kafka", "holdfast_region": "eu-central-1"}


def play(tasks: list[dict[str, Any]], **variables: Any) -> subprocess.CompletedProcess[str]:
    """Run tasks on this machine in check mode."""
    body = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}
    body["vars"] = {"ansible_python_interpreter": sys.executable, **PLAY, **variables}
    return _playbook([body], "-i", "localhost,", "--check")


def run_plays(plays: list[dict[str, Any]], inventory: Path, *arguments: str) -> tuple[int, str]:
    """Run plays; return the status and the output."""
    done = _playbook(plays, "-i", str(inventory), *arguments)
    return done.returncode, done.stdout + done.stderr


def _playbook(plays: list[dict[str, Any]], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PLAYBOOK, "/dev/stdin", *arguments],
        check=False,
        input=json.dumps(plays),
        capture_output=True,
        text=True,
        cwd=ROOT,
        # As it is now: a test may have said where EC2 and the metadata service are.
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        timeout=300,
    )
