#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: identity_instances_info
version_added: 0.2.0
short_description: Compare the instances of identities with what their groups launch
description:
  - Compares the image and the instance type of each identity's holder with what its Auto Scaling group launches now.
  - Pools, groups, launch templates and instances are read once for all identities. What
    M(holdfast.kafka.identity_instance_replace) does by it, it reads anew for each.
  - Fails when one of those that would be replaced could not be, and names all of them.
options:
  cluster:
    description: Name of the cluster.
    type: str
    required: true
  role:
    description: The role.
    type: str
    required: true
    choices: [kafka, zookeeper]
  node_ids:
    description: The identities.
    type: list
    elements: int
    required: true
  replace_all:
    description: Whether instances are due that are what their groups launch already.
    type: bool
    default: false
extends_documentation_fragment:
  - holdfast.kafka.attributes.info
  - holdfast.kafka.pool
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: holdfast.kafka.identity_instance_replace
author:
  - Holdfast contributors
"""

EXAMPLES = r"""
- name: Ask which brokers' instances are not what their groups launch now
  holdfast.kafka.identity_instances_info:
    cluster: orders
    role: kafka
    node_ids: [1, 2, 3]
  register: looked

- name: Show them
  ansible.builtin.debug:
    msg: "{{ looked.instances | selectattr('due') | map(attribute='node_id') | list }}"
"""

RETURN = r"""
instances:
  description: The holders, in the order of O(node_ids).
  returned: always
  type: list
  elements: dict
  contains:
    node_id:
      description: The identity.
      type: int
    instance_id:
      description: Who holds it.
      type: str
    group:
      description: Its Auto Scaling group.
      type: str
    differences:
      description: In what it is not what its group launches, as C(what), C(has) and C(wanted).
      type: list
      elements: dict
    due:
      description: Whether it is to be replaced.
      type: bool
faults:
  description: The identities of which nobody can tell, or that are due and could not be replaced.
  returned: always
  type: list
  elements: dict
  contains:
    node_id:
      description: The identity.
      type: int
    reason:
      description: As RV(reason).
      type: str
    msg:
      description: The fault in one sentence.
      type: str
api_calls:
  description: Number of requests to AWS.
  returned: always
  type: int
api_requests:
  description: The requests by operation.
  returned: always
  type: list
  elements: str
reason:
  description:
    - Of the first of RV(faults).
    - V(identity_missing), V(pool_fault), V(free) and V(parts_split) speak of the identity.
    - V(no_group), V(group_suspended), V(group_too_small), V(not_in_service) and V(no_launch_template) speak of the
      group.
    - V(auth), V(api_error) and V(bad_parameter).
  returned: failure
  type: str
"""

from collections.abc import Mapping
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.holdfast.kafka.plugins.module_utils import instance_rules, instance_target
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import Api, AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_ec2 import Ec2
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.instance_launches import Launches
from ansible_collections.holdfast.kafka.plugins.module_utils.module_support import POOL_OPTIONS, fail
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import (
    PatternError,
    TagScheme,
    scheme_from_options,
)


class Look:
    """The identities that are asked for, one after the other; what is wrong with one does not hide the others."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._params = params
        self.instances: list[dict[str, Any]] = []
        self.faults: list[dict[str, Any]] = []

    def read(self, scheme: TagScheme, ec2: Ec2, scaling: Api) -> None:
        """Read and compare; raises AwsError."""
        params = self._params
        pools = ec2.read_pools(params["cluster"], scheme)
        holders: dict[int, str] = {}
        for node_id in params["node_ids"]:
            try:
                identity = instance_rules.require_whole(pools, params["role"], node_id)
                holders[node_id] = instance_target.holder_of(identity)
            except HoldfastError as error:
                self._note(node_id, error)
        launches = Launches(ec2.api, scaling, list(holders.values()))
        for node_id, holder in holders.items():
            try:
                self.instances.append({"node_id": node_id, **self._compared(launches, holder)})
            except HoldfastError as error:
                self._note(node_id, error)

    def _compared(self, launches: Launches, holder: str) -> dict[str, Any]:
        group = launches.group_of(holder)
        found = launches.differences(holder)
        due = bool(found) or self._params["replace_all"]
        if due:
            instance_target.require_replaceable(holder, group)
        return {"instance_id": holder, "group": group["AutoScalingGroupName"], "differences": found, "due": due}

    def _note(self, node_id: int, error: HoldfastError) -> None:
        self.faults.append({"node_id": node_id, "reason": error.reason, "msg": error.message})


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "cluster": {"type": "str", "required": True},
            "role": {"type": "str", "required": True, "choices": ["kafka", "zookeeper"]},
            "node_ids": {"type": "list", "elements": "int", "required": True},
            "replace_all": {"type": "bool", "default": False},
            **POOL_OPTIONS,
        },
        supports_check_mode=True,
    )
    try:
        scheme = scheme_from_options(module.params)
    except (PatternError, ValueError) as error:
        fail(module, "bad_parameter", str(error), instances=[], faults=[])
    ec2, scaling = Ec2(module), Api(module, "autoscaling")
    look = Look(module.params)
    failed: dict[str, Any] = {}
    try:
        look.read(scheme, ec2, scaling)
        if look.faults:
            failed = {"reason": look.faults[0]["reason"], "msg": " ".join(one["msg"] for one in look.faults)}
    except AwsError as error:
        failed = {"reason": error.reason, "msg": f"The instances could not be compared: {error}."}
    requests = [*ec2.requests, *scaling.requests]
    told = {"instances": look.instances, "faults": look.faults, "api_calls": len(requests), "api_requests": requests}
    if failed:
        module.fail_json(changed=False, **failed, **told)
    module.exit_json(changed=False, **told)


if __name__ == "__main__":
    main()
