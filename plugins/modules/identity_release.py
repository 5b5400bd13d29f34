#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: identity_release
version_added: 0.2.0
short_description: Give back the claim of a holder that is gone
description:
  - For an operator. An instance gives its own claim back with M(holdfast.kafka.node_id_claim), and a replacement takes
    the claim of a terminated holder over by itself, so this is for the rare rest.
  - Refused unless EC2 is the witness that the holder is gone. It calls the holder terminated, or it has not known it
    for longer than the grace period, and nothing of the identity is attached to anybody who is not terminated.
  - The record stays in ZooKeeper without a holder, and says who gave it back, when, why and from whom.
  - Nothing is detached, terminated or created.
options:
  role:
    description: The role of the pool.
    type: str
    required: true
  node_id:
    description: The node id.
    type: int
    required: true
  force:
    description:
      - Really give it back. Without it the task looks, and says with RV(reason=force_required) that it could be done.
      - It replaces no evidence; a holder that lives is never robbed.
    type: bool
    default: false
  why:
    description: Why it is given back, for the record. Required with O(force=true).
    type: str
    default: ""
  by:
    description: Who gives it back, for the record. Required with O(force=true).
    type: str
    default: ""
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
- name: Give back what a terminated broker held
  holdfast.kafka.identity_release:
    cluster: orders
    role: kafka
    node_id: 3
    force: true
    why: the group was made smaller on purpose
    by: jane
"""

RETURN = r"""
outcome:
  description: V(released), or V(not_held) when the claim names nobody.
  returned: success
  type: str
previous_holder:
  description: The instance that the claim named.
  returned: when there is a claim that names somebody
  type: str
evidence:
  description: What shows that the holder is gone.
  returned: when RV(outcome=released)
  type: str
zookeeper_version:
  description: Version of the claim's record, after it was given back.
  returned: when RV(outcome=released)
  type: int
node_id:
  description: The node id.
  returned: always
  type: int
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
    - V(force_required), V(holder_alive), V(holder_leaving), V(holder_unknown), V(claim_disagrees),
      V(identity_attached), V(claim_unreadable), V(pool_fault), V(configuration_mismatch), V(not_found), V(lost_race),
      V(zookeeper_unreachable), V(zookeeper_refused), V(zookeeper_auth_failed), V(auth), V(api_error),
      V(bad_parameter) or V(missing_library).
  returned: failure
  type: str
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.holdfast.kafka.plugins.module_utils import zk_claims
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_ec2 import Ec2
from ansible_collections.holdfast.kafka.plugins.module_utils.cluster_reader import ClusterReader
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.module_support import fail
from ansible_collections.holdfast.kafka.plugins.module_utils.operator_module import OPERATOR_OPTIONS, operator_reader
from ansible_collections.holdfast.kafka.plugins.module_utils.operator_release import (
    OperatorRelease,
    judge_operator_release,
    released_record,
)


def judge(reader: ClusterReader, role: str, node_id: int, force: bool) -> OperatorRelease:
    """Read claims before holders: whoever takes over meanwhile is caught by the version. Raise HoldfastError.

    A holder that EC2 does not know is asked for again after the grace period, by this run's own clock.
    """
    reader.read_pools()
    claims = reader.read_claims(role)

    def look() -> OperatorRelease:
        reading = reader.read_pools()
        reader.require_declared(role)
        return judge_operator_release(reading, role, node_id, claims, reader.read_instances(), force, reader.wall())

    verdict = look()
    if verdict.reason == "holder_unknown":
        reader.sleep(reader.grace_seconds)
        verdict = look()
    return verdict


def write(reader: ClusterReader, role: str, verdict: OperatorRelease, by: str, why: str) -> int:
    """Give the claim back by compare-and-set and return the new version; raise HoldfastError."""
    assert verdict.identity is not None
    assert verdict.claim is not None
    node_id, name = verdict.identity.node_id, verdict.identity.name
    try:
        value = released_record(verdict, by, why, reader.wall())
        return reader.store(role).set(node_id, value, verdict.claim.version)
    except zk_claims.ClaimLostError as error:
        message = f"The claim of {name} changed while it was given back: somebody took it over. Nothing was written."
        raise HoldfastError("lost_race", message) from error
    except (zk_claims.ZkReplyLostError, zk_claims.ZkUnreachableError) as error:
        message = f"Whether the claim of {name} was given back is not known: {error}. Run this again."
        raise HoldfastError("zookeeper_unreachable", message) from error
    except zk_claims.ZkRefusedError as error:
        raise HoldfastError(error.reason, f"{error}.") from error


def main() -> None:
    """Entry point."""
    module = AnsibleAWSModule(
        argument_spec={
            "role": {"type": "str", "required": True},
            "node_id": {"type": "int", "required": True},
            "force": {"type": "bool", "default": False},
            "why": {"type": "str", "default": ""},
            "by": {"type": "str", "default": ""},
            **OPERATOR_OPTIONS,
        },
        supports_check_mode=True,
    )
    role, node_id, force = module.params["role"], module.params["node_id"], module.params["force"]
    why, by = module.params["why"].strip(), module.params["by"].strip()
    if node_id < 0:
        fail(module, "bad_parameter", f"node_id is {node_id}; it must be 0 or more.")
    if force and not (why and by):
        fail(module, "bad_parameter", f"force needs a reason and a name for the record: why={why!r}, by={by!r}.")
    ec2 = Ec2(module)
    version = None
    try:
        with operator_reader(module, ec2, [role]) as reader:
            verdict = judge(reader, role, node_id, force)
            if verdict.outcome == "released" and verdict.claim is not None:
                version = verdict.claim.version + 1
                if not module.check_mode:
                    version = write(reader, role, verdict, by, why)
    except HoldfastError as error:
        fail(module, error.reason, error.message, ec2.requests, node_id=node_id)
    told = {"node_id": node_id, "previous_holder": verdict.previous_holder}
    if verdict.outcome == "refused":
        fail(module, verdict.reason, verdict.message, ec2.requests, **told)
    changed = verdict.outcome == "released"
    if changed:
        assert verdict.identity is not None
        name = verdict.identity.name
        module.log(f"{name} given back by {by}: {why} (was {verdict.previous_holder}; {verdict.evidence})")
        told.update(evidence=verdict.evidence, zookeeper_version=version)
        told["diff"] = {
            "before": {"identity": name, "holder": verdict.previous_holder},
            "after": {"identity": name, "holder": None, "released_by": by, "reason": why},
        }
    calls = {"api_calls": len(ec2.requests), "api_requests": ec2.requests}
    module.exit_json(changed=changed, outcome=verdict.outcome, msg=verdict.message, **calls, **told)


if __name__ == "__main__":
    main()
