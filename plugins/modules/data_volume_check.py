#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: data_volume_check
short_description: Say whether a data volume may serve a claimed identity
version_added: 0.1.0
author:
  - Holdfast contributors
description:
  - Looks at a block device (or at what is mounted already) and compares what it carries with the claimed node id.
  - An unmounted filesystem is looked at through a private, read-only mount that is gone when the module ends.
  - Changes no file. Where a filesystem was not unmounted in order (its node died), what was written last is only in its
    journal; the private mount is then a writable one, which replays the journal, as the mount for the service would.
    This happens only after the device was accepted, and not in check mode, which may therefore miss those files.
  - A device is blank only when C(blkid) finds nothing on it B(and) its first MiB is zero. A filesystem of another kind,
    a partition table, or bytes of unknown meaning are refused, never overwritten.
options:
  device_path:
    description:
      - The block device, as RV(holdfast.kafka.ec2_volume_attach#module:device_path) names it.
      - When it is not given, only what is mounted at O(mount_path) is judged, and nothing mounted there is a failure.
    type: path
  mount_path:
    description: Where the volume is (to be) mounted.
    type: path
    required: true
  role:
    description: The role of the claim.
    type: str
    required: true
    choices: [kafka, zookeeper]
  node_id:
    description: The claimed node id.
    type: int
    required: true
  filesystem:
    description: The filesystem that a volume must carry unless it is blank.
    type: str
    default: ext4
    choices: [ext4, xfs]
  uuid_timeout_seconds:
    description: How long to wait for C(/dev/disk/by-uuid) to name an existing filesystem, in seconds.
    type: float
    default: 30
attributes:
  check_mode:
    description: Can run in check mode and return what it would without changing the target.
    support: full
  diff_mode:
    description: Nothing is changed, so there is nothing to show.
    support: none
seealso:
  - module: holdfast.kafka.data_volume_format
"""

EXAMPLES = r"""
- name: Look at broker 3's volume before it is mounted
  holdfast.kafka.data_volume_check:
    device_path: /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0
    mount_path: /var/lib/kafka/0
    role: kafka
    node_id: 3
"""

RETURN = r"""
state:
  description:
    - V(blank) (no filesystem), V(empty) (a filesystem without a node's data) or V(owned) (the claimed node's data).
  returned: success
  type: str
  sample: owned
filesystem:
  description: The filesystem found, empty when the device is blank.
  returned: success
  type: str
  sample: ext4
uuid:
  description: The filesystem's UUID, empty when the device is blank.
  returned: success
  type: str
  sample: 1b4e28ba-2fa1-11d2-883f-0016d3cca427
mounted:
  description: Whether the volume is mounted at O(mount_path).
  returned: success
  type: bool
cluster_ids:
  description: Kafka cluster ids found in C(meta.properties).
  returned: success
  type: list
  elements: str
zookeeper_database:
  description: Whether a ZooKeeper database (a snapshot or a transaction log) was found.
  returned: success
  type: bool
journal_replayed:
  description: Whether the filesystem's journal was replayed to read it.
  returned: always
  type: bool
give_up:
  description: V(false), another instance would find the same on the volume.
  returned: when what the volume carries is the reason
  type: bool
reason:
  description:
    - Why the volume was refused.
    - One of V(device_missing), V(not_a_block_device), V(probe_failed), V(read_failed), V(partition_table),
      V(foreign_filesystem), V(unknown_content), V(read_only), V(mounted_elsewhere), V(not_mounted),
      V(mount_path_taken), V(mount_failed), V(uuid_link_missing), V(wrong_role), V(id_mismatch), V(cluster_mismatch),
      V(unreadable_id), V(unidentified_data).
  returned: failure
  type: str
  sample: id_mismatch
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import block_device
from ansible_collections.holdfast.kafka.plugins.module_utils.block_device import DeviceError
from ansible_collections.holdfast.kafka.plugins.module_utils.volume_content import Content, Verdict, judge

#: Refusals of what a volume carries; another instance would find the same.
CONTENT_REASONS = frozenset(
    {
        "partition_table",
        "foreign_filesystem",
        "unknown_content",
        "wrong_role",
        "id_mismatch",
        "cluster_mismatch",
        "unreadable_id",
        "unidentified_data",
    }
)


def content_of_unmounted(device: str, filesystem: str, replay: bool, run: block_device.Run) -> Content:
    """Read a filesystem through a mount of our own, which replays the journal if told so, and take the mount away.

    The directory is removed by rmdir alone: nothing here may delete what is below a mount that would not go.
    """
    path = tempfile.mkdtemp(prefix="holdfast-volume-")
    options = (block_device.REPLAY_OPTIONS if replay else block_device.READ_ONLY_OPTIONS)[filesystem]
    code, _out, err = run(["mount", "-t", filesystem, "-o", options, device, path])
    if code != 0:
        Path(path).rmdir()
        how = "to replay its journal" if replay else "read-only"
        raise DeviceError("mount_failed", f"{device} cannot be mounted {how}: {err.strip()}")
    try:
        return block_device.read_content(path)
    finally:
        code, _out, err = run(["umount", path])
        if code != 0:
            raise DeviceError(
                "mount_failed", f"the private mount of {device} at {path} cannot be undone: {err.strip()}"
            )
        Path(path).rmdir()


def accept_probe(device: str, found: block_device.Probe, filesystem: str) -> None:
    """Refuse everything but the wanted filesystem and a really blank device."""
    if found.partition_table:
        raise DeviceError("partition_table", f"{device} carries a {found.partition_table} partition table")
    if found.filesystem and found.filesystem != filesystem:
        raise DeviceError("foreign_filesystem", f"{device} carries {found.filesystem}, wanted is {filesystem}")
    if not found.filesystem and not found.zeroed:
        raise DeviceError("unknown_content", f"{device} carries no known filesystem, but its first MiB is not zero")


@dataclass
class Notes:
    """What the look did, for the answer and for a refusal."""

    journal_replayed: bool = False


def check_device(
    device: str, params: dict[str, Any], run: block_device.Run, notes: Notes, *, check_mode: bool = False
) -> dict[str, Any]:
    """The whole look at one device; a journal is replayed only after the device itself was accepted."""
    path = params["mount_path"]
    found = block_device.probe(device, run)
    accept_probe(device, found, params["filesystem"])
    code, out, _err = run(["blockdev", "--getro", device])
    if code == 0 and out.strip() == "1":
        raise DeviceError("read_only", f"{device} is read-only")
    mount = block_device.mount_of_device(device)
    if mount and mount.path != os.path.realpath(path):
        raise DeviceError("mounted_elsewhere", f"{device} is mounted at {mount.path}, wanted is {path}")
    if mount and mount.read_only:
        raise DeviceError("read_only", f"{path} is mounted read-only; the kernel does so after an I/O error")
    if not mount and (other := block_device.mounted_at(path)):
        raise DeviceError("mount_path_taken", f"{path} has {other.source} mounted, not {device}")
    if found.blank:
        return verdict_result(Verdict(blank=True), found, False, "blank")
    block_device.wait_for_uuid_link(found.uuid, params["uuid_timeout_seconds"])
    if mount:
        content = block_device.read_content(path)
    else:
        notes.journal_replayed = not check_mode and block_device.needs_replay(device, found.filesystem)
        content = content_of_unmounted(device, found.filesystem, notes.journal_replayed, run)
    verdict = judge(content, params["role"], params["node_id"])
    state = "empty" if verdict.blank else "owned"
    return verdict_result(verdict, found, mount is not None, state, bool(content.zookeeper_databases))


def check_mount(params: dict[str, Any]) -> dict[str, Any]:
    """The look at what is mounted already, whatever device it comes from."""
    path = params["mount_path"]
    mount = block_device.mounted_at(path)
    if mount is None:
        raise DeviceError("not_mounted", f"nothing is mounted at {path}; a node's data never goes to the root disk")
    if mount.read_only:
        raise DeviceError("read_only", f"{path} is mounted read-only; the kernel does so after an I/O error")
    content = block_device.read_content(path)
    verdict = judge(content, params["role"], params["node_id"])
    found = block_device.Probe(filesystem=mount.filesystem)
    state = "empty" if verdict.blank else "owned"
    return verdict_result(verdict, found, True, state, bool(content.zookeeper_databases))


def verdict_result(
    verdict: Verdict, found: block_device.Probe, mounted: bool, state: str, database: bool = False
) -> dict[str, Any]:
    """Turn a verdict into the module's answer, or into its refusal."""
    if verdict.reason:
        raise DeviceError(verdict.reason, verdict.message)
    return {
        "state": state,
        "filesystem": found.filesystem,
        "uuid": found.uuid,
        "mounted": mounted,
        "cluster_ids": list(verdict.cluster_ids),
        "zookeeper_database": database,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "device_path": {"type": "path"},
            "mount_path": {"type": "path", "required": True},
            "role": {"type": "str", "required": True, "choices": ["kafka", "zookeeper"]},
            "node_id": {"type": "int", "required": True},
            "filesystem": {"type": "str", "default": "ext4", "choices": ["ext4", "xfs"]},
            "uuid_timeout_seconds": {"type": "float", "default": 30},
        },
        supports_check_mode=True,
    )
    device, notes = module.params["device_path"], Notes()
    try:
        if device:
            result = check_device(device, module.params, module.run_command, notes, check_mode=module.check_mode)
        else:
            result = check_mount(module.params)
    except DeviceError as error:
        replayed = "Its journal was replayed, no file" if notes.journal_replayed else "Nothing"
        message = f"Volume refused: {error}. {replayed} was changed."
        verdict = {"give_up": False} if error.reason in CONTENT_REASONS else {}
        module.fail_json(msg=message, reason=error.reason, journal_replayed=notes.journal_replayed, **verdict)
    module.exit_json(**(result | {"changed": notes.journal_replayed, "journal_replayed": notes.journal_replayed}))


if __name__ == "__main__":
    main()
