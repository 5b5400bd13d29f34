# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a ZooKeeper server without data may do: found an ensemble only where the file C(initialize) says so.

The role zookeeper relies on it: it sets C(db.autocreate=false) and decides who gets the file.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from tests.integration.services import ZooKeeperEnsemble, ZooKeeperServer, wait_for

pytestmark = pytest.mark.slow
#: How long a server is watched that must not serve, in seconds; a quorum of these takes less than 2 s.
WATCH_SECONDS = 5.0


def data_of(server: ZooKeeperServer) -> Path:
    """Return the server's data directory."""
    return server.directory / "data"


def initialize(server: ZooKeeperServer) -> None:
    """Say that the server may start with an empty tree."""
    (data_of(server) / "initialize").touch()


def wipe(server: ZooKeeperServer) -> None:
    """Take the server's data, as a blank volume does; C(myid) is written again by the role."""
    server.kill()
    shutil.rmtree(data_of(server) / "version-2")


@pytest.fixture
def founded(tmp_path: Path) -> Iterator[ZooKeeperEnsemble]:
    """Three blank servers that were told to found an ensemble, with one znode."""
    if shutil.which("java") is None:
        pytest.skip("java is not installed: real ZooKeeper cannot run")
    ensemble = ZooKeeperEnsemble(tmp_path, size=3)
    for server in ensemble.servers:
        configuration = server.directory / "zoo.cfg"
        configuration.write_text(configuration.read_text() + "db.autocreate=false\n")
        initialize(server)
    try:
        ensemble.start()
        write(ensemble.servers, b"first")
        yield ensemble
    finally:
        ensemble.close()


def write(servers: list[ZooKeeperServer], value: bytes) -> None:
    """Leave a value in the tree."""
    client = KazooClient(hosts=",".join(server.host for server in servers))
    client.start(timeout=20)
    try:
        client.ensure_path("/kept")
        client.set("/kept", value)
    finally:
        client.stop()
        client.close()


def read(server: ZooKeeperServer) -> bytes:
    """Read it from this very server."""
    client = KazooClient(hosts=server.host)
    client.start(timeout=20)
    try:
        client.sync("/")
        return bytes(client.get("/kept")[0])
    finally:
        client.stop()
        client.close()


def never_serves(servers: list[ZooKeeperServer]) -> None:
    """Require that no server serves for a while, and that all of them run."""
    deadline = time.monotonic() + WATCH_SECONDS
    while time.monotonic() < deadline:
        assert [server.mode() for server in servers] == [""] * len(servers)
        assert all(server.alive for server in servers)
        time.sleep(0.5)


def test_three_blank_servers_found_an_ensemble_and_use_the_permission_up(founded: ZooKeeperEnsemble) -> None:
    assert sorted(server.mode() for server in founded.servers) == ["follower", "follower", "leader"]
    assert [(data_of(server) / "initialize").exists() for server in founded.servers] == [False] * 3
    assert [read(server) for server in founded.servers] == [b"first"] * 3


def test_a_wiped_server_fetches_everything_from_the_others(founded: ZooKeeperEnsemble) -> None:
    wiped = founded.leader()
    wipe(wiped)
    wiped.start()
    assert "Unexpected empty data tree, setting zxid to -1" in wiped.log_since_start()
    assert wiped.mode() == "follower"
    assert read(wiped) == b"first"


def test_two_wiped_servers_elect_nobody_and_destroy_nothing(founded: ZooKeeperEnsemble) -> None:
    first, second, kept = founded.servers
    kept.stop()
    wipe(first)
    wipe(second)
    first.launch()
    second.launch()
    never_serves([first, second])
    # The third has the data and is one voter of three: nobody is elected, and nothing is truncated.
    kept.launch()
    never_serves([first, second, kept])
    # The repair: one of the others may vote, beside the one that has the data. Who looks for a leader repeats itself
    # ever more rarely (up to a minute), so the one with the data is started again.
    # A server that waited without a database has noted an epoch of -1, which no database of its own may have.
    wipe(first)
    initialize(first)
    kept.stop()
    kept.launch()
    first.launch()
    wait_for("the quorum", lambda: kept.mode() == "leader", 30)
    for server in (first, second):
        server.wait_ready()
    assert [read(server) for server in founded.servers] == [b"first"] * 3


def test_two_wiped_servers_that_may_vote_serve_an_empty_tree(founded: ZooKeeperEnsemble) -> None:
    """What the role's decision protects from: the permission given twice to an ensemble that exists."""
    first, second, kept = founded.servers
    kept.stop()
    for server in (first, second):
        wipe(server)
        initialize(server)
    first.launch()
    second.launch()
    for server in (first, second):
        server.wait_ready()
    with pytest.raises(NoNodeError):
        read(first)
