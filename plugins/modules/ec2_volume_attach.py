#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ec2_volume_attach
version_added: 0.1.0
short_description: Attach an EBS volume to this instance without ever taking it from another
description:
  - Attaches an existing volume, requires afterwards that EC2 names this instance as the holder, and finds its block
    device.
  - A volume whose holder is being terminated is waited for, within O(timeout_seconds). One whose holder lives is a
    RV(reason=conflict). It is never detached from anybody, and never created.
  - The block device is found by the volume's id (the NVMe serial; on a host without any EBS volume on NVMe by the name
    that EC2 gave, as C(sdX) or C(xvdX)), never by order or size.
  - A volume that stays C(attaching) is reported with AWS's remedy (RV(reason=attach_stuck)).
  - The volume outlives its instance; where a reading says otherwise, the attribute is corrected.
options:
  volume_id:
    description: The volume.
    type: str
    required: true
  instance_id:
    description: The instance; by default this one, from the instance metadata service.
    type: str
  device:
    description:
      - EC2's device name for the attachment.
      - By default the first of /dev/sdf to /dev/sdp that EC2 accepts and whose letter this host does not use, beginning
        where the volume's index points to. Two attaches at once do not collide, EC2 gives a name away only once.
    type: str
  known_status:
    description:
      - The volume as somebody has read it just now, such as an entry of C(identity.volumes) of
        M(holdfast.kafka.node_id_claim).
      - Saves the describe before the attach. A wrong status is harmless, EC2 arbitrates.
    type: dict
  wait_device:
    description:
      - Wait for the block device on this host.
      - By default it is awaited when O(instance_id) is not set.
    type: bool
  timeout_seconds:
    description: How long to wait, for a holder on its way out and for the device to appear.
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
- name: Attach the claimed identity's volumes
  holdfast.kafka.ec2_volume_attach:
    volume_id: "{{ item.id }}"
    known_status: "{{ item }}"
  loop: "{{ claim.identity.volumes }}"
  register: volumes
"""

RETURN = r"""
volume:
  description: The volume after the attach.
  returned: success
  type: dict
device_path:
  description: The block device on this host; null in check mode before the attach, or when it was not awaited.
  returned: success
  type: str
  sample: /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0
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
from ansible_collections.holdfast.kafka.plugins.module_utils.attach_ports import VolumePort
from ansible_collections.holdfast.kafka.plugins.module_utils.attach_runner import AttachRun
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_ec2 import Ec2
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.module_support import (
    attach_diff,
    check_attach,
    default_region,
    fail,
    make_imds,
    whoami,
)


def attach(module: Any, ec2: Ec2, me: str) -> dict[str, Any]:
    """Attach and return the result; raise HoldfastError."""
    params = module.params
    wait_device = params["instance_id"] is None if params["wait_device"] is None else params["wait_device"]
    port = VolumePort(ec2, me, wait_device, params)
    run = AttachRun(port, me, params["timeout_seconds"], params["poll_seconds"], check_mode=module.check_mode)
    before = port.known() or run.first_reading()
    run.run(before)
    volume = asdict(port.volume)
    return {
        "changed": run.changed,
        "waited_seconds": round(run.waited, 1),
        "volume": {**volume, "instance_id": me} if run.predicted else volume,
        "device_path": port.on_host() if wait_device and not run.predicted else None,
        **attach_diff("volume", before, run.changed, me),
    }


def main() -> None:
    """Entry point."""
    module = AnsibleAWSModule(
        argument_spec={
            "volume_id": {"type": "str", "required": True},
            "instance_id": {"type": "str"},
            "device": {"type": "str"},
            "known_status": {"type": "dict"},
            "wait_device": {"type": "bool"},
            "timeout_seconds": {"type": "int", "default": 1200},
            "poll_seconds": {"type": "float", "default": 3},
        },
        supports_check_mode=True,
    )
    check_attach(module, "volume_id")
    me = whoami(module, make_imds(module), {"instance_id": module.params["instance_id"]})
    default_region(module, me.region)
    ec2 = Ec2(module)
    try:
        result = attach(module, ec2, me.instance_id)
    except HoldfastError as error:
        fail(module, error.reason, error.message, ec2.requests)
    module.exit_json(instance_id=me.instance_id, api_calls=len(ec2.requests), api_requests=ec2.requests, **result)


if __name__ == "__main__":
    main()
