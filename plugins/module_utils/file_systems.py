# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much room the disks of a host have.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import shutil

DISKS = ("ext4", "xfs")


def usage(mounts: str, problems: list[str]) -> dict[str, dict[str, int]]:
    """Return size and free bytes of the disks in a C(mounts) file of /proc; C(problems) takes what cannot be asked."""
    found = {}
    for line in mounts.splitlines():
        _device, path, kind, *_rest = line.split()
        if kind in DISKS or path == "/":
            try:
                told = shutil.disk_usage(path)
            except OSError as error:
                problems.append(f"{error}")
                continue
            found[path] = {"size_bytes": told.total, "free_bytes": told.free}
    return found
