# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a data volume says about whose it is, and whether that agrees with a claim. Pure: reads nothing itself.

The reader (C(data_volume_check)) hands over the texts of C(meta.properties) and C(myid); this file only compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

#: Directory entries which say nothing about an owner.
_NEUTRAL = frozenset({"lost+found"})
#: Where the services keep their data, relative to the volume: what the roles kafka and zookeeper configure.
DATA_DIRECTORY = "data"
#: What a broker that ended before it was registered leaves: it writes meta.properties only after that.
_BROKER_LEFTOVERS = frozenset({".lock", ".kafka_cleanshutdown", "meta.properties.tmp"})


@dataclass(frozen=True)
class Content:
    """What was found on one volume. Paths are relative to the volume's root."""

    #: text of every meta.properties by the directory that holds it
    kafka_meta: dict[str, str] = field(default_factory=dict)
    #: text of every myid by the directory that holds it
    zookeeper_myid: dict[str, str] = field(default_factory=dict)
    #: Kafka partition directories (they hold *.log files) whose log directory has no meta.properties
    kafka_orphans: tuple[str, ...] = ()
    #: ZooKeeper version-2 directories with files in them, whose data directory has no myid
    zookeeper_orphans: tuple[str, ...] = ()
    #: data directories that hold a ZooKeeper database (snapshots or transaction logs); myid alone is none
    zookeeper_databases: tuple[str, ...] = ()
    #: what neither a filesystem nor a service that never got to its data leaves behind
    strangers: tuple[str, ...] = ()
    #: symbolic links, each with its target; what is behind them was not read
    links: tuple[str, ...] = ()
    #: entries by the uid that owns them, one for each uid
    owners: dict[int, str] = field(default_factory=dict)
    #: space and inodes that are left for the service
    free_bytes: int = 0
    free_inodes: int = 0

    @property
    def blank(self) -> bool:
        """True when nothing on the volume names, or is known as the data of, a Kafka or ZooKeeper node."""
        return not (self.kafka_meta or self.zookeeper_myid or self.kafka_orphans or self.zookeeper_orphans)


@dataclass(frozen=True)
class Verdict:
    """The answer for one volume: C(reason) is empty when the volume may be used by the claim."""

    reason: str = ""
    message: str = ""
    blank: bool = False
    node_id: int | None = None
    cluster_ids: tuple[str, ...] = ()
    directory_ids: tuple[str, ...] = ()


