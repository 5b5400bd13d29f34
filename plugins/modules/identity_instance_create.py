#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Launch an instance outside of any Auto Scaling group for one identity, and wait until it holds it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: identity_instance_create
short_description: Launch an instance for one identity, outside of any group
version_added: 0.1.0
author:
  - Holdfast contributors
description:
  - Launches one instance in the identity's zone from the launch template of the role's Auto Scaling group there, and
    waits until it has the identity's interface and all of its volumes. The instance takes them by itself, as at every
    boot; O(user_data) has to tell it which identity it is for.
  - With O(new_volumes) the volumes are made first, and only when no volume carries the identity's tags, in whatever
    zone or state.
  - An instance that holds the identity, or was launched for it and is on its way, is the answer; nobody else is
    launched then. A request whose reply is lost is sent again under the same client token.
  - Everything that speaks against it is refused before anything is made.
  - This module also has an action plugin on the controller, which shows what is waited for.
options:
  new_volumes:
    description: The volumes to make, in the order of their index, as an identity of C(holdfast_pools) lists them.
    type: list
    elements: dict
    default: []
  volume_tags:
    description: Further tags of new volumes.
    type: dict
    default: {}
  encrypted:
    description: Whether new volumes are encrypted.
    type: bool
    default: true
  kms_key_arn:
    description: ARN of the key of new volumes; the account's default key when empty.
    type: str
    default: ""
  launch_template_id:
    description: Launch from this template instead of the one of the zone's group.
    type: str
  launch_template_version:
    description: Its version. By default the one that the group launches, or the template's default version.
    type: str
  image_id:
    description: Launch this image instead of the template's.
    type: str
  instance_type:
    description: Launch this instance type instead of the template's.
    type: str
  user_data:
    description: The instance's user-data, in plain text. Without it that of the template.
    type: str
  tags:
    description: Further tags of the instance.
    type: dict
    default: {}
  slice_seconds:
    description: Return after this time with RV(state=waiting) when the identity is not held yet. The action plugin's.
    type: float
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
    details: Shows who holds the identity before and after, and the volumes that are made.
    support: full
seealso:
  - module: holdfast.kafka.identity_instance_terminate
  - module: holdfast.kafka.identity_instance_replace
"""

EXAMPLES = r"""
- name: Launch an instance for a broker whose volumes are there
  holdfast.kafka.identity_instance_create:
    cluster: orders
    role: kafka
    node_id: 2
    user_data: "{{ rendered_user_data }}"

- name: Launch it with a volume that is made for it
  holdfast.kafka.identity_instance_create:
    cluster: orders
    role: kafka
    node_id: 2
    user_data: "{{ rendered_user_data }}"
    new_volumes:
      - size_gib: 100
        type: gp3
"""

RETURN = r"""
state:
  description: V(held), V(waiting) at the end of a slice, or V(planned) in check mode when somebody would be launched.
  returned: success
  type: str
instance_id:
  description: Who holds the identity, or is to.
  returned: when there is an instance
  type: str
availability_zone:
  description: The identity's zone.
  returned: when it is known
  type: str
volumes_created:
  description: The volumes that were made.
  returned: always
  type: list
  elements: str
launch:
  description: Template, image and type of the launch, as far as they were overridden.
  returned: when somebody was, or would be, launched
  type: dict
progress:
  description: What is waited for, in one line.
  returned: when RV(state=waiting)
  type: str
hold_seconds:
  description: From the launch until every part was held, in this call.
  returned: when this call waited
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
    - V(identity_missing), V(pool_fault), V(configuration_mismatch), V(volume_exists) and V(identity_attached) speak of
      the identity; V(in_group) and V(two_instances) of who has to do with it; V(group_would_race) and
      V(no_launch_template) of the groups of its zone; V(image_unavailable) of the image. Nothing was touched.
    - Every word of C(cluster_status) but V(free) and V(vacant) refuses as well, for instance V(holder_stopped).
    - V(not_held) means that the instance runs, or ran, and did not have the whole identity within the bound.
    - V(zookeeper_unreachable), V(zookeeper_refused), V(zookeeper_auth_failed), V(auth), V(api_error), V(not_found),
      V(bad_parameter) or V(missing_library).
  returned: failure
  type: str
