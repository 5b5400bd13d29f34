# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fail with a reason. It runs no Python but the play's own: the last word of a failed run depends on nothing else."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

_ARGUMENTS = {
    "reason": {"type": "str", "required": True},
    "msg": {"type": "str", "required": True},
    "give_up": {"type": "bool", "required": True},
}


class ActionModule(ActionBase):
    """The action of C(holdfast.kafka.refuse)."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _validation, told = self.validate_argument_spec(argument_spec=_ARGUMENTS)
        words, message = f"(reason: {told['reason']})", str(told["msg"]).strip()
        # Whoever passes on what another task refused passes on its reason too.
        result["msg"] = message if words in message else f"{message} {words}"
        return {**result, "failed": True, "reason": told["reason"], "give_up": told["give_up"]}
