# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances under their identities, as stories: replaced by their groups, and made and ended by hand.

The stories by hand build on each other: the first takes a broker out of its group, the last gives it back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from lab.demo import cluster, fleet
from lab.demo.fleet import Holder
from tests.rolls.traffic import Traffic
from tests.rolls.world import Figures, World, restarted

CREATE, TERMINATE, REPLACE = "instance_create", "instance_terminate", "nodes_rolling_replace"
OTHER_TYPES = {"zookeeper": "t3.medium", "kafka": "m6i.xlarge"}


def the_same_but_for_the_instance(before: Holder, after: Holder) -> bool:
    """Whether id, zone, address, interface and volumes are the same, and another instance has them."""
    moved = after.instance_id not in (None, before.instance_id)
    return moved and dataclasses.replace(after, instance_id=before.instance_id) == before


def another_instance_type_goes_round_under_the_identities(world: World) -> Figures:
    """New launch templates touch nobody; then each server and each broker is replaced in turn, and nobody twice."""
    figures: Figures = {}
    before = world.census()
    types = {"holdfast_instance_types": OTHER_TYPES}
    provisioned = world.play("nodes_provision", types)
    assert provisioned.status == 0, provisioned.output[-5000:]
    assert world.census() == before
    with Traffic(cluster.addresses("kafka"), "replace", world.logs) as traffic:
        for role in ("zookeeper", "kafka"):
            asked = {**types, "node_replace_role": role}
            old, others = world.holders(role), _of_other_roles(world, role)
            checked = world.play(REPLACE, asked, "--check")
            assert checked.status == 0, checked.output[-3000:]
            assert world.holders(role) == old
            replaced = world.play(REPLACE, asked)
            assert replaced.status == 0, replaced.output[-5000:]
            new = world.holders(role)
            assert all(map(the_same_but_for_the_instance, old, new)), (old, new)
            for holder in new:
                assert fleet.instance(str(holder.instance_id))["InstanceType"] == OTHER_TYPES[role], holder
            assert _of_other_roles(world, role) == others, "no other service restarts"
            again = world.play(REPLACE, asked)
            assert (again.status, again.changed) == (0, 0), again.output[-3000:]
            assert world.holders(role) == new
            figures[f"{role}_seconds"] = round(replaced.seconds, 1)
            figures[f"{role}_instances"] = len(new)
        verdict = traffic.verdict()
    assert (verdict.lost, verdict.failed_sends) == (0, 0), verdict
    return {**figures, **dataclasses.asdict(verdict)}


def _of_other_roles(world: World, role: str) -> dict[str, fleet.Process]:
    return {name: process for name, process in world.census().items() if not name.startswith(f"{role}-")}


def a_server_of_the_ensemble_ends_and_comes_back_by_hand(world: World) -> Figures:
    """A follower outside of its group: terminated behind the gate, made again on its volume, given back."""
    server = next(one for one in world.ensemble() if fleet.zookeeper_mode(one.private_ip) == "follower")
    asked = {"node_instance_role": "zookeeper", "node_instance_node_id": server.node_id}
    before = world.census()
    world.leave_group(server)
    with Traffic(cluster.addresses("kafka"), "server-by-hand", world.logs) as traffic:
        ended = world.play(TERMINATE, asked)
        assert ended.status == 0, ended.output[-5000:]
        free = next(one for one in world.ensemble() if one.node_id == server.node_id)
        assert free == dataclasses.replace(server, instance_id=None), "interface, address and volume stay"
        made = world.play(CREATE, asked)
        assert made.status == 0, made.output[-5000:]
        back = next(one for one in world.ensemble() if one.node_id == server.node_id)
        assert the_same_but_for_the_instance(server, back), back
        assert world.alarms() == {f"demo-{server.name}-recover": back.instance_id}
        again = world.play(CREATE, asked)
        assert (again.status, again.changed) == (0, 0), again.output[-3000:]
        assert fleet.restarted(before, world.census(), set()) == [server.name]
        given_back = world.play(TERMINATE, asked)
        assert given_back.status == 0, given_back.output[-5000:]
        world.join_group(server)
        cluster.await_whole(900)
        verdict = traffic.verdict()
    assert world.alarms() == {}
    assert fleet.restarted(before, world.census(), set()) == [server.name]
    assert (verdict.lost, verdict.failed_sends) == (0, 0), verdict
    return {
        "terminate_seconds": round(ended.seconds, 1),
        "create_seconds": round(made.seconds, 1),
        **dataclasses.asdict(verdict),
    }


