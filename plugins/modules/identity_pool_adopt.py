#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: identity_pool_adopt
version_added: 0.2.0
short_description: Tag an existing pool that is only named
description:
  - Finds network interfaces and volumes by their C(Name) and gives them the tags by which Holdfast recognises a pool.
  - Everything is planned first and refused by resource id when the result would not be whole. Nothing is tagged unless
    the whole plan is, or O(allow_partial=true).
  - The volumes of the role V(zookeeper) also get the tag C(holdfast:initialized=true), as an adopted pool has served.
  - Only tags are added. No tag is changed or removed, C(Name) stays as it is, and nothing is attached, detached or
    created.
options:
  cluster:
    description: Name of the cluster.
    type: str
    required: true
  name_patterns:
    description:
      - "A dictionary: role to one pattern or a list of patterns, such as V(KAFKA-{node_id}). A pattern holds
        V({node_id}) once, and V({volume}) where several volumes of one node have to be told apart."
      - Without V({volume}) a volume's index is what its tag O(tag_volume) says, or 0.
    type: dict
    required: true
  expected_pools:
    description:
      - The pools as the inventory declares them (C(holdfast_pools)). Every declared identity must be found, with its
        address, its Availability Zone and its number of volumes; nothing else may be found.
    type: dict
    default: {}
  ignored_resource_ids:
    description: Interfaces and volumes to leave out although their names match.
    type: list
    elements: str
    default: []
  allow_partial:
    description:
      - Tag the identities that nothing speaks against, and only warn of the others.
      - Needs O(expected_pools) with the C(volumes) of each identity of every role of O(name_patterns), because a volume
        whose name does not parse is missed by nothing else.
    type: bool
    default: false
  tag_cluster:
    description: Key of the tag that names the cluster.
    type: str
    default: holdfast:cluster
  tag_role:
    description: Key of the tag that names the role.
    type: str
    default: holdfast:role
  tag_node_id:
    description: Key of the tag that holds the node id.
    type: str
    default: holdfast:node-id
  tag_volume:
    description: Key of the tag that holds the index of a volume's data directory.
    type: str
    default: holdfast:volume
  timeout_seconds:
    description: How long to wait until EC2 shows the new tags.
    type: int
    default: 60
extends_documentation_fragment:
  - holdfast.kafka.attributes
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    details: A plan that the real run would refuse fails here too.
  diff_mode:
    support: full
seealso:
  - module: holdfast.kafka.identity_pool_info
  - module: holdfast.kafka.identity_claims_restore
author:
  - Holdfast contributors
"""

EXAMPLES = r"""
- name: Adopt a pool whose parts are named KAFKA-0, ZOOKEEPER-1 and so on
  holdfast.kafka.identity_pool_adopt:
    cluster: orders
    name_patterns:
      kafka: "KAFKA-{node_id}"
      zookeeper: "ZOOKEEPER-{node_id}"
"""

RETURN = r"""
resources:
  description: Every interface and volume of the plan.
  returned: when EC2 could be read
  type: list
  elements: dict
  sample:
    - resource_id: eni-0123456789abcdef0
      kind: eni
      name: KAFKA-0
      role: kafka
      node_id: 0
      tags: {"holdfast:cluster": orders, "holdfast:role": kafka, "holdfast:node-id": "0"}
      missing: {"holdfast:cluster": orders, "holdfast:role": kafka, "holdfast:node-id": "0"}
      availability_zone: eu-central-1a
      holder: i-0123456789abcdef0
      adopted: true
