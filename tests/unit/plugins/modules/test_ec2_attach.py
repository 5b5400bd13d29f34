# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ec2_eni_attach, ec2_volume_attach and identity_pool_info: what they do before and around EC2's own answers."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import attach_ports
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_errors import Meaning
from ansible_collections.holdfast.kafka.plugins.module_utils.imds import Imds, ImdsError, Myself
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Eni, PoolReading, Volume
from ansible_collections.holdfast.kafka.plugins.modules import ec2_eni_attach, ec2_volume_attach, identity_pool_info

from tests.unit.plugins.modules.in_process import run_module

ME = "i-me"
ENI = {"eni_id": "eni-1", "instance_id": ME, "region": "eu-central-1", "reread": "api", "timeout_seconds": 0}
VOLUME = {"volume_id": "vol-1", "instance_id": ME, "region": "eu-central-1", "timeout_seconds": 0}
FREE_ENI = Eni("eni-1", "02:00:00:00:00:01", "10.0.0.1", "subnet-1", "eu-central-1a", "available")
MY_ENI = Eni(
    "eni-1", "02:00:00:00:00:01", "10.0.0.1", "subnet-1", "eu-central-1a", "in-use", ME, "a-1", "attached", 1, False
)
FREE_VOLUME = Volume("vol-1", 0, 8, "eu-central-1a", "available")
MY_VOLUME = Volume("vol-1", 0, 8, "eu-central-1a", "in-use", ME, "/dev/sdf", "attached", False)


class Ec2:
    """EC2 with one ENI and one volume, which an attach makes mine; C(error) is raised instead of any answer."""

    error: Exception | None = None
    eni_now: Eni = FREE_ENI
    volume_now: Volume = FREE_VOLUME

    def __init__(self, _module: Any) -> None:
        self.requests: list[str] = []

    def _request(self, name: str) -> None:
        self.requests.append(name)
        if self.error:
            raise self.error

    def eni(self, _eni_id: str) -> Eni:
        """Describe."""
        self._request("DescribeNetworkInterfaces")
        return type(self).eni_now

    def volume(self, _volume_id: str) -> Volume:
        """Describe."""
        self._request("DescribeVolumes")
        return type(self).volume_now

    def attach_eni(self, *_arguments: Any) -> str:
        """Attach."""
        self._request("AttachNetworkInterface")
        type(self).eni_now = MY_ENI
        return "a-1"

    def attach_volume(self, *_arguments: Any) -> None:
        """Attach."""
        self._request("AttachVolume")
        type(self).volume_now = MY_VOLUME

    def read_pools(self, *_arguments: Any) -> None:
        """Fail."""
        self._request("DescribeNetworkInterfaces")


@pytest.fixture(autouse=True)
def ec2(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put the table in EC2's place."""
    table = type("Ec2", (Ec2,), {})
    for module in (ec2_eni_attach, ec2_volume_attach, identity_pool_info):
        monkeypatch.setattr(module, "Ec2", table)
    return table


def failed(module: ModuleType, arguments: dict[str, Any], reason: str) -> dict[str, Any]:
    """Run, and require this failure."""
    result = run_module(module, arguments)
    assert (result["failed"], result.get("reason")) == (True, reason), result
    return result


def test_from_elsewhere_the_api_proves_it_and_no_device_is_sought() -> None:
    result = run_module(ec2_eni_attach, ENI, diff=True)
    assert result["api_requests"] == [
        "DescribeNetworkInterfaces",
        "AttachNetworkInterface",
        "DescribeNetworkInterfaces",
    ]
    assert (result["changed"], result["device"], result["subnet_cidr"]) == (True, None, None)
    assert result["diff"]["after"]["instance_id"] == ME
    assert run_module(ec2_eni_attach, ENI)["changed"] is False
    volume = run_module(ec2_volume_attach, VOLUME)
    assert (volume["changed"], volume["device_path"], volume["volume"]["device"]) == (True, None, "/dev/sdf")
    assert run_module(ec2_volume_attach, VOLUME)["changed"] is False


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        (ec2_eni_attach, {**ENI, "device_index": 0}),
        (ec2_eni_attach, {**ENI, "known_status": {"id": "eni-2", "status": "available", "mac": "02:00"}}),
        (ec2_eni_attach, {**ENI, "known_status": {"status": "available"}}),
        (ec2_volume_attach, {**VOLUME, "known_status": {"id": "vol-2", "status": "available"}}),
        (ec2_volume_attach, {**VOLUME, "known_status": {"id": "vol-1"}}),
        (identity_pool_info, {"cluster": "c", "name_patterns": {"kafka": "KAFKA"}}),
        (identity_pool_info, {"cluster": "c", "expected_volumes": {"kafka": "two"}}),
        (identity_pool_info, {"cluster": "c", "expected_volumes": {"kafka": True}}),
    ],
)
def test_bad_parameters(module: ModuleType, arguments: dict[str, Any]) -> None:
    assert failed(module, arguments, "bad_parameter")["api_calls"] == 0


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        (Meaning.AUTH, "auth"),
        (Meaning.FATAL, "api_error"),
        (Meaning.RETRY, "api_error"),
        (Meaning.NOT_FOUND, "not_found"),
    ],
)
def test_ec2_errors(ec2: Any, word: Meaning, reason: str) -> None:
    ec2.error = AwsError("describe", "Code", "text", word)
    assert "eni-1" in failed(ec2_eni_attach, ENI, reason)["msg"]
    assert "vol-1" in failed(ec2_volume_attach, VOLUME, reason)["msg"]
    assert "orders" in failed(identity_pool_info, {"cluster": "orders", "region": "x"}, reason)["msg"]


