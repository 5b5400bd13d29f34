# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine without consequences: it records what it was asked, so that the API can run as a plain process."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from lab.machine.protocol import InstanceSpec, Nic, VolumeAttachment


@dataclass(frozen=True)
class Call:
    """One call with its arguments, in order."""

    verb: str
    arguments: tuple[Any, ...]


class FakeMachine:
    """Record the calls; raise what a test put into ``failures`` under the verb's name."""

    def __init__(self) -> None:
        """Start with no call and no failure."""
        self.failures: dict[str, BaseException] = {}
        self.phases: dict[str, set[str]] = {}
        self._calls: list[Call] = []
        self._lock = threading.Lock()

    @property
    def calls(self) -> list[Call]:
        """Return the calls so far."""
        with self._lock:
            return list(self._calls)

    def verbs(self, first_argument: str | None = None) -> list[str]:
        """Return the verbs in order, of one instance, volume or image if its id is given."""
        return [call.verb for call in self.calls if first_argument in (None, call.arguments[0])]

    def _record(self, verb: str, *arguments: Any) -> None:
        with self._lock:
            self._calls.append(Call(verb, arguments))
            failure = self.failures.get(verb)
        if failure is not None:
            raise failure

    def instance_start(self, spec: InstanceSpec) -> None:
        """Record it; the first argument is the instance's id."""
        self._record("instance_start", spec.instance_id, spec)

    def instance_stop(self, instance_id: str) -> None:
        """Record it."""
        self._record("instance_stop", instance_id)

    def instance_reboot(self, instance_id: str) -> None:
        """Record it."""
        self._record("instance_reboot", instance_id)

    def instance_terminate(self, instance_id: str) -> None:
        """Record it."""
        self._record("instance_terminate", instance_id)

    def nic_attach(self, instance_id: str, nic: Nic) -> None:
        """Record it."""
        self._record("nic_attach", instance_id, nic)

    def nic_detach(self, instance_id: str, nic: Nic) -> None:
        """Record it."""
        self._record("nic_detach", instance_id, nic)

    def volume_create(self, volume_id: str, size_bytes: int, snapshot_id: str | None) -> None:
        """Record it."""
        self._record("volume_create", volume_id, size_bytes, snapshot_id)

    def volume_attach(self, instance_id: str, attachment: VolumeAttachment) -> None:
        """Record it."""
        self._record("volume_attach", instance_id, attachment)

    def volume_detach(self, instance_id: str, attachment: VolumeAttachment) -> None:
        """Record it."""
        self._record("volume_detach", instance_id, attachment)

    def volume_delete(self, volume_id: str) -> None:
        """Record it."""
        self._record("volume_delete", volume_id)

    def image_create(self, instance_id: str, image_id: str) -> None:
        """Record it."""
        self._record("image_create", instance_id, image_id)

    def image_delete(self, image_id: str) -> None:
        """Record it."""
        self._record("image_delete", image_id)

    def console_output(self, instance_id: str) -> str:
        """Record it and return a recognisable line."""
        self._record("console_output", instance_id)
        return f"{instance_id}: no machine behind this instance\n"

    def partition(self, instance_id: str, device_index: int | None, cut: bool) -> None:
        """Record it."""
        self._record("partition", instance_id, device_index, cut)

    def freeze(self, instance_id: str, frozen: bool) -> None:
        """Record it."""
        self._record("freeze", instance_id, frozen)

    def crash(self, instance_id: str) -> None:
        """Record it."""
        self._record("crash", instance_id)

    def unit_signal(self, instance_id: str, unit: str, signal: str) -> None:
        """Record it."""
        self._record("unit_signal", instance_id, unit, signal)

    def disk_at(self, instance_id: str, mount: str) -> str:
        """Record it and return a volume id."""
        self._record("disk_at", instance_id, mount)
        return "vol-00000000000000001"

    def disk_fill(self, instance_id: str, mount: str, leave_bytes: int) -> int:
        """Record it and return a size."""
        self._record("disk_fill", instance_id, mount, leave_bytes)
        return 4096

    def disk_unfill(self, volume_id: str) -> None:
        """Record it."""
        self._record("disk_unfill", volume_id)

    def disk_readonly(self, instance_id: str, mount: str) -> None:
        """Record it."""
        self._record("disk_readonly", instance_id, mount)

    def disk_dead(self, instance_id: str, mount: str) -> str:
        """Record it and return a volume id."""
        self._record("disk_dead", instance_id, mount)
        return "vol-00000000000000001"

    def disk_revive(self, volume_id: str) -> None:
        """Record it."""
        self._record("disk_revive", volume_id)

    def boot_phases(self, instance_id: str) -> frozenset[str]:
        """Return what a test put into ``phases``; not recorded, because it is asked all the time."""
        return frozenset(self.phases.get(instance_id, ()))
