# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`lab image`: the base images and the kept ones, which outlive a lab."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from lab import client, kept, render
from lab.config import LabConfig
from lab.images import build
from lab.images.recipe import Recipe
from lab.machine.shell import MachineError

ACTIONS = ("ls", "build", "keep", "use", "rm")
_ARGUMENTS = {"ls": 0, "build": 0, "keep": 2, "use": 1, "rm": 1}
_USAGE = {"keep": "keep AMI KEY", "use": "use KEY", "rm": "rm KEY"}


def run(config: LabConfig, options: argparse.Namespace) -> int:
    """Do one of the actions."""
    action, arguments = options.action, options.arguments
    if len(arguments) != _ARGUMENTS[action]:
        print(f"lab: usage: lab image {_USAGE.get(action, action)}", file=sys.stderr)
        return 2
    answer = {"ls": _list, "build": _build, "keep": _keep, "use": _use, "rm": _remove}[action](config, arguments)
    if options.json:
        print(json.dumps(answer, indent=2))
    elif action == "ls":
        print(_table(answer), end="")
    else:
        print(" ".join(f"{key}={value}" for key, value in answer.items()))
    return 0 if answer else 1


def _list(config: LabConfig, _arguments: list[str]) -> dict[str, object]:
    current = Recipe().key()
    bases = [
        {
            "key": image.key,
            "built_at": image.built_at,
            "build_seconds": image.build_seconds,
            "current": image.key == current,
        }
        for image in build.listing(config.images_dir)
    ]
    return {"base": bases, "kept": kept.listing(config)}


def _table(answer: dict[str, object]) -> str:
    bases, others = answer["base"], answer["kept"]
    assert isinstance(bases, list)
    assert isinstance(others, list)
    return "\n".join(
        (
            render.table(
                "Base images",
                ("KEY", "BUILT", "SECONDS", "CURRENT"),
                [(i["key"], i["built_at"], i["build_seconds"], "yes" if i["current"] else "no") for i in bases],
            ),
            render.table("Kept images", ("KEY", "NAME", "BASE"), [(i["key"], i["name"], i["base"]) for i in others]),
        )
    )


def _build(config: LabConfig, _arguments: list[str]) -> dict[str, object]:
    image = build.ensure(config.images_dir, Recipe(), lambda line: print(line, file=sys.stderr, flush=True))
    return {"key": image.key, "path": str(image.path), "build_seconds": image.build_seconds}


def _keep(config: LabConfig, arguments: list[str]) -> dict[str, object]:
    client.enter(config)
    return dict(client.call("POST", "images/keep", {"image_id": arguments[0], "key": arguments[1]}, timeout=900))


def _use(config: LabConfig, arguments: list[str]) -> dict[str, object]:
    client.enter(config)
    return dict(client.call("POST", "images/use", {"key": arguments[0]}))


def _user(config: LabConfig, key: str) -> str | None:
    """Return what stands on an image: a lab that is up on this base, or an instance's mount."""
    for path in config.state_root.glob("*/server.json"):
        if json.loads(path.read_text()).get("base_image_key") == key:
            return f"lab '{path.parent.name}'"
    places = [path for path in config.images_dir.glob("*") if path.is_dir() and path.name.endswith(f"-{key}")]
    table = Path("/proc/self/mountinfo").read_text(errors="replace")
    return "an instance's tree" if any(f"{place}/" in table for place in places) else None


def _remove(config: LabConfig, arguments: list[str]) -> dict[str, object]:
    if user := _user(config, arguments[0]):
        raise MachineError(f"image {arguments[0]} is in use by {user}: take that down first")
    removed = int(build.remove(config.images_dir, arguments[0])) + kept.remove(config, arguments[0])
    if not removed:
        print(f"lab: no image is kept under the key {arguments[0]!r}", file=sys.stderr)
        return {}
    return {"removed": removed}
