# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of API calls as botocore meets them: refused, slow, carried out without a reply."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from lab.api.imds import ImdsServer
from lab.api.server import LabApi
from tests.contract.ec2_harness import Probe, refused
from tests.contract.fault_client import FaultClient


def error_of(call: Callable[..., Any], **arguments: Any) -> tuple[str, int, str]:
    """Return (code, HTTP status, message) of the refusal."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def impatient(endpoint: str, service: str = "ec2", attempts: int = 1, read_timeout: float = 30) -> Any:
    """A client that retries so often and waits so long."""
    config = Config(retries={"total_max_attempts": attempts, "mode": "standard"}, proxies={}, read_timeout=read_timeout)
    make: Any = boto3.client
    credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return make(service, endpoint_url=endpoint, region_name="eu-central-1", config=config, **credentials)


def test_ec2_throttles_with_its_own_code_and_503(strict: Probe, faults: FaultClient) -> None:
    """EC2 API Reference, "Error codes for the Amazon EC2 API": RequestLimitExceeded; botocore's retry table: 503."""
    with faults.during("api_throttle", actions="DescribeVolumes") as fault:
        assert error_of(strict.ec2.describe_volumes) == ("RequestLimitExceeded", 503, "Request limit exceeded.")
        strict.ec2.describe_network_interfaces()
        (event,) = faults.events(fault["id"])
        assert (event["fault_kind"], event["action"]) == ("api_throttle", "DescribeVolumes")
    strict.ec2.describe_volumes()


def test_the_other_services_throttle_with_400(strict: Probe, faults: FaultClient) -> None:
    """Amazon EC2 Auto Scaling API Reference, "Common Errors"; botocore's retry table: Throttling is 400."""
    autoscaling = strict.client("autoscaling")
    with faults.during("api_throttle", actions="DescribeAutoScaling*"):
        assert error_of(autoscaling.describe_auto_scaling_groups) == ("Throttling", 400, "Rate exceeded")
    autoscaling.describe_auto_scaling_groups()


def test_botocore_retries_a_throttled_call(strict: Probe, faults: FaultClient) -> None:
    """AWS SDKs and Tools Reference Guide, "Retry behavior": throttling errors are retried in standard mode."""
    with faults.during("api_throttle", actions="DescribeVolumes", times=2) as fault:
        impatient(strict.endpoint, attempts=4).describe_volumes()
        assert len(faults.events(fault["id"])) == 2
        assert faults.listed()[0]["remaining"] == 0


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("InternalError", 500),
        ("Unavailable", 503),
        ("UnauthorizedOperation", 403),
        ("AuthFailure", 401),
        ("ExpiredToken", 403),
        ("RequestExpired", 400),
    ],
)
def test_an_error_has_the_status_of_its_code(strict: Probe, faults: FaultClient, code: str, status: int) -> None:
    """EC2 API Reference, "Error codes for the Amazon EC2 API"; IAM "Common Errors" for ExpiredToken."""
    with faults.during("api_error", actions="DescribeInstances", code=code):
        assert error_of(strict.ec2.describe_instances)[:2] == (code, status)
    strict.ec2.describe_instances()


def test_an_error_may_have_a_status_and_a_message_of_its_own(strict: Probe, faults: FaultClient) -> None:
    wish = {"actions": "DescribeInstances", "code": "Strange.Thing", "status": 418, "message": "<&> so it is"}
    with faults.during("api_error", **wish):
        assert error_of(strict.ec2.describe_instances) == ("Strange.Thing", 418, "<&> so it is")


def test_json_and_query_services_get_errors_in_their_own_protocol(strict: Probe, faults: FaultClient) -> None:
    with faults.during("api_error", code="ExpiredToken"):
        for service, call in (("sts", "get_caller_identity"), ("cloudformation", "list_stacks"), ("iam", "list_roles")):
            assert error_of(getattr(strict.client(service), call))[:2] == ("ExpiredToken", 403)


