# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""cluster_lock against a real ZooKeeper: one of many gets it, lost replies, a leader's death, ACLs, every state."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import cluster_lock as protocol
from ansible_collections.holdfast.kafka.plugins.module_utils import lock_record, zk_session
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.lock_record import Owner, Token
from ansible_collections.holdfast.kafka.plugins.module_utils.lock_store import LockStore
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_security import Auth, Security
from ansible_collections.holdfast.kafka.plugins.modules import cluster_lock
from kazoo.client import KazooClient

from tests.integration.ansible_run import run_module as run_by_ansible
from tests.integration.services import ZooKeeperEnsemble
from tests.integration.test_claim_zookeeper import DeafProxy
from tests.unit.plugins.modules.in_process import run_module

TAKE: dict[str, Any] = {"run_id": "run-1", "holder": "jane@laptop", "playbook": "kafka_rolling_restart"}
JANE = Security(Auth("digest", "jane", "jane's password"))
AT = "2026-01-01T00:00:00Z"


class Bench:
    """One cluster's lock in the shared ZooKeeper."""

    def __init__(self, hosts: list[str]) -> None:
        self.hosts = hosts
        self.cluster = f"c{uuid.uuid4().hex[:8]}"
        self.path = lock_record.lock_path(self.cluster)

    def run(self, check: bool = False, diff: bool = False, **options: Any) -> dict[str, Any]:
        """Run the module in this process."""
        arguments = {"cluster": self.cluster, "zookeeper_hosts": self.hosts, **options}
        return run_module(cluster_lock, arguments, check=check, diff=diff)

    def refused(self, reason: str, **options: Any) -> dict[str, Any]:
        """Run the module and require this failure."""
        result = self.run(**options)
        assert (result["failed"], result.get("reason")) == (True, reason), result
        return result

    def raw(self, act: Callable[[KazooClient], Any]) -> Any:
        """Do something straight in ZooKeeper."""
        client = KazooClient(hosts=",".join(self.hosts))
        client.start()
        try:
            return act(client)
        finally:
            client.stop()
            client.close()


@pytest.fixture
def bench(zookeeper_server: ZooKeeperEnsemble) -> Bench:
    """A lock that nobody ever had."""
    return Bench(zookeeper_server.hosts)


def test_a_run_takes_renews_and_gives_back(bench: Bench) -> None:
    assert bench.run(state="read")["lock"] == {
        "path": bench.path,
        "held": False,
        "readable": True,
        "generation": 0,
        "renewed_at": None,
        "seconds_left": None,
        "ended": None,
    }
    predicted = bench.run(check=True, diff=True, **TAKE)
    assert (predicted["changed"], predicted["lock"]["generation"], "token" in predicted) == (True, 0, False)
    assert bench.raw(lambda client: client.exists(bench.path)) is None
    first = bench.run(diff=True, **TAKE)
    assert (first["changed"], first["token"]) == (True, {"path": bench.path, "run_id": "run-1", "generation": 1})
    assert (first["diff"]["before"]["run_id"], first["diff"]["after"]["run_id"]) == (None, "run-1")
    for check in (True, False):
        again = bench.run(check=check, **TAKE)
        assert (again["changed"], again["lock"]["run_id"]) == (False, "run-1")
    before = bench.raw(lambda client: client.get(bench.path)[1].version)
    assert not bench.run(check=True, token=first["token"])["changed"]
    assert bench.raw(lambda client: client.get(bench.path)[1].version) == before
    assert not bench.run(token=first["token"])["changed"]
    assert bench.raw(lambda client: client.get(bench.path)[1].version) == before + 1
    for expected, check in ((True, True), (True, False), (False, False)):
        ended = bench.run(check=check, state="released", token=first["token"])
        assert ended["changed"] is expected
    assert (ended["lock"]["held"], ended["lock"]["ended"]["how"]) == (False, "released")


def test_a_second_run_is_refused_as_ansible_runs_it(bench: Bench) -> None:
    bench.run(**TAKE)
    arguments = {"cluster": bench.cluster, "zookeeper_hosts": bench.hosts, **TAKE, "run_id": "run-2"}
    for check in (True, False):
        result = run_by_ansible("holdfast.kafka.cluster_lock", arguments, check=check)
        assert (result["failed"], result["reason"], result["lock"]["run_id"]) == (True, "locked", "run-1")
        assert "jane@laptop" in result["msg"]


def test_force_names_who_was_robbed_and_the_robbed_run_finds_out(bench: Bench) -> None:
    token = bench.run(**TAKE)["token"]
    force: dict[str, Any] = {"state": "released", "force": True, "force_reason": "its laptop burnt", "by": "joe"}
    for check in (True, False):
        robbed = bench.run(check=check, diff=True, **force)
        assert (robbed["changed"], robbed["previous_run_id"]) == (True, "run-1")
    assert bench.run(**force)["changed"] is False
    lost = bench.refused("lock_lost", token=token)
    assert "forced by joe (its laptop burnt)" in lost["msg"]
    bench.refused("lock_lost", state="released", token=token)
    with pytest.raises(HoldfastError, match="does not have the lock"):
        protocol.check(bench.hosts, token)


def test_an_expired_lock_is_taken_over(bench: Bench) -> None:
    with closing(LockStore(bench.hosts, bench.path)) as store:
        # Less than the module allows, so that the test need not wait.
        protocol.acquire(store, Owner("run-0", "jane@laptop", "kafka_rolling_restart", AT, 1.5))
    refused = bench.refused("locked", **TAKE)
    assert 0 < refused["lock"]["seconds_left"] <= 1.5
    until = time.monotonic() + 60
    while bench.run(check=True, **TAKE)["failed"] and time.monotonic() < until:
        time.sleep(0.1)
    taken = bench.run(**TAKE)
    assert (taken["changed"], taken["previous_run_id"], taken["token"]["generation"]) == (True, "run-0", 2)


