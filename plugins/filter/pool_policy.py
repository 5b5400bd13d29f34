# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``pool_policy``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml
from ansible_collections.holdfast.kafka.plugins.module_utils import pool_changes

DOCUMENTATION = r"""
name: pool_policy
short_description: The stack policy that protects a pool
version_added: 0.1.0
author: Holdfast contributors
description:
  - Deny CloudFormation to replace or delete interfaces and volumes of a pool stack in an update.
options:
  _input:
    description: The template that is to come, as text or parsed.
    type: raw
    required: true
  old:
    description: The deployed template, as text or parsed; empty when there is none.
    type: raw
  released:
    description: Identities whose resources may be replaced and deleted, as C(kafka-1).
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show the policy
  ansible.builtin.debug:
    msg: "{{ new_template | holdfast.kafka.pool_policy }}"
"""

RETURN = r"""
_value:
  description: The policy.
  type: dict
"""


def parse(template: Any) -> dict[str, Any]:
    """A template as a dictionary; text is YAML, of which JSON is a part."""
    found = yaml.safe_load(template) if isinstance(template, str) else template
    return dict(found or {})


def policy(new: Any, old: Any = None, released: list[str] | None = None) -> dict[str, Any]:
    """The filter itself."""
    return pool_changes.stack_policy(parse(new), parse(old), released or [])


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"pool_policy": policy}
