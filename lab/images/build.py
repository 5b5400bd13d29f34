# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the base image once per recipe and keep it: unpacked beside its place, renamed when it is whole."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.images.recipe import FILES, Recipe
from lab.machine.shell import run
from lab.machine.trees import remove_tree

Progress = Callable[[str], None]


class ImageBuildError(RuntimeError):
    """The base image could not be built; the message says which step failed and how."""


@dataclass(frozen=True)
class BaseImage:
    """A built base image."""

    key: str
    path: Path
    built_at: str
    build_seconds: float

    @property
    def tree(self) -> Path:
        """Return the root of the image's file system."""
        return self.path / "tree"

    @property
    def image_id(self) -> str:
        """Return the id under which every lab's EC2 knows it: what was baked from it is found again by that."""
        return f"ami-0{self.key}"


def find(images_dir: Path, recipe: Recipe) -> BaseImage | None:
    """Return the image of *recipe* if it was built before."""
    return _read(images_dir / f"base-{recipe.key()}")


def listing(images_dir: Path) -> list[BaseImage]:
    """Return every base image that is kept, newest first."""
    images = [image for path in sorted(images_dir.glob("base-*")) if (image := _read(path))]
    return sorted(images, key=lambda image: image.built_at, reverse=True)


def ensure(images_dir: Path, recipe: Recipe, progress: Progress, mirror: str | None = None) -> BaseImage:
    """Return the image of *recipe*, built now if it is not there yet (about a minute)."""
    if image := find(images_dir, recipe):
        return image
    images_dir.mkdir(parents=True, exist_ok=True)
    with lock(images_dir, progress):
        if image := find(images_dir, recipe):
            return image
        _sweep(images_dir)
        return _build(images_dir, recipe, progress, mirror)


def remove(images_dir: Path, key: str) -> bool:
    """Remove one kept image; return whether there was one."""
    path = images_dir / f"base-{key}"
    if not path.is_dir():
        return False
    doomed = images_dir / f".tmp-removed-{key}-{os.getpid()}"
    path.rename(doomed)
    remove_tree(doomed)
    return True


def _read(path: Path) -> BaseImage | None:
    try:
        data = json.loads((path / "image.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    return BaseImage(data["key"], path, data["built_at"], data["build_seconds"])


def _build(images_dir: Path, recipe: Recipe, progress: Progress, mirror: str | None) -> BaseImage:
    key = recipe.key()
    began = time.monotonic()
    progress(f"base image {key}: unpacking {len(recipe.packages)} packages and what they need (about a minute, once)")
    work = Path(tempfile.mkdtemp(prefix=".tmp-", dir=images_dir))
    tree = work / "tree"
    _mmdebstrap(recipe.mmdebstrap(tree, mirror), images_dir / f"base-{key}.log", progress)
    tree.chmod(0o755)
    progress(f"base image {key}: configuring")
    configure(tree, recipe)
    seconds = round(time.monotonic() - began, 1)
    built_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    facts = {"key": key, "suite": recipe.suite, "built_at": built_at, "build_seconds": seconds}
    (work / "image.json").write_text(json.dumps(facts, indent=2) + "\n")
    work.chmod(0o755)
    final = images_dir / f"base-{key}"
    work.rename(final)
    progress(f"base image {key}: built in {seconds:.0f} s")
    return BaseImage(key, final, built_at, seconds)


def _mmdebstrap(command: list[str], log: Path, progress: Progress) -> None:
    with log.open("w") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        began = time.monotonic()
        try:
            while True:
                try:
                    status = process.wait(timeout=10)
                    break
                except subprocess.TimeoutExpired:
                    progress(f"  {time.monotonic() - began:.0f} s: {_last_line(log)}")
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if status != 0:
        raise ImageBuildError(f"mmdebstrap ended with status {status} ({_last_line(log)}); all of it is in {log}")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no output yet"


def configure(tree: Path, recipe: Recipe) -> None:
    """Turn the unpacked packages into an image: place files, switch units on and off, drop what is per machine."""
    for name, place in recipe.placed:
        target = tree / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(FILES / name, target)
        target.chmod(0o644)
    run(["systemctl", f"--root={tree}", "--quiet", "mask", *recipe.masked])
    run(["systemctl", f"--root={tree}", "--quiet", "enable", *recipe.enabled])
    for pattern in ("etc/ssh/ssh_host_*", "var/log/*.log", "var/log/apt/*", "var/lib/apt/lists/*_*"):
        for path in tree.glob(pattern):
            path.unlink()
    (tree / "etc/machine-id").write_text("")
    (tree / "etc/fstab").write_text("")
    (tree / "etc/default/locale").write_text("LANG=C.UTF-8\n")
    resolver = tree / "etc/resolv.conf"
    resolver.unlink(missing_ok=True)
    resolver.write_text("# The lab has no name server.\n")


@contextmanager
def lock(images_dir: Path, progress: Progress) -> Iterator[None]:
    """Let one process write the cache at a time; the lock goes with the process, however it ends."""
    with (images_dir / ".build.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another process is making an image; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _sweep(images_dir: Path) -> None:
    """Remove what a killed build left; called under the lock only."""
    for path in images_dir.glob(".tmp-*"):
        remove_tree(path)
