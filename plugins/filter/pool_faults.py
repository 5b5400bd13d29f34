# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``pool_faults``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.pool_plan import pool_faults

DOCUMENTATION = r"""
name: pool_faults
short_description: Find what is wrong with pools and subnets
version_added: 0.1.0
author: Holdfast contributors
description:
  - List every fault of C(holdfast_pools) against C(holdfast_subnets), as sentences.
positional: subnets
options:
  _input:
    description: Identities by role, as in C(holdfast_pools).
    type: dict
    required: true
  subnets:
    description: One subnet per Availability Zone, as in C(holdfast_subnets).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the result
  ansible.builtin.debug:
    msg: "{{ holdfast_pools | holdfast.kafka.pool_faults(holdfast_subnets) }}"
"""

RETURN = r"""
_value:
  description: A list of sentences; empty when the pools can be built.
  type: list
"""


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"pool_faults": pool_faults}
