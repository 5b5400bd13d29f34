# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every row of the table of EC2's errors, through the real API layer, ports and runners, onto a wire held here."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from ansible_collections.amazon.aws.plugins.module_utils import cloud
from ansible_collections.holdfast.kafka.plugins.module_utils import aws_errors
from ansible_collections.holdfast.kafka.plugins.module_utils.attach_ports import EniPort, VolumePort
from ansible_collections.holdfast.kafka.plugins.module_utils.attach_runner import NOT_FOUND_SECONDS, AttachRun
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_ec2 import Ec2
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_errors import ERRORS, Meaning, Row
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_machine import Settings
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_runner import Runner
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme
from botocore import exceptions, parsers

from tests.unit.plugins.module_utils.pool_answers import CLUSTER, ZONE, eni, volume

SESSION = boto3.Session()
ROOT = Path(__file__).resolve().parents[4]
ME, OTHER = "i-me", "i-other"
TIMEOUT_SECONDS = 60
RAISED: dict[str, Exception] = {
    "HTTPClientError": exceptions.ReadTimeoutError(endpoint_url="http://x"),
    "ConnectionError": exceptions.EndpointConnectionError(endpoint_url="http://x"),
    "IncompleteReadError": exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
    "ResponseParserError": parsers.ResponseParserError("<html>"),
    "NoCredentialsError": exceptions.NoCredentialsError(),
    "PartialCredentialsError": exceptions.PartialCredentialsError(provider="env", cred_var="key"),
    "CredentialRetrievalError": exceptions.CredentialRetrievalError(provider="imds", error_msg="none"),
    "TokenRetrievalError": exceptions.TokenRetrievalError(provider="sso", error_msg="none"),
}
#: Codes that are ours, made from an answer and not from an error.
OURS = {"NoAnswer", "MultiAttached"}
ROWS = [(row, code) for row in ERRORS for code in row.codes if code not in OURS]
ROWS += [
    (aws_errors.SERVER_ERROR, "503"),
    (aws_errors.SERVER_ERROR, "SomethingNew"),
    (aws_errors.NOT_FOUND, "InvalidKeyPair.NotFound"),
    (aws_errors.UNKNOWN, "SomethingNew"),
]
#: One code of each row, where what follows does not depend on which.
ONE_EACH = [case for index, case in enumerate(ROWS) if case[0] not in [row for row, _code in ROWS[:index]]]


def ids(value: Any) -> str:
    """Name a case by its row and its code."""
    return value.name.replace(" ", "_") if isinstance(value, Row) else str(value)


