# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``pool_changes``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml
from ansible_collections.holdfast.kafka.plugins.module_utils import pool_changes

DOCUMENTATION = r"""
name: pool_changes
short_description: Find what an update of the pool stack would replace or remove
version_added: 0.1.0
author: Holdfast contributors
description:
  - Compare the template of a pool stack as it is deployed with the one that is to come.
  - List every interface and volume that would be replaced, removed or made smaller, as sentences.
positional: new
options:
  _input:
    description: The deployed template, as text or parsed; empty when there is none.
    type: raw
    required: true
  new:
    description: The template that is to come, as text or parsed.
    type: raw
    required: true
  released:
    description: Identities for which this is meant, as C(kafka-1).
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show what would be lost
  ansible.builtin.debug:
    msg: "{{ deployed_template | holdfast.kafka.pool_changes(new_template, released=['kafka-1']) }}"
"""

RETURN = r"""
_value:
  description: A list of sentences; empty when nothing is replaced or removed.
  type: list
"""


def parse(template: Any) -> dict[str, Any]:
    """A template as a dictionary; text is YAML, of which JSON is a part."""
    found = yaml.safe_load(template) if isinstance(template, str) else template
    return dict(found or {})


def changes(old: Any, new: Any, released: list[str] | None = None) -> list[str]:
    """The filter itself."""
    return pool_changes.pool_changes(parse(old), parse(new), released or [])


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"pool_changes": changes}
