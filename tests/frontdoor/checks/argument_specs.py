# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A role's argument_specs and its defaults name the same variables.

Every default is in the specification, and a default stated there is the one that defaults/main.yml sets. A required
option has no default, or one that is only a template over the play's variables (``{{ holdfast_cluster }}``): that one
is empty until the inventory speaks.
"""

from __future__ import annotations

from pathlib import Path

import yaml


def role_faults(role: Path) -> list[str]:
    """Return one line per difference between a role's defaults and the specification of its entry points."""
    spec_file = role / "meta" / "argument_specs.yml"
    if not spec_file.exists():
        return [f"{role.name}: meta/argument_specs.yml is missing"]
    specs = (yaml.safe_load(spec_file.read_text(encoding="utf-8")) or {}).get("argument_specs") or {}
    defaults_file = role / "defaults" / "main.yml"
    defaults = (yaml.safe_load(defaults_file.read_text(encoding="utf-8")) or {}) if defaults_file.exists() else {}
    options: dict[str, dict[str, object]] = {}
    for entry in specs.values():
        options.update(entry.get("options") or {})
    found = [f"{role.name}: default {name} is not in argument_specs" for name in defaults if name not in options]
    for name, option in options.items():
        where = f"{role.name}: option {name}"
        if option.get("required") and name in defaults and not _templated(defaults[name]):
            found.append(f"{where} is required and has a default")
        elif "default" in option and name not in defaults:
            found.append(f"{where} declares a default that defaults/main.yml does not set")
        elif "default" in option and not _templated(defaults[name]) and option["default"] != defaults[name]:
            found.append(f"{where} declares default {option['default']!r}, defaults/main.yml sets {defaults[name]!r}")
        if not option.get("description"):
            found.append(f"{where} has no description")
    return found


def _templated(value: object) -> bool:
    return isinstance(value, str) and "{{" in value


def faults(root: Path) -> list[str]:
    """Return the differences of every role."""
    return [line for role in sorted((root / "roles").glob("*")) if role.is_dir() for line in role_faults(role)]