"""

import time
import uuid
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.holdfast.kafka.plugins.module_utils import instance_rules
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.instance_reader import (
    INSTANCE_OPTIONS,
    IdentityReader,
    run,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.instance_target import return_fault

#: How EC2 says that it would have done what it was only asked about.
DRY_RUN = "DryRunOperation"
#: The row of the errors' table for a reply that did not come; the request is sent once more, under its token.
NO_REPLY = "no reply"
CONSOLE_LINES = 5


class Creation:
    """One identity that is to get an instance."""

    def __init__(
        self, params: dict[str, Any], identity: IdentityReader, told: dict[str, Any], check_mode: bool
    ) -> None:
        self.params, self.it, self.told, self.check_mode = params, identity, told, check_mode
        self.zone = self.subnet_id = ""

    def go(self) -> dict[str, Any]:
        """Refuse, or launch and wait; return the result."""
        present = instance_rules.only_candidate(self.it.name, self.it.instances())
        if present is not None:
            self._adopt(present)
        else:
            request = self._plan()
            self.told["changed"] = True
            self.told["launch"] = {
                "template": request["LaunchTemplate"],
                **{key: request[key] for key in ("ImageId", "InstanceType") if key in request},
            }
            self.told["diff"] = self._diff()
            if self.check_mode:
                return {"state": "planned"}
            self.told["changed"] = False
            self._make_volumes()
            answer = self._once("run_instances", request)
            self.told.update(changed=True, instance_id=answer["Instances"][0]["InstanceId"])
        return self._wait()

    # ---- refusals ----------------------------------------------------------------------------------------------------

    def _adopt(self, instance: Any) -> None:
        """Take the instance that is there for the one that is meant, or refuse it."""
        it, instance_id = self.it, instance["InstanceId"]
        it.require_outside(instance_id)
        self.told["instance_id"] = instance_id
        self.told["availability_zone"] = instance["Placement"]["AvailabilityZone"]
        if instance["State"]["Name"] not in ("pending", "running"):
            raise HoldfastError(
                "holder_stopped",
                f"{instance_id} is {instance['State']['Name']} and has to do with {it.name}. Start it (aws ec2 "
                "start-instances), or let instance_terminate end it first.",
            )

    def _plan(self) -> dict[str, Any]:
        """Return the launch's request; raise HoldfastError or AwsError for everything that speaks against it."""
        it, params = self.it, self.params
        if params["new_volumes"]:
            found = instance_rules.volume_ids(it.reading, it.role, it.node_id)
            if found:
                raise HoldfastError(
                    "volume_exists",
                    f"{it.name} has {', '.join(found)} already, so no volume was made: its data would stay behind. "
                    "Create the instance on the existing volume (without new_volumes).",
                )
        bare = instance_rules.bare_interface(it.reading, it.role, it.node_id)
        if params["new_volumes"] and bare:
            interface = it.ec2.eni(bare)
            if interface.status != "available":
                raise HoldfastError(
                    "identity_attached", f"{bare} of {it.name} is {interface.status} ({interface.instance_id})."
                )
        else:
            identity = instance_rules.require_whole(it.reading, it.role, it.node_id)
            condition = next(one for one in it.reader.conditions(it.role) if one.node_id == it.node_id)
            instance_rules.require_open(condition)
            interface = identity.eni
        self.zone, self.subnet_id = interface.availability_zone, interface.subnet_id
        self.told["availability_zone"] = self.zone
        return self._launchable()

    def _launchable(self) -> dict[str, Any]:
        it, params, scheme = self.it, self.params, self.it.reader.scheme
        wanted = {scheme.cluster: params["cluster"], scheme.role: it.role}
        everyone = it.scaling.pages("describe_auto_scaling_groups", "AutoScalingGroups")
        groups = instance_rules.serving(everyone, wanted, self.zone)
        zones = {zone for group in groups for zone in group["AvailabilityZones"]}
        near = [one for one in it.reading.of_role(it.role) if one.availability_zone in zones]
        instance_rules.require_no_race(it.name, it.node_id, groups, near)
        template = instance_rules.template_request(
            groups, params["launch_template_id"], params["launch_template_version"]
        )
        tags = {**params["tags"], **wanted, "Name": it.name, instance_rules.LAUNCHED_FOR: it.node_id}
        overrides = {
            "ImageId": params["image_id"],
            "InstanceType": params["instance_type"],
            "UserData": params["user_data"],
        }
        request = instance_rules.launch_request(template, overrides, self.subnet_id, tags)
        self._require_image(request)
        try:
            it.ec2.api.call("run_instances", **request, DryRun=True)
        except AwsError as error:
            if error.code != DRY_RUN:
                raise
        return request

    def _require_image(self, request: dict[str, Any]) -> None:
        ec2 = self.it.ec2.api
        template = request["LaunchTemplate"]
        answer = ec2.call(
            "describe_launch_template_versions",
            LaunchTemplateId=template["LaunchTemplateId"],
            Versions=[template["Version"]],
        )
        image_id = request.get("ImageId") or answer["LaunchTemplateVersions"][0]["LaunchTemplateData"].get("ImageId")
        found = ec2.pages("describe_images", "Images", Filters=[{"Name": "image-id", "Values": [str(image_id)]}])
        state = found[0]["State"] if found else "unknown to EC2"
        if state != "available":
            raise HoldfastError(
                "image_unavailable",
                f"The image {image_id} is {state}, so nothing was launched for {self.it.name}. Bake one (image_bake), "
                "or name another (image_id).",
            )

    # ---- acts --------------------------------------------------------------------------------------------------------

    def _make_volumes(self) -> None:
        it, params, scheme = self.it, self.params, self.it.reader.scheme
        for index, wanted in enumerate(params["new_volumes"]):
            tags = {
                **params["volume_tags"],
                scheme.cluster: params["cluster"],
                scheme.role: it.role,
                scheme.node_id: it.node_id,
                scheme.volume: index,
                "Name": it.name,
            }
            request = instance_rules.volume_request(wanted, self.zone, params["encrypted"], params["kms_key_arn"], tags)
            made = self._once("create_volume", request)["VolumeId"]
            self.told["volumes_created"].append(made)
            self.told["changed"] = True
        deadline = time.monotonic() + params["timeout_seconds"]
        for made in self.told["volumes_created"]:
            while (status := it.ec2.volume(made).status) != "available":
                if status == "error" or time.monotonic() >= deadline:
                    raise HoldfastError(
                        "volume_error", f"The new {made} of {it.name} is {status}; nobody was launched. Delete it."
                    )
                time.sleep(min(params["poll_seconds"], 2.0))

    def _once(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Make one call that must not happen twice: its token makes a second one under it the same one."""
        token = {"ClientToken": str(uuid.uuid4())}
        try:
            return self.it.ec2.api.call(operation, **request, **token)
        except AwsError as error:
            if error.row is None or error.row.name != NO_REPLY:
                raise
            return self.it.ec2.api.call(operation, **request, **token)

    def _wait(self) -> dict[str, Any]:
        """Wait until the instance has every part of the identity."""
        it, params, instance_id = self.it, self.params, self.told["instance_id"]
        began = time.monotonic()
        while True:
            state = it.ec2.instance_states((instance_id,)).get(instance_id, "unknown to EC2")
            fault = self._fault(instance_id, state)
            took = time.monotonic() - began
            if fault is None:
                self.told["hold_seconds"] = round(took, 1)
                return {"state": "held"}
            if self.check_mode:
                return {"state": "waiting", "progress": fault}
            if state in ("shutting-down", "terminated", "stopping", "stopped") or took >= params["timeout_seconds"]:
                raise HoldfastError("not_held", f"{fault}, after {took:.0f} s. {self._last_words(instance_id)}")
            if params["slice_seconds"] is not None and took >= params["slice_seconds"]:
                return {"state": "waiting", "progress": fault}
            time.sleep(params["poll_seconds"])
            it.reader.read_pools()

    def _fault(self, instance_id: str, state: str) -> str | None:
        """Say what keeps the instance from holding the identity; None when it does."""
        it = self.it
        identity = next((one for one in it.reading.of_role(it.role) if one.node_id == it.node_id), None)
        if identity is None:
            told = " ".join(one.message for one in it.reading.faults_of(it.role) if one.node_id == it.node_id)
            return f"{it.name} is not whole yet: {told or 'EC2 does not show it'}"
        others = sorted(identity.attached_instances() - {instance_id})
        if others:
            return f"{it.name} has gone to {', '.join(others)} and not to {instance_id} ({state})"
        if identity.eni.instance_id is None:
            return f"{instance_id} is {state} and does not have {identity.eni.id} of {it.name} yet"
        return return_fault(identity, "", {})

    def _last_words(self, instance_id: str) -> str:
        """Return what the instance's console ends with; a boot says there why it failed."""
        try:
            answer = self.it.ec2.api.call("get_console_output", InstanceId=instance_id, Latest=True)
        except AwsError as error:  # it only adds to a failure, which is told all the same
            return f"Its console cannot be read: {error}."
        lines = [line.strip() for line in str(answer.get("Output", "")).splitlines() if "holdfast" in line][
            -CONSOLE_LINES:
        ]
        told = " / ".join(lines) if lines else "says nothing of Holdfast"
        return f"Its console: {told}. The instance is left as it is; instance_terminate ends it."

    def _diff(self) -> dict[str, Any]:
        volumes = [f"{one['size_gib']} GiB {one.get('type', 'gp3')}" for one in self.params["new_volumes"]]
        return {
            "before": {"identity": self.it.name, "holder": None},
            "after": {"identity": self.it.name, "holder": "a new instance", **({"new": volumes} if volumes else {})},
        }


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "new_volumes": {"type": "list", "elements": "dict", "default": []},
            "volume_tags": {"type": "dict", "default": {}},
            "encrypted": {"type": "bool", "default": True},
            "kms_key_arn": {"type": "str", "default": "", "no_log": False},
            "launch_template_id": {"type": "str"},
            "launch_template_version": {"type": "str"},
            "image_id": {"type": "str"},
            "instance_type": {"type": "str"},
            "user_data": {"type": "str"},
            "tags": {"type": "dict", "default": {}},
            "slice_seconds": {"type": "float"},
            **INSTANCE_OPTIONS,
        },
        supports_check_mode=True,
    )
    told: dict[str, Any] = {"volumes_created": []}
    run(module, lambda identity: Creation(module.params, identity, told, module.check_mode).go(), told)


if __name__ == "__main__":
    main()
