# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's request rate limits: off by default, a bucket per action, refused as EC2 refuses."""

from __future__ import annotations

import io
from typing import Any

import pytest

from lab.api.context import LabContext
from lab.api.request_rate import RateLimits, RequestRate
from lab.machine.fake import FakeMachine

EC2 = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-central-1/ec2/aws4_request, SignedHeaders=host, Signature=0"


class Clock:
    """Monotonic seconds as the test wants them."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Served:
    """The application behind; counts what reached it, whole."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.bodies.append(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        start_response("200 OK", [])
        return [b"served"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rate(clock: Clock) -> RequestRate:
    return RequestRate(Served(), LabContext(machine=FakeMachine(), delays=None), clock)  # type: ignore[arg-type]  # no delays


def ask(rate: RequestRate, action: str, authorization: str = EC2) -> str:
    """Send one request; return its status and body as text."""
    body = f"Action={action}&Version=2016-11-15".encode()
    statuses: list[str] = []
    environ = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), "HTTP_AUTHORIZATION": authorization}
    content = b"".join(rate(environ, lambda status, _headers: statuses.append(status)))
    return f"{statuses[0]} {content.decode()}"


def served(rate: RequestRate, action: str, count: int, **more: str) -> int:
    """How many of so many requests were served."""
    return sum(ask(rate, action, **more).startswith("200") for _each in range(count))


def test_nothing_is_refused_unless_limits_are_set(rate: RequestRate) -> None:
    assert served(rate, "DescribeVolumes", 500) == 500


def test_bucket_empties_refills_and_holds_no_more_than_its_size(rate: RequestRate, clock: Clock) -> None:
    rate.limit(RateLimits())
    assert served(rate, "DescribeVolumes", 150) == 100
    clock.now = 1.0
    assert served(rate, "DescribeVolumes", 150) == 20
    clock.now = 1000.0
    assert served(rate, "DescribeVolumes", 150) == 100
    assert rate.refused == 50 + 130 + 50


def test_each_action_has_its_own_bucket_and_changes_a_smaller_one(rate: RequestRate) -> None:
    rate.limit(RateLimits())
    assert served(rate, "DescribeVolumes", 150) == 100
    assert served(rate, "DescribeInstances", 150) == 100
    assert served(rate, "AttachVolume", 150) == 50


def test_refusal_is_ec2s_and_in_the_journal(rate: RequestRate) -> None:
    rate.limit(RateLimits(changing_burst=1))
    ask(rate, "AttachVolume")
    refused = ask(rate, "AttachVolume")
    assert refused.startswith("503 Service Unavailable")
    assert "<Code>RequestLimitExceeded</Code>" in refused
    event = rate.context.events.since(0, "api")[-1]
    assert (event["action"], event["status"], event["error"]) == ("AttachVolume", 503, "RequestLimitExceeded")


def test_other_services_are_not_limited(rate: RequestRate) -> None:
    rate.limit(RateLimits(reading_burst=1))
    assert served(rate, "DescribeAutoScalingGroups", 5, authorization=EC2.replace("/ec2/", "/autoscaling/")) == 5


def test_served_requests_arrive_whole_and_limits_can_be_taken_away(rate: RequestRate) -> None:
    rate.limit(RateLimits(reading_burst=1))
    assert served(rate, "DescribeVolumes", 3) == 1
    rate.limit(None)
    assert served(rate, "DescribeVolumes", 3) == 3
    application: Any = rate.application
    assert set(application.bodies) == {b"Action=DescribeVolumes&Version=2016-11-15"}
