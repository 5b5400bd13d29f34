# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster as seen from outside: who holds which identity, what runs there, and how ZooKeeper and Kafka are."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import boto3
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss, NoNodeError, SessionExpiredError
from kazoo.handlers.threading import KazooTimeoutError

ROLES = ("zookeeper", "kafka")
ZOOKEEPER_PORT = 2181
KAFKA_PORT = 9092
KAFKA_CHROOT = "/kafka"
CONFIGURATION = {"zookeeper": "/etc/zookeeper/zoo.cfg", "kafka": "/etc/kafka/server.properties"}
BOOT_RECORD = "/var/lib/holdfast/boot.json"


@dataclass(frozen=True)
class Holder:
    """An identity and who has it: ``instance_id`` is None while nobody does."""

    role: str
    node_id: int
    availability_zone: str
    private_ip: str
    eni_id: str
    volume_ids: tuple[str, ...]
    instance_id: str | None

    @property
    def name(self) -> str:
        """The identity in a word, as `kafka-2`."""
        return f"{self.role}-{self.node_id}"


@dataclass(frozen=True)
class Process:
    """What makes a node's process the same one: the instance, its main pid and when that pid started (clock ticks)."""

    instance_id: str
    main_pid: int
    start_ticks: int
    configuration_sha256: str


def client(service: str) -> Any:
    """A boto3 client of the lab's API; endpoint, region and keys come from the lab's environment."""
    return boto3.client(service)


def _tags(resource: dict[str, Any], key: str = "TagSet") -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in resource.get(key, [])}


def holders(cluster: str) -> list[Holder]:
    """Every identity of the cluster with its holder, by role and node id, from EC2's tags and attachments."""
    ec2 = client("ec2")
    wanted = [{"Name": "tag:holdfast:cluster", "Values": [cluster]}]
    volumes: dict[tuple[str, int], list[tuple[int, str]]] = {}
    for volume in ec2.describe_volumes(Filters=wanted)["Volumes"]:
        tags = _tags(volume, "Tags")
        place = volumes.setdefault((tags["holdfast:role"], int(tags["holdfast:node-id"])), [])
        place.append((int(tags.get("holdfast:volume", 0)), volume["VolumeId"]))
    found = []
    for eni in ec2.describe_network_interfaces(Filters=wanted)["NetworkInterfaces"]:
        tags = _tags(eni)
        if "holdfast:node-id" not in tags:
            continue
        role, node_id = tags["holdfast:role"], int(tags["holdfast:node-id"])
        found.append(
            Holder(
                role=role,
                node_id=node_id,
                availability_zone=eni["AvailabilityZone"],
                private_ip=eni["PrivateIpAddress"],
                eni_id=eni["NetworkInterfaceId"],
                volume_ids=tuple(volume for _, volume in sorted(volumes.get((role, node_id), []))),
                instance_id=eni.get("Attachment", {}).get("InstanceId"),
            )
        )
    return sorted(found, key=lambda holder: (ROLES.index(holder.role), holder.node_id))


def holder_of(cluster: str, role: str, node_id: int) -> Holder:
    """One identity; raises KeyError when the pool does not know it."""
    for holder in holders(cluster):
        if (holder.role, holder.node_id) == (role, node_id):
            return holder
    raise KeyError(f"{role}-{node_id}")


