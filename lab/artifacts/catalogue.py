# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of what can be assembled, read from ``distributions.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CATALOGUE = HERE / "distributions.toml"
FILES = HERE / "files"


@dataclass(frozen=True)
class Distribution:
    """One archive (or, without ``root``, one plain jar) of one version."""

    name: str
    version: str
    archive: str
    maven: tuple[str, ...]
    root: str = ""
    jars: str = ""
    commands: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_archive(self) -> bool:
        """Whether jars are packed under a root directory, rather than one jar taken as it is."""
        return bool(self.root)


def load(path: Path = CATALOGUE) -> dict[str, Any]:
    """Return the catalogue as written."""
    with path.open("rb") as stream:
        return tomllib.load(stream)


def names(catalogue: Mapping[str, Any]) -> list[str]:
    """Return the names of the distributions, in the catalogue's order."""
    return list(catalogue["defaults"])


def distribution(catalogue: Mapping[str, Any], name: str, version: str | None = None) -> Distribution:
    """Return one distribution; KeyError for an unknown name, ValueError for a version without known additions."""
    entry = catalogue[name]
    wanted = version or catalogue["defaults"][name]
    coordinates = list(entry["maven"])
    additions = entry.get("also", [])
    matching = [addition for addition in additions if wanted.startswith(addition["prefix"])]
    if additions and not matching:
        known = ", ".join(addition["prefix"] + "x" for addition in additions)
        raise ValueError(f"{name} {wanted} cannot be assembled: the catalogue knows {known}")
    for addition in matching:
        coordinates.extend(addition["maven"])
    return Distribution(
        name=name,
        version=wanted,
        archive=entry["archive"].format(version=wanted),
        maven=tuple(coordinate.format(version=wanted) for coordinate in coordinates),
        root=entry.get("root", "").format(version=wanted),
        jars=entry.get("jars", ""),
        commands=dict(entry.get("commands", {})),
    )
