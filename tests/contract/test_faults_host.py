# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of instances: what the API asks of the machine (the machine's own tests are in tests/lab)."""

from __future__ import annotations

from typing import Any

import pytest

from lab.machine.protocol import NothingThereError
from lab.machine.shell import MachineError
from tests.contract.ec2_harness import Probe
from tests.contract.fault_client import FaultClient, ask


def verbs(probe: Probe, instance_id: str) -> list[tuple[Any, ...]]:
    """What the machine was asked for the instance since its start, boot left out."""
    assert probe.machine is not None
    calls = [call for call in probe.machine.fake.calls if call.arguments[0] == instance_id]
    return [(call.verb, *call.arguments[1:]) for call in calls if call.verb != "instance_start"]


@pytest.mark.parametrize(
    ("kind", "parameters", "applied", "undone"),
    [
        ("partition", {}, ("partition", None, True), ("partition", None, False)),
        ("partition", {"index": 1}, ("partition", 1, True), ("partition", 1, False)),
        ("freeze", {}, ("freeze", True), ("freeze", False)),
        ("freeze", {"unit": "kafka"}, ("unit_signal", "kafka", "STOP"), ("unit_signal", "kafka", "CONT")),
        ("disk_readonly", {"mount": "/data"}, ("disk_readonly", "/data"), None),
    ],
)
def test_what_is_set_is_undone(
    strict: Probe,
    faults: FaultClient,
    kind: str,
    parameters: dict[str, Any],
    applied: tuple[Any, ...],
    undone: tuple[Any, ...] | None,
) -> None:
    instance = strict.run()
    fault = faults.set(kind, instance=instance, **parameters)
    assert verbs(strict, instance) == [applied]
    (event,) = faults.events(fault["id"])
    assert (event["fault_kind"], event["instance_id"]) == (kind, instance)
    assert faults.listed()[0]["struck"] == 1
    faults.clear(kind)
    assert verbs(strict, instance) == [applied, *([undone] if undone else [])]


@pytest.mark.parametrize("kind", ["partition", "freeze"])
def test_clearing_asks_nothing_of_an_instance_that_is_gone(strict: Probe, faults: FaultClient, kind: str) -> None:
    instance = strict.run()
    faults.set(kind, instance=instance)
    strict.terminate(instance)
    assert len(faults.clear(kind)) == 1
    assert [verb for verb, *_ in verbs(strict, instance)] == [kind, "instance_terminate"]


@pytest.mark.parametrize("kind", ["disk_full", "disk_dead"])
def test_a_disk_s_fault_is_undone_by_its_volume(strict: Probe, faults: FaultClient, kind: str) -> None:
    assert strict.machine is not None
    instance = strict.run()
    faults.set(kind, instance=instance, mount="/data")
    fake = strict.machine.fake
    expected = [("disk_at", "/data"), ("disk_fill", "/data", 0)] if kind == "disk_full" else [("disk_dead", "/data")]
    assert verbs(strict, instance) == expected
    before = len(fake.calls)
    faults.clear(kind)
    undone = [(call.verb, *call.arguments) for call in fake.calls[before:]]
    assert undone == ([("disk_revive", "vol-00000000000000001")] if kind == "disk_dead" else [])


def test_what_the_machine_cannot_do_is_not_set(strict: Probe, faults: FaultClient) -> None:
    assert strict.machine is not None
    instance = strict.run()
    body = {"kind": "disk_full", "parameters": {"instance": instance, "mount": "/data"}}
    with strict.machine.failing("disk_at", MachineError("no volume is mounted at /data")):
        status, found = ask(strict.endpoint, "POST", body=body)
    assert (status, faults.listed()) == (409, [])
    assert "no volume is mounted at /data" in found["error"]


def test_what_cannot_be_undone_stays_set(strict: Probe, faults: FaultClient) -> None:
    assert strict.machine is not None
    instance = strict.run()
    fault = faults.set("disk_dead", instance=instance, mount="/data")
    faults.set("partition", instance=instance)
    with strict.machine.failing("disk_revive", MachineError("the device is gone")):
        status, found = ask(strict.endpoint, "DELETE", "faults")
    assert status == 409
    assert fault["id"] in found["error"]
    assert [one["kind"] for one in faults.listed()] == ["disk_dead"]