def test_a_refused_call_is_not_carried_out(strict: Probe, faults: FaultClient) -> None:
    before = len(strict.ec2.describe_volumes()["Volumes"])
    with faults.during("api_error", actions="CreateVolume"):
        refused("InternalError", strict.ec2.create_volume, AvailabilityZone="eu-central-1a", Size=1)
    assert len(strict.ec2.describe_volumes()["Volumes"]) == before


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({"times": 2}, "xx....."),
        ({"skip": 3}, "...xxxx"),
        ({"skip": 1, "times": 1}, ".x....."),
        ({"every": 3}, "..x..x."),
        ({"every": 2, "times": 2}, ".x.x..."),
        ({"rate": 1}, "xxxxxxx"),
    ],
)
def test_which_calls_are_struck(strict: Probe, faults: FaultClient, wish: dict[str, Any], expected: str) -> None:
    seen = ""
    with faults.during("api_error", actions="DescribeVolumes", **wish):
        for _ in expected:
            try:
                strict.ec2.describe_volumes()
                seen += "."
            except ClientError:
                seen += "x"
    assert seen == expected


def test_a_fault_can_be_one_resource_s(strict: Probe, faults: FaultClient) -> None:
    this, other = strict.volume(), strict.volume()
    with faults.during("api_error", actions="DescribeVolumes", resource=this):
        refused("InternalError", strict.ec2.describe_volumes, VolumeIds=[this])
        strict.ec2.describe_volumes(VolumeIds=[other])


def test_a_fault_can_be_one_calling_instance_s(
    strict_api: tuple[Probe, LabApi], faults: FaultClient, request: pytest.FixtureRequest
) -> None:
    probe, api = strict_api
    caller, other = probe.run(), probe.run()
    imds = api.imds
    assert imds is not None
    imds.map_source("127.0.0.1", caller)
    request.addfinalizer(lambda: imds.map_source("127.0.0.1", None))
    with faults.during("api_error", instance=other):
        probe.ec2.describe_volumes()
    with faults.during("api_error", instance=caller, code="ExpiredToken") as fault:
        refused("ExpiredToken", probe.ec2.describe_volumes)
        assert faults.events(fault["id"])[0]["instance_id"] == caller
    with faults.during("api_error", new="true"):
        probe.ec2.describe_volumes()
        imds.map_source("127.0.0.1", probe_new(probe, imds))
        refused("InternalError", probe.ec2.describe_volumes)


def probe_new(probe: Probe, imds: ImdsServer) -> str:
    """An instance launched now, by a call that no instance makes."""
    imds.map_source("127.0.0.1", None)
    return probe.run()


def test_a_slow_call_is_slow_and_ends_with_the_fault(strict: Probe, faults: FaultClient) -> None:
    with faults.during("api_slow", actions="DescribeVolumes", seconds=0.6):
        began = time.monotonic()
        strict.ec2.describe_volumes()
        assert time.monotonic() - began >= 0.6
        began = time.monotonic()
        strict.ec2.describe_network_interfaces()
        assert time.monotonic() - began < 0.6


def test_a_reply_that_is_too_slow_does_not_undo_the_call(strict: Probe, faults: FaultClient) -> None:
    client = impatient(strict.endpoint, read_timeout=0.5)
    with faults.during("api_slow", actions="CreateVolume", seconds=30, before="reply"), pytest.raises(ReadTimeoutError):
        client.create_volume(AvailabilityZone="eu-central-1a", Size=1, TagSpecifications=_named("slow"))
    assert len(_volumes_named(strict, "slow")) == 1


