# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module's main() in this process and read what it printed."""

from __future__ import annotations

import contextlib
import io
import json
from types import ModuleType
from typing import Any

from ansible.module_utils.testing import patch_module_args


def run_module(
    module: ModuleType, arguments: dict[str, Any], *, check: bool = False, diff: bool = False
) -> dict[str, Any]:
    """Return the result; C(failed) tells success from failure, as in a play."""
    out = io.StringIO()
    modes = {"_ansible_check_mode": check, "_ansible_diff": diff}
    with patch_module_args({**arguments, **modes}), contextlib.redirect_stdout(out):
        try:
            module.main()
        except SystemExit:
            pass
        else:
            raise AssertionError(f"{module.__name__} ended without a result")
    result: dict[str, Any] = json.loads(out.getvalue().strip().splitlines()[-1])
    result.setdefault("failed", False)
    return result
