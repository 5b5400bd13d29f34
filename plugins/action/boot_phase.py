# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record a phase of the boot without starting a process for it."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.holdfast.kafka.plugins.module_utils import boot_record, boot_story
from ansible_collections.holdfast.kafka.plugins.module_utils.utc_time import utc_time

_ARGUMENTS = {
    "phase": {"type": "str"},
    "path": {"type": "path", "default": "/var/lib/holdfast/boot.json"},
    "detail": {"type": "str", "default": ""},
    "failure": {"type": "str"},
    "reason": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):
    """The action of C(holdfast.kafka.boot_phase)."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=_ARGUMENTS)
        if self._connection.transport != "local":
            raise AnsibleActionFail("boot_phase writes on the machine that runs the play; it must be local.")
        path, phase = arguments["path"], arguments["phase"]
        record, begun = boot_record.open_record(
            boot_record.read(path), boot_record.current_boot_id(), boot_record.machine_times()
        )
        first_run = boot_record.first_run(record)
        noted = boot_record.add_phase(record, phase, time.time()) if phase else False
        result["changed"] = begun or noted
        result["phases"] = record["phases"]
        result["first_run"] = first_run
        result["msg"] = f"{phase} at {record['phases'][phase]}" if phase else "record open"
        if noted:
            self._display.display(boot_story.phase_line(record["phases"], phase, arguments["detail"]))
        if arguments["failure"] is not None:
            now = utc_time(time.time(), "milliseconds")
            told = boot_story.failure_line(record["phases"], now, arguments["failure"], arguments["reason"])
            self._display.display(told)
            result["msg"] = told
        if result["changed"] and not self._task.check_mode:
            boot_record.write(path, record)
        return result
