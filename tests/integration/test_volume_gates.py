# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles' own decisions before a service starts, as plays against real ZooKeeper servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kazoo.client import KazooClient

from tests.integration.ansible_run import ROOT
from tests.integration.services import ZooKeeperEnsemble
from tests.ports import free_ports


def run_tasks(role: str, tasks_from: str, variables: dict[str, Any]) -> tuple[int, str]:
    """Run one file of a role's tasks on this machine; return the exit code and what was printed."""
    play = [
        {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": sys.executable, **variables},
            "tasks": [
                {
                    "name": "run",
                    "ansible.builtin.include_role": {"name": f"holdfast.kafka.{role}", "tasks_from": tasks_from},
                }
            ],
        }
    ]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "/dev/stdin", "-i", "localhost,"],
        check=False,
        input=json.dumps(play),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


CHROOT = "/teams/orders"


@pytest.fixture
def cluster(zookeeper_server: ZooKeeperEnsemble) -> Iterator[dict[str, Any]]:
    """Broker 3 is known below a chroot that is not the default; the variables are those of the role kafka."""
    client = KazooClient(hosts=zookeeper_server.connect_string)
    client.start(timeout=20)
    try:
        client.create(f"{CHROOT}/brokers/topics/orders", b'{"partitions":{"0":[1,3]}}', makepath=True)
        client.create(f"{CHROOT}/cluster/id", b'{"version":"1","id":"abc"}', makepath=True)
        yield {
            "kafka_zookeeper_servers": {"1": "127.0.0.1"},
            "kafka_zookeeper_port": zookeeper_server.servers[0].port,
            "kafka_zookeeper_chroot": CHROOT,
            "data_volume_role": "kafka",
            "data_volume_node_id": 3,
        }
    finally:
        client.delete("/teams", recursive=True)
        client.stop()
        client.close()


def found(state: str, *cluster_ids: str) -> dict[str, Any]:
    """What the look at the volume said."""
    return {"__data_volume_found": {"results": [{"state": state, "cluster_ids": list(cluster_ids)}]}}


@pytest.mark.parametrize(
    ("told", "more", "reason"),
    [
        (found("blank"), {}, "refill_refused"),
        (found("empty"), {}, "refill_refused"),
        (found("empty"), {"data_volume_refill_allowed": True}, None),
        (found("empty"), {"data_volume_node_id": 4}, None),
        (found("owned", "xyz"), {}, "cluster_id_mismatch"),
        (found("owned", "abc"), {}, None),
        (found("owned", "abc"), {"kafka_zookeeper_chroot": "/lost"}, "cluster_id_unknown"),
        (found("owned", "abc"), {"kafka_zookeeper_chroot": "/lost", "data_volume_unknown_cluster_allowed": True}, None),
    ],
)
def test_a_brokers_volumes_meet_the_cluster_it_will_join(
    cluster: dict[str, Any], told: dict[str, Any], more: dict[str, Any], reason: str | None
) -> None:
    code, printed = run_tasks("data_volume", "cluster", {**cluster, **told, **more})
    assert (code == 0) is (reason is None), printed
    assert reason is None or reason in printed


def looks(*results: dict[str, Any]) -> dict[str, Any]:
    """What data_volume_check has found on volumes of broker 3, each as (state, cluster id, directory id)."""
    volumes = [{"id": f"vol-{index}", "index": index, "device_path": f"/dev/{index}"} for index in range(len(results))]
    whole = [{"state": "owned", "cluster_ids": ["abc"], "directory_ids": [], **result} for result in results]
    told = {"data_volume_volumes": volumes, "__data_volume_found": {"results": whole}}
    return {**told, "data_volume_role": "kafka", "data_volume_node_id": 3}


FRESH: dict[str, Any] = {"state": "blank", "cluster_ids": []}


