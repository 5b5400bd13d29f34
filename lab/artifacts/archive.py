# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives whose bytes depend on their content alone: sorted names, one time stamp, root as the owner."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# 2024-01-01T00:00:00Z: any fixed moment serves; zip-based tools dislike the epoch itself.
FIXED_TIME = 1704067200


@dataclass(frozen=True)
class Member:
    """A file of the archive: its bytes, or the path to read them from, and its mode."""

    content: bytes | Path
    mode: int = 0o644


def write_tar_gz(target: Path, root: str, members: Mapping[str, Member]) -> None:
    """Write ``members`` (path below ``root`` -> member) as a gzipped tar; replaces ``target`` in one step."""
    directories = {root}
    for name in members:
        parts = f"{root}/{name}".split("/")[:-1]
        directories.update("/".join(parts[: length + 1]) for length in range(len(parts)))
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with (
            partial.open("wb") as raw,
            gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=raw, mtime=FIXED_TIME) as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for directory in sorted(directories):
                tar.addfile(_info(directory, tarfile.DIRTYPE, 0o755))
            for name in sorted(members):
                member = members[name]
                data = member.content.read_bytes() if isinstance(member.content, Path) else member.content
                info = _info(f"{root}/{name}", tarfile.REGTYPE, member.mode)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _info(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = mode
    info.mtime = FIXED_TIME
    info.uname = info.gname = "root"
    return info


def sha512(path: Path) -> str:
    """Return the file's SHA-512 in hexadecimal."""
    digest = hashlib.sha512()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
