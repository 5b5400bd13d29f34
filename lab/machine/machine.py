# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that plays EC2: the protocol's verbs on namespaces, trees, loop devices and nspawn."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.config import LabConfig
from lab.ledger import Ledger
from lab.machine import netns
from lab.machine.faults import FaultVerbs
from lab.machine.images import ImageStore
from lab.machine.instances import Instance
from lab.machine.protocol import InstanceSpec, Nic, VolumeAttachment
from lab.machine.shell import MachineError
from lab.machine.volumes import VolumeStore

log = logging.getLogger(__name__)
PROBE_SECONDS = 0.5


class LabMachine(FaultVerbs):
    """EC2's consequences on this machine; each call may block, and calls for different instances run side by side."""

    def __init__(self, config: LabConfig, ledger: Ledger) -> None:
        """Use the lab's state directory and its journal; the VPC's namespace must be there."""
        self.config = config
        self.volumes = VolumeStore(config.state_dir / "volumes", ledger)
        self.images = ImageStore(config.state_dir / "images", ledger)
        # Called with (instance id, reason) when an instance goes down without having been asked through this class.
        self.on_instance_exit: Callable[[str, str], None] | None = None
        self._ledger = ledger
        self._instances: dict[str, Instance] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._prober = threading.Thread(target=self._probe, name="lab-disk-links", daemon=True)
        self._prober.start()

    def close(self) -> None:
        """End the machine's own thread; instances are left to `down`."""
        self._closing.set()
        self._prober.join(timeout=5)

    def _probe(self) -> None:
        while not self._closing.wait(PROBE_SECONDS):
            for instance in self._all():
                try:
                    instance.refresh_links()
                except OSError as error:
                    log.warning("links of %s: %s", instance.instance_id, error)

    def _all(self) -> list[Instance]:
        with self._lock:
            return list(self._instances.values())

    def _get(self, instance_id: str) -> Instance:
        with self._lock:
            if instance_id not in self._instances:
                raise MachineError(f"{instance_id} has never run on this machine")
            return self._instances[instance_id]

    def _exited(self, instance_id: str, reason: str) -> None:
        log.warning("%s: %s", instance_id, reason)
        if self.on_instance_exit is not None:
            self.on_instance_exit(instance_id, reason)

    # -- instances ----------------------------------------------------------------------------------------------

    def instance_start(self, spec: InstanceSpec) -> None:
        """Create the instance's tree from its image if it has none yet, then boot it; return when it is booting."""
        if not spec.nics:
            raise MachineError(f"{spec.instance_id} has no network interface")
        with self._lock:
            instance = self._instances.get(spec.instance_id)
            if instance is None:
                layers = self.images.use(spec.image_id, spec.instance_id)
                instance = Instance(self.config, self._ledger, self.volumes, spec, layers, self._exited)
                self._instances[spec.instance_id] = instance
        instance.spec = spec
        instance.prepare()
        instance.boot()
        log.info("%s boots from %s", spec.instance_id, spec.image_id)

    def instance_stop(self, instance_id: str) -> None:
        """Shut the instance down in an orderly way (bounded, then by force); its tree stays for the next start."""
        self._get(instance_id).stop()

    def instance_reboot(self, instance_id: str) -> None:
        """Restart the operating system; interfaces and volumes stay."""
        self._get(instance_id).reboot()

    def instance_terminate(self, instance_id: str) -> None:
        """Kill every process, unmount, remove interfaces, free its devices and its tree; return when all is gone."""
        with self._lock:
            instance = self._instances.get(instance_id)
        if instance is None:
            return
        instance.terminate()
        with self._lock:
            self._instances.pop(instance_id, None)
        self.images.drop(instance_id)
        log.info("%s is gone", instance_id)

    def console_output(self, instance_id: str) -> str:
        """Return what the instance printed on its console so far (empty if nothing)."""
        with self._lock:
            instance = self._instances.get(instance_id)
        return "" if instance is None else instance.console_text()

    # -- interfaces ---------------------------------------------------------------------------------------------

    def nic_attach(self, instance_id: str, nic: Nic) -> None:
        """Make the interface appear (down, without an address) as ``eth<device_index>`` with its MAC."""
        self._get(instance_id).plug(nic)

    def nic_detach(self, instance_id: str, nic: Nic) -> None:
        """Remove the interface from the instance."""
        self._get(instance_id)
        netns.unplug(self.config, nic.eni_id)

    # -- volumes ------------------------------------------------------------------------------------------------

    def volume_create(self, volume_id: str, size_bytes: int, snapshot_id: str | None) -> None:
        """Reserve the volume (sparse). A snapshot's content is not kept by the lab: such a volume begins blank."""
        if snapshot_id:
            log.warning("%s is made blank: the lab keeps no content for snapshot %s", volume_id, snapshot_id)
        self.volumes.create(volume_id, size_bytes)

    def volume_attach(self, instance_id: str, attachment: VolumeAttachment) -> None:
        """Make the block device appear under its NVMe name and ``/dev/disk/by-id`` link."""
        self._get(instance_id).attach(attachment)

    def volume_detach(self, instance_id: str, attachment: VolumeAttachment) -> None:
        """Take the block device away; raise if the instance still has it mounted."""
        self._get(instance_id).detach(attachment)

    def volume_delete(self, volume_id: str) -> None:
        """Forget the volume's content."""
        self.volumes.delete(volume_id)

    # -- images -------------------------------------------------------------------------------------------------

    def image_create(self, instance_id: str, image_id: str) -> None:
        """Keep the instance's tree as an image; a running instance is frozen while it is copied."""
        instance = self._get(instance_id)
        with instance.lock:
            running = instance.running
            if running:
                instance.freeze(True)
            try:
                self.images.create(image_id, instance.upper, instance.layers)
            finally:
                if running:
                    instance.freeze(False)
        log.info("image %s keeps the tree of %s", image_id, instance_id)

    def image_delete(self, image_id: str) -> None:
        """Forget an image's tree."""
        self.images.delete(image_id)

    # -- for people ---------------------------------------------------------------------------------------------

    def describe(self) -> list[dict[str, Any]]:
        """Return, for each instance that has a tree here, what `lab status` and `lab logs` show of it."""
        return [
            {
                "instance_id": instance.instance_id,
                "image_id": instance.spec.image_id,
                "running": instance.running,
                "leader_pid": instance.leader,
                "netns": self.config.instance_netns(instance.instance_id),
                "primary_ip": instance.spec.nics[0].private_ip,
                "console": str(instance.console),
                "root": str(instance.root),
                "disks": {disk.attachment.volume_id: f"/dev/{disk.node}" for disk in instance.disks},
            }
            for instance in self._all()
        ]

    def instance_paths(self, instance_id: str) -> tuple[int | None, Path]:
        """Return an instance's leader (None when it does not run) and its root directory."""
        instance = self._get(instance_id)
        return instance.leader, instance.root
