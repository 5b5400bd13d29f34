#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Detach an identity from the instance that no Auto Scaling group owns, and terminate the instance."""

from __future__ import annotations

DOCUMENTATION = r"""
module: identity_instance_terminate
short_description: Detach an identity cleanly and terminate its instance
version_added: 0.1.0
author:
  - Holdfast contributors
description:
  - Detaches the identity's volumes and then its interface, never by force, and waits until EC2 calls each of them
    available. Only then the instance is terminated, and EC2 is asked until it says so.
  - The interface and the volumes stay, with their address and their data.
  - It goes on where an earlier run has ended. The instance is found by what it holds, by the claim, or by its tags.
  - The service is not looked at. Stop it behind its gate and unmount the volumes first.
options:
  instance_id:
    description: Terminate only this instance. Another one that has the identity in the meantime is left alone.
    type: str
extends_documentation_fragment:
  - holdfast.kafka.attributes
  - holdfast.kafka.pool
  - holdfast.kafka.operator
  - holdfast.kafka.operator.instance
  - holdfast.kafka.zookeeper
  - holdfast.kafka.zookeeper.claims
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
  diff_mode:
    details: Shows the instance and what is attached to it.
    support: full
seealso:
  - module: holdfast.kafka.identity_instance_create
  - module: holdfast.kafka.identity_release
"""

EXAMPLES = r"""
- name: Ask who would be terminated
  holdfast.kafka.identity_instance_terminate:
    cluster: orders
    role: kafka
    node_id: 2
  check_mode: true
  register: target

- name: Terminate it, after its service was stopped
  holdfast.kafka.identity_instance_terminate:
    cluster: orders
    role: kafka
    node_id: 2
    instance_id: "{{ target.instance_id }}"
  when: target is changed
"""

RETURN = r"""
instance_id:
  description: The instance; C(null) when nobody has to do with the identity.
  returned: success
  type: str
instance_state:
  description: Its state before.
  returned: when there is an instance
  type: str
private_ip:
  description: The identity's fixed address, when the instance has its interface.
  returned: when there is an instance
  type: str
attached:
  description: What of the identity was attached to the instance, in the order in which it is detached.
  returned: when there is an instance
  type: list
  elements: str
kept:
  description: Interface and volumes, which stay.
  returned: success
  type: list
  elements: str
terminate_seconds:
  description: From the first detachment until EC2 called the instance terminated.
  returned: when it was terminated
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
    - V(identity_missing), V(pool_fault) and V(configuration_mismatch) speak of the identity; V(in_group),
      V(two_instances) and V(termination_protected) of its instance. Nothing was touched.
    - V(not_detached) means that a part was still attached at the end of the bound; the instance was not terminated.
    - V(not_terminated) means that EC2 did not call the instance terminated within the bound.
    - V(zookeeper_unreachable), V(zookeeper_refused), V(zookeeper_auth_failed), V(auth), V(api_error), V(not_found),
      V(bad_parameter) or V(missing_library).
  returned: failure
  type: str
"""

