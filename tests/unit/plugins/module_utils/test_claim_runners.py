# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the claim's and the attach's runners make of answers and errors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import zk_claims
from ansible_collections.holdfast.kafka.plugins.module_utils.attach_rules import Reading
from ansible_collections.holdfast.kafka.plugins.module_utils.attach_runner import AttachRun
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_errors import Meaning
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_machine import Settings
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_runner import Runner, zookeeper_hosts
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_steps import Done, Wait
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import PoolReading, build_pools
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme

from tests.unit.plugins.module_utils.pool_answers import CLUSTER, ZONE, eni, volume

ME = "i-me"


def aws_error(word: Meaning, code: str = "Code") -> AwsError:
    """Return an AWS error of this meaning."""
    return AwsError("describe_things", code, "the text", word)


# ---- the claim's runner ----------------------------------------------------------------------------------------------


def reading(holder: str | None = None) -> PoolReading:
    """Return a pool of one broker's and one ZooKeeper node's identity."""
    enis = [eni("eni-1", holder=holder), eni("eni-2", role="zookeeper")]
    return build_pools(CLUSTER, enis, [volume("vol-1"), volume("vol-2", role="zookeeper")], TagScheme())


class Ec2:
    """EC2 as a table: each verb gives its value, or raises it."""

    def __init__(self, **does: Any) -> None:
        self.does = {"read_pools": reading(), "instance_states": {}, "attach_eni": "attach-1", **does}
        self.calls: list[str] = []

    def _do(self, name: str) -> Any:
        self.calls.append(name)
        what = self.does[name]
        if isinstance(what, list):
            what = what.pop(0) if len(what) > 1 else what[0]
        if isinstance(what, Exception):
            raise what
        return what

    def read_pools(self, *_arguments: Any) -> Any:
        return self._do("read_pools")

    def instance_states(self, *_arguments: Any) -> Any:
        return self._do("instance_states")

    def attach_eni(self, *_arguments: Any) -> Any:
        return self._do("attach_eni")


class Claims:
    """ZooKeeper as a table."""

    def __init__(self, read: Any = None, write: Any = 0) -> None:
        self.read, self.write = read or {}, write
        self.values: list[bytes] = []
        self.closed = False

    def read_all(self) -> dict[int, Claim]:
        if isinstance(self.read, Exception):
            raise self.read
        return dict(self.read)

    def create(self, node_id: int, value: bytes) -> int:
        return self.set(node_id, value, 0)

    def set(self, node_id: int, value: bytes, version: int) -> int:
        if isinstance(self.write, Exception):
            raise self.write
        self.values.append(value)
        return version

    def close(self) -> None:
        self.closed = True


def run(ec2: Ec2, claims: Claims, **options: Any) -> tuple[Any, Runner]:
    """Run a claim in which waiting takes no time; the end is a step or a HoldfastError."""
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    check_mode = options.pop("check_mode", False)
    hosts = options.pop("given_hosts", None)
    poll_jitter = options.pop("poll_jitter", 0.0)
    settings = Settings(ME, ZONE, CLUSTER, "kafka", timeout_seconds=30, **options)
    runner = Runner(
        settings,
        ec2,
        TagScheme(),
        lambda _hosts: claims,
        given_hosts=hosts,
        check_mode=check_mode,
        poll_jitter=poll_jitter,
        sleep=sleep,
        monotonic=lambda: clock[0],
        wall=lambda: clock[0],
    )
    try:
        return runner.run(), runner
    except HoldfastError as error:
        return error, runner


def test_run_that_claims_writes_once_and_closes_the_session() -> None:
    claims = Claims()
    done, runner = run(Ec2(), claims)
    assert isinstance(done, Done)
    assert done.outcome == "claimed"
    assert len(claims.values) == 1
    assert claims.closed
    assert runner.waited == 0


def test_check_mode_writes_nothing_and_does_not_wait() -> None:
    claims, ec2 = Claims(), Ec2()
    assert run(ec2, claims, check_mode=True)[0].outcome == "claimed"
    assert claims.values == []
    assert run(ec2, claims, check_mode=True, strategy="attachment")[0].outcome == "claimed"
    assert "attach_eni" not in ec2.calls
    leaving = Ec2(read_pools=reading("i-1"), instance_states={"i-1": "shutting-down"})
    step, _runner = run(leaving, claims, check_mode=True)
    assert isinstance(step, Wait)
    assert step.whom == ("i-1",)


def test_hosts_as_given_or_from_the_pool_or_none() -> None:
    assert zookeeper_hosts(reading(), ["zk:1"]) == ["zk:1"]
    assert zookeeper_hosts(reading(), None) == ["10.77.1.21:2181"]
    bare = build_pools(CLUSTER, [eni("eni-1")], [volume("vol-1")], TagScheme())
    error, _runner = run(Ec2(read_pools=bare), Claims())
    assert error.reason == "zookeeper_unreachable"
    assert "zookeeper_hosts" in error.message


