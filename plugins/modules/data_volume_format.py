#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: data_volume_format
short_description: Make a filesystem on a blank data volume, and only on a blank one
version_added: 0.1.0
author:
  - Holdfast contributors
description:
  - Looks at the device once more, right before writing, and makes a filesystem only when nothing at all is on it.
  - The filesystem's UUID is given, so that C(/etc/fstab) is known beforehand, and a second run finds the first's work.
  - Waits until C(/dev/disk/by-uuid) names the new filesystem.
options:
  device_path:
    description: The block device.
    type: path
    required: true
  uuid:
    description: The UUID that the new filesystem gets.
    type: str
    required: true
  filesystem:
    description: The filesystem to make.
    type: str
    default: ext4
    choices: [ext4, xfs]
  options:
    description: Further arguments of C(mkfs).
    type: list
    elements: str
    default: []
  uuid_timeout_seconds:
    description: How long to wait for the link below C(/dev/disk/by-uuid), in seconds.
    type: float
    default: 30
attributes:
  check_mode:
    description: Can run in check mode and return what it would without changing the target.
    support: full
  diff_mode:
    description: Shows the filesystem before and after.
    support: full
seealso:
  - module: holdfast.kafka.data_volume_check
"""

EXAMPLES = r"""
- name: Make the filesystem of a new volume
  holdfast.kafka.data_volume_format:
    device_path: /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0
    uuid: "{{ 'vol-0123456789abcdef0' | ansible.builtin.to_uuid }}"
"""

RETURN = r"""
uuid:
  description: The UUID of the filesystem on the device.
  returned: success
  type: str
filesystem:
  description: The filesystem on the device.
  returned: success
  type: str
reason:
  description:
    - One of V(device_missing), V(not_a_block_device), V(probe_failed), V(read_failed), V(not_blank),
      V(duplicate_uuid), V(mkfs_failed), V(uuid_link_missing), V(bad_parameter).
  returned: failure
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import block_device
from ansible_collections.holdfast.kafka.plugins.module_utils.block_device import DeviceError
from ansible_collections.holdfast.kafka.plugins.module_utils.number_bounds import require_numbers


def mkfs_command(params: dict[str, Any]) -> list[str]:
    """The command line; ext4 and xfs name the UUID's option differently."""
    if params["filesystem"] == "xfs":
        return ["mkfs.xfs", "-q", "-m", f"uuid={params['uuid']}", *params["options"], params["device_path"]]
    return ["mkfs.ext4", "-q", "-U", params["uuid"], *params["options"], params["device_path"]]


def format_device(params: dict[str, Any], check_mode: bool, run: block_device.Run) -> dict[str, Any]:
    """Make the filesystem unless it is there with the wanted UUID; anything else on the device is refused."""
    device, wanted = params["device_path"], (params["filesystem"], params["uuid"])
    found = block_device.probe(device, run)
    result: dict[str, Any] = {"changed": False, "filesystem": wanted[0], "uuid": wanted[1]}
    if (found.filesystem, found.uuid) == wanted:
        return result
    if not found.blank:
        what = found.filesystem or found.partition_table or "unknown bytes"
        raise DeviceError("not_blank", f"{device} is not blank: {what}")
    block_device.require_single(params["uuid"], device, run)
    result |= {
        "changed": True,
        "diff": {"before": f"{device}: blank\n", "after": f"{device}: {wanted[0]} {wanted[1]}\n"},
    }
    if check_mode:
        return result
    code, _out, err = run(mkfs_command(params))
    if code != 0:
        raise DeviceError("mkfs_failed", f"mkfs on {device} failed (rc {code}): {err.strip()}")
    block_device.wait_for_uuid_link(params["uuid"], params["uuid_timeout_seconds"])
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "device_path": {"type": "path", "required": True},
            "uuid": {"type": "str", "required": True},
            "filesystem": {"type": "str", "default": "ext4", "choices": ["ext4", "xfs"]},
            "options": {"type": "list", "elements": "str", "default": []},
            "uuid_timeout_seconds": {"type": "float", "default": 30},
        },
        supports_check_mode=True,
    )
    try:
        require_numbers(module.params, ["uuid_timeout_seconds"], 0)
        result = format_device(module.params, module.check_mode, module.run_command)
    except DeviceError as error:
        module.fail_json(msg=f"No filesystem made: {error}.", reason=error.reason)
    except ValueError as error:
        module.fail_json(msg=f"No filesystem made: {error}.", reason="bad_parameter")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
