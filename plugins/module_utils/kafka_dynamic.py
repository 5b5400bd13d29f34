# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The brokers' cluster-wide dynamic settings: what may be set, what differs, and who does not follow. No I/O.

A setting as a broker describes it is a mapping with C(value), C(read_only), C(is_sensitive), C(config_source) and
C(synonyms), each of which has C(name), C(value) and C(source); the one of the cluster-wide default has the source
C(DYNAMIC_DEFAULT_BROKER_CONFIG).

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

#: What a broker says of its settings, by name.
Described = Mapping[str, Mapping[str, Any]]

CLUSTER_WIDE = "DYNAMIC_DEFAULT_BROKER_CONFIG"
ONE_BROKERS = "DYNAMIC_BROKER_CONFIG"


def normal(value: Any) -> str | None:
    """Return the value as Kafka writes it; None takes the setting away. ValueError for what no setting can be."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(one, str | int) for one in value):
        return ",".join(map(str, value))
    raise ValueError(f"{value!r} is no value of a setting")


def refusals(names: Iterable[str], static: Collection[str], described: Mapping[int, Described]) -> list[dict[str, str]]:
    """Return, for each setting that may not be set, its C(property) and C(why)."""
    found = []
    for name in sorted(names):
        why = _why_not(name, static, described)
        if why:
            found.append({"property": name, "why": why})
    return found


def _why_not(name: str, static: Collection[str], described: Mapping[int, Described]) -> str | None:
    if name in static:
        return "server.properties sets it too (kafka_properties or the role's own lines), and would lose unseen"
    for node_id, settings in sorted(described.items()):
        if name not in settings:
            near = difflib.get_close_matches(name, settings, 1)
            return f"broker {node_id} has no setting of that name" + (f"; did you mean {near[0]}?" if near else "")
        if settings[name].get("read_only"):
            return "Kafka reads it at a start only; put it into kafka_properties and roll"
        if settings[name].get("is_sensitive"):
            return "it is a secret, which could not be compared and would be in the task's arguments"
    return None


def cluster_wide(name: str, settings: Described) -> str | None:
    """Return the cluster-wide value that a broker knows for a setting; None when there is none."""
    for synonym in settings.get(name, {}).get("synonyms") or ():
        if synonym["name"] == name and synonym["source"] == CLUSTER_WIDE:
            return str(synonym["value"])
    return None


def differing(wanted: Mapping[str, str | None], settings: Described) -> dict[str, str | None]:
    """Return what of C(wanted) a broker does not know as its cluster-wide value."""
    return {name: value for name, value in sorted(wanted.items()) if cluster_wide(name, settings) != value}


def others(names: Collection[str], settings: Described) -> dict[str, str]:
    """Return the cluster-wide values beside those named."""
    found = {name: cluster_wide(name, settings) for name in sorted(settings) if name not in names}
    return {name: value for name, value in found.items() if value is not None}


def not_following(wanted: Mapping[str, str | None], described: Mapping[int, Described]) -> list[str]:
    """Return a sentence for each broker and setting where the wanted cluster-wide value is not what counts."""
    found = []
    for node_id, settings in sorted(described.items()):
        found += [
            f"broker {node_id} still has {name}={cluster_wide(name, settings)}" for name in differing(wanted, settings)
        ]
        found += [
            f"broker {node_id} has a value of its own for {name} ({settings[name].get('value')}), which wins over the "
            f"cluster's (kafka-configs.sh --entity-type brokers --entity-name {node_id} --delete-config {name})"
            for name, value in sorted(wanted.items())
            if value is not None and settings.get(name, {}).get("config_source") == ONE_BROKERS
        ]
    return found


def lines(values: Mapping[str, str | None]) -> str:
    """Return settings as lines of a properties file, for a difference; those that are not set are left out."""
    return "".join(f"{name}={value}\n" for name, value in sorted(values.items()) if value is not None)
