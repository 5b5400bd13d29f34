# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Assemble the archives into a cache directory; what is there and still fits is left alone and needs no network."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lab.artifacts import archive, catalogue, maven
from lab.artifacts.archive import Member
from lab.artifacts.catalogue import Distribution

README = """{name} {version}, assembled from Maven artifacts by Holdfast's lab in the layout of Apache's own archive.
The jars are Apache's as published. The scripts under bin/ and the configuration are Holdfast's own and smaller.
"""
COMMAND = """#!/bin/sh
# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Not Apache's script of this name: the lab's own, for archives assembled from Maven artifacts.
exec "$(dirname "$0")/{runner}" {java_class} "$@"
"""
RUNNERS = {"kafka": "kafka-run-class.sh", "zookeeper": "run-class.sh"}


def default_directory() -> Path:
    """Return where the lab keeps its archives: ``$HOLDFAST_LAB_CACHE/artifacts`` or ``.cache/lab/artifacts``."""
    cache = os.environ.get("HOLDFAST_LAB_CACHE")
    base = Path(cache) if cache else Path(__file__).resolve().parents[2] / ".cache" / "lab"
    return base / "artifacts"


def members(distribution: Distribution, jars: list[Path], files: Path = catalogue.FILES) -> dict[str, Member]:
    """Return everything that belongs into the archive, by path below its root."""
    content: dict[str, Member] = {f"{distribution.jars}/{jar.name}": Member(jar) for jar in jars}
    source = files / distribution.name
    for path in sorted(source.rglob("*")):
        if path.is_file():
            name = path.relative_to(source).as_posix()
            content[name] = Member(path, 0o755 if name.startswith("bin/") else 0o644)
    runner = RUNNERS[distribution.name]
    for script, java_class in distribution.commands.items():
        text = COMMAND.format(runner=runner, java_class=java_class)
        content[f"bin/{script}"] = Member(text.encode(), 0o755)
    readme = README.format(name=distribution.name, version=distribution.version)
    content["README.holdfast"] = Member(readme.encode())
    return content


def recipe(distribution: Distribution, dependency_plugin: str, files: Path = catalogue.FILES) -> str:
    """Return a digest of all that decides the result, so that a cached archive of another recipe is made anew."""
    digest = hashlib.sha256()
    digest.update(repr((distribution, dependency_plugin, archive.FIXED_TIME, README, COMMAND)).encode())
    for path in sorted((files / distribution.name).rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(files).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def assemble(
    directory: Path,
    say: Callable[[str], None],
    versions: Mapping[str, str] | None = None,
    only: list[str] | None = None,
) -> dict[str, Path]:
    """Make sure the archives are in ``directory`` and return their paths by name.

    ``versions`` overrides the catalogue's defaults, ``only`` limits the names. Raises MavenError when a jar cannot be
    had and ValueError for a version the catalogue cannot assemble. Beside each file lies ``<file>.sha512``.
    """
    known = catalogue.load()
    plugin = known["maven"]["dependency_plugin"]
    directory.mkdir(parents=True, exist_ok=True)
    result: dict[str, Path] = {}
    with _alone(directory):
        for name in only or catalogue.names(known):
            distribution = catalogue.distribution(known, name, (versions or {}).get(name))
            result[name] = _one(distribution, plugin, directory, say)
    return result


def _one(distribution: Distribution, plugin: str, directory: Path, say: Callable[[str], None]) -> Path:
    target = directory / distribution.archive
    stamp = directory / f".{distribution.archive}.recipe"
    wanted = recipe(distribution, plugin)
    if target.is_file() and stamp.is_file() and stamp.read_text(encoding="utf-8") == f"{wanted} {_size(target)}":
        say(f"{distribution.name} {distribution.version}: {target.name} is there")
        return target
    started = time.monotonic()
    say(f"{distribution.name} {distribution.version}: assembling {target.name}")
    stamp.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="holdfast-assemble-") as work:
        jars = maven.copy_dependencies(distribution.maven, plugin, Path(work), say)
        if distribution.is_archive:
            archive.write_tar_gz(target, distribution.root, members(distribution, jars))
        else:
            shutil.copyfile(jars[0], target)
    checksum = target.with_name(target.name + ".sha512")
    checksum.write_text(f"{archive.sha512(target)}  {target.name}\n", encoding="utf-8")
    stamp.write_text(f"{wanted} {_size(target)}", encoding="utf-8")
    seconds = time.monotonic() - started
    say(f"{distribution.name} {distribution.version}: {len(jars)} jars, {_size(target) / 1e6:.0f} MB, {seconds:.0f} s")
    return target


def _size(path: Path) -> int:
    return path.stat().st_size


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold the directory's lock: two runs at once do the work once."""
    with (directory / ".lock").open("w", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
