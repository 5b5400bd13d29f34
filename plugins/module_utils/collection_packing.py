# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packing an installed Ansible collection into an archive whose bytes depend on its content alone.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

# What no running play reads. A collection's own documentation and tests are large.
LEFT_OUT = frozenset({"tests", "docs", "changelogs", "examples", "__pycache__", ".github", ".git", ".venv", ".cache"})
FIXED_TIME = 1704067200  # 2024-01-01T00:00:00Z


class CollectionNotFoundError(LookupError):
    """No search path holds the collection; the message lists the paths."""


def find(name: str, search_paths: Iterable[str]) -> Path:
    """Return the directory of collection ``namespace.name``, from the first path that has it."""
    namespace, short = name.split(".")
    tried = []
    for path in search_paths:
        base = Path(path).expanduser()
        root = base if base.name == "ansible_collections" else base / "ansible_collections"
        directory = root / namespace / short
        if (directory / "MANIFEST.json").is_file():
            return directory
        tried.append(str(root))
    raise CollectionNotFoundError(f"collection {name} is in none of: {', '.join(tried) or '(no path given)'}")


def version(directory: Path) -> str:
    """Return the collection's version as its MANIFEST.json says."""
    manifest = json.loads((directory / "MANIFEST.json").read_text(encoding="utf-8"))
    return str(manifest["collection_info"]["version"])


def members(directory: Path) -> Iterator[Path]:
    """Yield the files to keep, in a fixed order; links are followed."""
    for path in sorted(directory.iterdir(), key=lambda entry: entry.name):
        if path.name in LEFT_OUT or path.suffix == ".pyc":
            continue
        if path.is_dir():
            yield from members(path)
        else:
            yield path


def pack(directory: Path) -> bytes:
    """Return a gzipped tar with the collection below ``ansible_collections/<namespace>/<name>/``."""
    prefix = f"ansible_collections/{directory.parent.name}/{directory.name}"
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=FIXED_TIME) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in members(directory):
            data = path.read_bytes()
            info = tarfile.TarInfo(f"{prefix}/{path.relative_to(directory).as_posix()}")
            info.size = len(data)
            info.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            info.mtime = FIXED_TIME
            info.uname = info.gname = "root"
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
