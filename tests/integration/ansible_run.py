# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module as Ansible runs it: through ``ansible`` on localhost, and read its result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def run_module(
    name: str, arguments: dict[str, Any], check: bool = False, verbosity: int = 0, timeout: float = 120
) -> dict[str, Any]:
    """Return the module's result; its ``stdout_text`` is all that Ansible printed."""
    play = [
        {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": sys.executable},
            "tasks": [{"name": "run", name: arguments}],
        }
    ]
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "/dev/stdin", "-i", "localhost,"]
    command += ["--check"] if check else []
    command += [f"-{'v' * verbosity}"] if verbosity else []
    output = ROOT / ".cache" / f"result-{os.getpid()}.json"
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CALLBACKS_ENABLED": "holdfast_test_result",
        "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callbacks"),
        "HOLDFAST_TEST_RESULT": str(output),
    }
    output.parent.mkdir(exist_ok=True)
    output.unlink(missing_ok=True)
    done = subprocess.run(
        command,
        check=False,
        input=json.dumps(play),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=timeout,
    )
    printed = done.stdout + done.stderr
    if not output.is_file():
        raise AssertionError(f"{name} gave no result:\n{printed}")
    result = json.loads(output.read_text())
    output.unlink()
    assert isinstance(result, dict)
    return {**result, "stdout_text": printed}
