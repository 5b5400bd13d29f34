# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An operator's playbooks around identities, with a strict EC2 and a real ZooKeeper."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.api.server import start_strict_ec2
from tests.integration.operator_world import CLUSTER, NAMES, OperatorWorld, declared
from tests.integration.services import ZooKeeperEnsemble


@pytest.fixture
def world(zookeeper_server: ZooKeeperEnsemble) -> Iterator[OperatorWorld]:
    """A strict EC2 of its own, and the shared ZooKeeper without this cluster's claims."""
    api = start_strict_ec2(delays="none")
    made = OperatorWorld(api, zookeeper_server.hosts)
    made.wipe()
    yield made
    made.wipe()
    api.stop()


def test_a_named_pool_is_adopted_once_and_its_holders_get_claims(world: OperatorWorld) -> None:
    world.make(named=True)
    holders = {node_id: world.hold(f"kafka-{node_id}") for node_id in (1, 2)}
    before = world.attachments()

    checked = world.play("pool_adopt", "--check", "--diff", pool_adopt_name_patterns=NAMES)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for text in (world.enis["kafka-1"], holders[1], "ZOOKEEPER-3", "would tag 12 of 12", "+  holdfast:node-id"):
        assert text.replace("+  ", "") in checked.stdout, checked.stdout
    assert (world.claims(), world.tags(world.enis["kafka-1"])) == ({}, {"Name": "KAFKA-1"})

    assert world.changes("pool_adopt", pool_adopt_name_patterns=NAMES) == 2
    assert {node_id: claim["instance_id"] for node_id, claim in world.claims().items()} == holders
    assert world.tags(world.volumes["zookeeper-3"]) == {
        "Name": "ZOOKEEPER-3",
        "holdfast:cluster": CLUSTER,
        "holdfast:role": "zookeeper",
        "holdfast:node-id": "3",
        "holdfast:volume": "0",
        "holdfast:initialized": "true",
    }
    assert world.changes("pool_adopt", pool_adopt_name_patterns=NAMES) == 0
    assert world.changes("pool_adopt", "--check", "--diff", pool_adopt_name_patterns=NAMES) == 0
    assert world.attachments() == before, "nothing was attached or detached"


def test_half_a_pool_is_adopted_only_when_that_is_allowed(world: OperatorWorld) -> None:
    world.make(named=True)
    second = world.add_volume("eu-central-1a", {"Name": "KAFKA-1"})
    world.ec2.create_tags(Resources=[world.enis["kafka-2"]], Tags=[{"Key": "holdfast:cluster", "Value": "payments"}])
    for flags in ((), ("--check",)):
        refused = world.play("pool_adopt", *flags, pool_adopt_name_patterns=NAMES)
        assert refused.returncode != 0
        for text in ("REFUSED duplicate_volume", second, "REFUSED foreign_cluster", world.enis["kafka-2"]):
            assert text in refused.stdout, refused.stdout
    assert world.tags(world.enis["kafka-3"]) == {"Name": "KAFKA-3"}
    assert world.changes("pool_adopt", pool_adopt_name_patterns=NAMES, pool_adopt_partial_allowed=True) == 1
    assert world.tags(world.enis["kafka-3"])["holdfast:node-id"] == "3"
    assert "holdfast:node-id" not in world.tags(world.enis["kafka-2"])
    assert "holdfast:node-id" not in world.tags(world.enis["kafka-1"])


def test_a_claim_that_contradicts_stops_the_adoption_before_the_first_tag(world: OperatorWorld) -> None:
    world.make(named=True)
    world.hold("kafka-1")
    other = world.launch("eu-central-1a")
    world.put_claim(1, other)
    refused = world.play("pool_adopt", pool_adopt_name_patterns=NAMES)
    assert refused.returncode != 0
    assert other in refused.stdout
    assert world.tags(world.enis["kafka-1"]) == {"Name": "KAFKA-1"}
    assert world.claims()[1]["instance_id"] == other


def test_a_wiped_zookeeper_gets_every_living_holders_claim_back(own_zookeeper_server: ZooKeeperEnsemble) -> None:
    api = start_strict_ec2(delays="none")
    try:
        claims_come_back(OperatorWorld(api, own_zookeeper_server.hosts), own_zookeeper_server)
    finally:
        api.stop()


def claims_come_back(world: OperatorWorld, zookeeper: ZooKeeperEnsemble) -> None:
    """Take claims, lose ZooKeeper's data, restore."""
    world.make(named=False)
    holders = {node_id: world.hold(f"kafka-{node_id}") for node_id in (1, 2, 3)}
    assert world.changes("claims_restore") == 1
    first = world.claims()
    world.terminate(holders[3])
    zookeeper.servers[0].lose_everything()
    assert world.claims() == {}, "ZooKeeper has lost everything"
    assert world.changes("claims_restore", "--check", "--diff") == 1
    assert world.claims() == {}
    assert world.changes("claims_restore") == 1
    again = world.claims()
    assert {node_id: claim["instance_id"] for node_id, claim in again.items()} == {1: holders[1], 2: holders[2]}
    assert [again[one]["eni_id"] for one in (1, 2)] == [first[one]["eni_id"] for one in (1, 2)]
    assert world.changes("claims_restore") == 0


