# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``boot_kill``: an instance dies, is terminated or reboots the moment its boot comes to a phase.

Phases come from the instance's own record of its boot, from its mounts, and from EC2's attachments.
"""

from __future__ import annotations

from typing import Any

from lab.api.context import LabContext
from lab.api.faults_board import Fault
from lab.api.faults_hooks import Hook
from lab.api.faults_machine import power_off
from lab.api.sources import occasion_of
from lab.machine.shell import MachineError

KIND = "boot_kill"
LOOK_SECONDS = 0.02
IDLE_SECONDS = 0.2


def install(context: LabContext) -> None:
    """Watch boots for as long as a fault asks for it."""

    def begin(fault: Fault) -> None:
        fault.memory["seen"] = _phases(context)

    def look() -> None:
        for fault in context.faults.all(KIND):
            seen = fault.memory.get("seen", {})
            found = _phases(context)
            fault.memory["seen"] = found
            wanted = fault.parameters["phase"]
            for instance_id, phases in found.items():
                if wanted in {phase.partition("@")[0] for phase in phases - seen.get(instance_id, frozenset())}:
                    _reached(context, instance_id, wanted)

    def attached(phase: str, instance_id: str, device_index: int = 1, **_resource: Any) -> None:
        if context.faults.all(KIND) and int(device_index) > 0:
            context.submit(f"{KIND} {instance_id}", KIND, lambda: _reached(context, instance_id, phase))

    context.fault_hooks[KIND] = Hook(begin)
    context.every(lambda: LOOK_SECONDS if context.faults.all(KIND) else IDLE_SECONDS, look)
    context.on("eni_attached", lambda **fields: attached("eni_attached", **fields))
    context.on("volume_attached", lambda **fields: attached("volume_attached", **fields))


def _phases(context: LabContext) -> dict[str, frozenset[str]]:
    with context.lock:
        running = [i.id for i in context.ec2.all_instances() if i.lab_online]
    found = {}
    for instance_id in running:
        try:
            found[instance_id] = context.machine.boot_phases(instance_id)
        except MachineError:
            continue  # it went while we looked
    return found


def _reached(context: LabContext, instance_id: str, phase: str) -> None:
    with context.lock:
        instance = next((i for i in context.ec2.all_instances() if i.id == instance_id), None)
        occasion = occasion_of(context, instance)
    fault = context.faults.strike(KIND, occasion, lambda parameters: parameters["phase"] == phase, phase=phase)
    if fault is None:
        return
    action = fault.parameters["action"]
    if action == "kill_power":
        power_off(context, instance_id)
        return
    with context.lock:
        if action == "terminate":
            context.ec2.terminate_instances([instance_id])
        else:
            context.ec2.reboot_instances([instance_id])