refusals:
  description: What speaks against it.
  returned: when EC2 could be read
  type: list
  elements: dict
  contains:
    kind:
      description:
        - V(name_unparsable), V(name_ambiguous), V(foreign_cluster), V(tags_contradict), V(primary_interface),
          V(root_volume), V(deleted_on_termination), V(parts_split), V(declared_otherwise),
          V(identity_missing), or the kind of a pool fault
          (RV(holdfast.kafka.identity_pool_info#module:faults)).
      type: str
    role:
      description: The role, V(?) if it is not known.
      type: str
    node_id:
      description: The node id; null if no identity can be named.
      type: int
    resource_ids:
      description: The resources.
      type: list
      elements: str
    message:
      description: The refusal in one sentence.
      type: str
tagged:
  description: The resources that were tagged, or in check mode would be.
  returned: always
  type: list
  elements: str
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
    - V(adoption_refused), V(nothing_found), V(timeout), V(auth), V(api_error), V(not_found) or V(bad_parameter).
  returned: failure
  type: str
"""

import time
from dataclasses import asdict
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_ec2 import Ec2
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import claims_path
from ansible_collections.holdfast.kafka.plugins.module_utils.module_support import POOL_OPTIONS, fail
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_adopt import Plan, batches, plan_adoption
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_declared import (
    DeclaredPools,
    parse_declared,
    volume_counts,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import (
    PatternError,
    TagScheme,
    scheme_from_options,
)

POLL_SECONDS = 2.0


def check_parameters(module: Any) -> tuple[TagScheme, DeclaredPools]:
    """Refuse what can never work, before anything is asked of anybody."""
    try:
        scheme = scheme_from_options(module.params)
        declared = parse_declared(module.params["expected_pools"])
        for role in (*scheme.name_patterns, *declared):
            claims_path(module.params["cluster"], role)
    except (PatternError, ValueError) as error:
        fail(module, "bad_parameter", str(error))
    if not scheme.name_patterns:
        fail(module, "bad_parameter", "name_patterns is empty; say by which names the parts are found.")
    if module.params["allow_partial"]:
        uncounted = [f"{role} {one.node_id}" for role in declared for one in declared[role].values() if not one.volumes]
        unknown = [role for role in sorted(scheme.name_patterns) if role not in declared] + uncounted
        if unknown:
            told = "allow_partial is true, and expected_pools does not say the volumes of"
            fail(
                module, "bad_parameter", f"{told} {', '.join(unknown)}: a part with another name would be left behind."
            )
    if module.params["timeout_seconds"] < 0:
        told = f"timeout_seconds is {module.params['timeout_seconds']}; it must be 0 or more."
        fail(module, "bad_parameter", told)
    return scheme, declared


def find(ec2: Ec2, scheme: TagScheme, cluster: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return every interface and volume that has a matching name or this cluster's tags, each once."""
    tags = TagScheme(scheme.cluster, scheme.role, scheme.node_id, scheme.volume)
    interfaces, volumes = {}, {}
    for filters in (scheme.filters(cluster), tags.filters(cluster)):
        some_interfaces, some_volumes = ec2.describe_parts(filters)
        interfaces.update({item["NetworkInterfaceId"]: item for item in some_interfaces})
        volumes.update({item["VolumeId"]: item for item in some_volumes})
    return list(interfaces.values()), list(volumes.values())


def report(plan: Plan, adopted: set[str]) -> dict[str, Any]:
    """Return what success and failure both tell."""
    return {
        "resources": [{**asdict(one), "adopted": one.resource_id in adopted} for one in plan.resources],
        "refusals": [one.as_dict() for one in plan.refusals],
    }


def diff(plan: Plan, tagged: list[str]) -> dict[str, Any]:
    """Return the tags before and after, of the resources that get some."""
    changing = [one for one in plan.resources if one.resource_id in tagged]
    before = {
        one.resource_id: {key: value for key, value in one.tags.items() if key not in one.missing} for one in changing
    }
    return {"before": before, "after": {one.resource_id: one.tags for one in changing}}


def wait_until_shown(module: Any, ec2: Ec2, scheme: TagScheme, wanted: set[str]) -> None:
    """Wait until a claimant's reading would show what was tagged; fail when the bound passes."""
    tags = TagScheme(scheme.cluster, scheme.role, scheme.node_id, scheme.volume)
    deadline = time.monotonic() + module.params["timeout_seconds"]
    while True:
        interfaces, volumes = ec2.describe_parts(tags.filters(module.params["cluster"]))
        shown = {item["NetworkInterfaceId"] for item in interfaces} | {item["VolumeId"] for item in volumes}
        absent = sorted(wanted - shown)
        if not absent:
            return
        if time.monotonic() >= deadline:
            seconds = module.params["timeout_seconds"]
            message = f"EC2 accepted the tags and does not show them after {seconds} s on {', '.join(absent)}."
            fail(module, "timeout", f"{message} Run this again.", ec2.requests, tagged=sorted(wanted))
        time.sleep(POLL_SECONDS)


def main() -> None:
    """Entry point."""
    module = AnsibleAWSModule(
        argument_spec={
            "cluster": {"type": "str", "required": True},
            "expected_pools": {"type": "dict", "default": {}},
            "ignored_resource_ids": {"type": "list", "elements": "str", "default": []},
            "allow_partial": {"type": "bool", "default": False},
            "timeout_seconds": {"type": "int", "default": 60},
            **POOL_OPTIONS,
            "name_patterns": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    cluster = module.params["cluster"]
    scheme, declared = check_parameters(module)
    ec2 = Ec2(module)
    tagged: list[str] = []
    told: dict[str, Any] = {}
    try:
        interfaces, volumes = find(ec2, scheme, cluster)
        ignored = module.params["ignored_resource_ids"]
        plan = plan_adoption(cluster, interfaces, volumes, scheme, declared, volume_counts(declared), ignored)
        adopted = plan.adopted()
        told = report(plan, {one.resource_id for one in adopted})
        if not interfaces and not volumes:
            message = (
                f"No interface and no volume has a name like {module.params['name_patterns']}, or tags of {cluster}."
            )
            fail(module, "nothing_found", message, ec2.requests, tagged=[], **told)
        if plan.refusals and not module.params["allow_partial"]:
            what = "; ".join(one.message.rstrip(".") for one in plan.refusals)
            message = f"Nothing was tagged, because {len(plan.refusals)} things speak against it: {what}."
            fail(module, "adoption_refused", message, ec2.requests, tagged=[], **told)
        for refusal in plan.refusals:
            module.warn(f"Not adopted ({refusal.kind}): {refusal.message}")
        for tags, resource_ids in batches(adopted):
            if not module.check_mode:
                ec2.tag(resource_ids, tags)
            tagged += resource_ids
        if tagged and not module.check_mode:
            wait_until_shown(module, ec2, scheme, {one.resource_id for one in adopted})
    except AwsError as error:
        calls = {"api_calls": len(ec2.requests), "api_requests": ec2.requests}
        done = f" Tagged so far: {', '.join(tagged)}; run this again." if tagged else ""
        message = f"The pool of {cluster} was not adopted: {error}.{done}"
        module.fail_json(msg=message, reason=error.reason, changed=bool(tagged), tagged=tagged, **calls, **told)
    if tagged:
        told["diff"] = diff(plan, tagged)
    module.exit_json(
        changed=bool(tagged), tagged=tagged, api_calls=len(ec2.requests), api_requests=ec2.requests, **told
    )


if __name__ == "__main__":
    main()
