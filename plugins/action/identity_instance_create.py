# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ``identity_instance_create`` in slices, and show after each what is waited for."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

MODULE = "holdfast.kafka.identity_instance_create"
SLICE_SECONDS = 15.0
DEFAULT_TIMEOUT_SECONDS = 1200.0


class ActionModule(ActionBase):
    """The module decides; a later slice finds the instance of the first one, and what that one did is kept."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run slices until one is no longer waiting."""
        super().run(tmp, task_vars)
        arguments = {key: value for key, value in self._task.args.items() if key != "slice_seconds"}
        host = (task_vars or {}).get("inventory_hostname", "localhost")
        began = time.monotonic()
        first: dict[str, Any] | None = None
        requests: list[str] = []
        while True:
            elapsed = time.monotonic() - began
            # Without a number of the task's own the module says what is wrong with it.
            timeout = arguments.get("timeout_seconds", DEFAULT_TIMEOUT_SECONDS)
            left = timeout if first is None else max(float(timeout) - elapsed, 0.1)
            result: dict[str, Any] = self._execute_module(
                module_name=MODULE,
                module_args={**arguments, "timeout_seconds": left, "slice_seconds": SLICE_SECONDS},
                task_vars=task_vars,
            )
            first = first or result
            requests += result.get("api_requests", [])
            if self._task.check_mode or result.get("failed") or result.get("state") != "waiting":
                return self._whole(first, result, requests, time.monotonic() - began)
            display.display(f"  [{host}] {elapsed:.0f} s: {result.get('progress', '')}")

    @staticmethod
    def _whole(first: dict[str, Any], last: dict[str, Any], requests: list[str], seconds: float) -> dict[str, Any]:
        """Return the last slice's answer with what the first one made, and all requests."""
        if first is last:
            return last
        kept: dict[str, Any] = {key: first[key] for key in ("launch", "diff", "volumes_created") if key in first}
        changed = bool(first.get("changed") or last.get("changed"))
        whole: dict[str, Any] = {
            **last,
            **kept,
            "changed": changed,
            "api_calls": len(requests),
            "api_requests": requests,
        }
        if "hold_seconds" in last:
            whole["hold_seconds"] = round(seconds, 1)
        return whole
