# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metadata service: tokens, who asks, and the tree as cloud-init's Ec2 data source crawls it.

EC2 user guide: "Use the Instance Metadata Service to access instance metadata", "Instance metadata categories".
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config

from lab.api.imds_tree import find, listing, merge
from lab.api.server import LabApi
from tests.contract.ec2_harness import Check, Probe, does_not_hold
from tests.contract.test_autoscaling_groups import Group

TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"
SOURCES = itertools.count(2)


class Guest:
    """An instance's view: every request comes from the same source address."""

    def __init__(self, port: int, source: str) -> None:
        self.port, self.source = port, source

    def ask(self, method: str, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """Make one request; header names have '_' for '-'."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5, source_address=(self.source, 0))
        try:
            connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def token(self, ttl: str = "60") -> str:
        """A token."""
        status, body, _ = self.ask("PUT", "/latest/api/token", **{TTL: ttl})
        assert status == 200
        return body.decode()

    def get(self, path: str) -> tuple[int, str]:
        """Read with a fresh token."""
        status, body, _ = self.ask("GET", path, **{TOKEN: self.token()})
        return status, body.decode()

    def meta(self, path: str) -> str:
        """Read below latest/meta-data; it must be there."""
        status, text = self.get(f"/latest/meta-data/{path}")
        assert status == 200, f"{path}: {status}"
        return text


GuestMaker = Callable[..., tuple[Guest, str]]


@pytest.fixture
def guest(strict_api: tuple[Probe, LabApi]) -> GuestMaker:
    """Make an instance and its view of the service."""
    probe, api = strict_api

    def make(**launch: Any) -> tuple[Guest, str]:
        instance = probe.run(**launch)
        source = f"127.0.0.{next(SOURCES)}"
        assert api.imds is not None
        api.imds.map_source(source, instance)
        return Guest(api.imds.port, source), instance

    return make


def test_token_is_needed(guest: GuestMaker) -> None:
    view, instance = guest()
    assert view.ask("GET", "/latest/meta-data/instance-id")[0] == 401
    assert view.ask("GET", "/latest/meta-data/instance-id", **{TOKEN: "nonsense"})[0] == 401
    assert view.get("/latest/meta-data/instance-id") == (200, instance)


@pytest.mark.parametrize("ttl", ["0", "21601", "-1", "abc", ""])
def test_bad_time_to_live_is_400(guest: GuestMaker, ttl: str) -> None:
    assert guest()[0].ask("PUT", "/latest/api/token", **{TTL: ttl})[0] == 400


def test_token_rules(guest: GuestMaker) -> None:
    view, _ = guest()
    assert view.ask("PUT", "/latest/api/token")[0] == 400
    assert view.ask("GET", "/latest/api/token")[0] == 405
    assert view.ask("PUT", "/latest/api/token", X_Forwarded_For="10.0.0.1", **{TTL: "60"})[0] == 403
    status, _, headers = view.ask("PUT", "/latest/api/token", **{TTL: "21600"})
    assert status == 200
    assert {k.lower(): v for k, v in headers.items()}[TTL.lower()] == "21600"
    assert view.ask("POST", "/latest/meta-data/", **{TOKEN: view.token()})[0] == 405


def test_token_is_the_instance_s_own_and_expires(guest: GuestMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, _ = guest()
    other, _ = guest()
    token = mine.token()
    assert other.ask("GET", "/latest/meta-data/", **{TOKEN: token})[0] == 401
    import lab.api.imds as service

    real = service.time.time
    monkeypatch.setattr(service.time, "time", lambda: real() + 61)
    assert mine.ask("GET", "/latest/meta-data/", **{TOKEN: token})[0] == 401


def test_unknown_source_and_gone_instance_get_404(strict_api: tuple[Probe, LabApi], guest: GuestMaker) -> None:
    probe, api = strict_api
    view, instance = guest()
    assert api.imds is not None
    assert Guest(api.imds.port, "127.0.0.254").ask("PUT", "/latest/api/token", **{TTL: "60"})[0] == 404
    probe.terminate(instance)
    assert view.ask("PUT", "/latest/api/token", **{TTL: "60"})[0] == 404


def test_source_is_found_by_the_interfaces_addresses(strict_api: tuple[Probe, LabApi]) -> None:
    """In the lab's network the source address is the instance's; no map is needed."""
    probe, api = strict_api
    instance = probe.run()
    address = probe.show(instance)["PrivateIpAddress"]
    assert api.imds is not None
    answer = api.imds.metadata.answer
    status, token, _ = answer("PUT", "/latest/api/token", address, {TTL.lower(): "60"})
    assert status == 200
    status, body, _ = answer("GET", "/latest/meta-data/instance-id", address, {TOKEN.lower(): token.decode()})
    assert (status, body.decode()) == (200, instance)


def crawl(view: Guest, path: str) -> dict[str, str]:
    """All leaves below a directory, as cloud-init's MetadataMaterializer walks it."""
    leaves: dict[str, str] = {}
    for line in view.get(path)[1].splitlines():
        if line.endswith("/") and line != "security-credentials/":
            name = line.rstrip("/")
            if name == "public-keys":
                number = view.get(f"{path}public-keys/")[1].split("=", 1)[0]
                leaves[f"{path}public-keys/{number}/openssh-key"] = view.get(f"{path}public-keys/{number}/openssh-key")[
                    1
                ]
            else:
                leaves |= crawl(view, f"{path}{line}")
        elif not line.endswith("/"):
            status, leaves[path + line] = view.get(path + line)
            assert status == 200, path + line
    return leaves


@pytest.mark.parametrize("version", ["latest", "2021-03-23", "2009-04-04"])
def test_tree_is_complete(strict_api: tuple[Probe, LabApi], guest: GuestMaker, version: str) -> None:
    probe, api = strict_api
    view, instance = guest(zone="b", KeyName="lab")
    shown = probe.show(instance)
    nic = shown["NetworkInterfaces"][0]
    root = f"/{version}/meta-data/"
    leaves = {k.removeprefix(root): v for k, v in crawl(view, root).items()}
    macs = f"network/interfaces/macs/{nic['MacAddress']}/"
    expected = {
        "instance-id": instance,
        "ami-id": api.seed.image_id,
        "instance-type": "t3.small",
        "local-ipv4": shown["PrivateIpAddress"],
        "local-hostname": shown["PrivateDnsName"],
        "hostname": shown["PrivateDnsName"],
        "mac": nic["MacAddress"],
        "placement/availability-zone": "eu-central-1b",
        "placement/region": "eu-central-1",
        "services/domain": "amazonaws.com",
        "block-device-mapping/root": "/dev/xvda",
        macs + "device-number": "0",
        macs + "interface-id": nic["NetworkInterfaceId"],
        macs + "local-ipv4s": shown["PrivateIpAddress"],
        macs + "subnet-id": probe.subnets["b"],
        macs + "subnet-ipv4-cidr-block": "10.77.2.0/24",
        macs + "vpc-id": api.seed.vpc_id,
        macs + "vpc-ipv4-cidr-block": "10.77.0.0/16",
        macs + "owner-id": "123456789012",
    }
    assert {name: leaves.get(name) for name in expected} == expected
    assert leaves["placement/availability-zone-id"].startswith("euc1-az")
    assert leaves["public-keys/0/openssh-key"].startswith("ssh-ed25519 ")


def test_versions_and_paths_that_do_not_exist(guest: GuestMaker) -> None:
    view, _ = guest()
    assert "latest" in view.get("/")[1].splitlines()
    assert view.get("/1999-01-01/meta-data/")[0] == 404
    assert view.get("/latest/meta-data/no/such/thing")[0] == 404
    assert view.get("/latest/meta-data/iam/info")[0] == 404
    assert view.get("/latest")[1].splitlines() == ["dynamic/", "meta-data/"]


def test_user_data_comes_as_it_was_sent(guest: GuestMaker) -> None:
    text = "#cloud-config\nruncmd: [echo grüße]\n"
    view, _ = guest(UserData=text)
    status, body, _ = view.ask("GET", "/latest/user-data", **{TOKEN: view.token()})
    assert (status, body) == (200, text.encode())
    packed = bytes(range(256))
    view, _ = guest(UserData=packed)
    assert view.ask("GET", "/2009-04-04/user-data", **{TOKEN: view.token()})[1] == packed
    assert guest()[0].get("/latest/user-data")[0] == 404


def test_user_data_of_a_template(strict_api: tuple[Probe, LabApi], guest: GuestMaker) -> None:
    probe, _ = strict_api
    name = f"t-{uuid.uuid4().hex[:8]}"
    data = {"UserData": base64.b64encode(b"#!/bin/true\n").decode()}
    probe.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
    view, _ = guest(LaunchTemplate={"LaunchTemplateName": name})
    assert view.get("/latest/user-data") == (200, "#!/bin/true\n")


def test_identity_document(guest: GuestMaker) -> None:
    view, instance = guest(zone="c")
    document = json.loads(view.get("/latest/dynamic/instance-identity/document")[1])
    assert document["instanceId"] == instance
    assert document["region"] == "eu-central-1"
    assert document["availabilityZone"] == "eu-central-1c"
    assert document["accountId"] == "123456789012"


def test_interface_shows_once_it_is_attached_and_the_lag_is_over(
    strict_api: tuple[Probe, LabApi], guest: GuestMaker
) -> None:
    probe, api = strict_api
    assert probe.machine is not None
    view, instance = guest()
    eni = probe.eni()
    mac = probe.show_eni(eni)["MacAddress"] + "/"
    directory = "network/interfaces/macs/"
    with probe.machine.held("nic_attach"):
        probe.ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId=instance, DeviceIndex=1)
        assert mac not in view.meta(directory).splitlines()
        api.clock.update({"imds_lag_seconds": 60})
    try:
        probe.until(lambda: probe.show_eni(eni)["Attachment"]["Status"] == "attached", "attached")
        assert mac not in view.meta(directory).splitlines()
    finally:
        api.clock.update({"imds_lag_seconds": 0})
    assert mac in view.meta(directory).splitlines()
    assert view.meta(f"{directory}{mac}interface-id") == eni
    assert view.meta(f"{directory}{mac}device-number") == "1"
    probe.ec2.detach_network_interface(AttachmentId=probe.show_eni(eni)["Attachment"]["AttachmentId"])
    probe.until(lambda: probe.show_eni(eni)["Status"] == "available", "available")
    assert mac not in view.meta(directory).splitlines()


