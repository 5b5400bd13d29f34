# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what an operator judges identities by: pools and instance states from EC2, claims from ZooKeeper."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.holdfast.kafka.plugins.module_utils import zk_claims, zk_security
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_rules import InstanceBook
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_runner import zookeeper_hosts
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.identity_conditions import (
    Condition,
    instances_to_ask,
    judge_conditions,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import ExpectedVolumes, PoolReading
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_declared import (
    DeclaredPools,
    mismatch,
    parse_declared,
    volume_counts,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme

SECOND_LOOK_SECONDS = 2.0
#: How often claims are asked for: while a leader is elected, every server turns sessions away for some seconds.
CLAIM_ATTEMPTS = 2


class Ec2Port(Protocol):
    """What is read of EC2."""

    def read_pools(self, cluster: str, scheme: TagScheme, expected: ExpectedVolumes | None = None) -> PoolReading: ...

    def instance_states(self, instance_ids: tuple[str, ...]) -> dict[str, str]: ...


class ClaimsPort(Protocol):
    """What is done with ZooKeeper."""

    def read_all(self) -> dict[int, Claim]: ...

    def create(self, node_id: int, value: bytes) -> int: ...

    def set(self, node_id: int, value: bytes, version: int) -> int: ...

    def close(self) -> None: ...


@dataclass
class ClusterReader:
    """One look at a cluster; use as a context manager, which ends the ZooKeeper sessions."""

    ec2: Ec2Port
    scheme: TagScheme
    cluster: str
    expected: ExpectedVolumes
    declared: DeclaredPools
    grace_seconds: float
    given_hosts: list[str] | None
    open_claims: Callable[[list[str], str], ClaimsPort]
    zookeeper_port: int = zk_security.PORT
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    reading: PoolReading | None = None
    claims: dict[str, dict[int, Claim]] = field(default_factory=dict)
    _stores: dict[str, ClaimsPort] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.book = InstanceBook(self.grace_seconds)

    def __enter__(self) -> ClusterReader:
        return self

    def __exit__(self, *_error: object) -> None:
        while self._stores:
            self._stores.popitem()[1].close()

    def read_pools(self) -> PoolReading:
        """Read the pools; raise HoldfastError."""
        try:
            self.reading = self.ec2.read_pools(self.cluster, self.scheme, self.expected)
        except AwsError as error:
            raise HoldfastError(error.reason, f"The pools of {self.cluster} cannot be read: {error}.") from error
        return self.reading

    def require_declared(self, role: str) -> None:
        """Raise HoldfastError when the inventory declares whole identities otherwise, as a claim would (ADR 0013)."""
        assert self.reading is not None
        foreign = mismatch(self.reading, self.declared, role) if self.declared else None
        if foreign:
            raise HoldfastError("configuration_mismatch", foreign)

    def store(self, role: str) -> ClaimsPort:
        """Return the session of a role's claims; raise HoldfastError when nobody could be asked."""
        if role not in self._stores:
            assert self.reading is not None
            hosts = zookeeper_hosts(self.reading, self.given_hosts, self.zookeeper_port)
            if not hosts:
                text = f"The pool of {self.cluster} has no ZooKeeper identity, and zookeeper_hosts is not set."
                raise HoldfastError("zookeeper_unreachable", text)
            self._stores[role] = self.open_claims(hosts, role)
        return self._stores[role]

    def read_claims(self, role: str) -> dict[int, Claim]:
        """Read a role's claims; raise HoldfastError."""
        for attempt in range(1, CLAIM_ATTEMPTS + 1):
            try:
                self.claims[role] = self.store(role).read_all()
                break
            except zk_claims.ZkUnreachableError as error:
                if attempt == CLAIM_ATTEMPTS:
                    raise HoldfastError("zookeeper_unreachable", f"Claims cannot be read: {error}.") from error
            except zk_claims.ZkRefusedError as error:
                raise HoldfastError(error.reason, f"{error}.") from error
        return self.claims[role]

    def read_instances(self) -> InstanceBook:
        """Ask EC2 for everybody who is named; one that is not found is asked for again. Raise HoldfastError."""
        assert self.reading is not None
        asked = instances_to_ask(self.reading, self.claims)
        try:
            for last in (False, True):
                if not asked:
                    break
                asked_at = self.monotonic()
                states = self.ec2.instance_states(asked)
                self.book.note(asked, states, self.monotonic(), asked_at)
                asked = tuple(one for one in asked if one not in states)
                if asked and not last:
                    self.sleep(SECOND_LOOK_SECONDS)
        except AwsError as error:
            raise HoldfastError(error.reason, f"The holders cannot be asked for: {error}.") from error
        return self.book

    def conditions(self, role: str) -> list[Condition]:
        """Judge a role by what has been read; without claims when they were not."""
        assert self.reading is not None
        return judge_conditions(self.reading, role, self.claims.get(role), self.book, self.monotonic(), self.wall())


def make_reader(params: Mapping[str, Any], ec2: Ec2Port, scheme: TagScheme) -> ClusterReader:
    """Put a reader together from a module's parameters; raise ValueError on pools that are none."""

    chroot = zk_security.checked_chroot(params["zookeeper_chroot"], "zookeeper_chroot")
    security = zk_security.from_parameters(params)
    declared = parse_declared(params["expected_pools"])

    def open_claims(hosts: list[str], role: str) -> ClaimsPort:
        return zk_claims.ZkClaims(hosts, params["cluster"], role, chroot, security)

    return ClusterReader(
        ec2=ec2,
        scheme=scheme,
        cluster=params["cluster"],
        expected=volume_counts(declared),
        declared=declared,
        grace_seconds=params["grace_period_seconds"],
        given_hosts=zk_security.checked_hosts(params),
        zookeeper_port=zk_security.port_of(params),
        open_claims=open_claims,
    )


def claimed_roles_of(reading: PoolReading, wanted: Iterable[str]) -> list[str]:
    """Return the roles of the cluster whose holders claim in ZooKeeper."""
    present = {identity.role for identity in reading.identities} | {fault.role for fault in reading.faults}
    return [role for role in dict.fromkeys(wanted) if role in present]
