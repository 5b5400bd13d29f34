# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ``kafka_replication_wait`` in slices on the host, and show after each how far it is."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

MODULE = "holdfast.kafka.kafka_replication_wait"
FIRST_SLICE_SECONDS = 4.0
LONGEST_SLICE_SECONDS = 20.0
BETWEEN_SLICES_SECONDS = 1.0
# What the slices tell each other; no business of a play.
OWN_ARGUMENTS = ("slice_seconds", "resume")


class ActionModule(ActionBase):
    """The module decides; this keeps the clock, shows the progress and hands the state from slice to slice."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run slices until one is no longer waiting."""
        super().run(tmp, task_vars)
        arguments = {key: value for key, value in self._task.args.items() if key not in OWN_ARGUMENTS}
        host = (task_vars or {}).get("inventory_hostname", "localhost")
        began = time.monotonic()
        seconds = FIRST_SLICE_SECONDS
        resume: dict[str, Any] = {}
        while True:
            state = {**resume, "elapsed": time.monotonic() - began}
            result: dict[str, Any] = self._execute_module(
                module_name=MODULE,
                module_args={**arguments, "slice_seconds": seconds, "resume": state},
                task_vars=task_vars,
            )
            if self._task.check_mode or result.get("failed") or result.get("state") != "waiting":
                return self._tidy(result)
            self._show(host, result)
            resume = result["resume"]
            seconds = min(LONGEST_SLICE_SECONDS, seconds * 1.5)
            time.sleep(BETWEEN_SLICES_SECONDS)

    @staticmethod
    def _show(host: str, result: dict[str, Any]) -> None:
        """Print one line a person can follow; the partitions' names from ``-v`` on."""
        display.display(f"  [{host}] {result.get('progress', '')}")
        names = [f"{entry['topic']}-{entry['partition']}" for entry in result.get("lagging", [])]
        if names:
            display.v(f"[{host}] not in sync: {', '.join(names)}")

    @staticmethod
    def _tidy(result: dict[str, Any]) -> dict[str, Any]:
        """Leave out what only the slices need."""
        result.pop("resume", None)
        for name in OWN_ARGUMENTS:
            result.get("invocation", {}).get("module_args", {}).pop(name, None)
        return result
