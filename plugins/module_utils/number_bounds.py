# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one check of the numbers that a task gives a module, mostly seconds. Pure.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any


def require_numbers(values: Mapping[str, Any], names: Iterable[str], least: float | None = None) -> None:
    """Refuse what is not finite, or below ``least``; without one it must be positive. ValueError names the first."""
    for name in names:
        value = values[name]
        if not math.isfinite(value) or (value <= 0 if least is None else value < least):
            wanted = "positive" if least is None else f"{least:g} or more"
            raise ValueError(f"{name} is {value:g}; it must be {wanted}")
