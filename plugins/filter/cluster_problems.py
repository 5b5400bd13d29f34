# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``cluster_problems``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.cluster_problems import cluster_problems

DOCUMENTATION = r"""
name: cluster_problems
short_description: Find what is wrong in the report of cluster_status
version_added: 0.2.0
author: Holdfast contributors
description:
  - Puts together what is wrong with identities, the ensemble and the brokers, each with its next step and runbook.
options:
  _input:
    description: The report that the playbook C(cluster_status) makes.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what is wrong
  ansible.builtin.debug:
    msg: "{{ cluster_status_report | holdfast.kafka.cluster_problems }}"
"""

RETURN = r"""
_value:
  description: A list of problems, in the shape of the conditions of M(holdfast.kafka.identity_claims_info).
  type: list
  elements: dict
"""


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"cluster_problems": cluster_problems}