class Wire:
    """EC2 with one ENI and one volume; an attach or a describe may first be answered by an error, some times over."""

    def __init__(self, row: Row, code: str, *, on: str = "Attach", times: int = 1, applied: bool = False) -> None:
        self.row, self.code, self.on, self.times, self.applied = row, code, on, times, applied
        self.holder: dict[str, str] = {}
        self.calls: Counter[str] = Counter()
        self.order: list[str] = []
        self.devices: list[str] = []

    def client(self, service: str, **options: Any) -> Any:
        """Return a client whose requests end here; C(self) is the module."""
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
        where = {"region_name": "eu-central-1", "endpoint_url": "http://127.0.0.1:9"}
        client: Any = SESSION.client(service, **where, **keys, **options)
        client.meta.events.register("before-call", self.answer)
        return client

    def answer(self, model: Any, params: dict[str, Any], **_more: Any) -> Any:
        """Answer one request."""
        name, body = model.name, params["body"]
        self.calls[name] += 1
        self.order.append(name)
        if name == "AttachVolume":
            self.devices.append(body["Device"])
        if self.times > 0 and name.startswith(self.on) and name != "DescribeInstances":
            self.times -= 1
            if self.applied:
                self._attach(name)
                self.times, self.applied = 0, False
            return self._refusal()
        if name.startswith("Attach"):
            if self._resource(name) in self.holder:
                code = "VolumeInUse" if name == "AttachVolume" else "InvalidNetworkInterface.InUse"
                return self._error(code, "in use", 400)
            self._attach(name)
        answers: dict[str, dict[str, Any]] = {
            "DescribeNetworkInterfaces": {"NetworkInterfaces": self._interfaces(body)},
            "DescribeVolumes": {"Volumes": [volume("vol-1", holder=self.holder.get("vol-1"))]},
            "DescribeInstances": {
                "Reservations": [{"Instances": [{"InstanceId": OTHER, "State": {"Name": "running"}}]}]
            },
            "AttachNetworkInterface": {"AttachmentId": "attach-1"},
        }
        return SimpleNamespace(status_code=200), {**answers.get(name, {}), "ResponseMetadata": {"HTTPStatusCode": 200}}

    @staticmethod
    def _resource(name: str) -> str:
        return "vol-1" if name == "AttachVolume" else "eni-1"

    def _attach(self, name: str) -> None:
        self.holder[self._resource(name)] = ME

    def _interfaces(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        if body.get("Filter.1.Name") == "attachment.instance-id":
            return [eni("eni-9", holder=ME)]
        return [eni("eni-1", holder=self.holder.get("eni-1"))]

    def _refusal(self) -> Any:
        if self.code in RAISED:
            raise RAISED[self.code]
        return self._error(self.code, *self._told())

    def _told(self) -> tuple[str, int]:
        return (f"It {self.row.texts[0]} 1." if self.row.texts else "What EC2 says.", (self.row.statuses or (400,))[-1])

    @staticmethod
    def _error(code: str, text: str, status: int) -> Any:
        parsed = {"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": status}}
        return SimpleNamespace(status_code=status), parsed


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that every pause of the run moves, the API layer's too."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(cloud.time, "sleep", sleep)
    return now


def attach(kind: str, wire: Wire, clock: list[float]) -> tuple[HoldfastError | None, AttachRun]:
    """Attach the ENI or the volume; return how it ended."""
    ec2 = Ec2(wire)
    params = {"known_status": None, "timeout_seconds": TIMEOUT_SECONDS, "device_index": 1, "device": None}
    port: Any
    if kind == "eni":
        port = EniPort(ec2, None, ME, {**params, "eni_id": "eni-1"})
    else:
        port = VolumePort(ec2, ME, False, {**params, "volume_id": "vol-1"})

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    run = AttachRun(port, ME, TIMEOUT_SECONDS, 3, sleep=sleep, monotonic=lambda: clock[0])
    try:
        run.run()
    except HoldfastError as error:
        return error, run
    return None, run


def attaches(wire: Wire) -> int:
    """How often an attach was sent."""
    return wire.calls["AttachNetworkInterface"] + wire.calls["AttachVolume"]


def require_told(error: HoldfastError | None, row: Row, code: str, kind: str, action: str) -> None:
    """A failure names its reason, the resource, what was asked of EC2, the code and what to do."""
    assert error is not None
    assert error.reason == row.reason
    told = {"eni": "eni-1", "volume": "vol-1"}[kind]
    name = type(RAISED[code]).__name__ if code in RAISED else code
    remedy = row.remedy.format(action=f"ec2:{action}")
    assert [part for part in (told, action, name, remedy) if part not in error.message] == [], error.message


ACTION = {"eni": "AttachNetworkInterface", "volume": "AttachVolume"}
DESCRIBE = {"eni": "DescribeNetworkInterfaces", "volume": "DescribeVolumes"}


