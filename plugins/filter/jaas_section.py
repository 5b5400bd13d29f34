# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One section of a JAAS file, as ZooKeeper and Kafka read their passwords from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ansible.errors import AnsibleFilterError

NAME = re.compile(r"[A-Za-z0-9_.-]+")
LOGIN_MODULE = "org.apache.zookeeper.server.auth.DigestLoginModule"


def _quoted(key: str, value: str) -> str:
    """Return a value as Java reads it back; AnsibleFilterError, without the value, for what Java would change."""
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
        raise AnsibleFilterError(f"jaas_section: {key} must be printable ASCII and not empty")
    if "${" in value:
        raise AnsibleFilterError(f"jaas_section: {key} has '${{' in it, which Java would replace by a property")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def jaas_section(options: Mapping[str, str], name: str) -> str:
    """Return the section C(name) with ZooKeeper's digest login and these options, sorted by key."""
    if not isinstance(options, Mapping) or not options:
        raise AnsibleFilterError(f"jaas_section: {name} wants a dictionary of options")
    for key in (name, *options):
        if not isinstance(key, str) or not NAME.fullmatch(key):
            raise AnsibleFilterError(f"jaas_section: {key!r} is no name; use letters, digits, '_', '.' and '-'")
    lines = [f"  {key}={_quoted(key, options[key])}" for key in sorted(options)]
    return "\n".join([f"{name} {{", f"  {LOGIN_MODULE} required", *lines]) + ";\n};\n"


class FilterModule:
    """The collection's JAAS filter."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Return the filters by name."""
        return {"jaas_section": jaas_section}
