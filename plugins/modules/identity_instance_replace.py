#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let an identity's Auto Scaling group replace its instance, and wait until the next one holds the identity."""

from __future__ import annotations

DOCUMENTATION = r"""
module: identity_instance_replace
short_description: Let another instance take an identity over
version_added: 0.1.0
author:
  - Holdfast contributors
description:
  - Compares the image and the instance type of the identity's holder with what its Auto Scaling group launches now. An
    instance that is so already is left alone.
  - Otherwise it is terminated through its group (C(TerminateInstanceInAutoScalingGroup), the capacity stays), and the
    module waits until another instance has the identity's interface and all of its volumes.
  - Refuses, before anything is touched, a holder without a group, and a group that would bring no successor.
  - The service is not looked at. Stop it behind its gate first, and wait until it is whole afterwards.
options:
  cluster:
    description: Name of the cluster.
    type: str
    required: true
  replace_all:
    description: Whether an instance is replaced that is what its group launches already.
    type: bool
    default: false
  instance_id:
    description: Replace only this holder. One that somebody replaced in the meantime is left alone.
    type: str
extends_documentation_fragment:
  - holdfast.kafka.attributes
  - holdfast.kafka.pool
  - holdfast.kafka.operator.instance
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
  diff_mode:
    details: Shows what the instance is and what its successor would be.
    support: full
seealso:
  - module: holdfast.kafka.identity_instances_info
"""

EXAMPLES = r"""
- name: Ask whether the instance is what its group launches now
  holdfast.kafka.identity_instance_replace:
    cluster: orders
    role: zookeeper
    node_id: 1
  check_mode: true
  register: target

- name: Replace it
  holdfast.kafka.identity_instance_replace:
    cluster: orders
    role: zookeeper
    node_id: 1
  when: target is changed
"""

RETURN = r"""
instance_id:
  description: Who holds the identity at the end.
  returned: success
  type: str
previous_instance_id:
  description: Who held it before.
  returned: when the holder is known
  type: str
group:
  description: The Auto Scaling group.
  returned: when the holder has one
  type: str
differences:
  description: In what the holder was not what its group launches, as C(what), C(has) and C(wanted).
  returned: when the holder has a group
  type: list
  elements: dict
replace_seconds:
  description: From the request to terminate until the other instance had every part of the identity.
  returned: when it was replaced
  type: float
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
    - V(identity_missing), V(pool_fault), V(free) and V(parts_split) speak of the identity.
    - V(no_group), V(group_suspended), V(group_too_small), V(not_in_service) and V(no_launch_template) speak of the
      group; nothing was touched.
    - V(not_replaced) means that the holder was terminated and nobody had the whole identity within the bound.
    - V(auth), V(api_error) and V(bad_parameter).
  returned: failure
  type: str
"""

import time
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.holdfast.kafka.plugins.module_utils import instance_rules, instance_target
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import Api, AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_ec2 import Ec2
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.instance_launches import Launches
from ansible_collections.holdfast.kafka.plugins.module_utils.module_support import ONE_IDENTITY, POOL_OPTIONS, fail
from ansible_collections.holdfast.kafka.plugins.module_utils.number_bounds import require_numbers
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Identity
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import (
    PatternError,
    TagScheme,
    scheme_from_options,
)


class Replacement:
    """One identity, its holder and the holder's group."""

    def __init__(self, params: dict[str, Any], scheme: TagScheme, ec2: Ec2, scaling: Api) -> None:
        self._params = params
        self._scheme = scheme
        self._ec2 = ec2
        self._scaling = scaling
        self.result: dict[str, Any] = {"changed": False}

    def look(self) -> bool:
        """Read holder, group and target into ``result``; return whether the holder is to be replaced.

        All of it anew, although the plan's look knew it: in a roll, hours may lie between.
        """
        params, result = self._params, self.result
        former = instance_target.holder_of(self._identity())
        result["previous_instance_id"] = result["instance_id"] = former
        if params["instance_id"] not in (None, former):
            result["differences"] = []
            return False
        launches = Launches(self._ec2.api, self._scaling, [former])
        group = launches.group_of(former)
        result["group"] = group["AutoScalingGroupName"]
        result["differences"] = found = launches.differences(former)
        if not found and not params["replace_all"]:
            return False
        instance_target.require_replaceable(former, group)
        return True

    def replace(self) -> None:
        """Terminate the holder through its group, and wait until another instance has the whole identity."""
        former = self.result["previous_instance_id"]
        began = time.monotonic()
        self._scaling.call(
            "terminate_instance_in_auto_scaling_group", InstanceId=former, ShouldDecrementDesiredCapacity=False
        )
        self.result["changed"] = True
        while True:
            identity = self._identity()
            fault = instance_target.return_fault(identity, former, self._ec2.instance_states((former,)))
            took = time.monotonic() - began
            if fault is None:
                self.result["instance_id"] = identity.eni.instance_id
                self.result["replace_seconds"] = round(took, 1)
                return
            if took >= self._params["timeout_seconds"]:
                self._not_replaced(former, fault, took)
            time.sleep(self._params["poll_seconds"])

    def _not_replaced(self, former: str, fault: str, took: float) -> None:
        answer = self._scaling.call(
            "describe_scaling_activities", AutoScalingGroupName=self.result["group"], MaxRecords=1
        )
        activity = instance_target.last_activity(answer["Activities"])
        raise HoldfastError(
            "not_replaced",
            f"{former} was terminated {took:.0f} s ago: {fault} ({activity}). Read the "
            "boot of the group's newest instance.",
        )

    def _identity(self) -> Identity:
        params = self._params
        reading = self._ec2.read_pools(params["cluster"], self._scheme)
        return instance_rules.require_whole(reading, params["role"], params["node_id"])


def _diff(result: dict[str, Any]) -> dict[str, Any]:
    before = {one["what"]: one["has"] for one in result["differences"]}
    after = {one["what"]: one["wanted"] for one in result["differences"]}
    return {"before": {"instance": result["previous_instance_id"], **before}, "after": {"instance": "another", **after}}


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "cluster": {"type": "str", "required": True},
            "replace_all": {"type": "bool", "default": False},
            "instance_id": {"type": "str"},
            **ONE_IDENTITY,
            **POOL_OPTIONS,
        },
        supports_check_mode=True,
    )
    try:
        require_numbers(module.params, ("poll_seconds", "timeout_seconds"))
        scheme = scheme_from_options(module.params)
    except (PatternError, ValueError) as error:
        fail(module, "bad_parameter", str(error))
    ec2, scaling = Ec2(module), Api(module, "autoscaling")
    run = Replacement(module.params, scheme, ec2, scaling)
    try:
        due = run.look()
        if due and not module.check_mode:
            run.replace()
    except (AwsError, HoldfastError) as error:
        message = error.message if isinstance(error, HoldfastError) else f"The instance was not replaced: {error}."
        requests = [*ec2.requests, *scaling.requests]
        told = {"api_calls": len(requests), "api_requests": requests, **run.result}
        module.fail_json(msg=message, reason=error.reason, **told)
    requests = [*ec2.requests, *scaling.requests]
    result = {**run.result, "changed": due, "api_calls": len(requests), "api_requests": requests}
    module.exit_json(**result, **({"diff": _diff(result)} if due else {}))


if __name__ == "__main__":
    main()