def test_another_index_of_mine_is_a_conflict(ec2: Any) -> None:
    ec2.eni_now = MY_ENI
    assert "device index 1" in failed(ec2_eni_attach, {**ENI, "device_index": 2}, "conflict")["msg"]


def test_nobody_answers_as_the_metadata_service(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_arguments: Any) -> Any:
        raise ImdsError("nobody there")

    monkeypatch.setattr(Imds, "myself", unreachable)
    for module, arguments in ((ec2_eni_attach, ENI), (ec2_volume_attach, VOLUME)):
        failed(module, {**arguments, "instance_id": None}, "imds_unreachable")
    monkeypatch.setattr(Imds, "get", unreachable)
    monkeypatch.setattr(attach_ports, "find_interface", lambda _mac: "eth1")
    assert "reread=api" in failed(ec2_eni_attach, {**ENI, "reread": "imds"}, "imds_unreachable")["msg"]


def test_metadata_that_lag_leave_the_proof_to_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Imds, "myself", lambda _self: Myself(ME, "eu-central-1a", "eu-central-1"))
    monkeypatch.setattr(Imds, "get", lambda _self, _path: None)
    monkeypatch.setattr(attach_ports, "find_interface", lambda _mac: "eth1")
    result = run_module(ec2_eni_attach, {**ENI, "reread": "imds", "instance_id": None})
    assert result["api_requests"][-1] == "DescribeNetworkInterfaces"
    assert (result["device"], result["subnet_cidr"]) == ("eth1", None)


def test_metadata_that_fail_for_a_while_cost_no_boot(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"interface-id": MY_ENI.id, "subnet-ipv4-cidr-block": "10.77.1.0/24"}
    left = {"interface-id": 2, "subnet-ipv4-cidr-block": 2}

    def get(_self: Any, path: str) -> str:
        name = path.rpartition("/")[2]
        left[name] -= 1
        if left[name] >= 0:
            raise ImdsError("no answer in time")
        return answers[name]

    monkeypatch.setattr(attach_ports, "IMDS_LAG_SECONDS", 30)
    monkeypatch.setattr(Imds, "myself", lambda _self: Myself(ME, "eu-central-1a", "eu-central-1"))
    monkeypatch.setattr(Imds, "get", get)
    monkeypatch.setattr(attach_ports, "find_interface", lambda _mac: "eth1")
    result = run_module(ec2_eni_attach, {**ENI, "reread": "imds", "instance_id": None, "timeout_seconds": 30})
    assert (result["changed"], result["device"], result["subnet_cidr"]) == (True, "eth1", "10.77.1.0/24")
    assert left == {"interface-id": -1, "subnet-ipv4-cidr-block": -1}


