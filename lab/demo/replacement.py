# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Terminate the holder of an identity through the EC2 API and watch the next instance come back as it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lab.demo import evidence, fleet, timeline
from lab.demo.fleet import Holder
from lab.demo.stage import Say, wait_until

# A replacement's bound; with the lab's shortest delays it takes a fraction of it.
REPLACE_TIMEOUT_SECONDS = 300
SAY_EVERY_SECONDS = 10


@dataclass(frozen=True)
class Replacement:
    """One identity before and after, and how long it took."""

    role: str
    node_id: int
    terminated_instance: str
    replacement_instance: str
    ip_before: str
    ip_after: str
    volume_before: str
    volume_after: str
    replace_seconds: float
    holdfast_seconds: float | None
    phases: dict[str, float | None] = field(default_factory=dict)

    @property
    def same_identity(self) -> bool:
        """Whether another instance has the same address and the same volume."""
        return (
            self.replacement_instance != self.terminated_instance
            and self.ip_before == self.ip_after
            and self.volume_before == self.volume_after
        )


@dataclass(frozen=True)
class Death:
    """A termination that was asked for: the identity as it was and when EC2 accepted it (epoch seconds)."""

    before: Holder
    at: float


def terminate(*identities: Holder) -> list[Death]:
    """Terminate the holders at once (one call), as an operator or a spot reclaim would."""
    instance_ids = [identity.instance_id for identity in identities if identity.instance_id]
    if len(instance_ids) != len(identities):
        raise ValueError("an identity without a holder cannot lose it")
    at = time.time()
    fleet.client("ec2").terminate_instances(InstanceIds=instance_ids)
    return [Death(identity, at) for identity in identities]


def _by_role(holders: list[Holder], role: str) -> list[str]:
    return [holder.private_ip for holder in holders if holder.role == role]


def missing(cluster: str, death: Death) -> str | None:
    """What the identity still lacks to be back (a new holder, its service, the quorum, the ISR); None when nothing."""
    before = death.before
    now = fleet.holders(cluster)
    after = next(holder for holder in now if (holder.role, holder.node_id) == (before.role, before.node_id))
    if after.instance_id in (None, before.instance_id):
        return f"{before.name} has no new holder"
    ensemble = _by_role(now, "zookeeper")
    if before.role == "zookeeper":
        if fleet.zookeeper_mode(before.private_ip) is None:
            return f"{after.instance_id} holds {before.name} but does not serve"
        return fleet.quorum_missing(ensemble)
    try:
        registered = fleet.registrations(ensemble, [before.node_id]).get(before.node_id, 0.0)
    except OSError as error:
        return str(error)
    # A registration from before the death is the dead broker's: only a younger one counts.
    if registered <= death.at:
        return f"{after.instance_id} holds {before.name} but is not registered"
    return fleet.replication_missing(_by_role(now, "kafka"), {before.node_id})


def all_missing(cluster: str, deaths: list[Death]) -> str | None:
    """The first thing that keeps one of the dead from being back; None when all are."""
    return next((reason for death in deaths if (reason := missing(cluster, death))), None)


def _volume(holder: Holder) -> str:
    """The volumes that are attached to the identity's holder, by EC2's word (not by the pool's tags)."""
    if holder.instance_id is None:
        return ""
    found = fleet.client("ec2").describe_volumes(
        Filters=[{"Name": "attachment.instance-id", "Values": [holder.instance_id]}]
    )["Volumes"]
    return ",".join(sorted(volume["VolumeId"] for volume in found if volume["VolumeId"] in holder.volume_ids))


def await_return(cluster: str, death: Death, volume_before: str, say: Say) -> Replacement:
    """Wait until the identity is back and describe what happened."""
    last_said = 0.0

    def still_missing() -> str | None:
        nonlocal last_said
        reason = missing(cluster, death)
        if reason and time.time() - last_said >= SAY_EVERY_SECONDS:
            last_said = time.time()
            say(f"    {time.time() - death.at:5.0f} s  {reason}")
        return reason

    wait_until(
        f"the return of {death.before.name}",
        still_missing,
        REPLACE_TIMEOUT_SECONDS,
        evidence=lambda: evidence.of_the_vacant(cluster),
    )
    whole = time.time()
    after = fleet.holder_of(cluster, death.before.role, death.before.node_id)
    boot = fleet.boot_record(after.private_ip)
    eni = fleet.client("ec2").describe_network_interfaces(NetworkInterfaceIds=[after.eni_id])["NetworkInterfaces"][0]
    return Replacement(
        role=after.role,
        node_id=after.node_id,
        terminated_instance=str(death.before.instance_id),
        replacement_instance=str(after.instance_id),
        ip_before=death.before.private_ip,
        ip_after=eni["PrivateIpAddress"],
        volume_before=volume_before,
        volume_after=_volume(after),
        replace_seconds=round(whole - death.at, 1),
        holdfast_seconds=timeline.own_part(boot),
        phases=timeline.phases(after.role, death.at, boot, whole),
    )


def replace(cluster: str, choose: Callable[[], list[Holder]], say: Say) -> list[Replacement]:
    """Terminate the chosen identities' holders at once and wait for all of them to be back."""
    chosen = choose()
    volumes = {holder.name: _volume(holder) for holder in chosen}
    for holder in chosen:
        say(f"terminating {holder.instance_id}, which is {holder.name} at {holder.private_ip}")
    deaths = terminate(*chosen)
    return [await_return(cluster, death, volumes[death.before.name], say) for death in deaths]
