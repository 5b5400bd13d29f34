# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the last task's result to the file that ``HOLDFAST_TEST_RESULT`` names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: holdfast_test_result
type: aggregate
short_description: Write the last task's result to a file
description:
  - For the tests only.
"""


class CallbackModule(CallbackBase):
    """Keeps results, whichever way the task ended."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "holdfast_test_result"

    def _keep(self, result: Any, **extra: Any) -> None:
        target = os.environ.get("HOLDFAST_TEST_RESULT")
        if target:
            Path(target).write_text(json.dumps({**result.result, **extra}, default=str), encoding="utf-8")

    def v2_runner_on_ok(self, result: Any) -> None:
        """Keep a success."""
        self._keep(result, failed=False)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Keep a failure."""
        self._keep(result, failed=True)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Keep an unreachable host."""
        self._keep(result, failed=True, unreachable=True)