def test_restore_lists_conflicts_and_overwrites_nobody(world: OperatorWorld) -> None:
    world.make(named=False)
    holders = {node_id: world.hold(f"kafka-{node_id}") for node_id in (1, 2)}
    other = world.launch("eu-central-1a")
    world.put_claim(1, other)
    refused = world.play("claims_restore")
    assert refused.returncode != 0
    for text in ("conflict", other, holders[1], "describe-instances"):
        assert text in refused.stdout, refused.stdout
    assert {node_id: claim["instance_id"] for node_id, claim in world.claims().items()} == {1: other, 2: holders[2]}


def test_an_operator_gives_back_only_what_a_dead_holder_held(world: OperatorWorld) -> None:
    world.make(named=False)
    holder = world.hold("kafka-1")
    world.changes("claims_restore")
    base = {"identity_release_role": "kafka", "identity_release_node_id": 1}
    forced = {
        **base,
        "identity_release_force": True,
        "identity_release_reason": "the group is smaller now",
        "identity_release_by": "jane",
    }

    def refused(text: str, **variables: object) -> None:
        done = world.play("identity_release", **variables)
        assert done.returncode != 0
        assert text in done.stdout, done.stdout
        assert world.claims()[1]["instance_id"] == holder

    refused("identity_attached", **forced)
    refused("bad_parameter", **{**forced, "identity_release_reason": ""})
    refused("must be a node id", **{**forced, "identity_release_node_id": "kafka-1"})
    world.terminate(holder)
    refused("force_required", **base)
    assert world.changes("identity_release", "--check", "--diff", **forced) == 1
    assert world.claims()[1]["instance_id"] == holder
    done = world.play("identity_release", **forced)
    assert f"GAVE BACK {CLUSTER}-kafka-1 by jane: the group is smaller now (was {holder}" in " ".join(
        done.stdout.split()
    ), done.stdout
    record = world.claims()[1]
    assert (record["instance_id"], record["released"]["previous_holder"]) == (None, holder)
    assert (record["released"]["by"], record["released"]["reason"]) == ("jane", "the group is smaller now")
    assert world.changes("identity_release", **forced) == 0


def test_status_shows_each_problem_with_its_next_step_and_fails_when_asked(
    world: OperatorWorld, tmp_path: Path
) -> None:
    world.make(named=False)
    holders = {node_id: world.hold(f"kafka-{node_id}") for node_id in (1, 2)}
    world.put_claim(2, holders[1])
    world.add_volume("eu-central-1c", {"holdfast:cluster": CLUSTER, "holdfast:role": "kafka", "holdfast:node-id": "9"})
    report = tmp_path / "status.json"
    shown = world.play("cluster_status", cluster_status_file=str(report))
    assert shown.returncode == 0, shown.stdout + shown.stderr
    found = json.loads(report.read_text(encoding="utf-8"))
    kinds = {(one["node_id"], one["kind"]) for one in found["problems"] if one["role"] == "kafka"}
    assert {(1, "two_identities"), (2, "claim_disagrees"), (3, "free"), (9, "volume_without_eni")} <= kinds
    for one in found["problems"]:
        assert one["next_step"]
        assert one["runbook"].endswith(f"/{one['kind']}.md")
        assert f"PROBLEM {one['kind']}" in shown.stdout
    assert found["claims_known"]
    failed = world.play("cluster_status", cluster_status_fail=True)
    assert failed.returncode != 0
    assert "two_identities" in failed.stdout.partition("cluster_status_fail")[2]


def test_status_of_an_account_without_the_cluster_is_not_green(world: OperatorWorld, tmp_path: Path) -> None:
    report = tmp_path / "status.json"
    shown = world.play("cluster_status", cluster_status_fail=True, cluster_status_file=str(report))
    assert shown.returncode != 0, shown.stdout
    found = json.loads(report.read_text(encoding="utf-8"))
    absent = {(one["role"], one["node_id"]) for one in found["problems"] if one["kind"] == "identity_missing"}
    assert absent == {(role, one["node_id"]) for role, ones in declared().items() for one in ones}
    assert "identities held 0 of 6, claims NOT read" in shown.stdout, shown.stdout
    for line in shown.stdout.splitlines():
        if "next:" in line and "ansible-playbook" in line:
            assert "ansible-playbook -i " in line
            assert "inventories/lab/node.yml" in line
    header = next(line for line in shown.stdout.splitlines() if "IDENTITY" in line)
    assert header.rstrip().endswith("STATE"), "the table is not folded"
