# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of a ZooKeeper roll, every refusal of its plan, and the gate before each stop."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import zk_roll_gate, zk_roll_plan
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_4lw import Server
from hypothesis import given
from hypothesis import strategies as st

IDLE = {"reason": "not_serving", "message": "the server runs but is in no quorum"}
AWAY = {"reason": "refused", "message": "refused the connection"}
MUTE = {"reason": "not_listed", "message": "srvr is not in the server's 4lw.commands.whitelist"}


def server(number: int, state: str, synced: int | None = None) -> Server:
    """One server in a state: a mode, ``idle``, ``away``, ``frozen`` or ``mute``."""
    host = f"192.0.2.{number}:2181"
    if state == "away":
        return Server(host, reachable=False, error=AWAY)
    if state in ("idle", "mute"):
        return Server(host, reachable=True, error=IDLE if state == "idle" else MUTE)
    return Server(host, reachable=True, mode=state, synced_followers=synced)


def ensemble(*states: str, synced: int | None = -1) -> dict[int, Server]:
    """Servers 1..n in these states; the leader counts the followers that follow unless ``synced`` says otherwise."""
    count = states.count("follower") if synced == -1 else synced
    return {number: server(number, state, count) for number, state in enumerate(states, start=1)}


def planned(servers: dict[int, Server], targets: list[int] | None = None, **options: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"interruption_allowed": False, "seconds_per_server": 20.0, **options}
    skipped = settings.pop("skipped", {})
    return zk_roll_plan.plan(servers, targets or list(servers), skipped, **settings).as_dict()


def test_followers_first_and_the_leader_last() -> None:
    plan = planned(ensemble("leader", "follower", "follower"))
    assert (plan["batches"], plan["serial"], plan["leader_id"]) == ([[2], [3], [1]], [1, 1, 1], 1)
    assert [one["action"] for one in plan["servers"]] == ["restart"] * 3
    assert (plan["refusals"], plan["skipped"], plan["expected_seconds"]) == ([], [], 60.0)


def test_what_does_not_run_is_started_first_and_together() -> None:
    plan = planned(ensemble("follower", "leader", "away", "follower", "away"))
    assert plan["batches"] == [[3, 5], [1], [4], [2]]
    assert plan["serial"] == [2, 1, 1, 1]
    assert [one["action"] for one in plan["servers"]] == ["start", "start", "restart", "restart", "restart"]
    assert plan["refusals"] == []


def test_a_server_outside_of_the_quorum_comes_before_the_followers_and_nobody_waits_for_it() -> None:
    plan = planned(ensemble("follower", "leader", "away", "follower", "idle"))
    assert plan["batches"] == [[3], [5], [1], [4], [2]]
    assert plan["servers"][0]["may_be_absent"] == [5]
    assert plan["servers"][1]["may_be_absent"] == []


def test_a_survivor_of_a_lost_quorum_is_a_part_of_the_next() -> None:
    plan = planned(ensemble("away", "away", "idle"))
    assert plan["batches"] == [[1, 2], [3]]
    assert plan["servers"][0]["may_be_absent"] == [], "the third may be the one that leads"
    assert plan["refusals"] == []


def test_who_is_not_asked_for_or_needs_nothing_is_left_alone_and_it_says_why() -> None:
    plan = planned(ensemble("leader", "follower", "follower"), [1, 2], skipped={2: "runs with what is on disk"})
    assert plan["batches"] == [[1]]
    assert plan["skipped"] == [
        {"node_id": 2, "why": "runs with what is on disk"},
        {"node_id": 3, "why": "not asked for"},
    ]


def test_a_plan_that_does_nothing_refuses_nothing() -> None:
    plan = planned(ensemble("leader", "follower", "away"), [1, 2], skipped={1: "same", 2: "same"})
    assert (plan["batches"], plan["refusals"]) == ([], [])


@pytest.mark.parametrize(
    ("servers", "targets", "reason", "node_ids"),
    [
        (ensemble("leader", "follower", "leader"), None, "leader_not_unique", [1, 3]),
        (ensemble("leader", "follower", "standalone"), None, "server_alone", [3]),
        (ensemble("leader", "follower", "mute"), None, "server_state_unknown", [3]),
        (ensemble("leader", "follower", "follower", synced=None), None, "server_state_unknown", [1]),
        (ensemble("leader", "follower", "away"), [1, 2], "server_missing", [3]),
        (ensemble("leader", "follower", "idle"), [1, 2], "server_missing", [3]),
        (ensemble("leader", "follower", "follower", synced=1), None, "followers_not_in_sync", [2, 3]),
        (ensemble("idle", "idle", "idle"), None, "no_quorum", [1, 2, 3]),
        (ensemble("leader", "follower"), None, "no_majority_left", [1, 2]),
        (ensemble("standalone"), None, "no_majority_left", [1]),
    ],
)
def test_refusals(servers: dict[int, Server], targets: list[int] | None, reason: str, node_ids: list[int]) -> None:
    refusals = {one["reason"]: one for one in planned(servers, targets)["refusals"]}
    assert refusals[reason]["node_ids"] == node_ids
    for node_id in node_ids:
        assert servers[node_id].host in refusals[reason]["message"] or reason == "no_majority_left"


