# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one way in which pure logic and runners say that a task cannot be done."""

from __future__ import annotations

from typing import Any


class HoldfastError(Exception):
    """The task ends without what it was for; becomes the module's C(reason) and C(msg)."""

    def __init__(self, reason: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.extra = extra