def a_broker_outside_of_its_group_ends_and_comes_back(world: World) -> Figures:
    """Terminated behind the gate, created again on its volume, recovered by its alarm: same id, address, data."""
    broker = world.brokers()[-1]
    asked = {"node_instance_role": "kafka", "node_instance_node_id": broker.node_id}
    before = world.census()
    refused = world.play(TERMINATE, asked)
    assert refused.status != 0
    assert "in_group" in refused.output, refused.output[-3000:]
    world.leave_group(broker)
    checked = world.play(TERMINATE, asked, "--check")
    assert checked.status == 0, checked.output[-3000:]
    assert world.census() == before
    with Traffic(cluster.addresses("kafka"), "by-hand", world.logs) as traffic:
        ended = world.play(TERMINATE, asked)
        assert ended.status == 0, ended.output[-5000:]
        free = world.broker(broker.node_id)
        assert free == dataclasses.replace(broker, instance_id=None), "interface, address and volume stay"
        nobody = world.play(TERMINATE, asked)
        assert (nobody.status, nobody.changed) == (0, 0), nobody.output[-3000:]
        twice = world.play(CREATE, {**asked, "node_instance_volume": "new"})
        assert twice.status != 0
        assert broker.volume_ids[0] in twice.output, twice.output[-3000:]
        made = world.play(CREATE, asked)
        assert made.status == 0, made.output[-5000:]
        back = world.broker(broker.node_id)
        assert the_same_but_for_the_instance(broker, back), back
        assert world.alarms() == {f"demo-kafka-{broker.node_id}-recover": back.instance_id}
        again = world.play(CREATE, asked)
        assert (again.status, again.changed) == (0, 0), again.output[-3000:]
        assert restarted(before, world.census()) == {broker.node_id}
        recover_seconds = world.recover(back)
        assert world.broker(broker.node_id) == back
        verdict = traffic.verdict()
    assert restarted(before, world.census()) == {broker.node_id}
    assert (verdict.lost, verdict.failed_sends) == (0, 0), verdict
    return {
        "terminate_seconds": round(ended.seconds, 1),
        "create_seconds": round(made.seconds, 1),
        "recover_seconds": round(recover_seconds, 1),
        **dataclasses.asdict(verdict),
    }


def a_broker_on_a_new_volume_is_filled_by_its_peers(world: World) -> Figures:
    """After the story before: its volume is given up, a new one is made when asked for, refilled when allowed."""
    broker = world.brokers()[-1]
    asked = {"node_instance_role": "kafka", "node_instance_node_id": broker.node_id}
    renewed = {**asked, "node_instance_volume": "new", "node_instance_refill_allowed": True}
    before = world.census()
    with Traffic(cluster.addresses("kafka"), "new-volume", world.logs) as traffic:
        ended = world.play(TERMINATE, asked)
        assert ended.status == 0, ended.output[-5000:]
        fleet.client("ec2").delete_volume(VolumeId=broker.volume_ids[0])
        checked = world.play(CREATE, renewed, "--check")
        assert checked.status == 0, checked.output[-3000:]
        assert world.broker(broker.node_id).instance_id is None
        made = world.play(CREATE, renewed)
        assert made.status == 0, made.output[-5000:]
        back = world.broker(broker.node_id)
        assert back.volume_ids != broker.volume_ids
        assert the_same_but_for_the_instance(dataclasses.replace(broker, volume_ids=back.volume_ids), back), back
        again = world.play(CREATE, asked)
        assert (again.status, again.changed) == (0, 0), again.output[-3000:]
        verdict = traffic.verdict()
    assert restarted(before, world.census()) == {broker.node_id}
    assert (verdict.lost, verdict.failed_sends) == (0, 0), verdict
    return {
        "terminate_seconds": round(ended.seconds, 1),
        "create_seconds": round(made.seconds, 1),
        **dataclasses.asdict(verdict),
    }


def an_instance_that_is_ended_takes_its_alarm_along(world: World) -> Figures:
    """After the story before: terminate, and no alarm is left; the group takes the identity back."""
    broker = world.brokers()[-1]
    asked = {"node_instance_role": "kafka", "node_instance_node_id": broker.node_id}
    ended = world.play(TERMINATE, asked)
    assert ended.status == 0, ended.output[-5000:]
    assert world.alarms() == {}
    world.join_group(broker)
    waited = cluster.await_whole(900)
    return {"terminate_seconds": round(ended.seconds, 1), "group_seconds": round(waited, 1)}


STORIES: tuple[Callable[[World], Figures], ...] = (
    another_instance_type_goes_round_under_the_identities,
    a_server_of_the_ensemble_ends_and_comes_back_by_hand,
    a_broker_outside_of_its_group_ends_and_comes_back,
    a_broker_on_a_new_volume_is_filled_by_its_peers,
    an_instance_that_is_ended_takes_its_alarm_along,
)