@pytest.mark.parametrize("kind", ["eni", "volume"])
@pytest.mark.parametrize(("row", "code"), ROWS, ids=ids)
def test_an_attach_that_is_refused_once(row: Row, code: str, kind: str, clock: list[float]) -> None:
    wire = Wire(row, code)
    error, run = attach(kind, wire, clock)
    if row.meaning in (Meaning.AUTH, Meaning.FATAL):
        require_told(error, row, code, kind, ACTION[kind])
        assert (attaches(wire), wire.calls[DESCRIBE[kind]], clock[0]) == (1, 1, 0), "a fatal answer is asked for once"
        assert run.changed is False
        return
    assert (error, attaches(wire), run.changed) == (None, 2, True)
    assert wire.holder == {"eni-1" if kind == "eni" else "vol-1": ME}
    first = wire.order.index(ACTION[kind])
    read_between = DESCRIBE[kind] in wire.order[first : wire.order.index(ACTION[kind], first + 1)]
    assert read_between is (code not in aws_errors.RETRIED or code in RAISED)
    if row.meaning is Meaning.OCCUPIED and kind == "volume":
        assert wire.devices == ["/dev/sdf", "/dev/sdg"]
    elif kind == "volume":
        assert wire.devices == ["/dev/sdf"] * 2


@pytest.mark.parametrize("kind", ["eni", "volume"])
@pytest.mark.parametrize(("row", "code"), ONE_EACH, ids=ids)
def test_an_attach_that_is_refused_for_ever(row: Row, code: str, kind: str, clock: list[float]) -> None:
    wire = Wire(row, code, times=10**6)
    error, run = attach(kind, wire, clock)
    assert run.changed is False
    assert wire.holder == {}
    if row.meaning is Meaning.OCCUPIED and kind == "volume":
        assert error is not None
        assert (error.reason, len(set(wire.devices)), attaches(wire)) == ("conflict", 11, 11), "each name once"
    else:
        require_told(error, row, code, kind, ACTION[kind])
    bounds = {
        Meaning.RETRY: (9, TIMEOUT_SECONDS + 60),
        Meaning.NOT_READY: (3, TIMEOUT_SECONDS),
        Meaning.LOST: (3, TIMEOUT_SECONDS),
        Meaning.NOT_FOUND: (3, NOT_FOUND_SECONDS + 3),
        Meaning.OCCUPIED: (3, 9),
        Meaning.AUTH: (1, 0),
        Meaning.FATAL: (1, 0),
    }
    least, longest = bounds[row.meaning]
    assert attaches(wire) >= least
    assert clock[0] <= longest, "every wait has its bound"
    if row.meaning is Meaning.OCCUPIED and kind == "eni":
        assert error is not None
        assert "eni-9" in error.message, "it says what is there"


@pytest.mark.parametrize("kind", ["eni", "volume"])
@pytest.mark.parametrize(("row", "code"), [(row, code) for row, code in ROWS if row.meaning is Meaning.RETRY], ids=ids)
def test_an_attach_that_happened_and_whose_reply_was_lost(row: Row, code: str, kind: str, clock: list[float]) -> None:
    wire = Wire(row, code, applied=True)
    error, run = attach(kind, wire, clock)
    assert (error, run.changed) == (None, True)
    # What is retried at once meets its own attachment; what is not, is read first and never sent again.
    assert attaches(wire) == (2 if code in aws_errors.RETRIED and code not in RAISED else 1)


@pytest.mark.parametrize("kind", ["eni", "volume"])
def test_an_attach_that_somebody_else_won(kind: str, clock: list[float]) -> None:
    wire = Wire(ERRORS[0], "Throttling", times=0)
    reads = [0]
    answer = wire.answer

    def race(model: Any, params: dict[str, Any], **more: Any) -> Any:
        if model.name == ACTION[kind]:
            wire.holder = {"eni-1": OTHER, "vol-1": OTHER}
        reads[0] += model.name == DESCRIBE[kind]
        return answer(model, params, **more)

    wire.answer = race
    error, run = attach(kind, wire, clock)
    assert error is not None
    assert (error.reason, attaches(wire), run.changed) == ("conflict", 1, False)
    assert f"{OTHER} (running)" in error.message


