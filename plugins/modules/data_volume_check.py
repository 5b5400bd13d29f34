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
  - An unmounted filesystem is looked at through a private, read-only mount that is gone when the module ends. For its
    time the device is read-only to the kernel as well, which would note an error that it meets on the device.
  - Changes no file. Where a filesystem was not unmounted in order (its node died), what was written last is only in its
    journal; the private mount is then a writable one, which replays the journal, as the mount for the service would.
    This happens only after the device was accepted, and not in check mode, which may therefore miss those files.
  - A journal that has to be replayed is looked past first. What names another owner already then is refused unreplayed.
  - A device is blank only when C(blkid) finds nothing on it B(and) its first and last MiB, the places of second
    superblocks and samples in between are zero. A filesystem of another kind, a partition table, a part of a LVM, RAID
    or LUKS volume, or bytes of unknown meaning are refused, never overwritten.
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
  data_directory:
    description:
      - The directory on the volume, relative to it, that the service will use.
      - A node's data anywhere else on the volume are refused, for the service would begin with nothing beside them.
    type: str
    default: data
  mount_required:
    description: Whether O(device_path) must be mounted at O(mount_path) already, as after the mount.
    type: bool
    default: false
  filesystem:
    description: The filesystem that a volume must carry unless it is blank.
    type: str
    default: ext4
    choices: [ext4, xfs]
  owner:
    description:
      - The user whom the data must belong to. A uid that differs between two images is refused, never repaired here.
      - Looks at the data directories, at all their entries and at one file in each. Without it, nobody is compared.
    type: str
  free_min_bytes:
    description: How much space must be left for a start, in bytes.
    type: int
    default: 0
  free_min_inodes:
    description: How many inodes must be left for a start.
    type: int
    default: 0
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
    - V(blank) (no filesystem), V(empty) (a filesystem with nothing on it but what a start without data left behind) or
      V(owned) (the claimed node's data).
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
directory_ids:
  description: The C(directory.id) of each log directory that has one; two volumes with the same are copies.
  returned: success
  type: list
  elements: str
zookeeper_database:
  description: Whether a ZooKeeper database (a snapshot or a transaction log) was found in O(data_directory).
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
    - Why the volume was refused; the message says what can be done, and the role's README has them all.
    - Of what it carries, V(wrong_role), V(id_mismatch), V(cluster_mismatch), V(duplicate_directory), V(unreadable_id),
      V(unidentified_data), V(symlink), V(wrong_owner), V(volume_full), V(partition_table), V(foreign_filesystem),
      V(unknown_content), V(data_elsewhere), V(duplicate_uuid), V(corrupt_filesystem) and V(mount_failed).
    - Of the device and the host, V(device_missing), V(not_a_block_device), V(probe_failed), V(read_failed),
      V(read_only), V(mounted_elsewhere), V(not_mounted), V(mount_path_taken), V(mount_path_not_empty),
      V(unmount_failed) and V(uuid_link_missing); V(bad_parameter) speaks of the call.
  returned: failure
  type: str
  sample: id_mismatch
"""

import os
import pwd
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import block_device, volume_refusals
from ansible_collections.holdfast.kafka.plugins.module_utils.block_device import DeviceError
from ansible_collections.holdfast.kafka.plugins.module_utils.number_bounds import require_numbers
from ansible_collections.holdfast.kafka.plugins.module_utils.volume_content import (
    DATA_DIRECTORY,
    Content,
    Verdict,
    judge,
    judge_owner,
    judge_space,
)

#: What an unreplayed filesystem may be refused for: an older word on whose it is, which the journal does not take back.
KNOWN_UNREPLAYED = frozenset({"id_mismatch", "wrong_role"})


@dataclass
class Notes:
    """What the look did, for the answer and for a refusal."""

    journal_replayed: bool = False


@contextmanager
def held_read_only(device: str, run: block_device.Run) -> Iterator[None]:
    """Let the kernel write nothing to the device: ext4 notes an error that it meets even under a read-only mount."""
    code, _out, err = run(["blockdev", "--setro", device])
    if code != 0:
        raise DeviceError("probe_failed", f"{device} cannot be made read-only for the look: {err.strip()}")
    try:
        yield
    finally:
        code, _out, err = run(["blockdev", "--setrw", device])
        if code != 0:
            raise DeviceError("read_only", f"{device} stays read-only after the look: {err.strip()}")


def content_of_unmounted(device: str, params: dict[str, Any], run: block_device.Run) -> Content:
    """Read a filesystem as it lies there, without its journal."""
    with held_read_only(device, run):
        return content_through_mount(device, params, block_device.READ_ONLY_OPTIONS, run)


def content_through_mount(
    device: str, params: dict[str, Any], options_by_filesystem: dict[str, str], run: block_device.Run
) -> Content:
    """Read a filesystem through a mount of our own, and take the mount away.

    The directory is removed by rmdir alone: nothing here may delete what is below a mount that would not go.
    """
    filesystem, data_directory = params["filesystem"], params["data_directory"]
    options = options_by_filesystem[filesystem]
    path = tempfile.mkdtemp(prefix="holdfast-volume-")
    code, _out, err = run(["mount", "-t", filesystem, "-o", options, device, path])
    if code != 0:
        Path(path).rmdir()
        raise DeviceError("mount_failed", f"{device} cannot be mounted ({options}): {err.strip()}")
    try:
        return block_device.read_content(path, data_directory)
    finally:
        code, _out, err = run(["umount", path])
        if code != 0:
            raise DeviceError(
                "unmount_failed", f"the private mount of {device} at {path} cannot be undone: {err.strip()}"
            )
        Path(path).rmdir()


def content_of_crashed(device: str, params: dict[str, Any], run: block_device.Run, notes: Notes) -> Content:
    """Read a filesystem whose journal has to be replayed, but not for what is clear without it; raise DeviceError.

    The look past the journal may see half of a change: only an owner's name is believed, and nothing that fails.
    """
    try:
        early = judge(content_of_unmounted(device, params, run), params["role"], params["node_id"])
    except DeviceError as error:
        if error.reason in ("unmount_failed", "read_only"):
            raise
        early = Verdict()
    if early.reason in KNOWN_UNREPLAYED:
        raise DeviceError(early.reason, early.message)
    notes.journal_replayed = True
    return content_through_mount(device, params, block_device.REPLAY_OPTIONS, run)


def accept_probe(device: str, found: block_device.Probe, filesystem: str) -> None:
    """Refuse everything but the wanted filesystem and a really blank device."""
    if found.partition_table:
        raise DeviceError("partition_table", f"{device} carries a {found.partition_table} partition table")
    if found.filesystem and found.filesystem != filesystem:
        raise DeviceError("foreign_filesystem", f"{device} carries {found.filesystem}, wanted is {filesystem}")
    if not found.filesystem and not found.zeroed:
        raise DeviceError("unknown_content", f"{device} carries no known filesystem, and not only zeroes")


def require_mount_point(path: str) -> None:
    """Refuse a mount point that leads elsewhere, or under which something would disappear."""
    if Path(path).is_symlink():
        raise DeviceError("symlink", f"the mount point {path} is a symbolic link to {Path(path).readlink()}")
    if Path(path).is_dir() and (hidden := sorted(entry.name for entry in Path(path).iterdir())):
        raise DeviceError("mount_path_not_empty", f"nothing is mounted at {path}, and yet it holds {hidden[0]}")


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
        raise DeviceError("read_only", f"{path} is mounted read-only")
    if not mount and (other := block_device.mounted_at(path)):
        raise DeviceError("mount_path_taken", f"{path} has {other.source} mounted, not {device}")
    if not mount and params["mount_required"]:
        raise DeviceError("not_mounted", f"{device} is not mounted at {path}; a node's data never go to the root disk")
    if not mount:
        require_mount_point(path)
    if found.blank:
        return answer(False, Verdict(blank=True), found, False, "blank")
    block_device.require_single(found.uuid, device, run)
    block_device.wait_for_uuid_link(found.uuid, params["uuid_timeout_seconds"])
    if mount:
        content = block_device.read_content(path, params["data_directory"])
    elif block_device.needs_replay(device, found.filesystem, run) and not check_mode:
        content = content_of_crashed(device, params, run, notes)
    else:
        content = content_of_unmounted(device, params, run)
    return judged(content, params, found, mounted=mount is not None)


def check_mount(params: dict[str, Any]) -> dict[str, Any]:
    """The look at what is mounted already, whatever device it comes from."""
    path = params["mount_path"]
    mount = block_device.mounted_at(path)
    if mount is None:
        raise DeviceError("not_mounted", f"nothing is mounted at {path}; a node's data never goes to the root disk")
    if mount.read_only:
        raise DeviceError("read_only", f"{path} is mounted read-only")
    content = block_device.read_content(path, params["data_directory"])
    return judged(content, params, block_device.Probe(filesystem=mount.filesystem), mounted=True)


def judged(content: Content, params: dict[str, Any], found: block_device.Probe, *, mounted: bool) -> dict[str, Any]:
    """Judge what was read: whose it is, who owns the files, whether a start has room."""
    verdict = judge(content, params["role"], params["node_id"], params["data_directory"])
    further = [judge_space(content, params["free_min_bytes"], params["free_min_inodes"])]
    if params["owner"]:
        further.insert(0, judge_owner(content, pwd.getpwnam(params["owner"]).pw_uid, params["owner"]))
    refused = next((item for item in [verdict, *further] if item.reason), None)
    if refused:
        raise DeviceError(refused.reason, refused.message)
    database = params["data_directory"] in content.zookeeper_databases
    return answer(database, verdict, found, mounted, "empty" if verdict.blank else "owned")


def answer(database: bool, verdict: Verdict, found: block_device.Probe, mounted: bool, state: str) -> dict[str, Any]:
    """Return the module's answer."""
    return {
        "state": state,
        "filesystem": found.filesystem,
        "uuid": found.uuid,
        "mounted": mounted,
        "cluster_ids": list(verdict.cluster_ids),
        "directory_ids": list(verdict.directory_ids),
        "zookeeper_database": database,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "device_path": {"type": "path"},
            "mount_path": {"type": "path", "required": True},
            "role": {"type": "str", "required": True, "choices": ["kafka", "zookeeper"]},
            "node_id": {"type": "int", "required": True},
            "data_directory": {"type": "str", "default": DATA_DIRECTORY},
            "mount_required": {"type": "bool", "default": False},
            "filesystem": {"type": "str", "default": "ext4", "choices": ["ext4", "xfs"]},
            "owner": {"type": "str"},
            "free_min_bytes": {"type": "int", "default": 0},
            "free_min_inodes": {"type": "int", "default": 0},
            "uuid_timeout_seconds": {"type": "float", "default": 30},
        },
        supports_check_mode=True,
    )
    device, notes = module.params["device_path"], Notes()
    try:
        require_numbers(module.params, ["uuid_timeout_seconds"], 0)
        if module.params["owner"]:
            pwd.getpwnam(module.params["owner"])
    except KeyError:
        module.fail_json(msg=f"owner {module.params['owner']} is no user of this host.", reason="bad_parameter")
    except ValueError as error:
        module.fail_json(msg=f"{error}.", reason="bad_parameter")
    try:
        if device:
            result = check_device(device, module.params, module.run_command, notes, check_mode=module.check_mode)
        else:
            result = check_mount(module.params)
    except DeviceError as error:
        replayed = "Its journal was replayed, no file" if notes.journal_replayed else "Nothing"
        message = f"Volume refused: {error}. {replayed} was changed. {volume_refusals.advice(error.reason)}."
        verdict = {"give_up": False} if error.reason in volume_refusals.KEPT else {}
        module.fail_json(msg=message, reason=error.reason, journal_replayed=notes.journal_replayed, **verdict)
    module.exit_json(**(result | {"changed": notes.journal_replayed, "journal_replayed": notes.journal_replayed}))


if __name__ == "__main__":
    main()