def test_a_frozen_unit_that_ended_meanwhile_is_no_hindrance(strict: Probe, faults: FaultClient) -> None:
    assert strict.machine is not None
    instance = strict.run()
    faults.set("freeze", instance=instance, unit="kafka")
    with strict.machine.failing("unit_signal", NothingThereError("kafka.service is failed")):
        assert len(faults.clear("freeze")) == 1


def test_a_killed_unit_is_over_at_once(strict: Probe, faults: FaultClient) -> None:
    instance = strict.run()
    fault = faults.set("kill", instance=instance, unit="kafka", signal="TERM")
    assert verbs(strict, instance) == [("unit_signal", "kafka", "TERM")]
    assert len(faults.events(fault["id"])) == 1
    assert faults.listed() == []


def test_a_dead_host_s_instance_is_terminated_by_ec2(strict: Probe, faults: FaultClient) -> None:
    instance = strict.run()
    faults.set("kill", instance=instance)
    strict.until_state(instance, "terminated")
    assert [verb for verb, *_ in verbs(strict, instance)] == ["crash", "instance_terminate"]


@pytest.mark.parametrize(
    ("kind", "parameters", "word"),
    [
        ("partition", {}, "instance"),
        ("disk_full", {"instance": "x"}, "mount"),
        ("disk_full", {"instance": "x", "mount": "data"}, "mount='data'"),
        ("kill", {"instance": "x", "signal": "HUP"}, "signal='HUP'"),
        ("boot_kill", {"phase": "lunch"}, "phase='lunch'"),
    ],
)
def test_a_bad_wish_is_refused_by_name(faults: FaultClient, kind: str, parameters: dict[str, Any], word: str) -> None:
    assert word in faults.refused(kind, **parameters)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("kill_power", ["crash", "instance_terminate"]),
        ("terminate", ["instance_terminate"]),
        ("reboot", ["instance_reboot"]),
    ],
)
def test_a_boot_ends_at_the_phase_that_is_named(
    strict: Probe, faults: FaultClient, action: str, expected: list[str]
) -> None:
    assert strict.machine is not None
    old, new = strict.run(), strict.run()
    phases = strict.machine.fake.phases
    phases[old] = {"claim_end@boot-1"}
    fault = faults.set("boot_kill", phase="claim_end", action=action)
    phases[new] = {"claim_start@boot-2"}
    phases[new] = {"claim_start@boot-2", "claim_end@boot-2"}
    strict.until(lambda: verbs(strict, new), "the phase is seen")
    strict.until(lambda: [verb for verb, *_ in verbs(strict, new)] == expected, f"{action} of {new}")
    (event,) = faults.events(fault["id"])
    assert (event["instance_id"], event["phase"]) == (new, "claim_end")
    assert verbs(strict, old) == []
    phases[old] = {"claim_end@boot-3"}
    assert faults.listed()[0]["remaining"] == 0
    faults.clear("boot_kill")
    phases.clear()


@pytest.mark.parametrize("phase", ["eni_attached", "volume_attached"])
def test_a_boot_can_end_with_an_attachment(strict: Probe, faults: FaultClient, phase: str) -> None:
    instance = strict.run()
    faults.set("boot_kill", phase=phase, instance=instance)
    other = strict.run()
    for one in (other, instance):
        if phase == "eni_attached":
            strict.ec2.attach_network_interface(NetworkInterfaceId=strict.eni(), InstanceId=one, DeviceIndex=1)
        else:
            strict.ec2.attach_volume(VolumeId=strict.volume(), InstanceId=one, Device="/dev/sdf")
    strict.until_state(instance, "terminated")
    assert strict.show(other)["State"]["Name"] == "running"


def test_a_cleared_boot_kill_lets_a_boot_be(strict: Probe, faults: FaultClient) -> None:
    instance = strict.run()
    faults.set("boot_kill", phase="eni_attached")
    faults.clear()
    strict.attach(strict.eni(), instance)
    assert strict.show(instance)["State"]["Name"] == "running"
