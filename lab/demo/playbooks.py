# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the project's own playbooks against the lab, and reading what they say at their end."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from lab.demo.stage import REPOSITORY

INVENTORY = "inventories/lab"
BIN = Path(sys.executable).parent
_RECAP = re.compile(r"^(?P<host>\S+)\s*:\s+ok=\d+\s+changed=(?P<changed>\d+)", re.MULTILINE)


def playbook(name: str, *arguments: str, inventory: str = INVENTORY) -> list[str]:
    """The command that runs one of the project's playbooks for the lab's inventory."""
    return [
        str(BIN / "ansible-playbook"),
        "-i",
        str(REPOSITORY / inventory),
        *arguments,
        str(REPOSITORY / "playbooks" / name),
    ]


def ansible_environment() -> dict[str, str]:
    """The environment of a playbook: this process's, and the project's ansible.cfg wherever the caller stands."""
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "PYTHONUNBUFFERED": "1",
    }


def changed(output: str) -> dict[str, int]:
    """`changed` by host from a playbook's recap; ValueError when the output has none (then nothing is proven)."""
    recap = output.rpartition("PLAY RECAP")[2] if "PLAY RECAP" in output else ""
    found = {match["host"]: int(match["changed"]) for match in _RECAP.finditer(recap)}
    if not found:
        raise ValueError("the output has no recap")
    return found