def instance(instance_id: str) -> dict[str, Any]:
    """What DescribeInstances says of one instance."""
    return client("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]


def ssh(address: str, command: str, timeout_seconds: float = 30) -> str:
    """Run a shell command as root on the instance at this address; raises OSError with its words when it fails."""
    arguments = [
        *("ssh", "-i", os.environ["HOLDFAST_LAB_KEY_FILE"], "-o", "StrictHostKeyChecking=no"),
        *(
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=5",
        ),
        *(f"admin@{address}", f"sudo -n sh -c {shlex.quote(command)}"),
    ]
    try:
        out = subprocess.run(
            arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"ssh to {address}: no answer within {timeout_seconds:.0f} s") from error
    if out.returncode != 0:
        raise OSError(f"ssh to {address}: {out.stderr.strip() or out.stdout.strip() or out.returncode}")
    return out.stdout


def running_process(holder: Holder) -> Process:
    """The service's process and the checksum of its configuration on the node that holds this identity."""
    if holder.instance_id is None:
        raise OSError(f"{holder.name} has no holder")
    # Field 20 after the command's closing parenthesis is the start time (proc(5): field 22).
    script = (
        f"pid=$(systemctl show -p MainPID --value {holder.role}); echo $pid;"
        "sed 's/.*) //' /proc/$pid/stat | cut -d' ' -f20;"
        f"sha256sum {CONFIGURATION[holder.role]} | cut -d' ' -f1"
    )
    pid, ticks, digest = ssh(holder.private_ip, script).split()
    return Process(holder.instance_id, int(pid), int(ticks), digest)


def census(cluster: str) -> dict[str, Process]:
    """Every node's process, by identity (`kafka-2`)."""
    return {holder.name: running_process(holder) for holder in holders(cluster)}


def restarted(before: dict[str, Process], after: dict[str, Process], replaced: set[str]) -> list[str]:
    """Identities outside ``replaced`` whose process is not the one it was (or is gone)."""

    def same(name: str) -> bool:
        was, now = before[name], after.get(name)
        return now is not None and (was.instance_id, was.main_pid, was.start_ticks) == (
            now.instance_id,
            now.main_pid,
            now.start_ticks,
        )

    return [name for name in before if name not in replaced and not same(name)]


def reconfigured(before: dict[str, Process], after: dict[str, Process], replaced: set[str]) -> list[str]:
    """Identities outside ``replaced`` whose configuration file is not byte for byte what it was (or is gone)."""
    return [
        name
        for name in before
        if name not in replaced
        and (name not in after or before[name].configuration_sha256 != after[name].configuration_sha256)
    ]


def boot_record(address: str) -> dict[str, str]:
    """The phases the node's boot recorded (ISO times by name); empty while there is no record."""
    try:
        text = ssh(address, f"cat {BOOT_RECORD} 2>/dev/null || echo '{{}}'", timeout_seconds=10)
    except OSError:
        return {}
    record = json.loads(text)
    phases = record.get("phases", {})
    return {str(name): str(value) for name, value in phases.items()}


# -- ZooKeeper ----------------------------------------------------------------------------------------------------
def four_letters(address: str, word: str, timeout_seconds: float = 3) -> str:
    """Send one of ZooKeeper's four letter words; empty when nobody answers."""
    try:
        with socket.create_connection((address, ZOOKEEPER_PORT), timeout=timeout_seconds) as connection:
            connection.sendall(word.encode())
            chunks = []
            while chunk := connection.recv(65536):
                chunks.append(chunk)
    except OSError:
        return ""
    return b"".join(chunks).decode(errors="replace")


def zookeeper_mode(address: str) -> str | None:
    """`leader`, `follower` or `standalone`; None when the server does not serve."""
    for line in four_letters(address, "srvr").splitlines():
        if line.startswith("Mode: "):
            return line.removeprefix("Mode: ").strip()
    return None


def quorum_missing(addresses: list[str]) -> str | None:
    """Why the ensemble is not whole (every server serves, one leads, all followers are synced); None when it is."""
    modes = {address: zookeeper_mode(address) for address in addresses}
    silent = [address for address, mode in modes.items() if mode is None]
    if silent:
        return f"not serving: {', '.join(silent)}"
    leaders = [address for address, mode in modes.items() if mode == "leader"]
    if len(leaders) != 1:
        return f"leaders: {leaders}"
    for line in four_letters(leaders[0], "mntr").splitlines():
        if line.startswith("zk_synced_followers"):
            synced = int(float(line.split()[-1]))
            return None if synced == len(addresses) - 1 else f"{synced} synced followers of {len(addresses) - 1}"
    return "the leader does not report its followers"


@contextmanager
def zookeeper(addresses: list[str]) -> Iterator[KazooClient]:
    """A client of the ensemble; raises OSError when nobody answers."""
    made = KazooClient(hosts=",".join(f"{address}:{ZOOKEEPER_PORT}" for address in addresses), timeout=10)
    try:
        try:
            made.start(timeout=5)
        except KazooTimeoutError as error:
            raise OSError(f"ZooKeeper does not answer: {error}") from error
        yield made
    except (ConnectionLoss, SessionExpiredError) as error:
        raise OSError(f"ZooKeeper went away: {error!r}") from error
    finally:
        made.stop()
        made.close()


def registrations(addresses: list[str], broker_ids: Iterable[int]) -> dict[int, float]:
    """When the brokers registered (epoch seconds, ZooKeeper's clock); one that is not registered is left out."""
    found = {}
    with zookeeper(addresses) as asked:
        for broker_id in broker_ids:
            with suppress(NoNodeError):
                found[broker_id] = float(asked.get(f"{KAFKA_CHROOT}/brokers/ids/{broker_id}")[1].ctime) / 1000
    return found


def controller_id(addresses: list[str]) -> int:
    """The active controller's broker id; raises OSError while there is none."""
    try:
        with zookeeper(addresses) as asked:
            return int(json.loads(asked.get(f"{KAFKA_CHROOT}/controller")[0])["brokerid"])
    except NoNodeError as error:
        raise OSError("there is no controller") from error


# -- Kafka --------------------------------------------------------------------------------------------------------
def bootstrap(addresses: list[str]) -> str:
    """The bootstrap list of these addresses."""
    return ",".join(f"{address}:{KAFKA_PORT}" for address in addresses)


def topics(addresses: list[str]) -> list[dict[str, Any]]:
    """All topics as the brokers describe them; raises KafkaError or OSError while none answers."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap(addresses), request_timeout_ms=10_000)
    try:
        return list(admin.describe_topics())
    finally:
        admin.close()


def isr_missing(described: list[dict[str, Any]], brokers: set[int]) -> str | None:
    """Which partitions miss one of these brokers in their ISR although it is a replica; None when none does."""
    out = []
    for topic in described:
        name = topic.get("name") or topic.get("topic")
        for partition in topic["partitions"]:
            number = partition.get("partition_index", partition.get("partition"))
            replicas = set(partition.get("replica_nodes", partition.get("replicas", ())))
            in_sync = set(partition.get("isr_nodes", partition.get("isr", ())))
            absent = (replicas & brokers) - in_sync
            if absent:
                out.append(f"{name}-{number} misses {sorted(absent)}")
    return None if not out else f"{len(out)} partitions, first {out[0]}"


def not_preferred(addresses: list[str]) -> list[str]:
    """The partitions that another replica leads than their first, as `topic-3`."""
    away = []
    for topic in topics(addresses):
        name = topic.get("name") or topic.get("topic")
        for partition in topic["partitions"]:
            number = partition.get("partition_index", partition.get("partition"))
            replicas = partition.get("replica_nodes", partition.get("replicas", ()))
            if partition.get("leader_id", partition.get("leader")) != replicas[0]:
                away.append(f"{name}-{number}")
    return sorted(away)


def replication_missing(addresses: list[str], brokers: set[int]) -> str | None:
    """Like ``isr_missing``, asked of the cluster; while nobody answers, that is what is missing."""
    try:
        return isr_missing(topics(addresses), brokers)
    except (KafkaError, OSError) as error:
        return f"no broker answers: {error}"
