# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``pool_addresses``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: pool_addresses
short_description: The fixed addresses of a pool by node id
version_added: 0.1.0
author: Holdfast contributors
description:
  - Reads identities as C(holdfast_pools) declares them (C(private_ip)) or as EC2 has them (C(eni.private_ip)).
  - Two identities with one id or one address are refused.
options:
  _input:
    description: The identities of one pool.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the addresses of the ensemble
  ansible.builtin.debug:
    msg: "{{ holdfast_pools.zookeeper | holdfast.kafka.pool_addresses }}"
"""

RETURN = r"""
_value:
  description: Address by node id; the ids are strings, as keys in JSON are.
  type: dict
  sample: {'1': 192.0.2.11, '2': 192.0.2.12}
"""


def pool_addresses(identities: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Address by node id, by rising id."""
    found: dict[str, str] = {}
    for identity in sorted(identities, key=lambda item: int(item["node_id"])):
        node_id = str(identity["node_id"])
        address = identity.get("private_ip") or (identity.get("eni") or {}).get("private_ip")
        if not address:
            raise AnsibleFilterError(f"pool_addresses: identity {node_id} has no address")
        if node_id in found or address in found.values():
            raise AnsibleFilterError(f"pool_addresses: identity {node_id} ({address}) is there twice")
        found[node_id] = str(address)
    return found


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"pool_addresses": pool_addresses}
