# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a Java properties file from a dictionary."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.$/-]*")
FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")


def _scalar(key: str, value: Any) -> str:
    """Return one value as Java reads it back; AnsibleFilterError for what a line cannot hold."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        if not math.isfinite(value):
            raise AnsibleFilterError(f"to_properties: {key} is {value}, which no property can be")
        return repr(float(value))
    if not isinstance(value, str):
        raise AnsibleFilterError(f"to_properties: {key} has a value of type {type(value).__name__}")
    if FORBIDDEN.search(value):
        raise AnsibleFilterError(f"to_properties: {key} has a line break or a control character in its value")
    return value


def _escaped(text: str) -> str:
    """Escape what Java's Properties.load would change: backslashes, leading blanks, what is not Latin-1."""
    escaped = text.replace("\\", "\\\\")
    if escaped[:1] in (" ", "\t"):
        escaped = "\\" + escaped
    units = escaped.encode("utf-16-be", errors="surrogatepass")
    pairs = (int.from_bytes(units[index : index + 2], "big") for index in range(0, len(units), 2))
    return "".join(chr(unit) if unit < 0x7F else f"\\u{unit:04x}" for unit in pairs)


def _value(key: str, value: Any) -> str:
    """Return a scalar, or a list of scalars joined by commas."""
    if isinstance(value, (list, tuple)):
        items = [_scalar(key, item) for item in _flat(key, value)]
        if any("," in item for item in items):
            raise AnsibleFilterError(f"to_properties: {key} has a comma inside a list's item")
        return ",".join(items)
    return _scalar(key, value)


def _flat(key: str, values: Sequence[Any]) -> Sequence[Any]:
    """Return the list unless something in it is nested or missing."""
    for item in values:
        if item is None or isinstance(item, (list, tuple, Mapping)):
            raise AnsibleFilterError(f"to_properties: {key} has a list inside which something is nested or null")
    return values


def to_properties(settings: Mapping[str, Any]) -> str:
    """Return ``key=value`` lines, sorted by key, each ended by a line feed.

    Booleans become ``true`` and ``false``, lists are joined by commas, a null leaves its key out.
    """
    if not isinstance(settings, Mapping):
        raise AnsibleFilterError(f"to_properties wants a dictionary, not {type(settings).__name__}")
    lines = []
    for key in sorted(settings):
        if not isinstance(key, str) or not KEY.fullmatch(key):
            raise AnsibleFilterError(f"to_properties: {key!r} is no property's name")
        if isinstance(settings[key], Mapping):
            raise AnsibleFilterError(f"to_properties: {key} is a dictionary; write its keys in full")
        if settings[key] is not None:
            lines.append(f"{key}={_escaped(_value(key, settings[key]))}\n")
    return "".join(lines)


class FilterModule:
    """The collection's properties filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"to_properties": to_properties}
