# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock's protocol: whatever is lost, late or raced, one run at a time has it, and a stopped node was covered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import cluster_lock, lock_record, lock_store
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.lock_record import Owner, Record, Stamp, Token
from ansible_collections.holdfast.kafka.plugins.module_utils.lock_store import LockChangedError
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_errors import (
    ZkAuthError,
    ZkReplyLostError,
    ZkUnreachableError,
)
from hypothesis import given, settings
from hypothesis import strategies as st

PATH = "/holdfast/orders/locks/roll"
EXPIRE_SECONDS = 100.0
AT = "2026-01-01T00:00:00Z"


@dataclass
class Ensemble:
    """One znode, and ZooKeeper's clock, which the runs cannot see but by a write."""

    seconds: float = 1000.0
    epoch: int = 1
    value: bytes | None = None
    version: int = 0
    written: Stamp = field(default_factory=lambda: Stamp(0.0, 0))
    writes: int = 0

    def write(self, value: bytes) -> None:
        """Store a value as ZooKeeper would."""
        self.version = 0 if self.value is None else self.version + 1
        self.value, self.written, self.writes = value, Stamp(self.seconds, self.epoch), self.writes + 1


@dataclass
class Port:
    """A run's way to the ensemble; C(plan) says of each write whether it is done, lost, or done and unheard."""

    world: Ensemble
    plan: list[str] = field(default_factory=list)
    between: Callable[[], object] | None = None
    down: Exception | None = None
    path: str = PATH

    def read(self) -> Record | None:
        if self.down:
            raise self.down
        found = None
        if self.world.value is not None:
            found = lock_record.decode(self.world.value, self.world.version, self.world.written)
        between, self.between = self.between, None
        if between:
            between()
        return found

    def now(self) -> Stamp:
        return Stamp(self.world.seconds, self.world.epoch)

    def create(self, value: bytes) -> None:
        self._write(value, None)

    def set(self, value: bytes, version: int) -> None:
        self._write(value, version)

    def _write(self, value: bytes, version: int | None) -> None:
        fate = self.plan.pop(0) if self.plan else "done"
        if fate == "lost":
            raise ZkReplyLostError("ConnectionLoss")
        if (self.world.value is None) != (version is None) or (version is not None and version != self.world.version):
            raise LockChangedError("BadVersionError")
        self.world.write(value)
        if fate == "unheard":
            raise ZkReplyLostError("ConnectionLoss")


def owner(run_id: str, expire_seconds: float = EXPIRE_SECONDS) -> Owner:
    return Owner(run_id, "jane@laptop", "kafka_rolling_restart", AT, expire_seconds)


def take(world: Ensemble, run_id: str = "one") -> Token:
    return cluster_lock.acquire(Port(world), owner(run_id)).token


def fails(reason: str, call: Callable[[], object]) -> HoldfastError:
    with pytest.raises(HoldfastError) as caught:
        call()
    assert caught.value.reason == reason, caught.value.message
    return caught.value


# ---- one after the other ---------------------------------------------------------------------------------------------


def test_a_free_lock_is_taken_and_a_second_call_changes_nothing() -> None:
    world = Ensemble()
    first = cluster_lock.acquire(Port(world), owner("one"))
    assert (first.token, first.changed) == (Token(PATH, "one", 1), True)
    again = cluster_lock.acquire(Port(world), owner("one"))
    assert (again.token, again.changed, world.writes) == (first.token, False, 1)


def test_a_living_lock_refuses_and_says_who_since_when_and_how_long() -> None:
    world = Ensemble()
    take(world)
    world.seconds += 40
    error = fails("locked", lambda: take(world, "two"))
    for text in ("Run one", "kafka_rolling_restart", "jane@laptop", AT, "expires in 60 s", "lock_release"):
        assert text in error.message
    assert (error.extra["lock"]["run_id"], error.extra["lock"]["seconds_left"]) == ("one", 60.0)


