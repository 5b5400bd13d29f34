# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the thin layers make of errors: AWS calls and ZooKeeper's replies."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import zk_claims, zk_security, zk_session
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import ATTEMPTS, READ_ATTEMPTS, Api, AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_errors import Meaning
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim
from botocore.awsrequest import AWSResponse
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from kazoo import exceptions as kazoo_errors
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.security import ACL, Id

from tests.unit.plugins.module_utils.pool_answers import CLUSTER

ME = "i-me"


def aws_error(word: Meaning, code: str = "Code") -> AwsError:
    """Return an AWS error of this meaning."""
    return AwsError("describe_things", code, "the text", word)


# ---- AWS -------------------------------------------------------------------------------------------------------------


class Module:
    """Stands in for AnsibleAWSModule."""

    def client(self, service: str, **options: Any) -> Any:
        """Return a client that can reach nothing."""
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
        return boto3.client(service, region_name="eu-central-1", endpoint_url="http://127.0.0.1:9", **keys, **options)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """All pauses, which take no time here."""
    taken: list[float] = []
    monkeypatch.setattr(time, "sleep", taken.append)
    return taken


@pytest.fixture
def api(pauses: list[float]) -> Api:
    """An EC2 API whose pauses take no time."""
    return Api(Module(), "ec2")


def replies(api: Api, *answers: Any) -> list[dict[str, Any]]:
    """Let the client's requests be answered from a list; return the list of what was asked."""
    asked: list[dict[str, Any]] = []
    pending = list(answers)

    def answer(params: dict[str, Any], **_more: Any) -> Any:
        asked.append(params["body"])
        now = pending.pop(0)
        if isinstance(now, Exception):
            raise now
        if "Error" in now:
            return SimpleNamespace(status_code=now.pop("status", 400)), now
        return SimpleNamespace(status_code=200), {**now, "ResponseMetadata": {"HTTPStatusCode": 200}}

    api.client.meta.events.register("before-call", answer)
    return asked


def wire(api: Api, *answers: tuple[int, str] | Exception) -> list[str]:
    """Let what the SDK sends be answered with (status, XML), the last one for ever; return the bodies it sent."""
    sent: list[str] = []

    def answer(request: Any, **_more: Any) -> AWSResponse:
        sent.append(request.body.decode() if isinstance(request.body, bytes) else str(request.body))
        now = answers[min(len(sent), len(answers)) - 1]
        if isinstance(now, Exception):
            raise now
        status, body = now
        return AWSResponse(request.url, status, {}, SimpleNamespace(stream=lambda: [body.encode()]))

    api.client.meta.events.register("before-send", answer)
    return sent


def volumes(volume_id: str, token: str = "") -> tuple[int, str]:
    """One page of DescribeVolumes."""
    more = f"<nextToken>{token}</nextToken>" if token else ""
    item = f"<item><volumeId>{volume_id}</volumeId></item>"
    return 200, f"<DescribeVolumesResponse><volumeSet>{item}</volumeSet>{more}</DescribeVolumesResponse>"


def refusal(code: str, status: int) -> tuple[int, str]:
    """An error as EC2 sends it."""
    error = f"<Error><Code>{code}</Code><Message>not now</Message></Error>"
    return status, f"<Response><Errors>{error}</Errors><RequestID>r</RequestID></Response>"


def test_pages_are_one_describe_and_every_request_is_counted(api: Api) -> None:
    sent = wire(api, volumes("vol-1", "t"), volumes("vol-2"))
    assert [item["VolumeId"] for item in api.pages("describe_volumes", "Volumes")] == ["vol-1", "vol-2"]
    assert ["NextToken=t" in body for body in sent] == [False, True]
    assert api.requests == ["DescribeVolumes", "DescribeVolumes"]


