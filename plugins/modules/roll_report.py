#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: roll_report
version_added: 0.2.0
short_description: Write the report of a roll
description:
  - Makes C(roll.json) and the page C(roll.html) of a run's C(events.jsonl), and C(resume.json) when the run failed.
  - The page needs nothing from elsewhere and runs no script. It is made of the events alone, so it can be made again.
options:
  directory:
    description: The directory of the run.
    type: path
    required: true
  latest_directory:
    description: Where C(roll.json) and C(roll.html) are written too, so that the latest run is easy to find.
    type: path
  latency_file:
    description:
      - Where a producer of yours notes how long its sends take, each acknowledged one on a line of its own as two
        numbers, the time in seconds since 1970 by the controller's clock and the milliseconds that it took. Those of
        the time of the run are drawn and counted.
      - A file that is not there or has none of that time is no failure; the report says then that nothing was measured,
        and why.
    type: path
extends_documentation_fragment:
  - holdfast.kafka.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Of C(roll.json) and C(resume.json); the page follows from them.
seealso:
  - module: holdfast.kafka.roll_event
author:
  - Holdfast contributors
"""

EXAMPLES = r"""
- name: Write the report
  holdfast.kafka.roll_report:
    directory: reports/rolls/20260101T120000Z-4f1c
    latest_directory: reports
"""

RETURN = r"""
report:
  description: The content of C(roll.json).
  returned: success
  type: dict
files:
  description: The files that differ from what they were.
  returned: success
  type: list
  elements: str
reason:
  description: V(record_missing), V(record_broken) or V(write_failed).
  returned: failure
  type: str
"""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import (
    roll_files,
    roll_latency,
    roll_page,
    roll_summary,
    text_file,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.roll_events import Event
from ansible_collections.holdfast.kafka.plugins.module_utils.roll_latency import Latency


def measured(path: str | None, events: Sequence[Event]) -> Latency | None:
    """Return what the file says of the time of the run; None when there is to be no file."""
    if not path:
        return None
    try:
        with Path(path).open(encoding="utf-8", errors="replace") as lines:
            return roll_latency.read(lines, datetime.fromisoformat(events[0].at).timestamp(), events[-1].seconds)
    except OSError as error:
        return Latency(why=f"{path} cannot be read: {error.strerror}")


def contents(directory: str, latest: str | None, latency: str | None) -> tuple[dict[str, Any], dict[Path, str]]:
    """Return the report and the files that it comes to; raises HoldfastError."""
    events = roll_files.read(directory)
    if not events:
        raise HoldfastError("record_broken", f"{directory}/{roll_files.EVENTS} has no event.")
    report = roll_summary.summary(events, measured(latency, events))
    both = {"roll.json": _json(report), "roll.html": roll_page.page(report, events)}
    files = {Path(directory) / name: text for name, text in both.items()}
    if report["outcome"] in ("failed", "refused"):
        files[Path(directory) / "resume.json"] = _json(roll_summary.resume_record(report))
    if latest:
        files.update({Path(latest) / name: text for name, text in both.items()})
    return report, files


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "latest_directory": {"type": "path"},
            "latency_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    diffs, changed = [], []
    path = Path(module.params["directory"])
    try:
        report, files = contents(*(module.params[name] for name in ("directory", "latest_directory", "latency_file")))
        for path, text in files.items():
            difference = text_file.ensure(module, text_file.TextFile(str(path), text))
            if difference is not None:
                changed.append(str(path))
                if path.suffix == ".json":
                    diffs.append({"prepared": difference})
    except HoldfastError as error:
        module.fail_json(msg=error.message, reason=error.reason)
    except OSError as error:
        module.fail_json(msg=f"{path} cannot be written: {error}.", reason="write_failed")
    module.exit_json(changed=bool(changed), report=report, files=changed, diff=diffs)


if __name__ == "__main__":
    main()
