# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``unknown_variables``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.pool_plan import unknown_variables

DOCUMENTATION = r"""
name: unknown_variables
short_description: Find variables that nobody reads
version_added: 0.1.0
author: Holdfast contributors
description:
  - Say, for each name that is not among the known ones, that it is unknown, and which known one is nearest.
positional: known
options:
  _input:
    description: The names of variables that are set.
    type: list
    elements: str
    required: true
  known:
    description: The names that are known.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show misspelt variables
  ansible.builtin.debug:
    msg: "{{ ['holdfast_clutser'] | holdfast.kafka.unknown_variables(['holdfast_cluster']) }}"
"""

RETURN = r"""
_value:
  description: A list of sentences; empty when every name is known.
  type: list
"""


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"unknown_variables": unknown_variables}
