# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of an instance that lives: what they ask of the machine when they are set and when they are cleared."""

from __future__ import annotations

import contextlib

from lab.api.context import LabContext
from lab.api.faults_board import Fault
from lab.api.faults_catalogue import FaultRefusedError
from lab.api.faults_hooks import Hook
from lab.api.lifecycle import GONE
from lab.machine.protocol import NothingThereError


def install(context: LabContext) -> None:
    """Let the kinds act."""
    machine = context.machine

    def lives(fault: Fault) -> bool:
        with context.lock:
            wanted = fault.parameters["instance"]
            return any(i.id == wanted and i.state not in (*GONE, "stopped") for i in context.ec2.all_instances())

    def partition(fault: Fault) -> None:
        machine.partition(fault.parameters["instance"], fault.parameters["index"], True)

    def heal(fault: Fault) -> None:
        if lives(fault):
            machine.partition(fault.parameters["instance"], fault.parameters["index"], False)

    def freeze(fault: Fault) -> None:
        instance_id, unit = fault.parameters["instance"], fault.parameters["unit"]
        if unit:
            machine.unit_signal(instance_id, unit, "STOP")
        else:
            machine.freeze(instance_id, True)

    def thaw(fault: Fault) -> None:
        instance_id, unit = fault.parameters["instance"], fault.parameters["unit"]
        if not lives(fault):
            return
        if unit:
            with contextlib.suppress(NothingThereError):  # a unit that ended meanwhile has nothing to go on with
                machine.unit_signal(instance_id, unit, "CONT")
        else:
            machine.freeze(instance_id, False)

    def kill(fault: Fault) -> None:
        instance_id, unit = fault.parameters["instance"], fault.parameters["unit"]
        if unit:
            machine.unit_signal(instance_id, unit, fault.parameters["signal"])
        elif fault.parameters["signal"] != "KILL":
            raise FaultRefusedError("without a unit the whole instance loses its power, which is no signal")
        else:
            power_off(context, instance_id)

    def disk_full(fault: Fault) -> None:
        instance_id, mount = fault.parameters["instance"], fault.parameters["mount"]
        fault.memory["volume_id"] = machine.disk_at(instance_id, mount)
        machine.disk_fill(instance_id, mount, fault.parameters["leave_bytes"])

    def disk_unfull(fault: Fault) -> None:
        with context.lock:
            exists = fault.memory["volume_id"] in context.ec2.volumes
        if exists:
            machine.disk_unfill(fault.memory["volume_id"])

    def disk_readonly(fault: Fault) -> None:
        machine.disk_readonly(fault.parameters["instance"], fault.parameters["mount"])

    def disk_dead(fault: Fault) -> None:
        fault.memory["volume_id"] = machine.disk_dead(fault.parameters["instance"], fault.parameters["mount"])

    def disk_alive(fault: Fault) -> None:
        machine.disk_revive(fault.memory["volume_id"])

    context.fault_hooks |= {
        "partition": Hook(partition, heal),
        "freeze": Hook(freeze, thaw),
        "kill": Hook(kill),
        "disk_full": Hook(disk_full, disk_unfull),
        "disk_readonly": Hook(disk_readonly),
        "disk_dead": Hook(disk_dead, disk_alive),
    }


def power_off(context: LabContext, instance_id: str) -> None:
    """The host dies: every process is gone at once, and EC2 terminates what was on it."""
    context.machine.crash(instance_id)
    with context.lock:
        context.ec2.terminate_instances([instance_id])
