# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Baked images that outlive a lab: kept in the cache under a key, taken into use by a later lab.

A bake takes minutes; whoever bakes knows what it depends on and chooses the key accordingly (a hash of the inputs).
The key is bound to the base image, because a layer means nothing on another one.
"""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.config import LabConfig
from lab.images import build
from lab.images.build import BaseImage
from lab.machine.machine import LabMachine
from lab.machine.shell import MachineError, run
from lab.machine.trees import remove_tree

if TYPE_CHECKING:
    from lab.api.server import LabApi

log = logging.getLogger(__name__)
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def directory(config: LabConfig, base_key: str, key: str) -> Path:
    """Return where an image with this key is kept; raise MachineError for what is no key."""
    if not _KEY.fullmatch(key):
        raise MachineError(f"a kept image's key is 1 to 64 letters, digits, '.', '_' or '-', not {key!r}")
    return config.images_dir / f"kept-{base_key}-{key}"


def listing(config: LabConfig) -> list[dict[str, Any]]:
    """Return every kept image: key, base image, name, tags."""
    found = []
    for path in sorted(config.images_dir.glob("kept-*/image.json")):
        found.append({**json.loads(path.read_text()), "path": str(path.parent)})
    return found


def keep(
    config: LabConfig, api: LabApi, machine: LabMachine, base: BaseImage, image_id: str, key: str
) -> dict[str, Any]:
    """Copy an image's layers into the cache; an older one of the same key is replaced."""
    place = directory(config, base.key, key)
    with api.context.lock:
        image = api.context.ec2.amis.get(image_id)
        if image is None or image.state != "available":
            raise MachineError(f"{image_id} is not an available image")
        facts = {"name": image.name, "tags": dict(api.context.ec2.tags.get(image_id, {}))}
    layers = [layer for layer in machine.images.known().get(image_id, ()) if layer != base.tree]
    if not layers:
        raise MachineError(f"{image_id} is the base image, which is kept anyway")
    facts |= {"key": key, "base": base.key, "layers": len(layers)}
    with build.lock(config.images_dir, log.info):
        work = config.images_dir / f".tmp-kept-{os.getpid()}-{key}"
        remove_tree(work)
        work.mkdir(parents=True)
        for number, layer in enumerate(layers):
            run(["cp", "--archive", "--reflink=auto", str(layer), str(work / f"layer-{number}")], timeout=900)
        (work / "image.json").write_text(json.dumps(facts, indent=2) + "\n")
        if place.exists():
            _set_aside(config, place)
        work.rename(place)
    return facts


def _set_aside(config: LabConfig, place: Path) -> None:
    """Instances of this lab may stand on the old layers: they keep them until the next build sweeps."""
    place.rename(config.images_dir / f".tmp-replaced-{os.getpid()}-{place.name}")


def use(config: LabConfig, api: LabApi, machine: LabMachine, base: BaseImage, key: str) -> dict[str, Any]:
    """Register a kept image in this lab's EC2 with its name and tags; the same key gives the same image again."""
    from lab.api.strict_images import make_bootable

    place = directory(config, base.key, key)
    if not (place / "image.json").is_file():
        raise MachineError(f"no image is kept under the key {key!r} for this base image")
    facts = json.loads((place / "image.json").read_text())
    layers = [place / f"layer-{number}" for number in range(facts["layers"])]
    backend = api.context.ec2
    with api.context.lock:
        for image_id, stack in machine.images.known().items():
            if stack[0] == layers[0] and image_id in backend.amis:
                return {"image_id": image_id, **facts}
        image = backend.register_image(facts["name"], "kept by an earlier lab")
        image.architecture = "x86_64"
        make_bootable(image)
        image.add_tags(facts["tags"])
        machine.images.register(image.id, [*layers, base.tree])
        api.events.record("image_taken_into_use", image_id=image.id, key=key)
    return {"image_id": str(image.id), **facts}


def remove(config: LabConfig, key: str) -> int:
    """Remove the kept images of this key, whatever their base; return how many there were."""
    places = [path for path in config.images_dir.glob("kept-*") if path.name.endswith(f"-{key}")]
    for place in places:
        remove_tree(place)
    return len(places)
