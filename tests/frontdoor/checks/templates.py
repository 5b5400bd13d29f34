# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every Jinja template parses (undefined variables and filters are the tests' business, syntax is ours)."""

from __future__ import annotations

from pathlib import Path

import jinja2

_PLACES = ("roles", "playbooks", "molecule", "lab", "inventories")


def faults(root: Path) -> list[str]:
    """Return one line per template that does not parse."""
    # Only the syntax tree is made, nothing is rendered, so autoescape does not matter.
    environment = jinja2.Environment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])  # noqa: S701 - see above
    found = []
    for place in _PLACES:
        for path in sorted((root / place).rglob("*.j2")):
            try:
                environment.parse(path.read_text(encoding="utf-8"))
            except jinja2.TemplateSyntaxError as error:
                found.append(f"{path.relative_to(root)}:{error.lineno}: {error.message}")
    return found