@pytest.mark.parametrize(
    ("code", "status"),
    [("RequestLimitExceeded", 503), ("Throttling", 400), ("InternalError", 500), ("Unavailable", 503)],
)
def test_passing_error_is_retried_and_each_retry_counted(api: Api, code: str, status: int) -> None:
    sent = wire(api, volumes("vol-1", "t"), refusal(code, status), volumes("vol-2"))
    assert [item["VolumeId"] for item in api.pages("describe_volumes", "Volumes")] == ["vol-1", "vol-2"]
    assert ["NextToken=t" in body for body in sent] == [False, True, True]  # the page is read again, not all pages
    assert api.requests == ["DescribeVolumes"] * 3


def test_endless_throttling_ends_as_a_retry_later(api: Api) -> None:
    sent = wire(api, refusal("RequestLimitExceeded", 503))
    with pytest.raises(AwsError) as caught:
        api.call("describe_volumes")
    assert (caught.value.word, caught.value.code) == (Meaning.RETRY, "RequestLimitExceeded")
    assert len(sent) == len(api.requests) == ATTEMPTS


def test_lost_reply_of_a_read_is_read_again_and_of_a_write_is_not(api: Api) -> None:
    lost = ReadTimeoutError(endpoint_url="http://x")
    assert len(wire(api, lost, lost, volumes("vol-1"))) == 0
    assert [item["VolumeId"] for item in api.pages("describe_volumes", "Volumes")] == ["vol-1"]
    assert len(api.requests) == 3
    api = Api(Module(), "ec2")
    wire(api, lost)
    with pytest.raises(AwsError) as caught:
        api.pages("describe_volumes", "Volumes")
    assert (caught.value.word, len(api.requests)) == (Meaning.RETRY, READ_ATTEMPTS)
    with pytest.raises(AwsError):
        api.call("attach_volume", VolumeId="vol-1", InstanceId="i-1", Device="/dev/sdf")
    assert api.requests[READ_ATTEMPTS:] == ["AttachVolume"]


def test_pauses_of_a_throttled_call_grow_and_differ(api: Api, pauses: list[float]) -> None:
    wire(api, refusal("RequestLimitExceeded", 503))
    runs = []
    for _each in range(10):
        pauses.clear()
        with pytest.raises(AwsError):
            api.call("describe_volumes")
        assert all(0 <= pause <= 2**number for number, pause in enumerate(pauses))
        runs.append(tuple(pauses))
    assert {len(run) for run in runs} == {ATTEMPTS - 1}
    assert len(set(runs)) == len(runs)
    assert max(run[-1] for run in runs) > 4


@pytest.mark.parametrize(
    ("raised", "word", "reason"),
    [
        (ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}, "X"), Meaning.AUTH, "auth"),
        (ClientError({"Error": {"Code": "Odd", "Message": "no"}}, "X"), Meaning.FATAL, "api_error"),
        (NoCredentialsError(), Meaning.AUTH, "auth"),
        (EndpointConnectionError(endpoint_url="http://x"), Meaning.RETRY, "api_error"),
        (ParamValidationError(report="bad"), Meaning.FATAL, "api_error"),
    ],
)
def test_errors_get_their_meaning(api: Api, raised: Exception, word: Meaning, reason: str) -> None:
    replies(api, raised)
    with pytest.raises(AwsError) as caught:
        api.call("describe_volumes")
    assert (caught.value.word, caught.value.reason) == (word, reason)
    assert "DescribeVolumes failed with" in str(caught.value)


# ---- ZooKeeper -------------------------------------------------------------------------------------------------------


class Client:
    """Stands in for kazoo's client; every call does what the table says."""

    def __init__(self, **does: Any) -> None:
        self.does = does
        self.connected = True
        self.client_id = (1, b"")
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*_arguments: Any, **_options: Any) -> Any:
            self.calls.append(name)
            what = self.does.get(name)
            if isinstance(what, list):
                what = what.pop(0)
            if isinstance(what, Exception):
                raise what
            return what

        return call


class Session(zk_session.ZkSession):
    """A session that has begun, on a client that stands in for kazoo's."""

    def __init__(self, client: Client) -> None:
        super().__init__(["127.0.0.1:9"])
        self.client = client
        self.error: Exception | None = None

    def connect(self, timeout_seconds: float) -> None:
        """Be connected, or not."""
        if self.error:
            raise self.error