def test_a_renewal_begins_the_time_anew() -> None:
    world = Ensemble()
    token = take(world)
    world.seconds += 99
    cluster_lock.renew(Port(world), token)
    world.seconds += 99
    fails("locked", lambda: take(world, "two"))


def test_an_expired_lock_is_taken_over_and_its_owner_finds_out() -> None:
    world = Ensemble()
    old = take(world)
    world.seconds += EXPIRE_SECONDS
    new = cluster_lock.acquire(Port(world), owner("two"))
    assert (new.token.generation, new.expired_owner) == (2, owner("one"))
    for late in (cluster_lock.renew, cluster_lock.confirm):
        error = fails("lock_lost", partial(late, Port(world), old))
        assert "Run two" in error.message
    fails("lock_lost", lambda: cluster_lock.release(Port(world), old, AT))
    assert cluster_lock.confirm(Port(world), new.token).ended == {
        "how": "expired",
        "run_id": "one",
        "holder": "jane@laptop",
        "at": AT,
    }


def test_an_expired_lock_that_nobody_took_is_still_its_owners() -> None:
    world = Ensemble()
    token = take(world)
    world.seconds += 5 * EXPIRE_SECONDS
    cluster_lock.renew(Port(world), token)
    fails("locked", lambda: take(world, "two"))


def test_after_another_leader_was_elected_the_clocks_may_differ() -> None:
    world = Ensemble()
    take(world)
    world.epoch, world.seconds = 2, world.seconds + EXPIRE_SECONDS + lock_record.LEADER_SKEW_SECONDS - 1
    assert "expires in 1 s" in fails("locked", lambda: take(world, "two")).message
    world.seconds += 1
    assert take(world, "two").generation == 2


def test_a_clock_that_went_back_expires_nothing() -> None:
    world = Ensemble()
    take(world)
    world.seconds -= 3600
    assert "expires in 100 s" in fails("locked", lambda: take(world, "two")).message


def test_a_released_lock_is_free_and_releasing_again_changes_nothing() -> None:
    world = Ensemble()
    token = take(world)
    assert cluster_lock.release(Port(world), token, AT)
    assert not cluster_lock.release(Port(world), token, AT)
    fails("lock_lost", lambda: cluster_lock.renew(Port(world), token))
    assert take(world, "two").generation == 2
    fails("lock_lost", lambda: cluster_lock.release(Port(world), token, AT))


def test_a_lock_released_by_force_says_by_whom_and_why() -> None:
    world = Ensemble()
    assert cluster_lock.release_by_force(Port(world), "joe", "its controller burnt", AT) is None
    token = take(world)
    robbed = cluster_lock.release_by_force(Port(world), "joe", "its controller burnt", AT)
    assert robbed is not None
    assert robbed.owner == owner("one")
    assert cluster_lock.release_by_force(Port(world), "joe", "again", AT) is None
    message = fails("lock_lost", lambda: cluster_lock.renew(Port(world), token)).message
    assert "forced by joe (its controller burnt)" in message


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b"null",
        b'{"version":1}',
        b'{"version":2,"generation":1,"owner":null,"ended":null}',
        b'{"version":1,"generation":true,"owner":null,"ended":null}',
        b'{"version":1,"generation":1,"owner":null,"ended":"x"}',
        b'{"version":1,"generation":1,"owner":{"run_id":"x"},"ended":null}',
        b'{"version":1,"generation":1,"owner":{"run_id":"x","holder":"","playbook":"","since":"","expire_seconds":"y"},"ended":null}',
    ],
)
def test_what_is_no_record_is_never_free_and_only_force_ends_it(value: bytes) -> None:
    world = Ensemble(value=value)
    error = fails("locked", lambda: take(world))
    assert PATH in error.message
    fails("lock_lost", lambda: cluster_lock.renew(Port(world), Token(PATH, "x", 1)))
    cluster_lock.release_by_force(Port(world), "joe", "somebody wrote there", AT)
    assert take(world).generation == 1