@pytest.mark.parametrize(
    ("ec2", "claims", "strategy", "reason"),
    [
        ({"read_pools": aws_error(Meaning.AUTH)}, Claims(), "zookeeper", "auth"),
        ({"read_pools": aws_error(Meaning.FATAL)}, Claims(), "zookeeper", "api_error"),
        ({"read_pools": aws_error(Meaning.RETRY)}, Claims(), "zookeeper", "api_error"),
        (
            {"read_pools": reading("i-1"), "instance_states": aws_error(Meaning.RETRY)},
            Claims(),
            "zookeeper",
            "api_error",
        ),
        ({"read_pools": reading("i-1"), "instance_states": aws_error(Meaning.AUTH)}, Claims(), "zookeeper", "auth"),
        ({}, Claims(read=zk_claims.ZkUnreachableError("nobody")), "zookeeper", "zookeeper_unreachable"),
        ({}, Claims(read=zk_claims.ZkRefusedError("no")), "zookeeper", "zookeeper_refused"),
        ({}, Claims(write=zk_claims.ZkRefusedError("no")), "zookeeper", "zookeeper_refused"),
        ({}, Claims(read=zk_claims.ZkAuthError("no")), "zookeeper", "zookeeper_auth_failed"),
        ({}, Claims(write=zk_claims.ZkAuthError("no")), "zookeeper", "zookeeper_auth_failed"),
        ({}, Claims(write=zk_claims.ZkReplyLostError("loss")), "zookeeper", "zookeeper_unreachable"),
        ({}, Claims(write=zk_claims.ClaimLostError("other")), "zookeeper", "lost_race"),
        ({"attach_eni": aws_error(Meaning.AUTH)}, Claims(), "attachment", "auth"),
        ({"attach_eni": aws_error(Meaning.FATAL)}, Claims(), "attachment", "api_error"),
        ({"attach_eni": aws_error(Meaning.RETRY)}, Claims(), "attachment", "api_error"),
        ({"attach_eni": aws_error(Meaning.NOT_READY)}, Claims(), "attachment", "api_error"),
        ({"attach_eni": aws_error(Meaning.LOST)}, Claims(), "attachment", "lost_race"),
    ],
)
def test_every_error_ends_with_its_reason(ec2: dict[str, Any], claims: Claims, strategy: str, reason: str) -> None:
    error, _runner = run(Ec2(**ec2), claims, strategy=strategy)
    assert isinstance(error, HoldfastError)
    assert error.reason == reason
    assert claims.closed or strategy == "attachment" or claims.values == []


def test_occupied_index_is_a_conflict() -> None:
    error, _runner = run(Ec2(attach_eni=aws_error(Meaning.OCCUPIED)), Claims(), strategy="attachment", grace_seconds=5)
    assert error.reason == "conflict"


def test_outage_of_ec2_is_sat_out_and_reported() -> None:
    outage = [aws_error(Meaning.RETRY), aws_error(Meaning.RETRY), reading()]
    done, runner = run(Ec2(read_pools=outage), Claims())
    assert done.outcome == "claimed"
    assert runner.waits == [{"reason": "api_error", "whom": ["EC2"], "seconds": 10.0}]


def test_waits_of_a_herd_differ_and_end_in_time() -> None:
    waited = []
    for _each in range(20):
        error, runner = run(Ec2(read_pools=aws_error(Meaning.RETRY)), Claims(), poll_jitter=0.2)
        assert error.reason == "api_error"
        waited.append(runner.waited)
    assert all(30 <= seconds <= 30 + 5 * 0.2 for seconds in waited)
    assert len(set(waited)) == len(waited)


# ---- the attach's runner ---------------------------------------------------------------------------------------------


class Port:
    """One resource as a list of readings and a list of replies to attach."""

    name = "eni-1"
    hint = "look at the key."
    stuck = "detach it."
    one_place = True

    def __init__(self, readings: list[Any], attaches: list[Any] | None = None, state: Any = "running") -> None:
        self.readings, self.attaches, self.state = readings, attaches or [None], state
        self.kept = False

    @staticmethod
    def _next(values: list[Any]) -> Any:
        value = values.pop(0) if len(values) > 1 else values[0]
        if isinstance(value, Exception):
            raise value
        return value

    def read(self) -> Reading:
        return self._next(self.readings)

    def attach(self) -> Reading | None:
        return self._next(self.attaches)

    def keep(self, _reading: Reading) -> None:
        if isinstance(self.state, AwsError):
            raise self.state
        self.kept = True

    def holder_state(self, _instance_id: str) -> str | None:
        if isinstance(self.state, Exception):
            raise self.state
        return self.state

    def occupied(self) -> bool:
        return False

    def occupant(self) -> str:
        return "eni-9"


FREE = Reading("eni-1", "available", None, None, None, None)
MINE = Reading("eni-1", "in-use", ME, "attached", 1, False)
OTHERS = Reading("eni-1", "in-use", "i-1", "attached", 1, False)
DELETED_WITH_ME = Reading("eni-1", "in-use", ME, "attached", 1, True)


def attach(port: Port, **options: Any) -> tuple[Any, AttachRun]:
    """Run an attach in which waiting takes no time."""
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    attach_run = AttachRun(port, ME, 30, 3, sleep=sleep, monotonic=lambda: clock[0], **options)
    try:
        return attach_run.run(), attach_run
    except HoldfastError as error:
        return error, attach_run


