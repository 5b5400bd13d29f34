# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images as stacks of read-only layers: the base tree at the bottom, what each CreateImage added on top."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable
from pathlib import Path

from lab.ledger import Ledger
from lab.machine.shell import MachineError, run
from lab.machine.trees import mount_overlay, remove_tree, unmount

_IMAGE_ID = re.compile(r"ami-[0-9a-z]{1,17}")
# The kernel takes one page of mount options; a deeper stack is flattened into one layer.
MAX_LAYERS = 12
# What belongs to the instance and not to its image; globs below the tree's root.
PERSONAL = (
    "etc/hostname",
    "etc/ssh/ssh_host_*",
    "etc/systemd/network/10-holdfast-lab-eth0.network",
    "home/*/.bash_history",
    "home/*/.ssh/authorized_keys",
    "root/.bash_history",
    "root/.ssh/authorized_keys",
    "var/lib/cloud/*",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/credential.secret",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/timers/*",
    "var/tmp/*",
)


class ImageStore:
    """The images of one lab; its methods may be called from several threads."""

    def __init__(self, directory: Path, ledger: Ledger) -> None:
        """Keep the layers in *directory*."""
        self.directory = directory
        self._ledger = ledger
        self._lock = threading.Lock()
        self._stacks: dict[str, tuple[Path, ...]] = {}
        self._used: dict[str, tuple[Path, ...]] = {}

    def register(self, image_id: str, layers: Iterable[Path]) -> None:
        """Make an image known whose layers (top first) are there already."""
        with self._lock:
            self._stacks[_checked(image_id)] = tuple(layers)

    def known(self) -> dict[str, tuple[Path, ...]]:
        """Return every image's layers, top first."""
        with self._lock:
            return dict(self._stacks)

    def use(self, image_id: str, instance_id: str) -> tuple[Path, ...]:
        """Return an image's layers and keep them for as long as the instance has a tree."""
        with self._lock:
            if image_id not in self._stacks:
                raise MachineError(f"image {image_id} has no tree on this machine")
            self._used[instance_id] = self._stacks[image_id]
            return self._stacks[image_id]

    def drop(self, instance_id: str) -> None:
        """Forget that an instance uses layers; remove those that nothing uses any more."""
        with self._lock:
            self._used.pop(instance_id, None)
            self._sweep()

    def create(self, image_id: str, upper: Path, below: tuple[Path, ...]) -> None:
        """Keep what an instance wrote (*upper*) above the layers it ran on as a new image."""
        place = self.directory / _checked(image_id)
        place.mkdir(parents=True)
        layer = place / "layer"
        try:
            run(["cp", "--archive", "--reflink=auto", str(upper), str(layer)], timeout=900)
            self._strip(place, layer, below)
            layers: tuple[Path, ...] = (layer, *below)
            if len(layers) > MAX_LAYERS:
                layers = (self._flatten(place, layers),)
            (place / "image.json").write_text(json.dumps([str(path) for path in layers], indent=2) + "\n")
        except BaseException:
            remove_tree(place)
            raise
        self.register(image_id, layers)

    def delete(self, image_id: str) -> None:
        """Forget an image; its layers stay while another image or an instance stands on them."""
        with self._lock:
            self._stacks.pop(image_id, None)
            self._sweep()

    def _strip(self, place: Path, layer: Path, below: tuple[Path, ...]) -> None:
        """Remove what is the instance's own, in the merged view, so that a lower layer's file is hidden too."""
        with self._merged(place, layer, below) as tree:
            strip(tree)

    def _flatten(self, place: Path, layers: tuple[Path, ...]) -> Path:
        scratch, flat = place / "scratch", place / "flat"
        scratch.mkdir()
        with self._merged(place, scratch, layers) as tree:
            run(["cp", "--archive", "--reflink=auto", str(tree), str(flat)], timeout=1800)
        remove_tree(scratch)
        remove_tree(layers[0])
        return flat

    def _merged(self, place: Path, upper: Path, lowers: tuple[Path, ...]) -> _Merged:
        return _Merged(self._ledger, place, upper, lowers)

    def _sweep(self) -> None:
        needed = {layer for stack in (*self._stacks.values(), *self._used.values()) for layer in stack}
        if not self.directory.is_dir():
            return
        for place in self.directory.iterdir():
            if (place / "image.json").is_file() and not any(place in layer.parents for layer in needed):
                remove_tree(place)


class _Merged:
    """A short-lived overlay mount."""

    def __init__(self, ledger: Ledger, place: Path, upper: Path, lowers: tuple[Path, ...]) -> None:
        self._ledger, self._place, self._upper, self._lowers = ledger, place, upper, lowers
        self._target, self._work = place / "merged", place / "work"
        self._entry = ""

    def __enter__(self) -> Path:
        self._target.mkdir()
        self._work.mkdir()
        self._entry = self._ledger.intend("mount", target=str(self._target))
        mount_overlay(self._lowers, self._upper, self._work, self._target)
        return self._target

    def __exit__(self, *_: object) -> None:
        unmount(self._target)
        self._ledger.forget(self._entry)
        remove_tree(self._target)
        remove_tree(self._work)


def strip(tree: Path) -> None:
    """Remove from a tree what belongs to the machine it ran on."""
    for pattern in PERSONAL:
        for path in tree.glob(pattern):
            remove_tree(path)
    logs = tree / "var/log"
    for path in sorted(logs.glob("**/*"), reverse=True):
        if path.is_file() and not path.is_symlink():
            path.unlink()
    remove_tree(logs / "journal")
    logs.joinpath("journal").mkdir(parents=True)
    identity = tree / "etc/machine-id"
    identity.unlink(missing_ok=True)
    identity.write_text("")


def _checked(image_id: str) -> str:
    if not _IMAGE_ID.fullmatch(image_id):
        raise MachineError(f"{image_id!r} is not an image id")
    return image_id
