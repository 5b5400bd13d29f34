# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacked copies of the archives, for those who run Kafka's or ZooKeeper's programs on this machine."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from lab.artifacts.archive import sha512
from lab.artifacts.assemble import assemble, default_directory


def unpacked(name: str, say: Callable[[str], None] = print, version: str | None = None) -> Path:
    """Return the root of an unpacked archive (``kafka`` or ``zookeeper``), assembling and unpacking it when needed.

    ``version`` is the catalogue's default unless given.
    """
    versions = {name: version} if version else None
    archive = assemble(default_directory(), say=say, versions=versions, only=[name])[name]
    target = default_directory().parent / "unpacked" / f"{name}-{sha512(archive)[:16]}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
        with tarfile.open(archive) as tar:
            tar.extractall(partial, filter="data")
        try:
            partial.rename(target)
        except OSError:  # another process was first
            shutil.rmtree(partial)
    return next(target.iterdir())
