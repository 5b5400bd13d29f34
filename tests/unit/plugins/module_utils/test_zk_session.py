# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a session makes of refusals, of silence and of an end in the middle of SASL. The real servers are elsewhere."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import zk_claims, zk_handler, zk_session
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_errors import ZkAuthError, ZkUnreachableError
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_handler import Handler
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_security import OPEN, Auth, Security
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_session import ZkSession
from kazoo.exceptions import ConnectionLoss, SessionClosedRequireSaslError
from kazoo.protocol.states import KeeperState

SASL = Security(Auth("sasl", "holdfast", "secret"))


class Result:
    """The answer to one request."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def get(self, timeout: float) -> Any:
        """Return or raise it."""
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Client:
    """Stands in for kazoo's client: each session goes as the script says."""

    script: list[Any]
    begun: int

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.listeners: list[Any] = []
        self.connected = False
        self.client_state = KeeperState.CONNECTING
        self.goes: Any = None

    def add_listener(self, listener: Any) -> None:
        """Keep it."""
        self.listeners.append(listener)

    def enter(self, state: Any, connected: bool) -> None:
        """Be in a state and tell it."""
        self.client_state, self.connected = state, connected
        for listener in self.listeners:
            listener(state)

    def start_async(self) -> None:
        """Begin as the script says."""
        type(self).begun += 1
        self.goes = self.script.pop(0)
        if self.goes == "refused":
            self.enter(KeeperState.CONNECTED, True)
            self.enter(KeeperState.AUTH_FAILED, False)
        elif self.goes != "unreachable":
            self.enter(KeeperState.CONNECTED, True)

    def exists_async(self, _path: str) -> Result:
        """Answer as the script says."""
        return Result(None if self.goes == "fine" else ConnectionLoss() if self.goes == "silent" else self.goes)

    def stop(self) -> None:
        """Nothing to stop."""

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only sleeping moves; the list of sleeps."""
    sleeps: list[float] = []
    monkeypatch.setattr(zk_session.time, "monotonic", lambda: sum(sleeps))
    monkeypatch.setattr(zk_session.time, "sleep", sleeps.append)
    return sleeps


def session(monkeypatch: pytest.MonkeyPatch, *script: Any, security: Security = SASL) -> tuple[ZkSession, type[Client]]:
    """Return a session whose connections go like this."""
    client = type("Scripted", (Client,), {"script": list(script), "begun": 0})
    monkeypatch.setattr(zk_session, "KazooClient", client)
    return ZkSession(["192.0.2.1:2181"], security), client


@pytest.mark.parametrize(
    ("script", "begun"),
    [
        (["fine"], 1),
        (["refused", "fine"], 2),
        (["refused", "silent", "fine"], 3),
        ([SessionClosedRequireSaslError(), "fine"], 2),
    ],
)
def test_a_refusal_that_is_not_repeated_was_none(
    monkeypatch: pytest.MonkeyPatch, clock: list[float], script: list[Any], begun: int
) -> None:
    mine, client = session(monkeypatch, *script)
    mine.connect(10)
    assert client.begun == begun
    mine.connect(10)
    assert client.begun == begun


@pytest.mark.parametrize(
    ("goes", "told"),
    [("refused", "does not accept"), ("silent", "authProvider"), (SessionClosedRequireSaslError(), "JAAS")],
)
def test_what_is_refused_three_times_is_refused(
    monkeypatch: pytest.MonkeyPatch, clock: list[float], goes: Any, told: str
) -> None:
    mine, client = session(monkeypatch, goes, goes, goes)
    with pytest.raises(ZkAuthError, match=told) as caught:
        mine.connect(10)
    assert (client.begun, mine.client) == (3, None)
    assert "secret" not in str(caught.value)
    assert sum(clock) < 30


@pytest.mark.parametrize("security", [OPEN, SASL])
def test_nobody_there_is_not_refused(monkeypatch: pytest.MonkeyPatch, clock: list[float], security: Security) -> None:
    mine, client = session(monkeypatch, "unreachable", security=security)
    with pytest.raises(ZkUnreachableError, match=r"192\.0\.2\.1"):
        mine.connect(10)
    assert client.begun == 1


def test_silence_without_sasl_is_a_lost_server(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    mine, _client = session(monkeypatch, "silent", security=OPEN)
    with pytest.raises(ZkUnreachableError):
        mine.connect(10)


def test_a_session_that_ended_by_a_refusal_expires_before_the_next_begins(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    mine, client = session(monkeypatch, "fine", "fine")
    mine.connect(10)
    mine.client.enter(KeeperState.AUTH_FAILED, False)
    mine.connect(10)
    assert client.begun == 2
    assert max(clock) > zk_session.SESSION_TIMEOUT_SECONDS


@pytest.mark.parametrize(
    ("error", "refusals"),
    [
        (ssl.SSLCertVerificationError(1, "self-signed"), 1),
        (ssl.SSLError(1, "alert certificate required"), 1),
        (ssl.SSLEOFError(8, "EOF"), 0),
        (ConnectionResetError(104, "reset"), 0),
        (TimeoutError("timed out"), 0),
    ],
)
def test_only_an_answer_of_tls_is_a_refusal(error: OSError, refusals: int) -> None:
    handler = Handler(None)
    handler.note("192.0.2.1:2281", error)
    assert (len(handler.refusals), len(handler.hints)) == (refusals, 1 - refusals)


def test_one_server_that_refuses_tls_of_two_is_not_all(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    mine, _client = session(monkeypatch, *["unreachable"] * 4)
    mine.hosts.append("192.0.2.2:2281")
    refusals = ["192.0.2.1:2281"]

    class Refused(Handler):
        def __init__(self, _tls: Any) -> None:
            super().__init__(None)
            self.refusals = dict.fromkeys(refusals, "self-signed")

    monkeypatch.setattr(zk_session, "Handler", Refused)
    with pytest.raises(ZkUnreachableError, match="self-signed"):
        mine.connect(1)
    refusals.append("192.0.2.2:2281")
    with pytest.raises(ZkAuthError, match="zookeeper_tls"):
        mine.connect(1)


def test_a_thread_that_fails_is_kept_and_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    handler = Handler(None)

    def fail() -> None:
        raise SessionClosedRequireSaslError

    handler.spawn(fail).join()
    assert isinstance(handler.ended_by, SessionClosedRequireSaslError)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("auth", "kazoo", "sasl", "missing"),
    [
        (None, True, False, None),
        (None, False, True, "kazoo"),
        ({"scheme": "sasl"}, True, False, "pure-sasl"),
        ({"scheme": "sasl"}, True, True, None),
        ({"scheme": "digest"}, True, False, None),
    ],
)
def test_a_library_is_missed_when_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, auth: dict[str, Any] | None, kazoo: bool, sasl: bool, missing: str | None
) -> None:
    monkeypatch.setattr(zk_session, "HAS_KAZOO", kazoo)
    monkeypatch.setattr(zk_session, "HAS_PURESASL", sasl)
    assert zk_session.missing_library(auth) == missing


def test_one_dead_server_does_not_get_the_time_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def dead(_address: tuple[str, int], timeout: float) -> None:
        asked.append(timeout)
        raise TimeoutError

    monkeypatch.setattr(zk_handler.socket, "create_connection", dead)
    handler = zk_handler.Handler(None)
    for given in (zk_session.SESSION_TIMEOUT_SECONDS, 1.0):
        with pytest.raises(TimeoutError):
            handler.create_connection(address=("192.0.2.1", 2181), hostname="a", timeout=given)
    assert asked == [zk_handler.CONNECT_SECONDS, 1.0]
    assert 3 * zk_handler.CONNECT_SECONDS < zk_claims.CONNECT_TIMEOUT_SECONDS, "three servers are each tried"
