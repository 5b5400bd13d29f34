#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ec2_eni_attach
version_added: 0.1.0
short_description: Attach an ENI to this instance without ever taking it from another
description:
  - Attaches an existing network interface and proves afterwards that the holder is this instance.
  - An interface whose holder is being terminated is waited for, within O(timeout_seconds). One whose holder lives is
    a RV(reason=conflict). It is never detached from anybody, and never created.
  - The interface outlives its instance. EC2 gives that to every interface that is attached after launch; where a
    reading says otherwise, the attribute is corrected.
options:
  eni_id:
    description: The interface.
    type: str
    required: true
  instance_id:
    description: The instance; by default this one, from the instance metadata service.
    type: str
  device_index:
    description: Device index on the instance.
    type: int
    default: 1
  known_status:
    description:
      - The interface as somebody has read it just now, such as C(identity.eni) of M(holdfast.kafka.node_id_claim).
      - Saves the describe before the attach. A wrong status is harmless, EC2 arbitrates.
    type: dict
  reread:
    description:
      - How to prove that the holder is this instance.
      - V(imds) asks this instance's own metadata service, which lists the interface under its MAC as soon as EC2 has it
        there; no API call. Then the interface is also awaited on the host.
      - V(api) describes the interface; for a run from elsewhere.
    type: str
    choices: [imds, api]
    default: imds
  timeout_seconds:
    description: How long to wait, for a holder on its way out and for the interface to appear.
    type: int
    default: 1200
  poll_seconds:
    description: Pause between two readings while waiting.
    type: float
    default: 3
extends_documentation_fragment:
  - holdfast.kafka.attributes
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
seealso:
  - module: holdfast.kafka.node_id_claim
author:
  - Holdfast contributors
"""

EXAMPLES = r"""
- name: Attach the claimed identity's interface
  holdfast.kafka.ec2_eni_attach:
    eni_id: "{{ claim.identity.eni.id }}"
    known_status: "{{ claim.identity.eni }}"
  register: eni
"""

RETURN = r"""
eni:
  description: The interface after the attach.
  returned: success
  type: dict
device:
  description: Name of the interface on this host; null in check mode and with O(reread=api).
  returned: success
  type: str
  sample: eth1
mac:
  description: The interface's MAC address.
  returned: success
  type: str
subnet_cidr:
  description: IPv4 block of the interface's subnet, from the metadata service; null with O(reread=api).
  returned: success
  type: str
instance_id:
  description: The instance.
  returned: success
  type: str
waited_seconds:
  description: Seconds spent waiting for the holder before.
  returned: success
  type: float
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
    - V(conflict) (a living instance has it, or its place on this one is taken), V(timeout) (a holder on its way out did
      not let go), V(attach_stuck) (it stays C(attaching) to this instance), V(attach_rejected) (EC2 accepts and then
      gives up, as without permission for a KMS key), V(device_missing) (attached, and not seen on this host),
      V(imds_unreachable) or V(bad_parameter).
    - EC2's errors become V(not_found), V(auth), V(lost_race), V(pool_fault) (another Availability Zone),
      V(attachment_limit) (the instance type takes no more) or V(api_error); C(docs/ec2_errors.md) has each code.
  returned: failure
  type: str
"""

from dataclasses import asdict
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.holdfast.kafka.plugins.module_utils.attach_ports import EniPort
from ansible_collections.holdfast.kafka.plugins.module_utils.attach_runner import AttachRun
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_ec2 import Ec2
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.imds import Imds, ImdsError
from ansible_collections.holdfast.kafka.plugins.module_utils.module_support import (
    attach_diff,
    check_attach,
    default_region,
    fail,
    make_imds,
    whoami,
)


def attach(module: Any, ec2: Ec2, imds: Imds, me: str) -> dict[str, Any]:
    """Attach and return the result; raise HoldfastError."""
    params = module.params
    port = EniPort(ec2, imds if params["reread"] == "imds" else None, me, params)
    run = AttachRun(port, me, params["timeout_seconds"], params["poll_seconds"], check_mode=module.check_mode)
    before = port.known() or run.first_reading()
    after = run.run(before)
    index = after.place if after.instance_id == me and not run.predicted else params["device_index"]
    if index != params["device_index"]:
        text = f"{port.name} is attached to {me} at device index {index}, not {params['device_index']}"
        raise HoldfastError("conflict", f"{text}: ask for that index, or detach it by hand.")
    here = port.imds is not None and not run.predicted
    eni = asdict(port.eni)
    return {
        "changed": run.changed,
        "waited_seconds": round(run.waited, 1),
        "eni": {**eni, "instance_id": me} if run.predicted else eni,
        "mac": port.eni.mac,
        "device": port.on_host() if here else None,
        "subnet_cidr": port.subnet_cidr(imds) if here else None,
        **attach_diff("eni", before, run.changed, me),
    }


def main() -> None:
    """Entry point."""
    module = AnsibleAWSModule(
        argument_spec={
            "eni_id": {"type": "str", "required": True},
            "instance_id": {"type": "str"},
            "device_index": {"type": "int", "default": 1},
            "known_status": {"type": "dict"},
            "reread": {"type": "str", "choices": ["imds", "api"], "default": "imds"},
            "timeout_seconds": {"type": "int", "default": 1200},
            "poll_seconds": {"type": "float", "default": 3},
        },
        supports_check_mode=True,
    )
    params = module.params
    check_attach(module, "eni_id")
    if params["device_index"] < 1:
        message = (
            f"device_index is {params['device_index']}; index 0 is the instance's own interface, so use 1 or more."
        )
        fail(module, "bad_parameter", message)
    imds = make_imds(module)
    me = whoami(module, imds, {"instance_id": params["instance_id"]})
    default_region(module, me.region)
    ec2 = Ec2(module)
    try:
        result = attach(module, ec2, imds, me.instance_id)
    except HoldfastError as error:
        fail(module, error.reason, error.message, ec2.requests)
    except ImdsError as error:
        message = f"{error}; run this on the instance, or use reread=api."
        fail(module, "imds_unreachable", message, ec2.requests)
    module.exit_json(instance_id=me.instance_id, api_calls=len(ec2.requests), api_requests=ec2.requests, **result)


if __name__ == "__main__":
    main()