def test_a_wiped_ensemble_is_a_lost_lock() -> None:
    world = Ensemble()
    token = take(world)
    world.value = None
    assert "ZooKeeper's data lost" in fails("lock_lost", lambda: cluster_lock.renew(Port(world), token)).message


# ---- what ZooKeeper says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ZkUnreachableError("no server"), "zookeeper_unreachable"), (ZkAuthError("denied"), "zookeeper_auth_failed")],
)
def test_a_zookeeper_that_gives_no_answer_is_named(error: Exception, reason: str) -> None:
    fails(reason, lambda: cluster_lock.acquire(Port(Ensemble(), down=error), owner("one")))


def test_replies_that_are_always_lost_end() -> None:
    port = Port(Ensemble(), ["lost"] * cluster_lock.ATTEMPTS)
    fails("lost_race", lambda: cluster_lock.acquire(port, owner("one")))


@pytest.mark.parametrize("plan", [["lost"], ["unheard"], ["lost", "unheard"], ["lost"] * 5 + ["unheard"]])
def test_a_lost_reply_is_resolved_by_reading(plan: list[str]) -> None:
    world = Ensemble()
    taken = cluster_lock.acquire(Port(world, list(plan)), owner("one"))
    assert (taken.changed, taken.token.generation) == (True, 1)
    version = world.version
    cluster_lock.renew(Port(world, list(plan)), taken.token)
    assert world.version > version
    assert cluster_lock.release(Port(world, list(plan)), taken.token, AT)
    assert take(world, "two").generation == 2


def test_nodes_of_one_batch_renew_at_once() -> None:
    world = Ensemble()
    token = take(world)
    late = Port(world, between=lambda: cluster_lock.renew(Port(world), token))
    cluster_lock.renew(late, token)
    assert world.writes == 2, "the other's renewal is as good"


def test_a_takeover_between_read_and_write_wins() -> None:
    world = Ensemble()
    token = take(world)
    world.seconds += EXPIRE_SECONDS
    late = Port(world, between=lambda: take(world, "two"))
    fails("lock_lost", lambda: cluster_lock.renew(late, token))


def test_a_renewal_between_read_and_takeover_wins() -> None:
    world = Ensemble()
    token = take(world)
    world.seconds += EXPIRE_SECONDS
    late = Port(world, between=lambda: cluster_lock.renew(Port(world), token))
    fails("locked", lambda: cluster_lock.acquire(late, owner("two")))
    cluster_lock.confirm(Port(world), token)


# ---- a token from outside --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    [
        {},
        {"path": "/brokers/ids", "run_id": "one", "generation": 1},
        {"path": PATH, "run_id": "", "generation": 1},
        {"path": PATH, "run_id": "one", "generation": "x"},
        {"path": PATH, "run_id": "one", "generation": True},
    ],
)
def test_a_token_that_is_none_is_refused_before_anybody_is_asked(token: dict[str, object]) -> None:
    fails("bad_parameter", lambda: cluster_lock.check(["192.0.2.1:2181"], token))


def test_check_renews_and_in_check_mode_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Ensemble()
    token = take(world)

    class Store(Port):
        """Stands for the store that C(check) opens."""

        def close(self) -> None:
            """Nothing to end."""

    monkeypatch.setattr(cluster_lock, "LockStore", lambda _hosts, _path, _security: Store(world))
    as_templated = {**token.as_dict(), "generation": "1"}
    assert cluster_lock.check(["zk:2181"], as_templated, read_only=True)["run_id"] == "one"
    assert world.writes == 1
    assert cluster_lock.check(["zk:2181"], token.as_dict())["held"]
    assert world.writes == 2
    fails("lock_lost", lambda: cluster_lock.check(["zk:2181"], {**token.as_dict(), "generation": 2}))


@pytest.mark.parametrize("cluster", ["", "a/b", "..", "ä"])
def test_a_cluster_that_is_no_path_is_refused(cluster: str) -> None:
    with pytest.raises(ValueError, match="cannot be part"):
        lock_record.lock_path(cluster)


