# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Baked images from one demonstration to the next: the bake finds its own by content, the lab keeps them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lab import client, kept
from lab.demo import fleet
from lab.demo.stage import Stage

CONTENT_TAG = "holdfast:content"


def _content(image: dict[str, Any]) -> str:
    return str(image.get("tags", {}).get(CONTENT_TAG, ""))


def kept_images(stage: Stage) -> list[dict[str, Any]]:
    """Kept images of this lab's base image that a bake could find again."""
    base = os.environ["HOLDFAST_LAB_BASE_IMAGE_KEY"]
    return [image for image in kept.listing(stage.config) if image["base"] == base and _content(image)]


def _baked() -> dict[str, tuple[str, str]]:
    """The images that this lab's EC2 has, by content: (creation date, image id)."""
    found: dict[str, tuple[str, str]] = {}
    for image in fleet.client("ec2").describe_images(Owners=["self"])["Images"]:
        tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
        if tags.get(CONTENT_TAG):
            found[tags[CONTENT_TAG]] = (image["CreationDate"], image["ImageId"])
    return found


def reuse(stage: Stage) -> None:
    """Register the kept images that this lab does not have; whether one fits is the bake's question.

    A second image of the same content would be the newest one, and the nodes would be deployed again with it.
    """
    here = _baked()
    for image in kept_images(stage):
        if _content(image) not in here:
            client.call("POST", "images/use", {"key": image["key"]})


def remember(stage: Stage) -> None:
    """Keep what was baked now."""
    known = {_content(image) for image in kept_images(stage)}
    fresh = sorted((when, content, image_id) for content, (when, image_id) in _baked().items() if content not in known)
    if not fresh:
        return
    _, content, image_id = fresh[-1]
    stage.say("keeping the baked image for the next time ...")
    client.call("POST", "images/keep", {"image_id": image_id, "key": content}, timeout=900)


def tidy(stage: Stage) -> None:
    """Remove all kept images but the newest, unless a lab is there: its instances may stand on any of them."""
    root = stage.config.state_root
    if root.is_dir() and any(path.is_dir() for path in root.iterdir()):
        return
    newest_first = sorted(kept.listing(stage.config), key=lambda image: -Path(image["path"]).stat().st_mtime)
    for image in newest_first[1:]:
        kept.remove(stage.config, image["key"])
