# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words between the claim's state machine and whoever carries its steps out. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Identity, PoolReading

# ---- steps: what to do next ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReadPool:
    """Describe the cluster's interfaces and volumes."""


@dataclass(frozen=True)
class ReadClaims:
    """Read all claims of the role, no older than this moment (ZooKeeper: sync first)."""


@dataclass(frozen=True)
class DescribeInstances:
    """Ask EC2 for the states of these instances in one call."""

    instance_ids: tuple[str, ...]


@dataclass(frozen=True)
class CreateClaim:
    """Create the claim; somebody else's creation is an answer."""

    identity: Identity
    outcome: str


@dataclass(frozen=True)
class SetClaim:
    """Set the claim at exactly this version; another version is an answer."""

    identity: Identity
    version: int
    outcome: str
    previous: str | None


@dataclass(frozen=True)
class AttachEni:
    """Attach the identity's ENI to me: EC2 arbitrates."""

    identity: Identity
    outcome: str


@dataclass(frozen=True)
class Wait:
    """Wait this long, then feed Waited; C(whom) are the instances or services it is waiting for."""

    seconds: float
    reason: str
    whom: tuple[str, ...]


@dataclass(frozen=True)
class Done:
    """The identity is mine; C(claim_pending): its ENI says so, and ZooKeeper was not there to be asked."""

    identity: Identity
    outcome: str
    changed: bool
    version: int | None
    previous: str | None = None
    claim_pending: bool = False


@dataclass(frozen=True)
class Fail:
    """There is no identity for me; C(message) names the resources and what to do."""

    reason: str
    message: str
    whom: tuple[str, ...] = ()


Step = ReadPool | ReadClaims | DescribeInstances | CreateClaim | SetClaim | AttachEni | Wait | Done | Fail

# ---- answers: what came of it ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PoolRead:
    """The pool's reading."""

    reading: PoolReading


@dataclass(frozen=True)
class ClaimsRead:
    """All claims of the role by node id."""

    claims: Mapping[int, Claim]


@dataclass(frozen=True)
class InstancesRead:
    """States by instance id; an instance that was asked for and is absent here was not found."""

    states: Mapping[str, str]


@dataclass(frozen=True)
class Won:
    """The write happened; the claim's version, or the attachment's id."""

    version: int | None = None
    attachment_id: str | None = None


@dataclass(frozen=True)
class Lost:
    """Somebody else was faster."""


@dataclass(frozen=True)
class IndexOccupied:
    """My device index carries an interface already."""


@dataclass(frozen=True)
class Unknown:
    """The reply of a write was lost: it may have happened."""

    detail: str


@dataclass(frozen=True)
class Unavailable:
    """A read could not be had now, but may be later; C(reason) becomes the failure's word."""

    reason: str
    detail: str
    whom: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """The service refused for good; C(reason) becomes the failure's word."""

    reason: str
    message: str


@dataclass(frozen=True)
class Waited:
    """The wait is over."""


Answer = PoolRead | ClaimsRead | InstancesRead | Won | Lost | IndexOccupied | Unknown | Unavailable | Refused | Waited


@dataclass(frozen=True)
class Attempt:
    """One try for an identity, kept for the report."""

    node_id: int
    action: str
    result: str
