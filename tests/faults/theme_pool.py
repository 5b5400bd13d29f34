# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools whose tags lie, and volumes that are not the identity's: refused, named, mended by a person."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lab.demo import fleet
from tests.faults.model import Expected, Fault
from tests.faults.world import World

VOLUME_TAGS = {"holdfast:volume": "0"}
FOREIGN_ID = 7


@contextmanager
def _volume(world: World, zone: str) -> Iterator[str]:
    """A volume that is nobody's; deleted at the end, when nothing has it attached any more."""
    ec2 = fleet.client("ec2")
    made = str(ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"])

    def available() -> bool:
        return bool(ec2.describe_volumes(VolumeIds=[made])["Volumes"][0]["State"] == "available")

    try:
        world.await_that(f"{made} to be available", available, 60)
        yield made
    finally:
        world.await_that(f"{made} to come free", available, 120)
        ec2.delete_volume(VolumeId=made)


def _refused_then_mended(world: World, named: tuple[str, ...]) -> None:
    """The broker dies and its replacement refuses, naming the resources; nothing is touched meanwhile."""
    world.terminate_and_await_death()
    before = world.untouchables(*world.victim.volume_ids)
    first = world.next_instance()
    world.refusal(first, "pool_fault", before)
    text = world.console(first)
    world.seen.problems += [f"the refusal does not name {one}" for one in named if one not in text]


def _duplicate_tags(world: World) -> None:
    """A second ENI carries the dead broker's tags."""
    ec2 = fleet.client("ec2")
    subnet = next(
        one["subnet_id"]
        for one in json.loads(os.environ["HOLDFAST_LAB_SUBNETS"])
        if one["availability_zone"] == world.victim.availability_zone
    )
    made = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    try:
        world.tag(made, world.pool_tags())
        _refused_then_mended(world, (made, world.victim.eni_id))
    finally:
        ec2.delete_network_interface(NetworkInterfaceId=made)
    world.mended()
    world.await_return()


def _volume_elsewhere(world: World) -> None:
    """The dead broker's volume tags are on a volume of another zone."""
    own = world.victim.volume_ids[0]
    others = [one for one in ("a", "b", "c") if not world.victim.availability_zone.endswith(one)]
    with _volume(world, world.victim.availability_zone[:-1] + others[0]) as made:
        world.untag(own)
        try:
            world.tag(made, world.pool_tags(**VOLUME_TAGS))
            _refused_then_mended(world, (made, world.victim.eni_id))
        finally:
            world.untag(made)
            world.tag(own, world.pool_tags(**VOLUME_TAGS))
    world.mended()
    world.await_return()


def _write_foreign_data(world: World, volume: str) -> None:
    """Make the volume look like another broker's, on the living broker, as a mistaken operator would."""
    ec2, holder = fleet.client("ec2"), str(world.victim.instance_id)
    ec2.attach_volume(VolumeId=volume, InstanceId=holder, Device="/dev/sdp")

    def state() -> str:
        return str(ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"])

    link = f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume.replace('-', '')}"
    address = world.victim.private_ip
    fleet.ssh(address, f"for i in $(seq 100); do test -e {link} && break; sleep 0.2; done; mkfs.ext4 -q {link}")
    fleet.ssh(
        address,
        f"mkdir -p /run/foreign && mount {link} /run/foreign && mkdir /run/foreign/data && "
        f"printf 'version=0\\nbroker.id={FOREIGN_ID}\\n' >/run/foreign/data/meta.properties && "
        "sync && umount /run/foreign && rmdir /run/foreign",
    )
    ec2.detach_volume(VolumeId=volume)
    world.await_that(f"{volume} to be detached", lambda: state() == "available", 60)


def _wrong_volume(world: World, reason: str, foreign: bool) -> None:
    """The dead broker's tags are on another volume of its zone."""
    own = world.victim.volume_ids[0]
    with _volume(world, world.victim.availability_zone) as made:
        if foreign:
            _write_foreign_data(world, made)
        with world.suspended("Launch"):
            world.terminate_and_await_death()
            world.untag(own)
            world.tag(made, world.pool_tags(**VOLUME_TAGS))
        try:
            before = world.untouchables(own, made)
            first = world.next_instance()
            # The identity is its by right: what it may not do is to use, or change, that volume.
            mine = (f"the claim of {world.victim.name}", f"the attachment of {world.victim.name}")
            world.refusal(first, reason, before, but=mine)
        finally:
            world.untag(made)
            world.tag(own, world.pool_tags(**VOLUME_TAGS))
        world.mended()
        world.death = world.death_now()
        fleet.client("ec2").terminate_instances(InstanceIds=[first])
        world.await_return()


def _foreign(world: World) -> None:
    _wrong_volume(world, "id_mismatch", foreign=True)


def _blank(world: World) -> None:
    _wrong_volume(world, "refill_refused", foreign=False)


def _full(world: World) -> None:
    """The broker's disk runs full; it stops, and nobody takes its identity; a person makes room."""
    address, holder = world.victim.private_ip, str(world.victim.instance_id)

    def down() -> bool:
        return "No space left on device" in fleet.ssh(address, "journalctl -u kafka --no-pager -o cat -n 400")

    with world.lab_fault("disk_full", instance=holder, mount="/var/lib/kafka/0"):
        world.await_that("the broker to run out of space", down)
        if (str(world.holder().instance_id), world.claim()["instance_id"]) != (holder, holder):
            world.seen.problems.append("the identity went to somebody else")
    world.mended()
    restarted = time.time()
    fleet.ssh(address, "systemctl restart kafka", timeout_seconds=200)
    ensemble = [one.private_ip for one in world.ensemble()]

    def back() -> bool:
        # The registration of the process that died outlives it for as long as its session.
        return fleet.registrations(ensemble, [world.victim.node_id]).get(world.victim.node_id, 0.0) > restarted

    world.await_that("the broker to register again", back)


FAULTS = (
    Fault(
        "duplicate-tags",
        "two ENIs carry the tags of one identity",
        _duplicate_tags,
        Expected("refused", "pool_fault"),
    ),
    Fault(
        "volume-in-another-zone",
        "the identity's tags are on a volume of another Availability Zone",
        _volume_elsewhere,
        Expected("refused", "pool_fault"),
    ),
    Fault(
        "foreign-volume",
        "the identity's tags are on a volume with another broker's data",
        _foreign,
        Expected("kept", "id_mismatch"),
    ),
    Fault(
        "blank-volume",
        "the identity's tags are on a blank volume although the cluster counts on its data",
        _blank,
        Expected("kept", "refill_refused"),
    ),
    Fault(
        "disk-full",
        "the broker's data volume runs full",
        _full,
        Expected("unharmed"),
    ),
)
