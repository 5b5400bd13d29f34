# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries out the claim machine's steps against EC2 and ZooKeeper; their errors become the machine's answers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ansible_collections.holdfast.kafka.plugins.module_utils import claim_steps as steps
from ansible_collections.holdfast.kafka.plugins.module_utils import zk_claims
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_errors import Meaning
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_machine import ClaimMachine, Settings
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim, encode
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import ExpectedVolumes, PoolReading
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_declared import (
    DeclaredPools,
    mismatch,
    volume_counts,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme

ZOOKEEPER_ROLE = "zookeeper"
ZOOKEEPER_PORT = 2181


class Ec2Port(Protocol):
    """What the runner needs of EC2."""

    def read_pools(self, cluster: str, scheme: TagScheme, expected: ExpectedVolumes | None = None) -> PoolReading: ...

    def instance_states(self, instance_ids: tuple[str, ...]) -> dict[str, str]: ...

    def attach_eni(self, eni_id: str, instance_id: str, device_index: int) -> str: ...


class ClaimsPort(Protocol):
    """What the runner needs of ZooKeeper."""

    def read_all(self) -> dict[int, Claim]: ...

    def create(self, node_id: int, value: bytes) -> int: ...

    def set(self, node_id: int, value: bytes, version: int) -> int: ...

    def close(self) -> None: ...


def zookeeper_hosts(reading: PoolReading, given: list[str] | None, port: int = ZOOKEEPER_PORT) -> list[str]:
    """Return the servers to ask: as given, or the fixed addresses of the cluster's ZooKeeper pool."""
    if given:
        return given
    return [f"{item.eni.private_ip}:{port}" for item in reading.of_role(ZOOKEEPER_ROLE)]


def expected_of(role: str, declared: DeclaredPools | None, number: int | None) -> ExpectedVolumes | None:
    """Return how many volumes make the role's identities whole: as declared for each, or one number for all."""
    if declared:
        return {role: volume_counts(declared).get(role, {})}
    return None if number is None else {role: number}


@dataclass
class Runner:
    """One run; C(open_claims) makes the ZooKeeper session when the servers are known.

    C(poll_jitter) is the share by which a wait may get longer, by chance: a herd that waits does not return in step.
    """

    settings: Settings
    ec2: Ec2Port
    scheme: TagScheme
    open_claims: Callable[[list[str]], ClaimsPort]
    expected_volumes: int | None = 1
    given_hosts: list[str] | None = None
    zookeeper_port: int = ZOOKEEPER_PORT
    declared: DeclaredPools | None = None
    check_mode: bool = False
    poll_jitter: float = 0.0
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    progress: Callable[[str], None] = lambda _text: None
    reading: PoolReading | None = None
    waited: float = 0.0
    waits: list[dict[str, Any]] = field(default_factory=list)
    _claims: ClaimsPort | None = None

    def __post_init__(self) -> None:
        if self.check_mode:
            self.settings = replace(self.settings, held_wait_seconds=0.0)
        self.machine = ClaimMachine(self.settings, self.monotonic())

    def run(self) -> steps.Done | steps.Wait:
        """Run to the end; raise HoldfastError. A Wait comes back in check mode only: the real run would wait here."""
        try:
            while True:
                step = self.machine.next_step(self.monotonic())
                if isinstance(step, steps.Done):
                    return step
                if isinstance(step, steps.Fail):
                    raise HoldfastError(step.reason, step.message, waiting_for=list(step.whom))
                if isinstance(step, steps.Wait):
                    if self.check_mode and step.reason != "confirming":
                        return step
                    self._wait(step)
                self.machine.feed(self._carry_out(step), self.monotonic())
        finally:
            self.close()

    def close(self) -> None:
        """End the ZooKeeper session, if there is one."""
        if self._claims is not None:
            self._claims.close()
            self._claims = None

    def _wait(self, step: steps.Wait) -> None:
        if not self.waits or (self.waits[-1]["reason"], self.waits[-1]["whom"]) != (step.reason, list(step.whom)):
            self.waits.append({"reason": step.reason, "whom": list(step.whom), "seconds": 0.0})
            self.progress(f"waiting ({step.reason}) for {', '.join(step.whom) or 'another reading'}")
        start = self.monotonic()
        self.sleep(step.seconds * (1 + self.poll_jitter * random.random()))  # noqa: S311 (jitter)
        passed = self.monotonic() - start
        self.waited += passed
        self.waits[-1]["seconds"] = round(self.waits[-1]["seconds"] + passed, 1)

    def _carry_out(self, step: steps.Step) -> steps.Answer:
        try:
            if isinstance(step, steps.Wait):
                return steps.Waited()
            if isinstance(step, steps.ReadPool):
                return self._read_pool()
            if isinstance(step, steps.DescribeInstances):
                return steps.InstancesRead(self.ec2.instance_states(step.instance_ids))
            if isinstance(step, steps.ReadClaims):
                return self._read_claims()
            if isinstance(step, (steps.CreateClaim, steps.SetClaim)):
                return self._write_claim(step)
            if isinstance(step, steps.AttachEni):
                return self._attach(step)
        except AwsError as error:
            if error.word is Meaning.RETRY:
                return steps.Unavailable("api_error", f"EC2 did not answer: {error}.", ("EC2",))
            return steps.Refused(error.reason, f"{error}.")
        except zk_claims.ZkUnreachableError as error:
            return steps.Unavailable("zookeeper_unreachable", f"Claims cannot be read: {error}.", ("ZooKeeper",))
        except zk_claims.ZkRefusedError as error:
            return steps.Refused(error.reason, f"{error}.")
        raise TypeError(f"no such step: {step}")

    def _read_pool(self) -> steps.Answer:
        expected = expected_of(self.settings.role, self.declared, self.expected_volumes)
        self.reading = self.ec2.read_pools(self.settings.cluster, self.scheme, expected)
        foreign = mismatch(self.reading, self.declared, self.settings.role) if self.declared else None
        if foreign:
            return steps.Refused("configuration_mismatch", foreign)
        return steps.PoolRead(self.reading)

    def _claims_port(self) -> ClaimsPort:
        assert self.reading is not None
        if self._claims is None:
            hosts = zookeeper_hosts(self.reading, self.given_hosts, self.zookeeper_port)
            if not hosts:
                text = f"the pool of {self.settings.cluster} has no ZooKeeper identity and zookeeper_hosts is not set"
                raise zk_claims.ZkUnreachableError(text)
            self._claims = self.open_claims(hosts)
        return self._claims

    def _read_claims(self) -> steps.Answer:
        return steps.ClaimsRead(self._claims_port().read_all())

    def _write_claim(self, step: steps.CreateClaim | steps.SetClaim) -> steps.Answer:
        node_id = step.identity.node_id
        if self.check_mode:
            return steps.Won(0 if isinstance(step, steps.CreateClaim) else step.version + 1)
        value = encode(step.identity, self.settings.instance_id, self.wall())
        port = self._claims_port()
        try:
            if isinstance(step, steps.CreateClaim):
                return steps.Won(port.create(node_id, value))
            return steps.Won(port.set(node_id, value, step.version))
        except zk_claims.ClaimLostError:
            return steps.Lost()
        except zk_claims.ZkReplyLostError as error:
            return steps.Unknown(str(error))

    def _attach(self, step: steps.AttachEni) -> steps.Answer:
        if self.check_mode:
            return steps.Won(attachment_id="")
        try:
            attachment = self.ec2.attach_eni(
                step.identity.eni.id, self.settings.instance_id, self.settings.device_index
            )
            return steps.Won(attachment_id=attachment)
        except AwsError as error:
            answers: dict[Meaning, steps.Answer] = {
                Meaning.LOST: steps.Lost(),
                Meaning.OCCUPIED: steps.IndexOccupied(),
                Meaning.RETRY: steps.Unknown(str(error)),
                Meaning.NOT_READY: steps.Unavailable(error.reason, f"{error}.", (self.settings.instance_id,)),
                # The pool has named it a moment ago: not visible everywhere yet, or gone in the next reading.
                Meaning.NOT_FOUND: steps.Unavailable(error.reason, f"{error}.", (step.identity.eni.id,)),
            }
            text = f"{step.identity.eni.id} cannot be attached to {self.settings.instance_id}: {error}."
            return answers.get(error.word, steps.Refused(error.reason, text))
