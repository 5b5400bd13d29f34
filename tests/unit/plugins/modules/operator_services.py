# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2 and ZooKeeper as tables, for the modules that an operator runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import cluster_reader, zk_claims
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim, decode
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import PoolReading, build_pools
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme

from tests.unit.plugins.module_utils.pool_answers import CLUSTER


def raised(what: Any) -> Any:
    """Return the value, or raise it."""
    if isinstance(what, Exception):
        raise what
    return what


@dataclass
class Services:
    """The tables; an exception in a value's place is raised. ``before_write`` happens right before each write."""

    pool: Any = None
    states: Any = field(default_factory=dict)
    claims: dict[int, Claim] = field(default_factory=dict)
    values: dict[int, bytes] = field(default_factory=dict)
    read_error: Exception | None = None
    write_error: Exception | None = None
    #: the write happens, and the reply is lost
    reply_lost: bool = False
    before_write: Callable[[], None] = lambda: None
    reads: list[PoolReading] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    closed: int = 0

    def put(self, enis: list[Any], volumes: list[Any]) -> None:
        """Let EC2 show these from now on."""
        self.pool = build_pools(CLUSTER, enis, volumes, TagScheme())

    def install(self, monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
        """Stand in for EC2 in C(module), and for ZooKeeper."""
        services = self

        class Ec2:
            def __init__(self, _module: Any) -> None:
                self.requests: list[str] = []

            def read_pools(self, *_arguments: Any) -> PoolReading:
                self.requests.append("DescribeNetworkInterfaces")
                reading: PoolReading = raised(services.reads.pop(0) if services.reads else services.pool)
                return reading

            def instance_states(self, instance_ids: tuple[str, ...]) -> dict[str, str]:
                states = raised(services.states)
                return {one: states[one] for one in instance_ids if one in states}

        class Store:
            def __init__(self, *_arguments: Any) -> None:
                pass

            def read_all(self) -> dict[int, Claim]:
                if services.read_error:
                    raise services.read_error
                return dict(services.claims)

            def create(self, node_id: int, value: bytes) -> int:
                services.before_write()
                if node_id in services.claims:
                    raise zk_claims.ClaimLostError("NodeExistsError")
                return self._write(node_id, value, 0)

            def set(self, node_id: int, value: bytes, version: int) -> int:
                services.before_write()
                if services.claims[node_id].version != version:
                    raise zk_claims.ClaimLostError("BadVersionError")
                return self._write(node_id, value, version + 1)

            def _write(self, node_id: int, value: bytes, version: int) -> int:
                if services.write_error:
                    raise services.write_error
                services.claims[node_id] = decode(node_id, value, version, 0.0)
                services.values[node_id] = value
                services.written.append(node_id)
                if services.reply_lost:
                    raise zk_claims.ZkReplyLostError("ConnectionLoss")
                return version

            def close(self) -> None:
                services.closed += 1

        monkeypatch.setattr(module, "Ec2", Ec2)
        monkeypatch.setattr(zk_claims, "ZkClaims", Store)
        monkeypatch.setattr(cluster_reader, "SECOND_LOOK_SECONDS", 0.0)
