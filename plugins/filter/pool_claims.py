# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters ``pool_claims`` and ``pool_brokers``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: pool_claims
short_description: A declared pool's identities as their claims tell them
version_added: 0.1.0
author: Holdfast contributors
description:
  - Gives a run that makes no claims (a roll) what the roles read from C(node_identity_claim) at a boot, so that both
    write the same configuration.
options:
  _input:
    description: The identities of one pool, as C(holdfast_pools) declares them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the volumes of each broker
  ansible.builtin.debug:
    msg: "{{ holdfast_pools.kafka | holdfast.kafka.pool_claims }}"
"""

RETURN = r"""
_value:
  description: One dictionary for each identity, by rising id.
  type: list
  elements: dict
  sample: [{node_id: 1, availability_zone: eu-central-1a, eni: {private_ip: 192.0.2.11}, volumes: [{index: 0}]}]
"""


def pool_claims(identities: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Identities in the shape of a claim, by rising id."""
    found = []
    for identity in sorted(identities, key=lambda item: int(item["node_id"])):
        lacking = [name for name in ("private_ip", "availability_zone", "volumes") if not identity.get(name)]
        if lacking:
            raise AnsibleFilterError(f"pool_claims: identity {identity['node_id']} has no {', '.join(lacking)}")
        found.append(
            {
                "node_id": int(identity["node_id"]),
                "availability_zone": str(identity["availability_zone"]),
                "eni": {"private_ip": str(identity["private_ip"])},
                "volumes": [{"index": index} for index in range(len(identity["volumes"]))],
            }
        )
    return found


def pool_brokers(claims: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Address and rack by node id, of what ``pool_claims`` returns."""
    return {
        str(claim["node_id"]): {"address": claim["eni"]["private_ip"], "rack": claim["availability_zone"]}
        for claim in claims
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by their names."""
        return {"pool_claims": pool_claims, "pool_brokers": pool_brokers}