def test_tags_show_only_where_they_are_enabled(strict_api: tuple[Probe, LabApi], guest: GuestMaker) -> None:
    probe, _ = strict_api
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "c1-kafka-1"}]}]
    view, instance = guest(TagSpecifications=tags)
    assert view.get("/latest/meta-data/tags/instance/Name")[0] == 404
    view, instance = guest(TagSpecifications=tags, MetadataOptions={"InstanceMetadataTags": "enabled"})
    assert view.meta("tags/instance/Name") == "c1-kafka-1"
    probe.ec2.create_tags(Resources=[instance], Tags=[{"Key": "holdfast:node-id", "Value": "1"}])
    assert view.meta("tags/instance/").splitlines() == ["Name", "holdfast:node-id"]


def test_disabled_endpoint_is_403(guest: GuestMaker) -> None:
    view, _ = guest(MetadataOptions={"HttpEndpoint": "disabled"})
    assert view.ask("PUT", "/latest/api/token", **{TTL: "60"})[0] == 403


def test_role_credentials_are_real(strict_api: tuple[Probe, LabApi], guest: GuestMaker) -> None:
    """Minted by the API's own STS, the same until they are about to expire, and the caller is the role."""
    probe, api = strict_api
    iam, name = api.client("iam"), f"node-{uuid.uuid4().hex[:8]}"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    view, instance = guest(IamInstanceProfile={"Name": name})
    assert view.meta("iam/security-credentials/") == name
    assert json.loads(view.meta("iam/info"))["InstanceProfileArn"].endswith(f"instance-profile/{name}")
    first = json.loads(view.meta(f"iam/security-credentials/{name}"))
    assert json.loads(view.meta(f"iam/security-credentials/{name}")) == first
    assert view.get("/latest/meta-data/iam/security-credentials/other")[0] == 404
    expires = datetime.strptime(first["Expiration"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert 5 * 3600 < (expires - datetime.now(UTC)).total_seconds() < 7 * 3600
    make: Any = boto3.client
    sts = make(
        "sts",
        endpoint_url=probe.endpoint,
        region_name="eu-central-1",
        aws_access_key_id=first["AccessKeyId"],
        aws_secret_access_key=first["SecretAccessKey"],
        aws_session_token=first["Token"],
        config=Config(proxies={}),
    )
    assert sts.get_caller_identity()["Arn"] == f"arn:aws:sts::123456789012:assumed-role/{name}/{instance}"


def test_only_an_instance_of_a_group_has_a_state_that_it_is_brought_to(
    strict_api: tuple[Probe, LabApi], guest: GuestMaker
) -> None:
    probe, api = strict_api
    alone, _ = guest()
    assert alone.get("/latest/meta-data/autoscaling/target-lifecycle-state")[0] == 404
    (member,) = Group(probe).settled()
    assert api.imds is not None
    api.imds.map_source("127.0.0.249", member)
    inside = Guest(api.imds.port, "127.0.0.249")
    assert inside.meta("autoscaling/target-lifecycle-state") == "InService"


def test_other_parts_can_add_to_the_tree(strict_api: tuple[Probe, LabApi], guest: GuestMaker) -> None:
    _, api = strict_api
    api.context.register_metadata(lambda _instance: {"autoscaling": {"target-lifecycle-state": "InService"}})
    view, _ = guest()
    assert view.meta("autoscaling/target-lifecycle-state") == "InService"


def test_tree_functions() -> None:
    tree = {"a": "1", "b": {"c": "2"}}
    assert (find(tree, "b/c"), find(tree, "/b/"), find(tree, "a/b"), find(tree, "x")) == ("2", {"c": "2"}, None, None)
    assert listing(tree) == "a\nb/"
    assert merge(tree, {"b": {"d": "3"}, "a": "4"}) == {"a": "4", "b": {"c": "2", "d": "3"}}


def metadata_needs_a_token(p: Probe) -> None:
    """moto serves constants on its own port to anybody, as instance i-fake."""
    host, port = p.endpoint.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    connection.request("GET", "/latest/meta-data/iam/security-credentials/")
    assert connection.getresponse().status in (401, 404)


PATCHED: list[Check] = [metadata_needs_a_token]


@pytest.mark.parametrize("check", PATCHED)
def test_strict_ec2_holds(check: Check, strict: Probe) -> None:
    check(strict)


@pytest.mark.parametrize("check", PATCHED)
def test_stock_moto_does_not(check: Check, stock: Probe) -> None:
    does_not_hold(check, stock)