@pytest.mark.parametrize(
    ("results", "more", "reason", "words"),
    [
        ([{}, {"cluster_ids": ["xyz"]}], {}, "cluster_mismatch", "abc, xyz"),
        ([{"directory_ids": ["d"]}, {"directory_ids": ["d"]}], {}, "duplicate_directory", "vol-0, vol-1"),
        ([{}, FRESH], {}, "partly_blank", "vol-0 carry its data, and vol-1 carry none"),
        ([{"state": "empty", "cluster_ids": []}, {}], {}, "partly_blank", "vol-1 carry its data, and vol-0 carry none"),
        ([{}, FRESH], {"data_volume_refill_allowed": True}, None, ""),
        ([FRESH, FRESH], {}, None, ""),
        ([{"directory_ids": ["d"]}, {"directory_ids": ["e"]}], {}, None, ""),
        ([{}, {}], {}, None, ""),
    ],
)
def test_volumes_of_one_node_fit_together(
    results: list[dict[str, Any]], more: dict[str, Any], reason: str | None, words: str
) -> None:
    code, printed = run_tasks("data_volume", "together", {**looks(*results), **more})
    assert (code == 0) is (reason is None), printed
    if reason:
        assert f"reason: {reason}" in printed
        assert words in " ".join(printed.split())
        assert "give_up: false" in printed, "another instance would find the same volumes"


def claim(*initialized: bool) -> dict[str, Any]:
    """A reading of the pool whose servers' volumes have, or have not, served."""
    volumes = [{"id": f"vol-{node_id}", "initialized": value} for node_id, value in enumerate(initialized, start=1)]
    return {"pools": {"zookeeper": [{"node_id": n, "volumes": [v]} for n, v in enumerate(volumes, start=1)]}}


def decide(directory: Path, port: int, *, waited: bool = True, **variables: Any) -> tuple[int, str, bool]:
    """Let server 1 of two, which may have waited before, decide; its peer is who listens on the port of 127.0.0.1."""
    data = directory / "data"
    if waited:
        (data / "version-2").mkdir(parents=True)
        (data / "version-2" / "currentEpoch").write_text("-1")
    told = {
        "zookeeper_user": "root",
        "zookeeper_node_id": 1,
        "zookeeper_servers": {"1": "127.0.0.9", "2": "127.0.0.1"},
        "zookeeper_client_port": port,
        "zookeeper_volume_path": str(directory),
        **variables,
    }
    code, printed = run_tasks("zookeeper", "initialize", told)
    return code, printed, (data / "initialize").exists()


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to root, which only root may")


@root_only
@pytest.mark.parametrize(
    ("variables", "founds"),
    [
        ({"node_identity_claim": claim(False, False, False)}, True),
        ({"node_identity_claim": claim(False, False, True)}, False),
        ({}, False),
        ({"node_identity_claim": claim(False), "zookeeper_initialize": "never"}, False),
        ({"node_identity_claim": claim(True), "zookeeper_initialize": "always"}, True),
    ],
    ids=["new", "served before", "unknown", "never", "always"],
)
def test_only_a_new_ensemble_is_founded(tmp_path: Path, variables: dict[str, Any], founds: bool) -> None:
    code, printed, allowed = decide(tmp_path, free_ports(1)[0], **variables)
    assert (code, allowed) == (0, founds), printed
    assert (tmp_path / "data" / "version-2").exists() is not founds
    _code, again, _allowed = decide(tmp_path, free_ports(1)[0], waited=False, **variables)
    assert "changed=0" in again


@root_only
def test_a_serving_peer_makes_an_ensemble_old(tmp_path: Path, zookeeper_ensemble: ZooKeeperEnsemble) -> None:
    """A pool that was adopted carries no tag of ours."""
    port = zookeeper_ensemble.follower().port
    code, printed, allowed = decide(tmp_path, port, node_identity_claim=claim(False, False, False))
    assert (code, allowed) == (0, False), printed


@root_only
def test_a_lone_server_that_lost_its_data_is_refused(tmp_path: Path) -> None:
    code, printed, allowed = decide(
        tmp_path, 2181, node_identity_claim=claim(True), zookeeper_servers={"1": "127.0.0.9"}
    )
    assert (code != 0, allowed) == (True, False)
    assert "reason: database_missing" in printed
    assert "give_up: false" in printed, "another instance would find the same empty volume"
