# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `lab logs` shows; the server's log can be read also when the server is dead."""

from __future__ import annotations

import json
import re
from pathlib import Path

from lab import client, render
from lab.config import LabConfig
from lab.machine.shell import MachineError, run


def console_lines(path: Path) -> list[str]:
    """Return the lines of a console; a terminal ends them with one carriage return or with two."""
    return re.sub(r"\r+\n", "\n", path.read_bytes().decode(errors="replace")).splitlines()


def logs(config: LabConfig, source: str, lines: int) -> list[str]:
    """Return the last lines of the server's log, of EC2's events, or of an instance's console and journal.

    Of a terminated instance (by its id) the console is left.
    """
    if source == "server":
        path = config.log_dir / "server.log"
        if not path.is_file():
            raise client.LabDownError(f"lab '{config.name}' has no server log: it is not up")
        return path.read_text(errors="replace").splitlines()[-lines:]
    kept = config.kept_console(source)
    if kept.is_file():
        return ["== console of a terminated instance", *console_lines(kept)[-lines:]]
    client.enter(config)
    if source == "events":
        return [json.dumps(event) for event in client.call("GET", "events")["events"][-lines:]]
    found = client.call("GET", "status?sections=instances,network_interfaces,machine")
    instance = render.find_instance(source, found)
    machine = {item["instance_id"]: item for item in found["machine"]}.get(instance["instance_id"])
    if machine is None:
        raise MachineError(f"{instance['instance_id']} has no tree on this machine: it is {instance['state']}")
    console = Path(machine["console"])
    printed = console_lines(console) if console.is_file() else []
    journal = run(
        ["journalctl", f"--directory={machine['root']}/var/log/journal", "--no-pager", "--quiet", f"--lines={lines}"]
    )
    return ["== console", *printed[-lines:], "== journal", *journal.splitlines()]