@pytest.mark.parametrize("kind", ["eni", "volume"])
@pytest.mark.parametrize(("row", "code"), ONE_EACH, ids=ids)
def test_a_describe_that_is_refused(row: Row, code: str, kind: str, clock: list[float]) -> None:
    once = Wire(row, code, on="Describe")
    error, run = attach(kind, once, clock)
    if row.meaning in (Meaning.RETRY, Meaning.NOT_FOUND):
        assert (error, run.changed, attaches(once)) == (None, True, 1)
    else:
        require_told(error, row, code, kind, DESCRIBE[kind])
        assert (once.calls[DESCRIBE[kind]], attaches(once)) == (1, 0)
    clock[0] = 0
    ever = Wire(row, code, on="Describe", times=10**6)
    error, _run = attach(kind, ever, clock)
    require_told(error, row, code, kind, DESCRIBE[kind])
    assert attaches(ever) == 0, "what cannot be read is not free"


def claim(wire: Wire, clock: list[float]) -> tuple[Any, Runner]:
    """Claim by attachment, as ZooKeeper's nodes do."""

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    settings = Settings(
        ME, ZONE, CLUSTER, "kafka", strategy="attachment", timeout_seconds=TIMEOUT_SECONDS, grace_seconds=30
    )
    runner = Runner(
        settings,
        Ec2(wire),
        TagScheme(),
        lambda _hosts: pytest.fail("no ZooKeeper here"),
        sleep=sleep,
        monotonic=lambda: clock[0],
        wall=lambda: clock[0],
    )
    try:
        return runner.run(), runner
    except HoldfastError as error:
        return error, runner


@pytest.mark.parametrize(("row", "code"), ONE_EACH, ids=ids)
def test_a_claim_by_attachment(row: Row, code: str, clock: list[float]) -> None:
    wire = Wire(row, code)
    end, _runner = claim(wire, clock)
    if row.meaning in (Meaning.AUTH, Meaning.FATAL):
        require_told(end, row, code, "eni", ACTION["eni"])
        assert attaches(wire) == 1
    else:
        assert not isinstance(end, HoldfastError), end
        assert (end.outcome, attaches(wire), wire.holder) == ("claimed", 2, {"eni-1": ME})
    clock[0] = 0
    ever = Wire(row, code, times=10**6)
    end, _runner = claim(ever, clock)
    assert isinstance(end, HoldfastError)
    assert end.reason == row.reason
    assert clock[0] <= TIMEOUT_SECONDS + 60
    assert ever.holder == {}


def test_a_volume_with_two_holders_is_never_ours(clock: list[float]) -> None:
    wire = Wire(ERRORS[0], "Throttling", times=0)
    wire.holder["vol-1"] = ME
    both = volume("vol-1", holder=ME)
    both["Attachments"] = [*both["Attachments"], {**both["Attachments"][0], "InstanceId": OTHER}]
    answer = wire.answer

    def two(model: Any, params: dict[str, Any], **more: Any) -> Any:
        status, told = answer(model, params, **more)
        return status, {**told, "Volumes": [both]}

    wire.answer = two
    error, _run = attach("volume", wire, clock)
    assert error is not None
    assert error.reason == "conflict"
    assert f"vol-1 is attached to {ME}, {OTHER}" in error.message


def test_no_code_stands_in_two_rows() -> None:
    codes = Counter(code for row in ERRORS for code in row.codes)
    assert [code for code, count in codes.items() if count > 1] == []


def test_the_documented_table_is_the_one_in_the_code() -> None:
    """To write it again: python -c 'print("\\n".join(aws_errors.table()))' with the collection on the path."""
    text = (ROOT / "docs" / "ec2_errors.md").read_text(encoding="utf-8")
    first = text.index("| error |")
    documented = text[first : text.index("\n\n", first)].splitlines()
    assert documented == aws_errors.table()
