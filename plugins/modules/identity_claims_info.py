#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: identity_claims_info
version_added: 0.2.0
short_description: Show who holds which identity, what contradicts it, and what to do
description:
  - Reads pools and holders from EC2 and claims from ZooKeeper, and says in one word how each identity stands.
  - Every word but V(held) comes with the ids of the resources, the next command and the page that explains it.
  - A ZooKeeper that does not answer is a finding and no failure; identities are then judged by EC2 alone.
options:
  claimed_roles:
    description: Roles whose holders claim in ZooKeeper. ZooKeeper's own nodes cannot.
    type: list
    elements: str
    default: [kafka]
extends_documentation_fragment:
  - holdfast.kafka.attributes.info
  - holdfast.kafka.operator
  - holdfast.kafka.pool
  - holdfast.kafka.zookeeper
  - holdfast.kafka.zookeeper.claims
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: holdfast.kafka.identity_claims_restore
  - module: holdfast.kafka.identity_release
  - module: holdfast.kafka.identity_pool_info
author:
  - Holdfast contributors
"""

EXAMPLES = r"""
- name: See how the identities stand
  holdfast.kafka.identity_claims_info:
    cluster: orders
  register: identities

- name: Refuse to go on when something is wrong
  ansible.builtin.assert:
    that: identities.problems | length == 0
"""

RETURN = r"""
conditions:
  description: One entry for each identity, pool fault and stray claim.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description:
        - V(held) is the healthy one.
        - V(free), V(vacant), V(claimed_not_attached), V(holder_stopped), V(holder_leaving), V(holder_unknown),
          V(claim_missing), V(claim_of_former_holder), V(claim_disagrees), V(claim_unreadable),
          V(claim_without_identity), V(identity_missing), V(parts_split), V(parts_busy), V(half_attached),
          V(attached_without_eni), V(deleted_on_termination), V(two_identities), V(zookeeper_unreachable),
          V(zookeeper_refused), V(zookeeper_auth_failed), or the kind of a pool fault.
      type: str
    role:
      description: The role.
      type: str
    node_id:
      description: The node id; null if it cannot be read.
      type: int
    name:
      description: The identity's name.
      type: str
    message:
      description: The finding in one sentence.
      type: str
    next_step:
      description: What to do, as a command where there is one.
      type: str
    runbook:
      description: The page that explains the word.
      type: str
    resource_ids:
      description: The identity's interface and volumes.
      type: list
      elements: str
    instance_ids:
      description: The instances that are involved.
      type: list
      elements: str
    holder:
      description: The instance that has the identity, or is to have it.
      type: str
    holder_state:
      description: The holder's state in EC2.
      type: str
    claimed_by:
      description: The instance that the claim names.
      type: str
    claim_version:
      description: Version of the claim's record.
      type: int
    is_fault:
      description: Whether this is a fault of the pool.
      type: bool
    problem:
      description: Whether somebody has to look.
      type: bool
problems:
  description: The conditions that somebody has to look at.
  returned: success
  type: list
  elements: dict
pools:
  description: As in RV(holdfast.kafka.identity_pool_info#module:pools).
  returned: success
  type: dict
faults:
  description: As in RV(holdfast.kafka.identity_pool_info#module:faults).
  returned: success
  type: list
  elements: dict
claims_known:
  description: Whether a ZooKeeper was asked and the claims of all O(claimed_roles) of the cluster could be read.
  returned: success
  type: bool
api_calls:
  description: Number of EC2 requests.
  returned: always
  type: int
api_requests:
  description: The EC2 requests by operation.
  returned: always
  type: list
  elements: str
reason:
  description: V(auth), V(api_error), V(bad_parameter) or V(missing_library).
  returned: failure
  type: str
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_ec2 import Ec2
from ansible_collections.holdfast.kafka.plugins.module_utils.cluster_reader import ClusterReader, claimed_roles_of
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.identity_conditions import Condition, absent, unasked
from ansible_collections.holdfast.kafka.plugins.module_utils.module_support import fail
from ansible_collections.holdfast.kafka.plugins.module_utils.operator_module import OPERATOR_OPTIONS, operator_reader
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_declared import DeclaredPools, parse_declared


def look(
    reader: ClusterReader, claimed: list[str], declared: DeclaredPools, region: str | None = None
) -> list[Condition]:
    """Read everything and judge it; raise HoldfastError when EC2 cannot be read."""
    reading = reader.read_pools()
    found = []
    for role in claimed_roles_of(reading, claimed):
        try:
            reader.read_claims(role)
        except HoldfastError as error:
            found.append(unasked(reading.cluster, role, error.reason, error.message))
    reader.read_instances()
    roles = {identity.role for identity in reading.identities} | {fault.role for fault in reading.faults}
    for role in sorted(roles, reverse=True):
        found += reader.conditions(role)
    told = {(one.role, one.node_id) for one in found}
    found += [
        absent(reading.cluster, role, node_id, region)
        for role, ones in declared.items()
        for node_id in ones
        if (role, node_id) not in told
    ]
    return found


def main() -> None:
    """Entry point."""
    module = AnsibleAWSModule(
        argument_spec={
            "claimed_roles": {"type": "list", "elements": "str", "default": ["kafka"]},
            **OPERATOR_OPTIONS,
        },
        supports_check_mode=True,
    )
    claimed = module.params["claimed_roles"]
    ec2 = Ec2(module)
    try:
        with operator_reader(module, ec2, claimed) as reader:
            declared = parse_declared(module.params["expected_pools"])
            found = look(reader, claimed, declared, module.region)
            reading = reader.reading
            asked = claimed_roles_of(reading, claimed) if reading else []
            known = bool(asked) and all(role in reader.claims for role in asked)
    except HoldfastError as error:
        fail(module, error.reason, error.message, ec2.requests)
    assert reading is not None
    conditions = [one.as_dict() for one in found]
    module.exit_json(
        changed=False,
        conditions=conditions,
        problems=[one for one in conditions if one["problem"]],
        pools=reading.pools(),
        faults=[fault.as_dict() for fault in reading.faults],
        claims_known=known,
        api_calls=len(ec2.requests),
        api_requests=ec2.requests,
    )


if __name__ == "__main__":
    main()
