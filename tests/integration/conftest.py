# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real services for the integration tests, started once a session and whole again after each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest

from tests.integration.services import KafkaCluster, ZooKeeperEnsemble

HERE = Path(__file__).resolve().parent
Service = TypeVar("Service", ZooKeeperEnsemble, KafkaCluster)
RUNNING: list[ZooKeeperEnsemble | KafkaCluster] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything below this directory; whoever has no Java reads why these were skipped."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.integration)


def _need_java() -> None:
    if shutil.which("java") is None:
        pytest.skip("java is not installed: real ZooKeeper and Kafka cannot run")


@pytest.fixture(scope="session")
def zookeeper_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeperEnsemble]:
    """One standalone ZooKeeper server (``.servers[0]``, ``.hosts``, ``.connect_string``)."""
    _need_java()
    yield from _session(ZooKeeperEnsemble(tmp_path_factory.mktemp("zookeeper-one"), size=1))


@pytest.fixture(scope="session")
def zookeeper_ensemble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeperEnsemble]:
    """Three ZooKeeper servers in a quorum."""
    _need_java()
    yield from _session(ZooKeeperEnsemble(tmp_path_factory.mktemp("zookeeper-three"), size=3))


@pytest.fixture(scope="session")
def kafka_cluster(
    tmp_path_factory: pytest.TempPathFactory, zookeeper_server: ZooKeeperEnsemble
) -> Iterator[KafkaCluster]:
    """Three brokers 1, 2, 3 in racks a, b, c under ``/kafka`` of ``zookeeper_server``."""
    yield from _session(KafkaCluster(tmp_path_factory.mktemp("kafka-three"), zookeeper_server))


def _session(service: Service) -> Iterator[Service]:
    try:
        service.start()
        RUNNING.append(service)
        yield service
    finally:
        if service in RUNNING:
            RUNNING.remove(service)
        service.close()


@pytest.fixture
def own_zookeeper_server(tmp_path: Path) -> Iterator[ZooKeeperEnsemble]:
    """A standalone server of this test's own, which may lose everything: others' services live in the session's."""
    with closing(ZooKeeperEnsemble(tmp_path / "own-zookeeper", size=1)) as own:
        own.start()
        yield own


@pytest.fixture(autouse=True)
def _whole_again() -> Iterator[None]:
    """After each test: start again what it stopped, killed or paused, and fail it when it lost what is shared."""
    before = {id(service): service.last_zxid() for service in RUNNING if isinstance(service, ZooKeeperEnsemble)}
    yield
    for service in RUNNING:
        service.start()
        if isinstance(service, ZooKeeperEnsemble):
            service.require_history(before.get(id(service), 0))
