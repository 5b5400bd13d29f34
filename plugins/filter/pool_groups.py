# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``pool_groups``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.pool_plan import pool_groups

DOCUMENTATION = r"""
name: pool_groups
short_description: Derive the Auto Scaling groups of pools
version_added: 0.1.0
author: Holdfast contributors
description:
  - Count the identities of C(holdfast_pools) by role and Availability Zone.
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
    msg: "{{ holdfast_pools | holdfast.kafka.pool_groups(holdfast_subnets) }}"
"""

RETURN = r"""
_value:
  description: A list of dictionaries with V(role), V(availability_zone), V(subnet_id) and V(count).
  type: list
"""


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"pool_groups": pool_groups}