def test_content_of_somebody_else_is_not_a_free_lock(bench: Bench) -> None:
    bench.raw(lambda client: client.create(bench.path, b"mine", makepath=True))
    for check in (True, False):
        assert "no record" in bench.refused("locked", check=check, **TAKE)["msg"]
    shown = bench.run(state="read")["lock"]
    assert (shown["held"], shown["readable"]) == (True, False)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"run_id": "x"}, "needs holder and playbook"),
        ({**TAKE, "expire_seconds": 1}, "30 or more"),
        ({**TAKE, "expire_seconds": "nan"}, "30 or more"),
        ({**TAKE, "cluster": "a/b"}, "cannot be part"),
        ({**TAKE, "zookeeper_hosts": []}, "empty"),
        ({**TAKE, "zookeeper_hosts": ["zk:x"]}, "zookeeper_hosts[0]"),
        ({**TAKE, "zookeeper_chroot": "x"}, "zookeeper_chroot"),
        ({**TAKE, "force": True, "by": "joe", "force_reason": "x"}, "force is for state released"),
        ({"state": "released"}, "needs token"),
        ({"state": "released", "force": True}, "needs force_reason and by"),
        ({"token": {"path": "/x"}}, "token"),
        ({"token": {"path": "/holdfast/other/locks/roll", "run_id": "x", "generation": 1}}, "is for /holdfast/other"),
        ({**TAKE, "zookeeper_auth": {"scheme": "md5", "username": "x", "password": "y"}}, "zookeeper_auth.scheme"),
    ],
)
def test_what_can_never_work_is_refused_first(bench: Bench, options: dict[str, Any], told: str) -> None:
    result = bench.refused("bad_parameter", **options)
    assert told in result["msg"]


def test_without_kazoo_it_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zk_session, "HAS_KAZOO", False)
    assert "kazoo" in bench.refused("missing_library", **TAKE)["msg"]


def test_one_of_many_gets_it(bench: Bench) -> None:
    barrier = threading.Barrier(8)

    def race(number: int) -> str:
        with closing(LockStore(bench.hosts, bench.path)) as store:
            barrier.wait(30)
            try:
                token = protocol.acquire(store, Owner(f"run-{number}", "x", "y", AT, 60)).token
            except HoldfastError as error:
                return error.reason
            return token.run_id

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(race, range(8)))
    assert outcomes[:7] == ["locked"] * 7
    assert outcomes[7] == bench.run(state="read")["lock"]["run_id"]


def test_all_nodes_of_a_batch_may_check_at_once(bench: Bench) -> None:
    token = bench.run(**TAKE)["token"]
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _number: protocol.check(bench.hosts, token), range(16)))
    assert {lock["run_id"] for lock in seen} == {"run-1"}


@pytest.fixture
def proxy(bench: Bench) -> Iterator[DeafProxy]:
    """A way to ZooKeeper that drops the first connection right after a write to the lock."""
    way = DeafProxy(bench.hosts[0], word=b'"generation"')
    yield way
    way.close()


def test_a_lost_reply_of_a_lock_that_was_taken(bench: Bench, proxy: DeafProxy) -> None:
    taken = bench.run(**{**TAKE, "zookeeper_hosts": [proxy.address]})
    assert proxy.losses == 0
    assert (taken["changed"], taken["token"]["generation"]) == (True, 1)
    proxy.losses = 1
    assert bench.run(zookeeper_hosts=[proxy.address], token=taken["token"])["lock"]["held"]
    proxy.losses = 1
    assert bench.run(zookeeper_hosts=[proxy.address], state="released", token=taken["token"])["changed"]


def test_a_user_s_lock_is_that_user_s_alone(bench: Bench) -> None:
    with closing(LockStore(bench.hosts, bench.path, JANE)) as store:
        token = protocol.acquire(store, Owner("run-1", "x", "y", AT, 60)).token
    protocol.check(bench.hosts, token.as_dict(), JANE)
    assert bench.run(state="read")["lock"]["run_id"] == "run-1", "reading is everybody's"
    result = bench.refused("zookeeper_auth_failed", token=token.as_dict())
    assert "denies" in result["msg"]


@pytest.mark.slow
def test_the_lock_outlives_its_ensemble_s_leader(zookeeper_ensemble: ZooKeeperEnsemble) -> None:
    bench = Bench(zookeeper_ensemble.hosts)
    token = bench.run(**TAKE)["token"]
    zookeeper_ensemble.leader().kill()
    until = time.monotonic() + 60
    while (after := bench.run(token=token)).get("reason") == "zookeeper_unreachable" and time.monotonic() < until:
        pass
    assert after["lock"]["run_id"] == "run-1"
    # Another leader's clock judges now; the lock is as live as before.
    assert bench.refused("locked", **{**TAKE, "run_id": "run-2"})["lock"]["seconds_left"] > 3000


@pytest.mark.slow
def test_without_a_quorum_nothing_is_proven(zookeeper_ensemble: ZooKeeperEnsemble) -> None:
    bench = Bench(zookeeper_ensemble.hosts)
    token = Token(**bench.run(**TAKE)["token"])
    for server in zookeeper_ensemble.servers[:2]:
        server.kill()
    bench.refused("zookeeper_unreachable", token=token.as_dict())
