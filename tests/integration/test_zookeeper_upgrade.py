# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real ensemble of 3.8 goes to 3.9 and back, server by server by the plan, and no write is lost on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss, NodeExistsError, OperationTimeoutError, SessionExpiredError

from tests.integration.ansible_run import run_module
from tests.integration.services import ZooKeeperEnsemble, wait_for
from tests.integration.unit_stand_in import show_as_unit

PLAN = "holdfast.kafka.zookeeper_roll_plan"
STOP = "holdfast.kafka.zookeeper_server_stop"
OLD, NEW = "3.8.4", "3.9.3"


class Writer:
    """Creates one znode after the other, each until it is known to be there."""

    def __init__(self, connect: str) -> None:
        self.client = KazooClient(hosts=connect, timeout=10)
        self.client.start(timeout=20)
        self.written: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Writer:
        self.client.ensure_path("/upgrade")
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join(30)
        self.client.stop()
        self.client.close()

    def _write(self) -> None:
        number = 0
        while not self._over.is_set():
            path = f"/upgrade/{number:06}"
            try:
                self.client.create(path, b"x")
            except NodeExistsError:
                pass  # its reply was lost, and it was written
            except (ConnectionLoss, SessionExpiredError, OperationTimeoutError):
                self._over.wait(0.05)
                continue
            self.written.append(path)
            number += 1
            self._over.wait(0.01)


@pytest.fixture
def ensemble(tmp_path: Path) -> Iterator[ZooKeeperEnsemble]:
    """Three servers of the older release, for this test alone."""
    with closing(ZooKeeperEnsemble(tmp_path / "ensemble", size=3)) as made:
        made.start()
        yield made


def _servers(ensemble: ZooKeeperEnsemble) -> dict[str, str]:
    return {str(server.server_id): server.host for server in ensemble.servers}


def _roll(
    ensemble: ZooKeeperEnsemble, version: str, tmp_path: Path, patch: pytest.MonkeyPatch, **plan: Any
) -> dict[str, Any]:
    """Bring every server to a version in the plan's order, the last one while it leads."""
    wanted = f"zk_synced_followers\t{len(ensemble.servers) - 1}"
    wait_for("all followers in sync", lambda: wanted in ensemble.leader().four_letters("mntr"), 20)
    planned = run_module(PLAN, {"servers": _servers(ensemble), "to_version": version, **plan})
    assert not planned["failed"], planned["msg"]
    order = [one for batch in planned["plan"]["batches"] for one in batch]
    for node_id in order:
        server = ensemble.servers[node_id - 1]
        show_as_unit(server, tmp_path / f"{version}-{node_id}", patch)
        arguments = {"servers": _servers(ensemble), "node_id": node_id, "leader_allowed": node_id == order[-1]}
        stopped = run_module(STOP, {**arguments, "poll_seconds": 0.2})
        assert stopped.get("outcome") == "stopped", stopped["stdout_text"]
        server.use_version(version)
        server.start()
    wait_for("all followers in sync", lambda: wanted in ensemble.leader().four_letters("mntr"), 20)
    planned["order"] = order
    return planned


def test_up_and_down_again_without_a_lost_write(
    ensemble: ZooKeeperEnsemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Writer(ensemble.connect_string) as writer:
        up = _roll(ensemble, NEW, tmp_path, monkeypatch)
        assert set(up["versions"].values()) == {OLD}
        assert up["order"][-1] == up["plan"]["leader_id"]
        assert {one.four_letters("srvr").split()[2].split("-")[0] for one in ensemble.servers} == {NEW}
        between = len(writer.written)
        refused = run_module(PLAN, {"servers": _servers(ensemble), "to_version": OLD})
        assert [one["reason"] for one in refused["plan"]["refusals"]] == ["upgrade_unsupported"] * 3
        _roll(ensemble, OLD, tmp_path, monkeypatch, downgrade_allowed=True)
        assert {one.four_letters("srvr").split()[2].split("-")[0] for one in ensemble.servers} == {OLD}
    assert 0 < between < len(writer.written), "it wrote during both rolls"
    for server in ensemble.servers:
        reader = KazooClient(hosts=server.host, timeout=10)
        reader.start(timeout=20)
        try:
            reader.sync("/upgrade")
            assert set(reader.get_children("/upgrade")) >= {path.rpartition("/")[2] for path in writer.written}
        finally:
            reader.stop()
            reader.close()
