# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a node's boot: which phase was first reached when. Local files only, no Ansible."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.utc_time import utc_time

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_CLOUD_INIT_STATUS = "/run/cloud-init/status.json"


#: With one of these a run has ended: well, by giving the instance up, or by leaving it to a person.
ENDINGS = frozenset({"signalled", "finished", "gave_up", "kept"})


def current_boot_id() -> str:
    return Path(_BOOT_ID).read_text(encoding="ascii").strip()


def read(path: str) -> dict[str, Any]:
    """The record, or an empty one when there is none or it was cut off by a crash."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return record if isinstance(record, dict) else {}


def open_record(record: dict[str, Any], boot_id: str, machine_times: dict[str, str]) -> tuple[dict[str, Any], bool]:
    """The record of this boot and whether it had to be begun. A record of an earlier boot is dropped."""
    if record.get("boot_id") == boot_id and isinstance(record.get("phases"), dict):
        return record, False
    return {"boot_id": boot_id, "phases": dict(machine_times)}, True


def first_run(record: dict[str, Any]) -> bool:
    """Whether no run of this boot has finished. A run that was killed has not."""
    return not ENDINGS.intersection(record["phases"])


def add_phase(record: dict[str, Any], phase: str, now: float) -> bool:
    """Note the phase unless this boot has it already; says whether it was noted."""
    if phase in record["phases"]:
        return False
    record["phases"][phase] = utc_time(now, "milliseconds")
    return True


def write(path: str, record: dict[str, Any]) -> None:
    """Replace the file at once, so that a reader never sees half of it."""
    Path(path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    scratch = Path(f"{path}.new")
    scratch.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    scratch.replace(path)


def process_start(stat_text: str, machine_start: float, ticks_per_second: int) -> float:
    """When a process started (epoch seconds), from its /proc/<pid>/stat. Its name may hold spaces and parentheses."""
    fields = stat_text.rpartition(")")[2].split()
    return machine_start + int(fields[19]) / ticks_per_second


def cloud_init_times(status: dict[str, Any]) -> dict[str, str]:
    """Start and end of cloud-init from its status.json; a stage that has not run yet is left out."""
    v1 = status.get("v1", {})
    start = v1.get("init-local", {}).get("start")
    end = v1.get("init", {}).get("finished")
    found = {"cloud_init_start": start, "cloud_init_end": end}
    return {name: utc_time(value, "milliseconds") for name, value in found.items() if value}


def machine_times() -> dict[str, str]:
    """When PID 1 and cloud-init of this boot started. PID 1 and not the kernel, for containers."""
    lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    machine_start = next(float(line.split()[1]) for line in lines if line.startswith("btime "))
    stat = Path("/proc/1/stat").read_text(encoding="utf-8", errors="replace")
    times = {"system_start": utc_time(process_start(stat, machine_start, os.sysconf("SC_CLK_TCK")), "milliseconds")}
    status = Path(_CLOUD_INIT_STATUS)
    if status.exists():
        times |= cloud_init_times(json.loads(status.read_text(encoding="utf-8")))
    return times
