# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One claimant, in a process of its own: the collection's claim code as it is, over kazoo, and its verdict as a line.

EC2's describes are answered from a recording of the strict EC2's own answers, after a pause as long as EC2's: a
hundred processes that all ask one simulated EC2 would measure the simulation. The boots (see C(boot)) ask it over HTTP.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.claim_machine import Settings
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_runner import ClaimsPort, Runner
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_steps import Done
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import ExpectedVolumes, PoolReading, build_pools
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_claims import ZkClaims
from ansible_collections.holdfast.kafka.plugins.modules.node_id_claim import POLL_JITTER


@dataclass(frozen=True)
class Job:
    """What all claimants of a round have in common."""

    cluster: str
    role: str
    zone: str
    hosts: tuple[str, ...]
    interfaces: list[dict[str, Any]]
    volumes: list[dict[str, Any]]
    states: Mapping[str, str]
    ec2_call_seconds: float
    timeout_seconds: float
    poll_seconds: float


@dataclass
class RecordedEc2:
    """EC2 as it answered once, counted; a claim by ZooKeeper writes nothing to EC2, so the answers stay true."""

    job: Job
    requests: list[str] = field(default_factory=list)

    def _ask(self, operation: str) -> None:
        self.requests.append(operation)
        time.sleep(self.job.ec2_call_seconds)

    def read_pools(self, cluster: str, scheme: TagScheme, expected: ExpectedVolumes | None = None) -> PoolReading:
        """Build the pools from the recorded answers, as the collection does."""
        self._ask("DescribeNetworkInterfaces")
        self._ask("DescribeVolumes")
        return build_pools(cluster, self.job.interfaces, self.job.volumes, scheme, expected)

    def instance_states(self, instance_ids: tuple[str, ...]) -> dict[str, str]:
        """Return the recorded states."""
        self._ask("DescribeInstances")
        return {name: self.job.states[name] for name in instance_ids if name in self.job.states}

    def attach_eni(self, eni_id: str, instance_id: str, device_index: int) -> str:
        """No claim by ZooKeeper attaches anything."""
        raise AssertionError(f"{instance_id} attaches {eni_id} during a claim")


class DyingClaims:
    """The claims of a process that is killed right before or right after its first write."""

    def __init__(self, claims: ZkClaims, die_at: str) -> None:
        self._claims = claims
        self._die_at = die_at

    def read_all(self) -> Any:
        return self._claims.read_all()

    def create(self, node_id: int, value: bytes) -> int:
        return self._write(lambda: self._claims.create(node_id, value))

    def set(self, node_id: int, value: bytes, version: int) -> int:
        return self._write(lambda: self._claims.set(node_id, value, version))

    def close(self) -> None:
        self._claims.close()

    def _write(self, write: Callable[[], int]) -> int:
        if self._die_at == "before_write":
            os.kill(os.getpid(), signal.SIGKILL)
        version = write()
        os.kill(os.getpid(), signal.SIGKILL)
        return version


def claim(job: Job, instance_id: str, die_at: str | None) -> dict[str, Any]:
    """Run the claim to its end and return what it said."""
    ec2 = RecordedEc2(job)
    settings = Settings(
        instance_id,
        job.zone,
        job.cluster,
        job.role,
        timeout_seconds=job.timeout_seconds,
        poll_seconds=job.poll_seconds,
    )

    def open_claims(hosts: list[str]) -> ClaimsPort:
        claims = ZkClaims(hosts, job.cluster, job.role)
        return DyingClaims(claims, die_at) if die_at else claims

    runner = Runner(settings, ec2, TagScheme(), open_claims, given_hosts=list(job.hosts), poll_jitter=POLL_JITTER)
    told: dict[str, Any] = {"outcome": None, "reason": None}
    try:
        done = runner.run()
        assert isinstance(done, Done)
        told |= {"outcome": done.outcome, "node_id": done.identity.node_id, "version": done.version}
    except HoldfastError as failure:
        told |= {"reason": failure.reason, "message": failure.message}
    except Exception as error:  # noqa: BLE001 (a crash is a verdict too, and the judge refuses it)
        told |= {"reason": "crash", "message": f"{type(error).__name__}: {error}"}
    return {
        **told,
        "attempts": [(one.node_id, one.action, one.result) for one in runner.machine.attempts],
        "waits": [wait["reason"] for wait in runner.waits],
        "waited_seconds": runner.waited,
        "requests": ec2.requests,
    }


def live(job: Job, order: Mapping[str, Any], signalled: float, results: int) -> None:
    """Be one claimant after the start signal: claim, and append the verdict to the results as one line."""
    started = time.monotonic()
    told = claim(job, order["instance_id"], order.get("die_at"))
    line = {
        "instance_id": order["instance_id"],
        "incarnation": order.get("incarnation", 0),
        "signalled": signalled,
        "started": started,
        "ended": time.monotonic(),
        "cpu_seconds": time.process_time(),
        **told,
    }
    os.write(results, (json.dumps(line) + "\n").encode())
