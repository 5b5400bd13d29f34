#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: identity_pool_info
version_added: 0.1.0
short_description: Read the identities of a cluster's pools
description:
  - Reads every identity (node id, ENI, data volumes) of a cluster from EC2's tags, with one DescribeNetworkInterfaces
    and one DescribeVolumes.
  - What is tagged as a part of a pool and is not a whole identity is reported as a fault, by resource id.
options:
  cluster:
    description: Name of the cluster.
    type: str
    required: true
  role:
    description: Report this role only.
    type: str
  expected_volumes:
    description:
      - How many volumes make an identity whole, by role.
      - A role that is not named needs at least one, with indexes counted from 0 without a gap.
    type: dict
    default: {}
  expected_pools:
    description:
      - The pools as the inventory declares them (C(holdfast_pools)). The number of C(volumes) of each identity counts
        for the roles that O(expected_volumes) does not name.
    type: dict
    default: {}
  fail_on_faults:
    description: Fail with RV(reason=pool_fault) when there is any fault.
    type: bool
    default: false
extends_documentation_fragment:
  - holdfast.kafka.attributes.info
  - holdfast.kafka.pool
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: holdfast.kafka.node_id_claim
author:
  - Holdfast contributors
"""

EXAMPLES = r"""
- name: Read all pools of a cluster
  holdfast.kafka.identity_pool_info:
    cluster: orders
  register: pool

- name: Require that the brokers' pool is whole
  holdfast.kafka.identity_pool_info:
    cluster: orders
    role: kafka
    expected_volumes: {kafka: 2}
    fail_on_faults: true
"""

RETURN = r"""
pools:
  description:
    - Identities by role, by rising node id. C(instance_id) is the ENI's holder.
  returned: success
  type: dict
  sample:
    kafka:
      - node_id: 0
        cluster: orders
        role: kafka
        availability_zone: eu-central-1a
        name: orders-kafka-0
        instance_id: i-0123456789abcdef0
        eni:
          id: eni-0123456789abcdef0
          mac: 02:00:00:00:00:01
          private_ip: 10.0.1.21
          subnet_id: subnet-0123456789abcdef0
          availability_zone: eu-central-1a
          status: in-use
          instance_id: i-0123456789abcdef0
          attachment_id: eni-attach-0123456789abcdef0
          attachment_status: attached
          device_index: 1
          delete_on_termination: false
        volumes:
          - id: vol-0123456789abcdef0
            index: 0
            size_gib: 500
            availability_zone: eu-central-1a
            status: in-use
            instance_id: i-0123456789abcdef0
            device: /dev/sdf
            attachment_status: attached
            delete_on_termination: false
faults:
  description: What is not whole.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description:
        - V(duplicate_eni), V(eni_without_volume), V(volume_without_eni), V(duplicate_volume), V(unexpected_volumes),
          V(zone_mismatch), V(bad_node_id), V(bad_volume_index), V(volume_error) or V(volume_multi_attached).
      type: str
    role:
      description: The role.
      type: str
    node_id:
      description: The node id; null if it cannot be read.
      type: int
    resource_ids:
      description: The resources.
      type: list
      elements: str
    message:
      description: The fault in one sentence.
      type: str
    availability_zones:
      description: Where the resources are.
      type: list
      elements: str
    holders:
      description: Instances that have one of the resources.
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
  description: V(pool_fault), V(auth), V(api_error) or V(bad_parameter).
  returned: failure
  type: str
"""

from collections.abc import Mapping
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_ec2 import Ec2
from ansible_collections.holdfast.kafka.plugins.module_utils.module_support import POOL_OPTIONS, fail
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_declared import parse_declared, volume_counts
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import PatternError, scheme_from_options


def expected_volumes(module: Any) -> dict[str, int]:
    """Return the expected volume counts by role; fail on anything that is no count."""
    counts = {}
    for role, value in module.params["expected_volumes"].items():
        if isinstance(value, bool) or not str(value).isdigit():
            fail(module, "bad_parameter", f"expected_volumes[{role!r}] is {value!r}; it must be a number of volumes.")
        counts[role] = int(value)
    return counts


def main() -> None:
    """Entry point."""
    module = AnsibleAWSModule(
        argument_spec={
            "cluster": {"type": "str", "required": True},
            "role": {"type": "str"},
            "expected_volumes": {"type": "dict", "default": {}},
            "expected_pools": {"type": "dict", "default": {}},
            "fail_on_faults": {"type": "bool", "default": False},
            **POOL_OPTIONS,
        },
        supports_check_mode=True,
    )
    role = module.params["role"]
    try:
        scheme = scheme_from_options(module.params)
    except PatternError as error:
        fail(module, "bad_parameter", str(error))
    try:
        declared = volume_counts(parse_declared(module.params["expected_pools"]))
    except ValueError as error:
        fail(module, "bad_parameter", str(error))
    expected: dict[str, int | Mapping[int, int]] = {**declared, **expected_volumes(module)}
    ec2 = Ec2(module)
    try:
        reading = ec2.read_pools(module.params["cluster"], scheme, expected)
    except AwsError as error:
        fail(module, error.reason, f"The pools of {module.params['cluster']} cannot be read: {error}.", ec2.requests)
    pools = reading.pools()
    faults = list(reading.faults)
    if role is not None:
        pools = {role: pools.get(role, [])}
        faults = reading.faults_of(role)
    told = [fault.as_dict() for fault in faults]
    if faults and module.params["fail_on_faults"]:
        message = " ".join(fault.message for fault in faults)
        fail(module, "pool_fault", f"Correct the tags or the resources: {message}", ec2.requests, faults=told)
    module.exit_json(changed=False, pools=pools, faults=told, api_calls=len(ec2.requests), api_requests=ec2.requests)


if __name__ == "__main__":
    main()