def parse_properties(text: str) -> dict[str, str]:
    """Read the simple C(key=value) form that Kafka writes in meta.properties."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped[0] in "#!" or "=" not in stripped:
            continue
        key, _sep, value = stripped.partition("=")
        values[key.strip()] = value.strip()
    return values


def relevant(names: list[str]) -> list[str]:
    """Directory entries without those that every filesystem has."""
    return sorted(name for name in names if name not in _NEUTRAL)


def leftover(name: str) -> bool:
    """Whether a file in the data directory may be there before any data: a start that was cut short left it."""
    checkpoint = name.removesuffix(".tmp").endswith("-checkpoint")
    return name in _BROKER_LEFTOVERS or checkpoint or name.startswith(".ansible_tmp")


def judge(content: Content, role: str, node_id: int, directory: str = DATA_DIRECTORY) -> Verdict:
    """Compare a volume's content with the claim of C(node_id) in C(role) (C(kafka) or C(zookeeper)).

    The service will use C(directory), and would begin with nothing beside data that lie anywhere else.
    """
    other = content.zookeeper_myid if role == "kafka" else content.kafka_meta
    other_orphans = content.zookeeper_orphans if role == "kafka" else content.kafka_orphans
    if other or other_orphans:
        where = sorted([*other, *other_orphans])[0]
        whose = "ZooKeeper" if role == "kafka" else "Kafka"
        return Verdict("wrong_role", f"the volume carries {whose} data in '{where}', the claim is for {role} {node_id}")
    if content.links:
        return Verdict(
            "symlink", f"'{content.links[0]}' is a symbolic link, and data behind it would not be the volume's"
        )
    if content.blank and content.strangers:
        return Verdict(
            "unknown_content", f"'{content.strangers[0]}' is on the volume, and no {role} data that say whose it is"
        )
    if content.blank:
        return Verdict(blank=True)
    verdict = _judge_kafka(content, node_id) if role == "kafka" else _judge_zookeeper(content, node_id)
    return verdict if verdict.reason else _judge_place(content, verdict, role, directory)


def _judge_place(content: Content, verdict: Verdict, role: str, directory: str) -> Verdict:
    name, found = ("meta.properties", content.kafka_meta) if role == "kafka" else ("myid", content.zookeeper_myid)
    elsewhere = sorted(set(found) - {directory})
    if elsewhere:
        return Verdict(
            "data_elsewhere",
            f"'{path_of(elsewhere[0], name)}' is on the volume, and the service would use '{path_of(directory, name)}'",
        )
    return verdict


def path_of(directory: str, name: str) -> str:
    """Return a path on the volume without the dot that stands for its root."""
    return name if directory == "." else f"{directory}/{name}"


def judge_owner(content: Content, uid: int, user: str) -> Verdict:
    """Refuse data that the service could not write; who owns them is never changed on the way."""
    foreign = {owner: path for owner, path in content.owners.items() if owner != uid}
    if not foreign or content.blank:
        return Verdict()
    owner, path = sorted(foreign.items())[0]
    return Verdict("wrong_owner", f"'{path}' belongs to uid {owner}, and the service runs as {user} (uid {uid})")


def judge_space(content: Content, least_bytes: int, least_inodes: int) -> Verdict:
    """Refuse a volume on which a start would fail for lack of space or inodes."""
    if content.free_bytes < least_bytes:
        return Verdict("volume_full", f"{content.free_bytes} bytes are free, a start needs {least_bytes}")
    if content.free_inodes < least_inodes:
        return Verdict("volume_full", f"{content.free_inodes} inodes are free, a start needs {least_inodes}")
    return Verdict()


def judge_cluster(volume_ids: Sequence[str], cluster_id: str | None, unknown_allowed: bool = False) -> Verdict:
    """Compare the cluster ids on a broker's volumes with the one in ZooKeeper (C(None): ZooKeeper has none).

    Kafka compares them too, after its start, and ends; systemd then starts it again for ever.
    """
    for found in volume_ids:
        if cluster_id is None and not unknown_allowed:
            return Verdict(
                "cluster_id_unknown",
                f"the volumes belong to the Kafka cluster {found}, and ZooKeeper knows no cluster here: "
                "it was lost or built anew, or the chroot is another one",
            )
        if cluster_id is not None and found != cluster_id:
            return Verdict(
                "cluster_id_mismatch",
                f"the volumes belong to the Kafka cluster {found}, the cluster in ZooKeeper is {cluster_id}",
            )
    return Verdict(cluster_ids=tuple(volume_ids))


def _judge_kafka(content: Content, node_id: int) -> Verdict:
    clusters: set[str] = set()
    directories: dict[str, str] = {}
    for directory, text in sorted(content.kafka_meta.items()):
        meta = parse_properties(text)
        found = meta.get("broker.id", meta.get("node.id"))
        if found is None or not found.lstrip("-").isdigit():
            return Verdict("unreadable_id", f"'{directory}/meta.properties' names no broker.id or node.id")
        if int(found) != node_id:
            return Verdict(
                "id_mismatch", f"'{directory}/meta.properties' says broker.id={found}, the claim says {node_id}"
            )
        if "cluster.id" in meta:
            clusters.add(meta["cluster.id"])
        copied = directories.setdefault(meta.get("directory.id", directory), directory)
        if copied != directory:
            same = meta["directory.id"]
            return Verdict("duplicate_directory", f"'{copied}' and '{directory}' both have the directory.id {same}")
    if len(clusters) > 1:
        return Verdict("cluster_mismatch", f"log directories of several clusters: {', '.join(sorted(clusters))}")
    if content.kafka_orphans:
        return Verdict(
            "unidentified_data",
            f"Kafka partitions in '{content.kafka_orphans[0]}' whose log directory has no meta.properties",
        )
    named = tuple(sorted(name for name, directory in directories.items() if name != directory))
    return Verdict(node_id=node_id, cluster_ids=tuple(sorted(clusters)), directory_ids=named)


def _judge_zookeeper(content: Content, node_id: int) -> Verdict:
    for directory, text in sorted(content.zookeeper_myid.items()):
        found = text.strip()
        if not found.isdigit():
            return Verdict("unreadable_id", f"'{directory}/myid' is not a number: {found[:20]!r}")
        if int(found) != node_id:
            return Verdict("id_mismatch", f"'{directory}/myid' says {found}, the claim says {node_id}")
    if content.zookeeper_orphans:
        return Verdict(
            "unidentified_data", f"ZooKeeper data in '{content.zookeeper_orphans[0]}' whose directory has no myid"
        )
    return Verdict(node_id=node_id)
