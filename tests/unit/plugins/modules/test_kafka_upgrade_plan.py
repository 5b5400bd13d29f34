# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kafka_upgrade_plan: what it asks, what it returns, and each of its failures."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import kafka_reader, kafka_settings
from ansible_collections.holdfast.kafka.plugins.modules import kafka_upgrade_plan

from tests.unit.plugins.modules.in_process import run_module

NAME = "kafka_2.13-3.9.1.tgz"


class Cluster:
    """Two brokers, the protocols of which a test sets."""

    spoken: dict[int, str]
    failure: Exception | None

    def __init__(self, _options: object) -> None:
        if self.failure:
            raise self.failure

    def node_ids(self) -> list[int]:
        return list(self.spoken)

    def describe(self, node_ids: list[int]) -> dict[int, dict[str, dict[str, Any]]]:
        return {node_id: {"inter.broker.protocol.version": {"value": self.spoken[node_id]}} for node_id in node_ids}

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> type[Cluster]:
    """Stand in for the connection."""
    Cluster.spoken, Cluster.failure = {1: "3.8-IV0", 2: "3.8-IV0"}, None
    monkeypatch.setattr(kafka_settings, "Settings", Cluster)
    return Cluster


def plan(**more: Any) -> dict[str, Any]:
    wanted = {"version": "3.8.1", "to_version": "3.9.1", "pin": "3.8"}
    return run_module(
        kafka_upgrade_plan, {"bootstrap_servers": ["10.0.0.1"], "brokers": {"1": wanted, "2": wanted}, **more}
    )


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """A directory of artifacts, with the archive."""
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / NAME).write_bytes(b"jars")
    (tmp_path / "SHA512SUMS").write_text(f"{hashlib.sha512(b'jars').hexdigest()}  archives/{NAME}\n")
    return tmp_path


def test_a_decision(artifacts: Path) -> None:
    result = plan(artifacts_directory=str(artifacts), archive_name=NAME)
    assert (result["failed"], result["changed"]) == (False, False), result
    assert (result["decision"]["roll"], set(result["decision"]["due"])) == ("binaries", {"1", "2"})
    assert [one["state"] for one in result["decision"]["rolls"]] == ["due", "later", "never"]


def test_a_mere_configuration(cluster: type[Cluster]) -> None:
    assert plan(kind="configure")["decision"] == {}
    cluster.spoken = {1: "3.8", 2: "3.7"}
    result = plan(kind="configure")
    assert (result["reason"], "broker 2 speaks protocol 3.7" in result["msg"]) == ("protocol_change", True)


def test_an_archive_that_is_not_there(artifacts: Path) -> None:
    (artifacts / "archives" / NAME).unlink()
    result = plan(artifacts_directory=str(artifacts), archive_name=NAME)
    assert (result["reason"], "run artifacts_gather" in result["msg"]) == ("artifact_missing", True)


def test_an_archive_that_is_another(artifacts: Path) -> None:
    (artifacts / "archives" / NAME).write_bytes(b"other jars")
    result = plan(artifacts_directory=str(artifacts), archive_name=NAME)
    assert (result["reason"], "is not what" in result["msg"]) == ("artifact_missing", True)


def test_nobody_needs_the_archive(tmp_path: Path, cluster: type[Cluster]) -> None:
    cluster.spoken = {1: "3.8", 2: "3.8"}
    done = {"version": "3.9.1", "to_version": "3.9.1", "pin": "3.8"}
    result = plan(brokers={"1": done, "2": done}, artifacts_directory=str(tmp_path), archive_name=NAME)
    assert (result["failed"], result["decision"]["roll"]) == (False, "")


@pytest.mark.parametrize("one", [{"version": "3.8.1"}, "3.8.1", None])
def test_a_broker_that_is_told_wrongly(one: Any) -> None:
    result = plan(brokers={"1": one})
    assert (result["reason"], "brokers: 1" in result["msg"]) == ("bad_parameter", True)


@pytest.mark.parametrize("reason", ["unreachable", "auth", "kafka_error"])
def test_a_cluster_that_cannot_be_asked(cluster: type[Cluster], reason: str) -> None:
    cluster.failure = kafka_reader.ReadError(reason, "no")
    result = plan()
    assert (result["reason"], result["msg"]) == (reason, "no. Nothing was touched.")


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_reader, "IMPORT_ERROR", "no")
    assert plan()["reason"] == "missing_library"