@pytest.fixture
def store() -> Callable[..., tuple[zk_claims.ZkClaims, Client]]:
    """Make a store on a client that does what is said."""

    def make(**does: Any) -> tuple[zk_claims.ZkClaims, Client]:
        claims = zk_claims.ZkClaims(["127.0.0.1:9"], CLUSTER, "kafka")
        client = Client(**does)
        claims._session = Session(client)
        return claims, client

    return make


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (kazoo_errors.NodeExistsError(), zk_claims.ClaimLostError),
        (kazoo_errors.BadVersionError(), zk_claims.ClaimLostError),
        (kazoo_errors.NoNodeError(), zk_claims.ClaimLostError),
        (kazoo_errors.ConnectionLoss(), zk_claims.ZkReplyLostError),
        (kazoo_errors.SessionExpiredError(), zk_claims.ZkReplyLostError),
        (kazoo_errors.SessionMovedError(), zk_claims.ZkReplyLostError),
        (KazooTimeoutError(), zk_claims.ZkReplyLostError),
        (kazoo_errors.AuthFailedError(), zk_claims.ZkReplyLostError),
        (kazoo_errors.NoAuthError(), zk_claims.ZkAuthError),
        (kazoo_errors.InvalidACLError(), zk_claims.ZkAuthError),
        (kazoo_errors.MarshallingError(), zk_claims.ZkRefusedError),
    ],
)
def test_replies_to_a_write(store: Any, raised: Exception, expected: type[Exception]) -> None:
    for claims, _client in (store(create=raised, set=raised), store(create=raised, set=raised)):
        claims._read_in = (1, b"")
        with pytest.raises(expected):
            claims.create(1, b"")
        with pytest.raises(expected):
            claims.set(1, b"", 3)


@pytest.mark.parametrize("later", [(2, b""), None], ids=["another", "none"])
def test_nothing_is_written_in_another_session_than_the_one_that_read(
    store: Any, later: tuple[int, bytes] | None
) -> None:
    stat = SimpleNamespace(version=4)
    claims, client = store(get_children=kazoo_errors.NoNodeError(), set=stat)
    claims.read_all()
    assert claims.set(1, b"", 3) == 4
    client.client_id = later
    for write in (lambda: claims.set(1, b"", 3), lambda: claims.create(1, b"")):
        with pytest.raises(zk_claims.ClaimLostError, match="SessionChanged"):
            write()
    assert client.calls.count("set") == 1
    assert "create" not in client.calls


def test_reading_syncs_first_survives_losses_and_vanishing_nodes(store: Any) -> None:
    stat = SimpleNamespace(version=4, mtime=9000)
    good = SimpleNamespace(get=lambda **_options: (b"{}", stat))

    def gone(**_options: float) -> None:
        raise kazoo_errors.NoNodeError

    pending = [good, SimpleNamespace(get=gone)]
    claims, client = store(
        sync=[kazoo_errors.ConnectionLoss(), None], get_children=["1", "2", "lock"], get_async=pending
    )
    client.does["get_children"] = [["1", "2", "lock"]]
    assert claims.read_all() == {1: Claim(1, 4, None, 9.0, readable=False)}
    assert client.calls == ["sync", "sync", "get_children", "get_async", "get_async"]


