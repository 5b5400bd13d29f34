# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What some kinds of faults do at the moment in which they are set or cleared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.api.faults_board import Fault


def _nothing(_fault: Fault) -> None:
    return


@dataclass(frozen=True)
class Hook:
    """``apply`` runs before the fault is set, ``undo`` before it is cleared; either raises when it cannot be done.

    They run without the API's lock. A fault whose ``apply`` raised is not set; one whose ``undo`` raised stays set.
    """

    apply: Callable[[Fault], None] = _nothing
    undo: Callable[[Fault], None] = _nothing
