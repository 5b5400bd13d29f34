# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server around the API: its seed, its own routes, its delays, its start and end."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from lab.api import clock, strict
from lab.api.context import LabRequest, RouteError
from lab.api.server import LabApi, start_strict_ec2
from tests.contract.ec2_harness import Probe, refused

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(endpoint: str, path: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
    """Return status and JSON of one of the lab's own routes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(endpoint + path, data=data, method=method)  # noqa: S310 - the lab's own address
    try:
        with OPENER.open(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_seed_is_one_clean_network(strict_api: tuple[Probe, LabApi]) -> None:
    probe, api = strict_api
    vpcs = probe.ec2.describe_vpcs()["Vpcs"]
    assert [(v["VpcId"], v["CidrBlock"], v["IsDefault"]) for v in vpcs] == [(api.seed.vpc_id, "10.77.0.0/16", False)]
    subnets = {s["AvailabilityZone"]: s for s in probe.ec2.describe_subnets()["Subnets"]}
    assert {zone: s["CidrBlock"] for zone, s in subnets.items()} == {
        "eu-central-1a": "10.77.1.0/24",
        "eu-central-1b": "10.77.2.0/24",
        "eu-central-1c": "10.77.3.0/24",
    }
    assert not any(s["DefaultForAz"] or s["MapPublicIpOnLaunch"] for s in subnets.values())
    assert [k["KeyName"] for k in probe.ec2.describe_key_pairs()["KeyPairs"]] == ["lab"]
    groups = probe.ec2.describe_security_groups()["SecurityGroups"]
    assert [g["GroupId"] for g in groups] == [api.seed.security_group_id]
    caller = api.client("sts").get_caller_identity()
    assert caller["Arn"] == "arn:aws:iam::123456789012:user/lab-admin"


def test_launch_without_a_subnet_is_refused(strict_api: tuple[Probe, LabApi]) -> None:
    probe, _ = strict_api
    launch = {"ImageId": probe.image_id, "InstanceType": "t3.small", "MinCount": 1, "MaxCount": 1}
    refused("VPCIdNotSpecified", probe.ec2.run_instances, **launch)


def test_addresses_without_a_wish_start_at_100_and_rest_before_reuse(strict_api: tuple[Probe, LabApi]) -> None:
    probe, _ = strict_api
    seen = []
    for _ in range(3):
        eni = probe.eni("c")
        seen.append(int(probe.show_eni(eni)["PrivateIpAddress"].rsplit(".", 1)[1]))
        probe.ec2.delete_network_interface(NetworkInterfaceId=eni)
    assert seen[0] >= 100
    assert len(set(seen)) == 3


def test_status_shows_what_there_is(strict_api: tuple[Probe, LabApi]) -> None:
    probe, api = strict_api
    eni, instance = probe.eni(), probe.run()
    probe.attach(eni, instance)
    status, shown = call(api.endpoint, "/_lab/status")
    assert status == 200
    assert {"instances", "network_interfaces", "volumes", "images", "groups", "stacks"} <= set(shown)
    row = next(e for e in shown["network_interfaces"] if e["eni_id"] == eni)
    assert row["attachment"]["instance_id"] == instance
    assert row["attachment"]["status"] == "attached"
    only = call(api.endpoint, "/_lab/status?sections=images")[1]
    assert list(only) == ["images"]
    assert call(api.endpoint, "/_lab/status?sections=nonsense")[0] == 404


def test_delays_are_read_and_set(strict_api: tuple[Probe, LabApi]) -> None:
    _, api = strict_api
    status, delays = call(api.endpoint, "/_lab/delays", "PUT", {"preset": "short", "pending_seconds": 0.25})
    assert status == 200
    assert (delays["pending_seconds"], delays["shutting_down_seconds"]) == (0.25, 2.0)
    assert call(api.endpoint, "/_lab/delays")[1] == delays
    assert call(api.endpoint, "/_lab/delays", "PUT", {"preset": "none"})[1] == clock.Delays().as_dict()
    for bad in ({"no_such_seconds": 1}, {"pending_seconds": -1}, {"pending_seconds": "1"}, {"preset": "never"}):
        status, answer = call(api.endpoint, "/_lab/delays", "PUT", bad)
        assert status == 400, bad
        assert answer["error"]
    assert call(api.endpoint, "/_lab/delays", "PUT", b"{not json")[0] == 400
    assert call(api.endpoint, "/_lab/delays", "DELETE")[0] == 405


def test_delays_delay(strict_api: tuple[Probe, LabApi]) -> None:
    probe, api = strict_api
    api.clock.update({"pending_seconds": 0.4})
    try:
        started = time.monotonic()
        probe.run()
        assert time.monotonic() - started >= 0.4
    finally:
        api.clock.update({"pending_seconds": 0})


def test_journal_tells_calls_and_transitions(strict_api: tuple[Probe, LabApi]) -> None:
    probe, api = strict_api
    since = api.events.last_sequence
    instance = probe.run(UserData="secret: value")
    refused("InvalidAMIID.NotFound", probe.run, ImageId="ami-00000000000000000")
    events = call(api.endpoint, f"/_lab/events?since={since}")[1]["events"]
    runs = [e for e in events if e["kind"] == "api" and e["action"] == "RunInstances"]
    assert [(e["service"], e["status"], e.get("error")) for e in runs] == [
        ("ec2", 200, None),
        ("ec2", 400, "InvalidAMIID.NotFound"),
    ]
    assert "UserData" not in runs[0]["parameters"]
    states = [e["state"] for e in events if e["kind"] == "instance_state_changed" and e["instance_id"] == instance]
    assert states == ["pending", "running"]
    assert call(api.endpoint, "/_lab/events?since=x")[0] == 400
    assert call(api.endpoint, f"/_lab/events?since={since}&kind=machine_error")[1]["events"] == []


def test_further_routes_can_be_registered(strict_api: tuple[Probe, LabApi]) -> None:
    _, api = strict_api

    def echo(request: LabRequest) -> dict[str, Any]:
        if request.rest == "forbidden":
            raise RouteError(403, "not this one")
        if request.rest == "broken":
            raise ValueError("a bug")
        return {"method": request.method, "rest": request.rest, "query": request.query, "body": request.body}

    api.context.register_route("echo/", echo)
    assert call(api.endpoint, "/_lab/echo/a/b?x=1", "POST", {"y": 2}) == (
        200,
        {"method": "POST", "rest": "a/b", "query": {"x": "1"}, "body": {"y": 2}},
    )
    assert call(api.endpoint, "/_lab/echo/forbidden") == (403, {"error": "not this one"})
    assert call(api.endpoint, "/_lab/echo/broken") == (500, {"error": "ValueError: a bug"})
    status, answer = call(api.endpoint, "/_lab/nothing")
    assert status == 404
    assert "/_lab/status" in answer["error"]


def test_moto_own_switches_are_not_served(strict_api: tuple[Probe, LabApi]) -> None:
    probe, api = strict_api
    for path in ("/moto-api/reset", "/latest/meta-data/instance-id"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            OPENER.open(urllib.request.Request(api.endpoint + path, method="POST"), timeout=10)  # noqa: S310 - the lab's own address
        assert caught.value.code == 404
    assert probe.ec2.describe_vpcs()["Vpcs"], "nothing was reset"


def test_action_that_moto_lacks_is_a_clear_error(strict_api: tuple[Probe, LabApi]) -> None:
    probe, _ = strict_api
    message = refused("UnsupportedOperation", probe.ec2.describe_bundle_tasks)
    assert "the lab does not do this" in message


def test_events_reach_subscribers_and_periodic_work_runs(strict_api: tuple[Probe, LabApi]) -> None:
    probe, api = strict_api
    seen: list[tuple[str, str]] = []
    ticks, later = threading.Semaphore(0), threading.Event()
    api.context.on("instance_state_changed", lambda instance_id, state, **_: seen.append((instance_id, state)))
    api.context.every(0.01, ticks.release)
    api.context.schedule(0.01, later.set)
    instance = probe.run()
    assert (instance, "running") in seen
    assert later.wait(5)
    assert all(ticks.acquire(timeout=5) for _ in range(3))


def test_background_work_that_fails_is_journaled(strict_api: tuple[Probe, LabApi]) -> None:
    _, api = strict_api

    def broken() -> None:
        raise RuntimeError("a bug in the background")

    api.context.submit("test", "a broken thing", broken)
    assert api.wait_idle()
    events = api.events.since(kind="background_error")
    assert any(e["what"] == "a broken thing" and "a bug in the background" in e["error"] for e in events)


def test_other_moto_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"moto 9\.9\.9 is installed"):
        strict.check_version("9.9.9")


def test_second_api_in_one_process_is_refused(strict_api: tuple[Probe, LabApi]) -> None:
    _, api = strict_api
    with pytest.raises(RuntimeError, match="already runs a lab API"):
        start_strict_ec2()
    assert api.client("ec2").describe_vpcs()["Vpcs"], "the first one goes on"
