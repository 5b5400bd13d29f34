# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role makes of an inventory's variables, as Ansible templates and checks them, without a node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
Cases = Mapping[str, Mapping[str, Any]]


def run(
    tasks: list[dict[str, Any]], cases: Cases, *flags: str, shared: Mapping[str, Any] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run tasks for several cases at once: each is a host of its own with these variables, beside those for all."""
    play = {"hosts": "all", "connection": "local", "gather_facts": False, "tasks": tasks}
    common = {**(shared or {}), "ansible_python_interpreter": sys.executable}
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as inventory:
        yaml.safe_dump(
            {"all": {"vars": common, "hosts": {name: dict(case) for name, case in cases.items()}}}, inventory
        )
        inventory.flush()
        return subprocess.run(
            [str(Path(sys.executable).with_name("ansible-playbook")), "/dev/stdin", "-i", inventory.name, *flags],
            check=False,
            input=json.dumps([play]),
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            timeout=300,
        )


def role_settings(
    role: str, names: Sequence[str], cases: Cases, kinds: Sequence[str] = ("defaults", "vars")
) -> dict[str, dict[str, Any]]:
    """Return, for each case, the values of variables of a role's defaults and vars; a case's own win over both."""
    own: dict[str, Any] = {}
    for kind in kinds:
        own.update(yaml.safe_load((ROOT / "roles" / role / kind / "main.yml").read_text(encoding="utf-8")))
    # A variable's value is a template itself, so each is asked for by its name.
    wanted = "{" + ", ".join(f'"{name}": {{{{ {name} | to_json }}}}' for name in names) + "}"
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/{{{{ inventory_hostname }}}}"
        done = run([{"copy": {"content": wanted, "dest": path, "mode": "0600"}}], cases, shared=own)
        if done.returncode:
            raise AssertionError(done.stdout + done.stderr)
        return {name: json.loads((Path(directory) / name).read_text()) for name in cases}
