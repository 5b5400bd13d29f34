# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role's credentials may do: strictly by action, and refused in each service's own words."""

from __future__ import annotations

import itertools
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config

from lab.api.iam import is_checked
from tests.contract.ec2_harness import Check, Probe, does_not_hold, refused

NAMES = (f"role-{number}" for number in itertools.count())
TRUST = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}


def http(p: Probe, method: str, path: str, body: bytes | None = None) -> Any:
    """Call a route of the server itself."""
    request = urllib.request.Request(p.endpoint + path, data=body, method=method)  # noqa: S310 - loopback
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=5) as answer:
        return json.load(answer)


@contextmanager
def enforcement(p: Probe) -> Iterator[None]:
    """On stock moto: switch it on and off again (the lab checks role sessions from the start)."""
    if p.machine is not None:
        yield
        return
    http(p, "POST", "/moto-api/reset-auth", b"0")
    try:
        yield
    finally:
        http(p, "POST", "/moto-api/reset-auth", b"inf")


class Session:
    """Clients with a role's credentials, as an instance of that profile has them."""

    def __init__(self, p: Probe, *statements: dict[str, Any]) -> None:
        self.p, name = p, next(NAMES)
        iam = p.client("iam")
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
        policy = {"Version": "2012-10-17", "Statement": list(statements)}
        iam.put_role_policy(RoleName=name, PolicyName="boot", PolicyDocument=json.dumps(policy))
        assumed = p.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="i-0123456789abcdef0")
        self.keys = assumed["Credentials"]

    def client(self, service: str, secret: str | None = None) -> Any:
        """A client of the role."""
        make: Any = boto3.client
        return make(
            service,
            endpoint_url=self.p.endpoint,
            region_name="eu-central-1",
            aws_access_key_id=self.keys["AccessKeyId"],
            aws_secret_access_key=secret or self.keys["SecretAccessKey"],
            aws_session_token=self.keys["SessionToken"],
            config=Config(retries={"total_max_attempts": 1}, proxies={}),
        )


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    """A statement that allows."""
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def ec2_denies_in_its_own_words(p: Probe) -> None:
    """EC2 API error codes: UnauthorizedOperation."""
    session = Session(p, allow("ec2:DescribeVolumes"))
    with enforcement(p):
        session.client("ec2").describe_volumes()
        refused("UnauthorizedOperation", session.client("ec2").describe_instances)


def json_services_deny_in_their_own_words(p: Probe) -> None:
    """Systems Manager, common errors: AccessDeniedException."""
    session = Session(p, allow("ec2:DescribeVolumes"))
    with enforcement(p):
        refused("AccessDeniedException", session.client("ssm").describe_parameters)


def named_resources_match_by_action(p: Probe) -> None:
    """A role limited to ARNs of its account may make the call."""
    eni = p.eni()
    session = Session(
        p, allow("ec2:ModifyNetworkInterfaceAttribute", "arn:aws:ec2:eu-central-1:123456789012:network-interface/*")
    )
    with enforcement(p):
        session.client("ec2").modify_network_interface_attribute(NetworkInterfaceId=eni, Description={"Value": "x"})
        refused("UnauthorizedOperation", session.client("ec2").delete_network_interface, NetworkInterfaceId=eni)


def conditions_match_by_action(p: Probe) -> None:
    """A role limited by a tag condition may make the call, and no other."""
    condition = {"StringEquals": {"aws:ResourceTag/holdfast:cluster": "demo"}}
    session = Session(p, allow("ec2:DescribeVolumes", Condition=condition))
    with enforcement(p):
        session.client("ec2").describe_volumes()
        refused("UnauthorizedOperation", session.client("ec2").describe_instances)


def others_are_not_locked_out(p: Probe) -> None:
    """The lab's own clients, whatever their keys, work while roles are checked."""
    with enforcement(p):
        p.ec2.describe_instances()


CHECKS: list[Check] = [
    ec2_denies_in_its_own_words,
    json_services_deny_in_their_own_words,
    named_resources_match_by_action,
    conditions_match_by_action,
    others_are_not_locked_out,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_strict(check: Check, strict: Probe) -> None:
    """The row holds here."""
    check(strict)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_stock_differs(check: Check, stock: Probe) -> None:
    """The row does not hold on stock moto, so its patch is needed."""
    does_not_hold(check, stock)


def test_query_services_deny(strict: Probe) -> None:
    """Auto Scaling and CloudFormation say AccessDenied (stock moto does too)."""
    session = Session(strict, allow("ec2:DescribeVolumes"))
    refused("AccessDenied", session.client("autoscaling").describe_auto_scaling_groups)
    refused("AccessDenied", session.client("cloudformation").describe_stacks)


def test_explicit_deny_of_everything_wins(strict: Probe) -> None:
    """A Deny on all resources is the one that can be evaluated."""
    deny = {"Effect": "Deny", "Action": "ec2:DescribeVolumes", "Resource": "*"}
    session = Session(strict, allow("ec2:*"), deny)
    refused("UnauthorizedOperation", session.client("ec2").describe_volumes)
    session.client("ec2").describe_instances()


def test_deny_of_some_resources_denies_nothing(strict: Probe) -> None:
    """What the lab cannot evaluate does not get in the way."""
    deny = {"Effect": "Deny", "Action": "ec2:DescribeVolumes", "Resource": "arn:aws:ec2:*:*:volume/vol-1"}
    Session(strict, allow("ec2:*"), deny).client("ec2").describe_volumes()


def test_wrong_secret_is_refused(strict: Probe) -> None:
    session = Session(strict, allow("ec2:*"))
    refused("AuthFailure", session.client("ec2", secret="not-the-secret").describe_volumes)


def test_modes(strict: Probe) -> None:
    """``all`` refuses unknown keys, ``off`` lets a role do anything, another word is refused."""
    session = Session(strict, allow("ec2:DescribeVolumes"))
    try:
        assert http(strict, "PUT", "/_lab/iam", b'{"mode": "all"}') == {"mode": "all"}
        refused("AuthFailure", strict.ec2.describe_instances)
        http(strict, "PUT", "/_lab/iam", b'{"mode": "off"}')
        session.client("ec2").describe_instances()
        with pytest.raises(urllib.error.HTTPError):
            http(strict, "PUT", "/_lab/iam", b'{"mode": "some"}')
    finally:
        http(strict, "PUT", "/_lab/iam", b'{"mode": "roles"}')


@pytest.mark.parametrize(
    ("mode", "token", "expected"),
    [("roles", True, True), ("roles", False, False), ("all", False, True), ("off", True, False)],
)
def test_is_checked(mode: str, token: bool, expected: bool) -> None:
    assert is_checked(mode, token) is expected
