# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recognise a file system by the first bytes of a volume, as udev's blkid does for /dev/disk/by-uuid."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

# Enough for ext2/3/4 (superblock at 1 KiB) and xfs (at 0); btrfs keeps its own at 64 KiB.
HEAD_BYTES = 4096
BTRFS_OFFSET = 65536


@dataclass(frozen=True)
class Filesystem:
    """What a volume carries."""

    kind: str
    uuid: str


def recognise(head: bytes, at_64k: bytes = b"") -> Filesystem | None:
    """Return the file system whose superblock is in *head* (from offset 0) or *at_64k*; None for anything else."""
    if head[:4] == b"XFSB" and len(head) >= 48:
        return Filesystem("xfs", str(uuid.UUID(bytes=head[32:48])))
    if head[1080:1082] == b"\x53\xef" and len(head) >= 1144:
        return Filesystem("ext", str(uuid.UUID(bytes=head[1128:1144])))
    if at_64k[64:72] == b"_BHRfS_M" and len(at_64k) >= 48:
        return Filesystem("btrfs", str(uuid.UUID(bytes=at_64k[32:48])))
    return None
