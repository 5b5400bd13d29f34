# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Enter a network namespace with this process (Python gained os.setns only in 3.12)."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_CLONE_NEWNET = 0x40000000


def enter_network(path: Path) -> None:
    """Move this process's only thread into the namespace; its mounts and processes stay the host's."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(handle, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(handle)