def test_shared_levels_are_those_above_the_cluster() -> None:
    assert lock_store.LockStore([], lock_record.lock_path("orders", "/x"))._shared == {"/x", "/x/holdfast"}


# ---- any order of events ---------------------------------------------------------------------------------------------

RUNS = ("one", "two", "three")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(RUNS),
        st.sampled_from(["acquire", "stop", "release", "die", "force"]),
        st.lists(st.sampled_from(["done", "lost", "unheard"]), max_size=3),
        st.sampled_from([0.0, 30.0, 60.0, 99.0, 100.0, 250.0]),
        st.booleans(),
    ),
    max_size=40,
)


def play(steps: list[tuple[str, str, list[str], float, bool]]) -> None:
    """A run that proved its lock may stop for as long as the lock lives; meanwhile nobody else gets it unless by force.

    The oracle keeps its own book of who may stop until when, and knows nothing of versions and generations.
    """
    world = Ensemble()
    tokens: dict[str, Token] = {}
    covered: tuple[str, float] | None = None  # who may stop, until when by ZooKeeper's clock
    for number, (who, what, plan, pause, leader_dies) in enumerate(steps):
        world.seconds += pause
        world.epoch += leader_dies
        port = Port(world, list(plan))
        free_by_book = covered is None or covered[1] <= world.seconds
        try:
            if what == "acquire":
                # A run that died and comes again is another run.
                tokens[who] = cluster_lock.acquire(port, owner(f"{who}-{number}")).token
                assert free_by_book, f"{who} got the lock of {covered}"
                covered = (who, world.seconds + EXPIRE_SECONDS)
            elif what == "stop" and who in tokens:
                cluster_lock.renew(port, tokens[who])
                assert covered is None or covered[0] == who, f"{who} stops while {covered} may"
                covered = (who, world.seconds + EXPIRE_SECONDS)
            elif what == "release" and who in tokens:
                cluster_lock.release(port, tokens.pop(who), AT)
                covered = None if covered and covered[0] == who else covered
            elif what == "die":
                tokens.pop(who, None)
            elif what == "force":
                cluster_lock.release_by_force(port, who, "test", AT)
                covered = None
        except HoldfastError as error:
            said = error.reason
            tokens.pop(who, None)
        else:
            said = ""
        assert said in {"acquire": ("", "locked"), "stop": ("", "lock_lost"), "release": ("", "lock_lost")}.get(
            what, ""
        )
        assert said != "locked" or covered is not None, "a free lock was refused"
        if world.value is not None:
            read = lock_record.decode(world.value, world.version, world.written)
            assert lock_record.decode(lock_record.encode(read), read.version, read.written) == read
            assert replace(read, readable=True) == read


@given(STEPS)
@settings(max_examples=400, deadline=None)
def test_no_stop_is_covered_by_two_runs(steps: list[tuple[str, str, list[str], float, bool]]) -> None:
    play(steps)


@pytest.mark.parametrize(
    ("mistake", "steps"),
    [
        (("seconds_left", lambda _record, _now: 0.0), [("one", "acquire"), ("two", "acquire")]),
        (
            ("Token.matches", lambda _token, _record: True),
            [("one", "acquire"), ("two", "force"), ("two", "acquire"), ("one", "stop")],
        ),
    ],
    ids=["a living lock counts as expired", "another run's generation counts as one's own"],
)
def test_the_oracle_finds_a_planted_mistake(
    monkeypatch: pytest.MonkeyPatch, mistake: tuple[str, Callable[..., object]], steps: list[tuple[str, str]]
) -> None:
    story: list[tuple[str, str, list[str], float, bool]] = [(who, what, [], 1.0, False) for who, what in steps]
    play(story)
    name, wrong = mistake
    place, _dot, attribute = name.rpartition(".")
    monkeypatch.setattr(getattr(lock_record, place) if place else lock_record, attribute, wrong)
    with pytest.raises(AssertionError):
        play(story)
