# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Four-letter words: parsing, and the verdict on an ensemble."""

from __future__ import annotations

import contextlib

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import zk_4lw
from ansible_collections.holdfast.kafka.plugins.module_utils.addresses import Address
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_4lw import AnswerError, Server
from hypothesis import given
from hypothesis import strategies as st

SRVR = """Zookeeper version: 3.8.4-9316c2a7a97e1666d8f4593f34dd6fc36ecc436c, built on 2024-02-12 22:16 UTC
Latency min/avg/max: 0/0.0/0
Received: 1
Sent: 0
Connections: 1
Outstanding: 0
Zxid: 0x100000004
Mode: leader
Node count: 5
Proposal sizes last/min/max: -1/-1/-1
"""
MNTR = "zk_version\t3.8.4-9316c2a7\nzk_server_state\tleader\nzk_synced_followers\t2\nzk_avg_latency\t0.0\n"
HERE = Address("10.0.0.1", 2181)


def test_srvr() -> None:
    assert zk_4lw.parse_srvr(SRVR) == {
        "mode": "leader",
        "zxid": "0x100000004",
        "version": "3.8.4-9316c2a7a97e1666d8f4593f34dd6fc36ecc436c",
        "node_count": 5,
        "connections": 1,
    }


def test_mntr() -> None:
    assert zk_4lw.parse_mntr(MNTR)["zk_synced_followers"] == "2"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "empty"),
        ("This ZooKeeper instance is not currently serving requests\n", "not_serving"),
        ("srvr is not executed because it is not in the whitelist.\n", "not_listed"),
        ("HTTP/1.1 400 Bad Request\r\n", "protocol"),
    ],
)
def test_answers_that_are_none_have_a_reason(answer: str, reason: str) -> None:
    for parse in (zk_4lw.parse_srvr, zk_4lw.parse_mntr):
        with pytest.raises(AnswerError) as caught:
            parse(answer)
        assert caught.value.reason == reason


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for parse in (zk_4lw.parse_srvr, zk_4lw.parse_mntr):
        with contextlib.suppress(AnswerError):
            assert parse(text)


def test_the_leader_is_also_asked_who_is_in_sync() -> None:
    server = zk_4lw.read_server(HERE, lambda _address, word: {"srvr": SRVR, "mntr": MNTR}[word])
    assert (server.mode, server.synced_followers, server.error) == ("leader", 2, None)


def test_a_follower_is_not_asked_mntr() -> None:
    server = zk_4lw.read_server(HERE, lambda _address, word: {"srvr": SRVR.replace("leader", "follower")}[word])
    assert (server.mode, server.synced_followers) == ("follower", None)


def test_a_leader_that_forbids_mntr_is_still_a_leader() -> None:
    answers = {"srvr": SRVR, "mntr": "mntr is not executed because it is not in the whitelist.\n"}
    server = zk_4lw.read_server(HERE, lambda _address, word: answers[word])
    assert server.mode == "leader"
    assert server.error is not None
    assert server.error["reason"] == "not_listed"


@pytest.mark.parametrize(("reason", "reachable"), [("refused", False), ("timeout", False), ("not_serving", True)])
def test_no_answer_is_an_answer(reason: str, reachable: bool) -> None:
    def question(_address: Address, _word: str) -> str:
        raise AnswerError(reason, "why")

    server = zk_4lw.read_server(HERE, question)
    assert (server.reachable, server.mode, server.error) == (reachable, None, {"reason": reason, "message": "why"})


def leader(synced: int | None, host: str = "a:1") -> Server:
    return Server(host, True, mode="leader", synced_followers=synced)


FOLLOWERS = [Server("b:1", True, mode="follower"), Server("c:1", True, mode="follower")]
DEAD = Server("c:1", False, error={"reason": "refused", "message": "c:1 refused"})
LONE = Server("a:1", True, mode="standalone")


@pytest.mark.parametrize(
    ("servers", "expected", "whole", "word"),
    [
        ([leader(2), *FOLLOWERS], 3, True, ""),
        ([LONE], 1, True, ""),
        ([leader(1), *FOLLOWERS], 3, False, "1 of 2 followers"),
        ([leader(None), *FOLLOWERS], 3, False, "does not say"),
        ([leader(1), FOLLOWERS[0], DEAD], 3, False, "refused"),
        ([leader(2), leader(2, "d:1"), *FOLLOWERS], 4, False, "more than one leader"),
        ([Server("a:1", True, mode="follower"), *FOLLOWERS], 3, False, "no server leads"),
        ([LONE, *FOLLOWERS], 3, False, "standalone"),
        ([leader(1), FOLLOWERS[0]], 3, False, "2 of 3 servers"),
        ([FOLLOWERS[0]], 1, False, "does not run standalone"),
        ([DEAD], 1, False, "0 of 1"),
    ],
)
def test_verdict(servers: list[Server], expected: int, whole: bool, word: str) -> None:
    verdict = zk_4lw.quorum(servers, expected)
    assert verdict["whole"] is whole
    assert word in "; ".join(verdict["faults"])


modes = st.sampled_from([None, "leader", "follower", "standalone", "observer"])


@given(st.lists(st.tuples(modes, st.one_of(st.none(), st.integers(0, 5))), min_size=1, max_size=5), st.integers(1, 5))
def test_whole_always_means_one_leader_with_all_the_others_in_sync(
    facts: list[tuple[str | None, int | None]], expected: int
) -> None:
    servers = [Server(f"h{i}:1", mode is not None, mode=mode, synced_followers=n) for i, (mode, n) in enumerate(facts)]
    verdict = zk_4lw.quorum(servers, expected)
    if verdict["whole"]:
        assert verdict["serving"] >= expected
        assert verdict["leader"] is not None
        assert [mode for mode, _ in facts].count("leader" if expected > 1 else "standalone") == 1
        assert expected == 1 or verdict["synced_followers"] >= expected - 1
    else:
        assert verdict["faults"]