@pytest.mark.parametrize("states", [("leader", "follower"), ("standalone",)])
def test_an_interruption_may_be_allowed(states: tuple[str, ...]) -> None:
    plan = planned(ensemble(*states), interruption_allowed=True)
    assert plan["refusals"] == []
    assert [one["action"] for one in plan["servers"]] == ["restart"] * len(states)


@pytest.mark.parametrize("states", [("idle", "away"), ("leader", "away", "away", "follower", "follower")])
def test_a_plan_that_stops_nobody_is_never_refused(states: tuple[str, ...]) -> None:
    plan = planned(ensemble(*states), [2])
    assert (plan["refusals"], plan["batches"]) == ([], [[2]])


def test_a_refused_plan_has_no_batches() -> None:
    plan = planned(ensemble("leader", "follower", "away"), [1, 2])
    assert plan["refusals"]
    assert (plan["batches"], plan["serial"]) == ([], [])


def gate(servers: dict[int, Server], node_id: int, allowed: bool = False) -> str:
    return "; ".join(zk_roll_gate.gate_faults(servers, node_id, interruption_allowed=allowed))


@pytest.mark.parametrize("node_id", [1, 2, 3])
def test_the_gate_is_open_when_the_quorum_is_whole(node_id: int) -> None:
    assert gate(ensemble("leader", "follower", "follower"), node_id) == ""


@pytest.mark.parametrize(
    ("servers", "node_id", "words"),
    [
        (ensemble("leader", "follower", "away"), 2, "192.0.2.3:2181: refused"),
        (ensemble("leader", "follower", "idle"), 1, "192.0.2.3:2181"),
        (ensemble("leader", "follower", "follower", synced=1), 2, "1 of 2 followers"),
        (ensemble("leader", "leader", "follower"), 3, "more than one leader"),
        (ensemble("idle", "away", "follower", "leader", "follower"), 1, "192.0.2.2:2181"),
        (ensemble("idle", "idle", "idle"), 1, "no quorum"),
        (ensemble("leader", "follower"), 2, "no majority"),
        (ensemble("standalone"), 1, "no majority"),
    ],
)
def test_the_gate_closes(servers: dict[int, Server], node_id: int, words: str) -> None:
    assert words in gate(servers, node_id)


@pytest.mark.parametrize(
    ("servers", "node_id", "allowed"),
    [
        (ensemble("leader", "follower", "idle"), 3, False),
        (ensemble("leader", "follower", "away"), 3, False),
        (ensemble("leader", "follower"), 1, True),
        (ensemble("standalone"), 1, True),
    ],
)
def test_the_one_to_repair_may_be_stopped_and_so_may_one_of_a_small_ensemble_when_allowed(
    servers: dict[int, Server], node_id: int, allowed: bool
) -> None:
    assert gate(servers, node_id, allowed) == ""


def test_the_rest_of_one_and_of_two() -> None:
    assert zk_roll_gate.rest_faults(ensemble("standalone"), 1) == []
    assert zk_roll_gate.rest_faults(ensemble("leader", "away"), 1) == ["192.0.2.2:2181 does not serve"]


SEEN = st.sampled_from(["leader", "follower", "standalone", "idle", "away", "mute"])


@given(st.lists(SEEN, min_size=3, max_size=7), st.data())
def test_an_open_gate_always_leaves_a_majority_that_is_in_sync(states: list[str], data: st.DataObject) -> None:
    servers = ensemble(*states, synced=data.draw(st.one_of(st.none(), st.integers(0, len(states)))))
    node_id = data.draw(st.sampled_from(sorted(servers)))
    if zk_roll_gate.gate_faults(servers, node_id, interruption_allowed=False):
        return
    left = [one for number, one in servers.items() if number != node_id and one.mode in ("leader", "follower")]
    leaders = [one for one in servers.values() if one.mode == "leader"]
    assert len(left) == len(servers) - 1 >= len(servers) // 2 + 1
    assert len(leaders) == 1
    assert (leaders[0].synced_followers or 0) >= len(servers) - 2


@given(st.lists(SEEN, min_size=1, max_size=7), st.data())
def test_a_plan_takes_each_target_once_and_stops_no_two_together(states: list[str], data: st.DataObject) -> None:
    servers = ensemble(*states)
    targets = data.draw(st.lists(st.sampled_from(sorted(servers)), unique=True, min_size=1))
    plan = planned(servers, targets)
    if plan["refusals"]:
        assert (plan["batches"], plan["serial"]) == ([], [])
        return
    assert sorted(one for batch in plan["batches"] for one in batch) == sorted(targets)
    assert [len(batch) for batch in plan["batches"]] == plan["serial"]
    starts = {one["node_id"] for one in plan["servers"] if one["action"] == "start"}
    assert all(len(batch) == 1 or set(batch) <= starts for batch in plan["batches"])
    if plan["leader_id"] in targets:
        assert plan["batches"][-1] == [plan["leader_id"]]
