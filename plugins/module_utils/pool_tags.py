# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How resources of a pool are recognised: by tags, or by the C(Name) of a pool that exists already. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_PLACEHOLDER = re.compile(r"\{(node_id|volume)\}")


class PatternError(ValueError):
    """A C(Name) pattern that cannot identify a node."""


@dataclass(frozen=True)
class Labels:
    """What a resource says about itself; texts are unparsed, C(None) means it does not say."""

    role: str | None
    node_id: str | None
    volume: str | None
    name: str
    by_name: bool = False


def _literal_glob(text: str) -> str:
    return re.sub(r"([*?\\])", r"\\\1", text)


def _glob(pattern: str) -> str:
    parts = _PLACEHOLDER.split(pattern)
    return "".join("*" if index % 2 else _literal_glob(part) for index, part in enumerate(parts))


def _regex(pattern: str) -> re.Pattern[str]:
    parts = _PLACEHOLDER.split(pattern)
    if parts[1::2].count("node_id") != 1 or parts[1::2].count("volume") > 1:
        raise PatternError(f"Name pattern {pattern!r} must hold {{node_id}} once and {{volume}} at most once.")
    return re.compile(
        "".join(rf"(?P<{part}>[0-9]+)" if index % 2 else re.escape(part) for index, part in enumerate(parts))
    )


@dataclass(frozen=True)
class TagScheme:
    """Tag keys of a pool; with C(name_patterns) (role -> patterns) the C(Name) tag is the only label that is read."""

    cluster: str = "holdfast:cluster"
    role: str = "holdfast:role"
    node_id: str = "holdfast:node-id"
    volume: str = "holdfast:volume"
    name_patterns: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for patterns in self.name_patterns.values():
            for pattern in patterns:
                _regex(pattern)

    def filters(self, cluster: str) -> list[dict[str, Any]]:
        """Return the EC2 filters that select every resource of the cluster's pools (all roles) in one describe."""
        if self.name_patterns:
            globs = sorted({_glob(pattern) for patterns in self.name_patterns.values() for pattern in patterns})
            return [{"Name": "tag:Name", "Values": globs}]
        return [{"Name": f"tag:{self.cluster}", "Values": [cluster]}, {"Name": "tag-key", "Values": [self.role]}]

    def labels(self, tags: Mapping[str, str], cluster: str) -> Labels | None:
        """Read a resource's labels; C(None) when it is not part of the cluster's pools."""
        name = tags.get("Name", "")
        if self.name_patterns:
            if tags.get(self.cluster, cluster) != cluster:
                # Its name matches and its tag says whose it is: a namesake of another cluster.
                return None
            for role, patterns in self.name_patterns.items():
                for pattern in patterns:
                    match = _regex(pattern).fullmatch(name)
                    if match:
                        found = match.groupdict()
                        return Labels(role, str(int(found["node_id"])), found.get("volume", "0"), name, by_name=True)
            return None
        if tags.get(self.cluster) != cluster or self.role not in tags:
            return None
        return Labels(tags[self.role], tags.get(self.node_id), tags.get(self.volume), name)


def every_label(scheme: TagScheme, name: str) -> list[Labels]:
    """Return what all patterns read in a name; more than one is an ambiguity that a planner must not guess away.

    Unlike C(TagScheme.labels) this leaves C(volume) None where the pattern does not say it.
    """
    found: dict[tuple[str, str, str | None], Labels] = {}
    for role, patterns in scheme.name_patterns.items():
        for pattern in patterns:
            match = _regex(pattern).fullmatch(name)
            if match:
                parts = match.groupdict()
                node_id, volume = str(int(parts["node_id"])), parts.get("volume")
                volume = None if volume is None else str(int(volume))
                found[role, node_id, volume] = Labels(role, node_id, volume, name, by_name=True)
    return list(found.values())


def scheme_from_options(options: Mapping[str, Any]) -> TagScheme:
    """Build the scheme from a module's C(tag_*) and C(name_patterns) options; raise PatternError on nonsense."""
    patterns = {}
    for role, value in (options.get("name_patterns") or {}).items():
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, (list, tuple)) or not all(isinstance(item, str) for item in values) or not values:
            raise PatternError(f"name_patterns[{role!r}] must be a pattern or a list of patterns.")
        patterns[role] = tuple(values)
    return TagScheme(
        cluster=options["tag_cluster"],
        role=options["tag_role"],
        node_id=options["tag_node_id"],
        volume=options["tag_volume"],
        name_patterns=patterns,
    )