def test_attach_wins_is_idempotent_and_keeps() -> None:
    reading_after, attach_run = attach(Port([FREE, MINE]))
    assert (reading_after, attach_run.changed) == (MINE, True)
    assert attach(Port([MINE]))[1].changed is False
    port = Port([DELETED_WITH_ME])
    assert attach(port)[1].changed is True
    assert port.kept


def test_attach_with_a_lost_reply_that_had_happened() -> None:
    lost = aws_error(Meaning.RETRY)
    reading_after, attach_run = attach(Port([FREE, MINE], [lost]))
    assert (reading_after, attach_run.changed) == (MINE, True)


def test_attach_lost_to_a_living_one_is_a_conflict_and_nothing_changed() -> None:
    error, attach_run = attach(Port([FREE, OTHERS], [aws_error(Meaning.LOST)]))
    assert error.reason == "conflict"
    assert "i-1 (running)" in error.message
    assert attach_run.changed is False


def test_attach_refused_while_the_reading_is_stale_waits() -> None:
    reading_after, _run = attach(Port([FREE, FREE, MINE], [aws_error(Meaning.LOST)]))
    assert reading_after == MINE


def test_what_ec2_calls_one_holder_is_not_believed_of_the_next() -> None:
    second = replace(OTHERS, instance_id="i-2")
    port = Port([OTHERS, OTHERS, second])
    states, asked = {"i-1": "terminated", "i-2": "running"}, []

    def holder_state(instance_id: str) -> str:
        asked.append(instance_id)
        return states[instance_id]

    port.holder_state = holder_state  # type: ignore[assignment]  # a simpler signature
    error, attach_run = attach(port)
    assert error.reason == "conflict"
    assert "i-2 (running)" in error.message
    assert asked == ["i-1", "i-2", "i-2"], "terminated is for ever, everything else is asked again"
    assert attach_run.waited <= 12


def test_attach_that_ec2_accepts_and_gives_up_is_rejected_after_two_rounds() -> None:
    port = Port([FREE])
    error, attach_run = attach(port)
    assert error.reason == "attach_rejected"
    assert error.message.endswith("look at the key.")
    assert "accepted eni-1 for i-me 2 times" in error.message
    assert attach_run.waited == 6


def test_attach_whose_first_reading_is_stale_is_sent_once() -> None:
    port = Port([FREE, FREE, MINE], [None, AssertionError("sent twice")])
    assert attach(port)[0] == MINE


def test_attach_that_holds_at_the_second_try_is_won() -> None:
    assert attach(Port([FREE, FREE, FREE, MINE]))[0] == MINE


@pytest.mark.parametrize(
    ("port", "reason"),
    [
        (Port([OTHERS], state="shutting-down"), "timeout"),
        (Port([OTHERS], state=None), "timeout"),
        (Port([Reading("eni-1", "in-use", ME, "attaching", 1, False)]), "attach_stuck"),
        (Port([Reading("eni-1", "in-use", ME, "detaching", 1, False)]), "timeout"),
        (Port([Reading("eni-1", "in-use", "i-1", "detaching", 1, False)]), "timeout"),
        (Port([Reading("eni-1", "in-use", "i-1", "busy", 1, False)]), "timeout"),
        (Port([Reading("eni-1", "in-use", "i-1", "attaching", 1, False)]), "conflict"),
        (Port([aws_error(Meaning.NOT_FOUND)]), "not_found"),
        (Port([aws_error(Meaning.AUTH)]), "auth"),
        (Port([aws_error(Meaning.RETRY)]), "api_error"),
        (Port([OTHERS], state=aws_error(Meaning.AUTH)), "auth"),
        (Port([OTHERS], state=aws_error(Meaning.RETRY)), "api_error"),
        (Port([DELETED_WITH_ME], state=aws_error(Meaning.AUTH)), "auth"),
        (Port([FREE], [aws_error(Meaning.FATAL)]), "api_error"),
        (Port([FREE], [aws_error(Meaning.AUTH)]), "auth"),
        (Port([FREE], [aws_error(Meaning.OCCUPIED)]), "conflict"),
        (Port([FREE], [aws_error(Meaning.NOT_READY)]), "api_error"),
        (Port([Reading("eni-1", "in-use", None, None, None, None)]), "conflict"),
    ],
)
def test_every_attach_failure_has_its_reason(port: Port, reason: str) -> None:
    error, _run = attach(port)
    assert isinstance(error, HoldfastError), error
    assert error.reason == reason
    assert "eni-1" in error.message


def test_check_mode_predicts_and_conflicts_alike() -> None:
    for readings in ([FREE], [DELETED_WITH_ME]):
        _reading, attach_run = attach(Port(readings), check_mode=True)
        assert (attach_run.changed, attach_run.predicted) == (True, True)
    assert attach(Port([OTHERS], state="shutting-down"), check_mode=True)[1].predicted
    assert attach(Port([OTHERS]), check_mode=True)[0].reason == "conflict"
    assert attach(Port([MINE]), check_mode=True)[1].changed is False