import time
from collections.abc import Callable
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.holdfast.kafka.plugins.module_utils import instance_rules
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.instance_reader import (
    INSTANCE_OPTIONS,
    IdentityReader,
    run,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Eni, Identity, Volume


class Termination:
    """One identity that is to lose its instance."""

    def __init__(
        self, params: dict[str, Any], identity: IdentityReader, told: dict[str, Any], check_mode: bool
    ) -> None:
        self.params, self.it, self.told, self.check_mode = params, identity, told, check_mode
        self.began = time.monotonic()

    def go(self) -> dict[str, Any]:
        """Refuse, or detach and terminate; return the result."""
        it, told = self.it, self.told
        identity = instance_rules.require_whole(it.reading, it.role, it.node_id)
        told["kept"] = [part.id for part in identity.parts()]
        instance = instance_rules.only_candidate(it.name, it.instances((*instance_rules.LIVING, "shutting-down")))
        if instance is None or self.params["instance_id"] not in (None, instance["InstanceId"]):
            return {"changed": False, "instance_id": instance["InstanceId"] if instance else None, "attached": []}
        instance_id = told["instance_id"] = instance["InstanceId"]
        told["instance_state"] = instance["State"]["Name"]
        it.require_outside(instance_id)
        self._require_unprotected(instance_id)
        in_order: list[Volume | Eni] = [*identity.volumes, identity.eni]
        parts = [part for part in in_order if part.instance_id == instance_id]
        told["attached"] = [part.id for part in parts]
        told["private_ip"] = identity.eni.private_ip if identity.eni in parts else None
        told["diff"] = {
            "before": {"identity": it.name, "instance": instance_id, "attached": told["attached"]},
            "after": {"identity": it.name, "instance": None, "attached": []},
        }
        if not self.check_mode:
            if told["instance_state"] != "shutting-down":
                self._detach(parts, instance_id)
            self._terminate(instance_id)
            told["terminate_seconds"] = round(time.monotonic() - self.began, 1)
        return {"changed": True}

    def _require_unprotected(self, instance_id: str) -> None:
        answer = self.it.ec2.api.call(
            "describe_instance_attribute", InstanceId=instance_id, Attribute="disableApiTermination"
        )
        if (answer.get("DisableApiTermination") or {}).get("Value"):
            raise HoldfastError(
                "termination_protected",
                f"{instance_id} of {self.it.name} is protected against termination, and nothing was touched. Whoever "
                "set that had a reason; aws ec2 modify-instance-attribute --no-disable-api-termination takes it off.",
            )

    def _identity(self) -> Identity:
        it = self.it
        it.reader.read_pools()
        return instance_rules.require_whole(it.reading, it.role, it.node_id)

    def _detach(self, parts: list[Volume | Eni], instance_id: str) -> None:
        """Volumes first: as long as the interface is there, whoever looks still finds the node by its address."""
        api = self.it.ec2.api
        for part in parts:
            if part.attachment_status == "detaching":
                continue
            self.told["changed"] = True
            if isinstance(part, Volume):
                api.call("detach_volume", VolumeId=part.id, InstanceId=instance_id)
            else:
                self._until(reason="not_detached", missing=lambda: self._attached(instance_id, (Volume,)))
                api.call("detach_network_interface", AttachmentId=part.attachment_id)
        self._until(reason="not_detached", missing=lambda: self._attached(instance_id, (Volume, Eni)))

    def _attached(self, instance_id: str, kinds: tuple[type, ...]) -> str | None:
        """Say what is not available yet, None when all of it is."""
        parts = [part for part in self._identity().parts() if isinstance(part, kinds)]
        busy = [f"{one.id} ({one.status})" for one in parts if one.instance_id == instance_id]
        busy += [f"{one.id} ({one.status})" for one in parts if one.instance_id is None and one.status != "available"]
        return f"{', '.join(busy)} is not detached from {instance_id}, which was not terminated" if busy else None

    def _terminate(self, instance_id: str) -> None:
        ec2 = self.it.ec2
        self.told["changed"] = True
        ec2.api.call("terminate_instances", InstanceIds=[instance_id])

        def living() -> str | None:
            state = ec2.instance_states((instance_id,)).get(instance_id, "terminated")
            return None if state == "terminated" else f"{instance_id} of {self.it.name} is {state}"

        self._until(reason="not_terminated", missing=living)

    def _until(self, reason: str, missing: Callable[[], str | None]) -> None:
        while (told := missing()) is not None:
            took = time.monotonic() - self.began
            if took >= self.params["timeout_seconds"]:
                raise HoldfastError(reason, f"{told}, after {took:.0f} s. Run this again when it is.")
            time.sleep(self.params["poll_seconds"])


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={"instance_id": {"type": "str"}, **INSTANCE_OPTIONS}, supports_check_mode=True
    )
    told: dict[str, Any] = {}
    run(module, lambda identity: Termination(module.params, identity, told, module.check_mode).go(), told)


if __name__ == "__main__":
    main()
