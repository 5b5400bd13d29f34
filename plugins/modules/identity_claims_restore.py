#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: identity_claims_restore
version_added: 0.2.0
short_description: Write the missing claims of the instances that hold an identity
description:
  - For a ZooKeeper that was lost or rebuilt, for a pool that was adopted, and for a node whose claim is pending.
  - EC2 is the evidence. A claim is written for the instance to which the identity's ENI is attached, when EC2 calls it
    alive, no part of the identity is attached to another, and no claim names anybody.
  - It is written by compare-and-set. A claim that names somebody is never replaced, and nobody is renumbered.
  - Contradictions are listed with their next step and end the task with RV(reason=conflict), after the claims that
    contradict nobody have been written.
options:
  role:
    description: The role of the pool.
    type: str
    default: kafka
extends_documentation_fragment:
  - holdfast.kafka.attributes
  - holdfast.kafka.operator
  - holdfast.kafka.pool
  - holdfast.kafka.zookeeper
  - holdfast.kafka.zookeeper.claims
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
seealso:
  - module: holdfast.kafka.identity_claims_info
  - module: holdfast.kafka.node_id_claim
author:
  - Holdfast contributors
"""

EXAMPLES = r"""
- name: Restore the claims of the brokers that run
  holdfast.kafka.identity_claims_restore:
    cluster: orders
"""

RETURN = r"""
written:
  description: The claims that were written, or in check mode would be, each with its evidence.
  returned: always
  type: list
  elements: dict
  sample:
    - role: kafka
      node_id: 1
      name: orders-kafka-1
      instance_id: i-0123456789abcdef0
      evidence: eni-0123456789abcdef0 is attached to i-0123456789abcdef0 (running)
      action: create
      version: 0
conflicts:
  description: What was refused, in the shape of RV(holdfast.kafka.identity_claims_info#module:conditions).
  returned: always
  type: list
  elements: dict
conditions:
  description: All identities as they stood before, in the same shape.
  returned: always
  type: list
  elements: dict
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
  description:
    - V(conflict), V(not_found) (the pool has nothing of the role), V(configuration_mismatch), V(lost_race),
      V(zookeeper_unreachable), V(zookeeper_refused), V(zookeeper_auth_failed),
      V(auth), V(api_error), V(bad_parameter) or V(missing_library).
  returned: failure
  type: str
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_ec2 import Ec2
from ansible_collections.holdfast.kafka.plugins.module_utils.claims_restore import Restored, restore
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.operator_module import OPERATOR_OPTIONS, operator_reader


def report(done: Restored) -> dict[str, Any]:
    """Return what success and failure both tell."""
    told: dict[str, Any] = {
        "written": done.written,
        "conflicts": [one.as_dict() for one in done.conflicts],
        "conditions": [one.as_dict() for one in done.conditions],
    }
    if done.written:
        names = [entry["name"] for entry in done.written]
        told["diff"] = {
            "before": dict.fromkeys(names),
            "after": {entry["name"]: entry["instance_id"] for entry in done.written},
        }
    return told


def main() -> None:
    """Entry point."""
    module = AnsibleAWSModule(
        argument_spec={"role": {"type": "str", "default": "kafka"}, **OPERATOR_OPTIONS}, supports_check_mode=True
    )
    role = module.params["role"]
    ec2 = Ec2(module)
    done = Restored()
    try:
        with operator_reader(module, ec2, [role]) as reader:
            restore(reader, role, module.check_mode, module.log, done)
    except HoldfastError as error:
        calls = {"api_calls": len(ec2.requests), "api_requests": ec2.requests}
        module.fail_json(msg=error.message, reason=error.reason, changed=bool(done.written), **calls, **report(done))
    told = report(done)
    told.update(changed=bool(done.written), api_calls=len(ec2.requests), api_requests=ec2.requests)
    if done.conflicts:
        what = " ".join(f"{one.message}. Next: {one.next_step}." for one in done.conflicts)
        message = (
            f"The claims of {len(done.conflicts)} identities could not be restored, and nothing of theirs was written: "
        )
        module.fail_json(msg=message + what, reason="conflict", **told)
    module.exit_json(**told)


if __name__ == "__main__":
    main()
