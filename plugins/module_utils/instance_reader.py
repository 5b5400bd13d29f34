# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator's acts on one identity's instance read: pool, claim, instances and Auto Scaling groups.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.holdfast.kafka.plugins.module_utils import instance_rules
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import Api, AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_ec2 import Ec2
from ansible_collections.holdfast.kafka.plugins.module_utils.cluster_reader import ClusterReader
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.module_support import ONE_IDENTITY, fail
from ansible_collections.holdfast.kafka.plugins.module_utils.operator_module import OPERATOR_OPTIONS, operator_reader
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import PoolReading

#: The role whose instances claim in ZooKeeper before they attach; the other one's are arbitrated by EC2.
CLAIMING = "kafka"

INSTANCE_OPTIONS: dict[str, dict[str, Any]] = {**ONE_IDENTITY, **OPERATOR_OPTIONS}


class IdentityReader:
    """One identity, with everybody who has to do with it."""

    def __init__(self, params: dict[str, Any], ec2: Ec2, scaling: Api, reader: ClusterReader) -> None:
        self.params, self.ec2, self.scaling, self.reader = params, ec2, scaling, reader
        self.role, self.node_id = params["role"], params["node_id"]
        self.name = f"{params['cluster']}-{self.role}-{self.node_id}"

    @property
    def requests(self) -> list[str]:
        """Every request to AWS so far."""
        return [*self.ec2.requests, *self.scaling.requests]

    @property
    def reading(self) -> PoolReading:
        """The pool as last read."""
        assert self.reader.reading is not None
        return self.reader.reading

    def read(self) -> None:
        """Read the pool, the claims of a role that has some, and the states of everybody they name."""
        if self.role == CLAIMING:
            self.reader.read_pools()
            self.reader.read_claims(self.role)
        self.reader.read_pools()
        self.reader.require_declared(self.role)
        self.reader.read_instances()

    def attached(self) -> set[str]:
        """Return who has a part of the identity, whole or not."""
        found = {
            one for fault in self.reading.faults_of(self.role) if fault.node_id == self.node_id for one in fault.holders
        }
        for identity in self.reading.of_role(self.role):
            if identity.node_id == self.node_id:
                found |= identity.attached_instances()
        return found

    def claimant(self) -> str | None:
        """Return the instance that the claim names."""
        claim = self.reader.claims.get(self.role, {}).get(self.node_id)
        return claim.instance_id if claim is not None else None

    def instances(self, states: tuple[str, ...] = instance_rules.LIVING) -> list[dict[str, Any]]:
        """Return the instances that hold a part of the identity, claim it, or say by a tag that they are for it."""
        scheme = self.reader.scheme
        wanted = {f"tag:{scheme.cluster}": self.params["cluster"], f"tag:{scheme.role}": self.role}
        filters = [{"Name": key, "Values": [value]} for key, value in wanted.items()]
        found = {
            one["InstanceId"]: one
            for one in self._instances(filters)
            if instance_rules.tagged_for(one, self.node_id, scheme.node_id)
        }
        named = (self.attached() | {self.claimant()}) - {None} - found.keys()
        if named:
            more = self._instances([{"Name": "instance-id", "Values": sorted(str(one) for one in named)}])
            found.update({one["InstanceId"]: one for one in more})
        return [found[key] for key in sorted(found) if found[key]["State"]["Name"] in states]

    def _instances(self, filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        reservations = self.ec2.api.pages("describe_instances", "Reservations", Filters=filters)
        return [instance for item in reservations for instance in item.get("Instances") or []]

    def require_outside(self, instance_id: str) -> None:
        """Raise HoldfastError when an Auto Scaling group owns the instance."""
        found = self.scaling.call("describe_auto_scaling_instances", InstanceIds=[instance_id])["AutoScalingInstances"]
        if found:
            group = found[0]["AutoScalingGroupName"]
            raise HoldfastError(
                "in_group",
                f"{instance_id} of {self.name} belongs to the Auto Scaling group {group}, which replaces what ends and "
                "would fight a recovery alarm. Nothing was touched. For a new image or type: nodes_rolling_replace. To "
                "do without it, take it out of the group first (detach-instances with "
                "--should-decrement-desired-capacity) and set auto_scaling: false for it in holdfast_pools.",
            )


def run(module: AnsibleAWSModule, act: Callable[[IdentityReader], dict[str, Any]], told: dict[str, Any]) -> None:
    """Read, act and end the module; C(told) is what is known by then, whichever way it ends."""
    params = module.params
    for name in ("poll_seconds", "timeout_seconds"):
        if not math.isfinite(params[name]) or params[name] <= 0:
            fail(module, "bad_parameter", f"{name} is {params[name]:g}; it must be positive.")
    if params["node_id"] < 0:
        fail(module, "bad_parameter", f"node_id is {params['node_id']}; it must be 0 or more.")
    ec2, scaling = Ec2(module), Api(module, "autoscaling")
    roles = [CLAIMING] if params["role"] == CLAIMING else []
    requests = ec2.requests
    try:
        with operator_reader(module, ec2, roles) as reader:
            identity = IdentityReader(params, ec2, scaling, reader)
            identity.read()
            result = act(identity)
            requests = identity.requests
    except (AwsError, HoldfastError) as error:
        message = error.message if isinstance(error, HoldfastError) else f"{error}."
        requests = [*ec2.requests, *scaling.requests]
        calls = {"api_calls": len(requests), "api_requests": requests}
        module.fail_json(msg=message, reason=error.reason, **{"changed": False, **told, **calls})
    module.exit_json(**{"changed": False, **told, **result, "api_calls": len(requests), "api_requests": requests})