def _named(name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": name}]}]


def _volumes_named(probe: Probe, name: str) -> list[dict[str, Any]]:
    found = probe.ec2.describe_volumes(Filters=[{"Name": "tag:Name", "Values": [name]}])["Volumes"]
    return list(found)


def test_a_lost_reply_looks_like_a_closed_connection_and_the_call_is_carried_out(
    strict: Probe, faults: FaultClient
) -> None:
    """EC2 Developer Guide, "Ensuring idempotency in Amazon EC2 API requests": the outcome of such a call is unknown."""
    address = strict.ip()
    wish = {"SubnetId": strict.subnets["a"], "PrivateIpAddress": address}
    with faults.during("api_reply_lost", actions="CreateNetworkInterface") as fault:
        with pytest.raises(ConnectionClosedError):
            strict.ec2.create_network_interface(**wish)
        assert len(faults.events(fault["id"])) == 1
    refused("InvalidIPAddress.InUse", strict.ec2.create_network_interface, **wish)
    strict.eni()


def test_a_retry_after_a_lost_reply_finds_the_interface_in_use(strict: Probe, faults: FaultClient) -> None:
    """EC2 API Reference, AttachNetworkInterface: it has no client token, so a retry is another call."""
    instance, eni = strict.run(), strict.eni()
    client = impatient(strict.endpoint, attempts=2)
    with faults.during("api_reply_lost", actions="AttachNetworkInterface", times=1):
        wish = {"NetworkInterfaceId": eni, "InstanceId": instance, "DeviceIndex": 1}
        refused("InvalidNetworkInterface.InUse", client.attach_network_interface, **wish)
    strict.until(lambda: strict.show_eni(eni)["Attachment"]["Status"] == "attached", "attached")
    assert strict.show_eni(eni)["Attachment"]["InstanceId"] == instance


def test_stale_answers_are_of_one_moment_and_end_with_the_fault(strict: Probe, faults: FaultClient) -> None:
    """EC2 API Reference, "Eventual consistency in the Amazon EC2 API": a describe may not show what a call did."""
    instance, eni, volume = strict.run(), strict.eni(), strict.volume()
    with faults.during("api_stale", seconds=3600) as fault:
        wish = {"NetworkInterfaceId": eni, "InstanceId": instance, "DeviceIndex": 1}
        strict.ec2.attach_network_interface(**wish)
        late = strict.volume_without_waiting()
        strict.ec2.terminate_instances(InstanceIds=[instance])
        time.sleep(0.3)
        assert strict.show_eni(eni)["Status"] == "available"
        assert strict.show(instance)["State"]["Name"] == "running"
        assert len(strict.show(instance)["NetworkInterfaces"]) == 1
        refused("InvalidVolume.NotFound", strict.ec2.describe_volumes, VolumeIds=[late])
        assert volume in [one["VolumeId"] for one in strict.ec2.describe_volumes()["Volumes"]]
        refused("IncorrectState", strict.ec2.attach_volume, VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
        assert {event["action"] for event in faults.events(fault["id"])} == {
            "DescribeNetworkInterfaces",
            "DescribeInstances",
            "DescribeVolumes",
        }
    strict.until_state(instance, "terminated")
    assert late in [one["VolumeId"] for one in strict.ec2.describe_volumes()["Volumes"]]


def test_a_stale_answer_is_as_old_as_it_says(strict: Probe, faults: FaultClient) -> None:
    eni = strict.eni()
    with faults.during("api_stale", seconds=0.6, actions="DescribeNetworkInterfaces"):
        time.sleep(0.3)
        strict.ec2.create_tags(Resources=[eni], Tags=[{"Key": "Name", "Value": "new"}])
        began = time.monotonic()
        assert strict.show_eni(eni)["TagSet"] == []
        strict.until(lambda: strict.show_eni(eni)["TagSet"], "the tag is seen")
        assert 0.5 <= time.monotonic() - began < 2


def test_stale_answers_may_be_one_callers(
    strict_api: tuple[Probe, LabApi], faults: FaultClient, request: pytest.FixtureRequest
) -> None:
    probe, api = strict_api
    imds = api.imds
    assert imds is not None
    instance, eni = probe.run(), probe.eni()
    with faults.during("api_stale", seconds=3600, instance=instance):
        probe.ec2.delete_network_interface(NetworkInterfaceId=eni)
        refused("InvalidNetworkInterfaceID.NotFound", probe.show_eni, eni_id=eni)
        request.addfinalizer(lambda: imds.map_source("127.0.0.1", None))
        imds.map_source("127.0.0.1", instance)
        assert probe.show_eni(eni)["Status"] == "available"


def test_snapshots_do_not_pile_up(strict_api: tuple[Probe, LabApi], faults: FaultClient) -> None:
    from moto.ec2.models.elastic_network_interfaces import NetworkInterface

    probe, api = strict_api
    probe.eni()
    tracked = len(NetworkInterface.instances_tracked)
    with faults.during("api_stale", seconds=0.5):
        time.sleep(1.2)
        (fault,) = api.context.faults.all("api_stale")
        assert 2 <= len(fault.memory["snapshots"]) <= 13
    assert len(NetworkInterface.instances_tracked) == tracked
    assert "snapshots" not in fault.memory