def test_a_name_that_is_no_claim_is_told_once_and_not_read(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(zk_claims, "warn", told.append)
    found = SimpleNamespace(get=lambda **_options: (b"{}", SimpleNamespace(version=4, mtime=9000)))
    strays = ["07", "\u00b2", "\u0663", "+1", "-1", "1 ", "1\n", "lock", "1" * 5000]
    claims, _client = store(get_children=[["7", *strays, "0"]] * 2, get_async=found)
    for _time in range(2):
        assert sorted(claims.read_all()) == [0, 7]
    assert len(told) == len(strays)
    assert all(any(repr(stray) in text for text in told) for stray in strays)


class Owned:
    """Stands in for kazoo's client at a ZooKeeper that knows who may change an ACL."""

    def __init__(self, acls: dict[str, list[Any]], user: str) -> None:
        self.acls, self.user, self.connected = acls, user, True
        self.stolen: list[str] = []

    def sync(self, _path: str) -> None:
        """Be up to date."""

    def get_children(self, _path: str) -> list[str]:
        """Return the one claim."""
        return ["1"]

    def get_acls(self, path: str) -> tuple[list[Any], Any]:
        """Return an ACL."""
        return self.acls[path], SimpleNamespace(aversion=0)

    def set_acls(self, path: str, acl: list[Any], _version: int) -> None:
        """Set an ACL, if that is this user's to do."""
        allowed = any(each.perms & 16 and each.id.id in ("anyone", self.user) for each in self.acls[path])
        if not allowed or path in self.stolen:
            raise kazoo_errors.NoAuthError
        self.acls[path] = acl


def test_each_user_closes_what_is_its_own_and_goes_on_past_what_is_not(store: Any) -> None:
    root = "/holdfast"
    own = [f"{root}/{CLUSTER}{rest}" for rest in ("", "/kafka", "/kafka/claims", "/kafka/claims/1")]
    acls = {path: [ACL(31, Id("world", "anyone"))] for path in (root, *own)}
    for user, expected in (("first", [root, *own]), ("second", own)):
        if user == "second":  # its cluster is another one; its own paths are still open
            acls.update({path: [ACL(31, Id("world", "anyone"))] for path in own})
        claims, _ = store()
        claims._security = zk_security.Security(zk_security.Auth("sasl", user, "secret"))
        claims._session.client = Owned(acls, user)
        assert claims.loose() == expected
        assert claims.secure() == expected
        assert (claims.loose(), claims.foreign) == ([], [])
    acls[own[0]] = [ACL(31, Id("sasl", "admin")), ACL(31 & ~16, Id("world", "anyone"))]
    acls[own[1]] = acls[own[3]] = [ACL(31, Id("world", "anyone"))]
    claims._session.client.stolen.append(own[1])  # between the look and the change
    assert (claims.loose(), claims.foreign) == ([own[1], own[3]], [own[0]])
    assert (claims.secure(), claims.foreign) == ([own[3]], [own[0], own[1]])


def test_reading_before_anybody_claimed(store: Any) -> None:
    assert store(get_children=kazoo_errors.NoNodeError())[0].read_all() == {}


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (kazoo_errors.ConnectionLoss(), zk_claims.ZkUnreachableError),
        (kazoo_errors.NoAuthError(), zk_claims.ZkAuthError),
        (kazoo_errors.MarshallingError(), zk_claims.ZkRefusedError),
    ],
)
def test_reading_that_fails(store: Any, raised: Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        store(sync=raised)[0].read_all()


def test_a_session_that_cannot_begin_ends_every_call(store: Any) -> None:
    claims, _client = store()
    for error in (zk_claims.ZkUnreachableError("nobody"), zk_claims.ZkAuthError("no")):
        claims._session.error = error
        for call in (claims.read_all, lambda: claims.create(1, b""), lambda: claims.set(1, b"", 0)):
            with pytest.raises(type(error)):
                call()


def test_missing_parents_are_made_and_made_once(store: Any) -> None:
    gone, there = kazoo_errors.NoNodeError(), kazoo_errors.NodeExistsError()
    claims, client = store(create=[gone, there, None, None, None, None])
    assert claims.create(1, b"") == 0
    assert client.calls == ["create"] * 6


def test_a_claim_whose_parents_vanish_again_is_lost(store: Any) -> None:
    with pytest.raises(zk_claims.ClaimLostError):
        store(create=kazoo_errors.NoNodeError())[0].create(1, b"")


def test_session_is_closed_whatever_happens(store: Any) -> None:
    claims, client = store(stop=RuntimeError("stopping"))
    with pytest.raises(RuntimeError), claims:
        pass
    assert client.calls == ["stop", "close"]
