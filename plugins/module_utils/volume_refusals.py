# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every reason for which a data volume is refused: what is wrong, what a person can do, and who would find the same.

Pure, and one table; the README of the role data_volume shows it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """C(kept): another instance would find the same on the volume, so a boot keeps the one that found it."""

    reason: str
    what: str
    advice: str
    kept: bool = False


_OWN = "Attach the volume that belongs to this identity, or correct the volume's tags"
_LOOK = "Look at it on another instance; a volume that may be used anew has to be wiped (wipefs) or replaced by hand"
_REPAIR = "Take a snapshot, then repair it on another instance (e2fsck, xfs_repair), or restore an older snapshot"
_HOST = "Look who mounted it and unmount it by hand"

REFUSALS: tuple[Refusal, ...] = (
    Refusal("id_mismatch", "`meta.properties` or `myid` belongs to another node", _OWN, kept=True),
    Refusal("wrong_role", "a broker's data for a ZooKeeper server, or the other way round", _OWN, kept=True),
    Refusal("cluster_mismatch", "log directories of several Kafka clusters", _OWN, kept=True),
    Refusal("duplicate_directory", "two log directories with one `directory.id`: a copied volume", _OWN, kept=True),
    Refusal("unreadable_id", "`meta.properties` or `myid` names no id", _REPAIR, kept=True),
    Refusal("unidentified_data", "partitions or a database without `meta.properties` or `myid`", _REPAIR, kept=True),
    Refusal("partition_table", "a partition table", _LOOK, kept=True),
    Refusal("foreign_filesystem", "another filesystem, or a part of a LVM, RAID or LUKS volume", _LOOK, kept=True),
    Refusal(
        "unknown_content",
        "no filesystem and bytes that are not zero, or files that are nobody's data",
        _LOOK,
        kept=True,
    ),
    Refusal(
        "data_elsewhere",
        "the node's data, but not in the directory `data` of the volume, where the service would begin with nothing",
        "No variable names another directory: take a snapshot, mount the volume on another instance and move the whole "
        "data directory to `data`, or remove what is left over",
        kept=True,
    ),
    Refusal(
        "duplicate_uuid",
        "another device on this host has a filesystem of the same UUID, as the copy made from a snapshot has",
        "Detach the copy, or give it another UUID (tune2fs -U random, xfs_admin -U generate)",
        kept=True,
    ),
    Refusal(
        "symlink",
        "a symbolic link among the data, or as the mount point",
        "Copy what it points to onto the volume in the link's place, or remove the link",
        kept=True,
    ),
    Refusal(
        "wrong_owner",
        "files that belong to another uid than the service's, as after a change of the image",
        "Bake the image with the uid of the data, or set data_volume_owner_repair for one boot",
        kept=True,
    ),
    Refusal(
        "volume_full",
        "less space or fewer inodes left than a start needs",
        "Enlarge the EBS volume and its filesystem (resize2fs, xfs_growfs), or lower data_volume_free_min_bytes and "
        "data_volume_free_min_inodes",
        kept=True,
    ),
    Refusal(
        "corrupt_filesystem", "the filesystem has recorded errors, or its structure is damaged", _REPAIR, kept=True
    ),
    Refusal("mount_failed", "the filesystem cannot be mounted", _REPAIR, kept=True),
    Refusal("unmount_failed", "the private mount for the look cannot be undone", _HOST),
    Refusal(
        "read_failed",
        "the device answers with errors",
        "Look at the volume's status in EC2 (impaired?) and at the kernel's log, then run this again",
    ),
    Refusal(
        "read_only",
        "the device, or what is mounted from it, is read-only; the kernel does so after an I/O error",
        "Look at the kernel's log; a filesystem with errors has to be repaired before it is mounted again. A look that "
        "was killed leaves its device read-only: blockdev --setrw",
    ),
    Refusal("mounted_elsewhere", "the device is mounted at another place", _HOST),
    Refusal("mount_path_taken", "another device is mounted at the mount point", _HOST),
    Refusal(
        "mount_path_not_empty",
        "files at the mount point while nothing is mounted there; the mount would hide them",
        "Somebody wrote them beside the volume: move them away after a look",
    ),
    Refusal(
        "not_mounted",
        "nothing is mounted where the data should be",
        "Run the boot again: systemctl restart holdfast-boot",
    ),
    Refusal(
        "device_missing",
        "the block device is not there",
        "Look whether EC2 shows the volume as attached to this instance",
    ),
    Refusal("not_a_block_device", "the path is no block device", "Correct device_path"),
    Refusal(
        "probe_failed", "blkid cannot read the device", "Look at the kernel's log and at the volume's status in EC2"
    ),
    Refusal("uuid_link_missing", "udev has not named the filesystem in time", "Look at udev, then run this again"),
)

BY_REASON = {refusal.reason: refusal for refusal in REFUSALS}
#: Refusals of what a volume carries.
KEPT = frozenset(refusal.reason for refusal in REFUSALS if refusal.kept)


def advice(reason: str) -> str:
    """Return what a person can do about a refusal."""
    return BY_REASON[reason].advice


def table() -> list[str]:
    """Return the lines of the table in the README of the role data_volume."""
    lines = ["| reason | what is wrong | what to do | the instance is |", "|---|---|---|---|"]
    for item in REFUSALS:
        end = "kept" if item.kept else "replaced"
        lines.append(f"| `{item.reason}` | {item.what} | {item.advice} | {end} |")
    return lines
