# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials that a metadata service does not give at once: waited for where they may come, and nowhere else."""

from __future__ import annotations

import http.server
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import aws_api, imds
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import Api, AwsError
from botocore.exceptions import CredentialRetrievalError, NoCredentialsError

MISSING = (NoCredentialsError(), CredentialRetrievalError(provider="iam-role", error_msg="refused"))


class Module:
    """Makes clients; the first so many of them have no credentials."""

    def __init__(self, without: int, error: Exception = MISSING[0]) -> None:
        self.without, self.error, self.made = without, error, 0

    def client(self, _service: str, **_options: Any) -> Any:
        """Return the next client."""
        self.made += 1
        has = self.made > self.without

        def describe(**_parameters: Any) -> dict[str, Any]:
            if not has:
                raise self.error
            return {"Found": [self.made]}

        events = SimpleNamespace(register=lambda *_arguments: None)
        return SimpleNamespace(meta=SimpleNamespace(events=events), describe_things=describe)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time that only pauses move."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(aws_api.time, "sleep", sleep)
    monkeypatch.setattr(aws_api.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("error", MISSING, ids=["none", "not given"])
def test_credentials_that_come_later_are_waited_for(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(aws_api, "credentials_may_come", lambda: True)
    module = Module(without=5, error=error)
    assert Api(module, "ec2").call("describe_things") == {"Found": [6]}
    assert Api(Module(without=2), "ec2").pages("describe_things", "Found") == [3]


def test_credentials_that_never_come_are_an_error_after_a_bound(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    monkeypatch.setattr(aws_api, "credentials_may_come", lambda: True)
    with pytest.raises(AwsError) as caught:
        Api(Module(without=1000), "ec2").call("describe_things")
    assert caught.value.reason == "auth"
    assert aws_api.CREDENTIALS_SECONDS <= clock[0] <= aws_api.CREDENTIALS_SECONDS + aws_api.CREDENTIALS_PAUSE_SECONDS


def test_where_no_role_can_come_nobody_waits(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    monkeypatch.setattr(aws_api, "credentials_may_come", lambda: False)
    with pytest.raises(AwsError):
        Api(Module(without=1000), "ec2").call("describe_things")
    assert clock[0] == 0.0


@pytest.mark.parametrize(
    ("token", "roles", "may_come"),
    [((200, "token"), (200, "node"), True), ((403, ""), (200, "node"), True), ((200, "token"), (503, ""), True),
     ((200, "token"), (404, ""), False), ((200, "token"), (200, ""), False)],
    ids=["a role", "no tokens for now", "busy", "no profile", "an empty profile"],
)  # fmt: skip
def test_what_the_metadata_service_says_of_a_role(
    monkeypatch: pytest.MonkeyPatch, token: tuple[int, str], roles: tuple[int, str], may_come: bool
) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def _reply(self, answer: tuple[int, str]) -> None:
            self.send_response(answer[0])
            self.send_header("Content-Length", str(len(answer[1])))
            self.end_headers()
            self.wfile.write(answer[1].encode())

        def do_PUT(self) -> None:
            self._reply(token)

        def do_GET(self) -> None:
            self._reply(roles)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(imds.ENDPOINT_VARIABLE, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    try:
        assert aws_api.credentials_may_come() is may_come
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        assert aws_api.credentials_may_come() is False
    finally:
        server.shutdown()
        server.server_close()


def test_where_nothing_answers_no_role_can_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    for endpoint in ("http://127.0.0.1:9", "file:///etc"):
        monkeypatch.setenv(imds.ENDPOINT_VARIABLE, endpoint)
        assert aws_api.credentials_may_come() is False
