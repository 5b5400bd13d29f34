#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: autoscaling_health_set
short_description: Tell Auto Scaling that an instance is healthy or not
version_added: 0.1.0
author:
  - Holdfast contributors
description:
  - Makes one call, C(SetInstanceHealth), so that an instance's profile needs no right to describe its group.
  - An instance outside of any group is no error, because there is nobody to tell.
options:
  instance_id:
    description: The instance. By default the one that runs this, as its metadata service says.
    type: str
  health:
    description: The health to set.
    type: str
    required: true
    choices: [Healthy, Unhealthy]
  respect_grace_period:
    description: Whether a group's health check grace period holds the verdict back.
    type: bool
    default: false
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    description: Can run in check mode and return what it would without changing the target.
    support: full
  diff_mode:
    description: The former health is not read, so there is nothing to compare with.
    support: none
"""

EXAMPLES = r"""
- name: Give up this instance
  holdfast.kafka.autoscaling_health_set:
    health: Unhealthy
"""

RETURN = r"""
outcome:
  description: V(told), or V(not_in_group) when there is no group to tell.
  returned: success
  type: str
instance_id:
  description: The instance.
  returned: success
  type: str
reason:
  description: One of V(auth), V(api_error), V(imds_unreachable).
  returned: failure
  type: str
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import Api, AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.module_support import (
    default_region,
    fail,
    make_imds,
    whoami,
)

#: How Auto Scaling says that the instance is in no group.
NOT_IN_GROUP = ("not part of", "not found", "not in an auto scaling group")


def is_not_in_group(error: AwsError) -> bool:
    """Auto Scaling has one code for all bad parameters, so its sentence has to be read."""
    return error.code == "ValidationError" and any(words in error.text.lower() for words in NOT_IN_GROUP)


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "instance_id": {"type": "str"},
            "health": {"type": "str", "required": True, "choices": ["Healthy", "Unhealthy"]},
            "respect_grace_period": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    me = whoami(module, make_imds(module), {"instance_id": module.params["instance_id"]})
    default_region(module, me.region)
    if module.check_mode:
        module.exit_json(changed=True, outcome="told", instance_id=me.instance_id)
    api = Api(module, "autoscaling")
    outcome = "told"
    try:
        api.call(
            "set_instance_health",
            InstanceId=me.instance_id,
            HealthStatus=module.params["health"],
            ShouldRespectGracePeriod=module.params["respect_grace_period"],
        )
    except AwsError as error:
        if not is_not_in_group(error):
            fail(module, error.reason, f"Auto Scaling was not told about {me.instance_id}: {error}", api.requests)
        outcome = "not_in_group"
    module.exit_json(changed=outcome == "told", outcome=outcome, instance_id=me.instance_id)


if __name__ == "__main__":
    main()
