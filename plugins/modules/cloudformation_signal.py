#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cloudformation_signal
version_added: 0.1.0
short_description: Signal success or failure to a CloudFormation resource that waits for it
description:
  - Signals a resource with a C(CreationPolicy) or an C(UpdatePolicy), as C(cfn-signal) does.
  - A stack that does not wait for anything, as when Auto Scaling replaces an instance on its own, is no error.
options:
  stack_name:
    description: The stack's name or id.
    type: str
    required: true
  logical_resource_id:
    description: Logical id of the resource that waits, such as the Auto Scaling group's.
    type: str
    required: true
  unique_id:
    description: What tells this signal from others; by default this instance's id, from the instance metadata service.
    type: str
  status:
    description: The signal.
    type: str
    choices: [SUCCESS, FAILURE]
    default: SUCCESS
extends_documentation_fragment:
  - holdfast.kafka.attributes
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    details:
      - Reads the resource's status and predicts from it whether the signal would be accepted.
      - Without C(cloudformation:DescribeStackResource) that cannot be told; then RV(outcome=unknown), with a warning.
  diff_mode:
    support: none
    details: A signal has no state before and after.
author:
  - Holdfast contributors
"""

EXAMPLES = r"""
- name: Say that this node serves
  holdfast.kafka.cloudformation_signal:
    stack_name: orders-nodes
    logical_resource_id: KafkaGroupA

- name: Say that this node's boot failed
  holdfast.kafka.cloudformation_signal:
    stack_name: orders-nodes
    logical_resource_id: KafkaGroupA
    status: FAILURE
"""

RETURN = r"""
outcome:
  description:
    - V(signalled), or V(not_waiting) when the stack waits for no signal.
    - V(unknown) in check mode, when the stack's resource may not be described.
  returned: success
  type: str
unique_id:
  description: What the signal was sent as.
  returned: success
  type: str
api_calls:
  description: Number of CloudFormation requests.
  returned: always
  type: int
api_requests:
  description: The CloudFormation requests by operation.
  returned: always
  type: list
  elements: str
reason:
  description: V(not_found), V(auth), V(api_error) or V(imds_unreachable).
  returned: failure
  type: str
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import Api, AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.module_support import (
    default_region,
    fail,
    make_imds,
    whoami,
)

NOT_WAITING_TEXTS = ("can not be signaled", "cannot be signaled", "could not be signaled", "is not waiting")
MISSING_TEXTS = ("does not exist", "not found")


def judge_error(error: AwsError) -> str:
    """Return what a refused signal means: not_waiting, not_found, or the error's own reason."""
    text = error.text.lower()
    if error.code == "ValidationError":
        if any(part in text for part in NOT_WAITING_TEXTS):
            return "not_waiting"
        if any(part in text for part in MISSING_TEXTS):
            return "not_found"
    return error.reason


def would_signal(api: Api, params: dict[str, Any]) -> bool:
    """Predict whether the resource waits: only one that is being created or updated takes signals."""
    answer = api.call(
        "describe_stack_resource", StackName=params["stack_name"], LogicalResourceId=params["logical_resource_id"]
    )
    status = answer["StackResourceDetail"]["ResourceStatus"]
    return status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")


def main() -> None:
    """Entry point."""
    module = AnsibleAWSModule(
        argument_spec={
            "stack_name": {"type": "str", "required": True},
            "logical_resource_id": {"type": "str", "required": True},
            "unique_id": {"type": "str"},
            "status": {"type": "str", "choices": ["SUCCESS", "FAILURE"], "default": "SUCCESS"},
        },
        supports_check_mode=True,
    )
    params = module.params
    me = whoami(module, make_imds(module), {"instance_id": params["unique_id"]})
    default_region(module, me.region)
    api = Api(module, "cloudformation")
    outcome = "signalled"
    try:
        if module.check_mode:
            outcome = "signalled" if would_signal(api, params) else "not_waiting"
        else:
            api.call(
                "signal_resource",
                StackName=params["stack_name"],
                LogicalResourceId=params["logical_resource_id"],
                UniqueId=me.instance_id,
                Status=params["status"],
            )
    except AwsError as error:
        word = judge_error(error)
        where = f"{params['logical_resource_id']} of stack {params['stack_name']}"
        if module.check_mode and word == "auth":
            outcome = "unknown"
            module.warn(
                f"Whether {where} waits for a signal cannot be told in check mode: {error}. Grant "
                f"cloudformation:DescribeStackResource on the stack for that; the real run needs SignalResource only."
            )
        elif word == "not_waiting":
            outcome = "not_waiting"
        else:
            fail(module, word, f"{params['status']} could not be signalled to {where}: {error}.", api.requests)
    module.exit_json(
        changed=outcome == "signalled",
        outcome=outcome,
        unique_id=me.instance_id,
        api_calls=len(api.requests),
        api_requests=api.requests,
    )


if __name__ == "__main__":
    main()