def test_every_device_name_taken_is_a_conflict(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def occupied(self: Any, *_arguments: Any) -> None:
        raise AwsError("attach_volume", "InvalidParameterValue", "is already in use", Meaning.OCCUPIED)

    monkeypatch.setattr(ec2, "attach_volume", occupied)
    result = failed(ec2_volume_attach, {**VOLUME, "timeout_seconds": 5}, "conflict")
    assert result["api_requests"] == ["DescribeVolumes"] * 12


def test_letter_that_the_host_uses_is_passed_over(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    devices: list[str] = []

    def taken(_self: Any, _volume: str, _me: str, device: str) -> None:
        devices.append(device)
        ec2.volume_now = MY_VOLUME

    monkeypatch.setattr(ec2, "attach_volume", taken)
    monkeypatch.setattr(attach_ports, "names_in_use", lambda: {"/dev/sdf", "/dev/sdg"})
    monkeypatch.setattr(attach_ports, "find_volume", lambda _volume_id, _device=None: "/dev/xvdh")
    result = run_module(ec2_volume_attach, {**VOLUME, "wait_device": True})
    assert (result["changed"], devices) == (True, ["/dev/sdh"])


@pytest.mark.parametrize(
    ("module", "arguments", "words"),
    [
        (ec2_eni_attach, ENI, ["eni-1", "Terminate this instance", "support case"]),
        (ec2_volume_attach, VOLUME, ["vol-1", "at /dev/sdf", "detach-volume", "another name"]),
    ],
)
def test_attachment_that_never_comes_is_reported_with_its_remedy(
    ec2: Any, module: ModuleType, arguments: dict[str, Any], words: list[str]
) -> None:
    ec2.eni_now = replace(MY_ENI, attachment_status="attaching")
    ec2.volume_now = replace(MY_VOLUME, attachment_status="attaching")
    result = failed(module, {**arguments, "timeout_seconds": 1, "poll_seconds": 0.3}, "attach_stuck")
    assert [word for word in [*words, "Nothing was detached by force"] if word not in result["msg"]] == []
    assert {name for name in result["api_requests"] if not name.startswith("Describe")} == set()


def test_volume_that_falls_back_hints_at_its_key_and_keeps_its_device_name(
    ec2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices: list[str] = []
    monkeypatch.setattr(ec2, "attach_volume", lambda _self, _volume, _me, device: devices.append(device))
    result = failed(ec2_volume_attach, {**VOLUME, "timeout_seconds": 5, "poll_seconds": 0}, "attach_rejected")
    assert devices == ["/dev/sdf", "/dev/sdf"]
    assert "vol-1" in result["msg"]
    assert "KMS" in result["msg"]


def test_number_of_volumes_comes_from_the_inventory(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def read_pools(_self: Any, _cluster: str, _scheme: Any, expected: Any) -> PoolReading:
        asked.append(expected)
        return PoolReading("orders", ())

    monkeypatch.setattr(ec2, "read_pools", read_pools)
    base = {"availability_zone": "eu-central-1a", "private_ip": "10.0.0.1"}
    pools = {"kafka": [{"node_id": 1, "volumes": [{}, {}], **base}], "zookeeper": [{"node_id": 1, **base}]}
    arguments = {"cluster": "orders", "region": "x", "expected_pools": pools}
    assert not run_module(identity_pool_info, arguments)["failed"]
    assert not run_module(identity_pool_info, {**arguments, "expected_volumes": {"kafka": 3}})["failed"]
    assert asked == [{"kafka": {1: 2}, "zookeeper": {}}, {"kafka": 3, "zookeeper": {}}]
    failed(identity_pool_info, {**arguments, "expected_pools": {"kafka": [{}]}}, "bad_parameter")


@pytest.mark.parametrize(
    "wrong",
    [{"poll_seconds": -1}, {"poll_seconds": "nan"}, {"poll_seconds": "inf"}, {"timeout_seconds": -5}, {"id": ""}],
)
@pytest.mark.parametrize(
    ("module", "arguments", "name"), [(ec2_eni_attach, ENI, "eni_id"), (ec2_volume_attach, VOLUME, "volume_id")]
)
def test_an_attach_that_can_never_work_asks_nobody(
    ec2: Any, module: ModuleType, arguments: dict[str, Any], name: str, wrong: dict[str, Any]
) -> None:
    options = {name if key == "id" else key: value for key, value in wrong.items()}
    result = run_module(module, {**arguments, **options})
    assert (result["failed"], result.get("reason"), result["api_calls"]) == (True, "bad_parameter", 0), result
    assert next(iter(options)) in result["msg"]
