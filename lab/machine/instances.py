# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One instance: a tree, a network namespace, its disks, and the nspawn process while it runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from lab.config import LabConfig
from lab.ledger import Ledger
from lab.machine import cgroups, devices, netns, nspawn, processes, seed
from lab.machine.devices import Disk
from lab.machine.protocol import InstanceSpec, Nic, VolumeAttachment
from lab.machine.shell import MachineError
from lab.machine.trees import mount_overlay, remove_tree, unmount
from lab.machine.volumes import VolumeStore, in_use

BOOT_TIMEOUT = 30.0
STOP_TIMEOUT = 90.0
KILL_TIMEOUT = 20.0
SIGNAL_POWEROFF = signal.SIGRTMIN + 4
SIGNAL_REBOOT = signal.SIGRTMIN + 5

Exited = Callable[[str, str], None]


class Instance:
    """The consequences for one instance; the API calls them one at a time, the supervising thread comes in between."""

    def __init__(
        self,
        config: LabConfig,
        ledger: Ledger,
        volumes: VolumeStore,
        spec: InstanceSpec,
        layers: tuple[Path, ...],
        exited: Exited,
    ) -> None:
        """Describe an instance; nothing is made yet."""
        self.config, self.spec, self.layers = config, spec, layers
        self._ledger, self._volumes, self._exited = ledger, volumes, exited
        self.directory = config.state_dir / "instances" / spec.instance_id
        self.root, self.upper = self.directory / "root", self.directory / "upper"
        self.console = self.directory / "console.log"
        self.disks: list[Disk] = []
        self.leader: int | None = None
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._cgroup = f"{config.cgroup}/{spec.instance_id}"
        self._namespace: netns.Namespace | None = None
        self._mount_entry: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._root_identity = (0, 0)
        self._boots = 0
        self._wanted = "created"
        self._rebooting = False
        self._frozen = False
        self._cut: list[int | None] = []

    @property
    def instance_id(self) -> str:
        """Return the instance's id."""
        return self.spec.instance_id

    @property
    def running(self) -> bool:
        """Return whether its systemd runs."""
        return self.leader is not None

    # -- tree and network ---------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make what the instance needs before it can boot: tree, namespace, interfaces, disks; what is there stays."""
        with self.lock:
            if self._mount_entry is None:
                self._make_tree()
            if self._namespace is None:
                self._namespace = netns.create(self.config.instance_netns(self.instance_id), self._ledger)
            there = netns.plugged(self.config, self.instance_id)
            for nic in self.spec.nics:
                if nic.mac not in there:
                    self.plug(nic)
            attached = {disk.attachment.volume_id for disk in self.disks}
            for attachment in self.spec.volumes:
                if attachment.volume_id not in attached:
                    self.attach(attachment)

    def _make_tree(self) -> None:
        self.directory.mkdir(parents=True)
        for name in ("root", "upper", "work", "disk"):
            (self.directory / name).mkdir()
        self.upper.chmod(0o755)
        devices.write_links(self.directory / "disk", [])
        self._mount_entry = self._ledger.intend("mount", target=str(self.root))
        mount_overlay(self.layers, self.upper, self.directory / "work", self.root)
        seed.seed(self.root, self.spec)

    def plug(self, nic: Nic) -> None:
        """Make an interface appear."""
        netns.plug(self.config, self.instance_id, nic)
        if self._cut:
            self._connect_interfaces()

    def partition(self, device_index: int | None, cut: bool) -> None:
        """Let interfaces (None: all, also those to come) carry nothing while they stay up, or undo that."""
        with self.lock:
            if self._namespace is None:
                raise MachineError(f"{self.instance_id} has no network on this machine")
            if cut:
                self._cut.append(device_index)
            elif device_index in self._cut:
                self._cut.remove(device_index)
            self._connect_interfaces()

    def _connect_interfaces(self) -> None:
        bridge = netns.subnet_of(self.spec.nics[0]).bridge
        for inner, outer in netns.outer_ends(self.config, self.instance_id).items():
            cut = None in self._cut or any(inner == f"eth{index}" for index in self._cut)
            netns.connect(self.config, outer, None if cut else bridge)

    # -- running ------------------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Start systemd in the instance; return when it is PID 1 there."""
        with self.lock:
            if self._process is not None:
                raise MachineError(f"{self.instance_id} runs already")
            self._wanted = "running"
            self._launch()

    def _launch(self) -> None:
        assert self._namespace is not None
        binds = [(self.directory / "disk", "/dev/disk")]
        binds += [(disk.loop.path, f"/dev/{disk.node}") for disk in self.disks]
        command = nspawn.command(self.instance_id, self.root, self._namespace.path, seed.hostname(self.spec), binds)
        groups = cgroups.create(self._cgroup)
        devices.probe(self.disks)
        devices.write_links(self.directory / "disk", self.disks)
        with self.console.open("ab") as output:
            process, entry = processes.spawn(
                command,
                self._ledger,
                what=f"nspawn {self.instance_id}",
                output=output,
                environment=nspawn.environment(),
                cgroups=groups,
            )
        self._process = process
        threading.Thread(
            target=self._supervise, args=(process, entry), name=f"nspawn-{self.instance_id}", daemon=True
        ).start()
        if not processes.wait_until(lambda: self._look_for_leader(process), BOOT_TIMEOUT):
            self._wanted = "stopped"
            self._kill(process)
            raise MachineError(
                f"{self.instance_id} did not begin to boot within {BOOT_TIMEOUT:.0f} s: {self._last_words()}"
            )
        if self.leader is None:
            self._wanted = "stopped"
            raise MachineError(f"{self.instance_id} did not begin to boot: {self._last_words()}")
        self._boots += 1
        self._changed.notify_all()

    def _look_for_leader(self, process: subprocess.Popen[bytes]) -> bool:
        if processes.start_time(process.pid) is None:
            return True
        leader = nspawn.leader_of(process.pid)
        if leader is None or not nspawn.is_booting(leader):
            return False
        self.leader = leader
        return True

    def _last_words(self) -> str:
        return " ".join(self.console_text(400).split()) or "nothing on its console"

    def _supervise(self, process: subprocess.Popen[bytes], entry: str) -> None:
        """Reap nspawn; boot again if the instance rebooted, report it if it went down by itself."""
        status = process.wait()
        with self.lock:
            self._ledger.forget(entry)
            self.leader, self._process = None, None
            self._changed.notify_all()
            if self._wanted != "running":
                return
            if status == nspawn.REBOOT_STATUS or self._rebooting:
                self._rebooting = False
                try:
                    self._launch()
                except MachineError as error:
                    self._wanted = "stopped"
                    reason = str(error)
                else:
                    return
            else:
                self._wanted = "stopped"
                reason = f"the instance went down by itself (nspawn ended with status {status}): {self._last_words()}"
        self._exited(self.instance_id, reason)

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Shut down in an orderly way, then by force."""
        with self.lock:
            self._wanted = "stopped"
            process, leader = self._process, self.leader
            if process is None:
                return
            if leader is not None:
                os.kill(leader, SIGNAL_POWEROFF)
            if not self._changed.wait_for(lambda: self._process is None, timeout):
                self._kill(process)

    def reboot(self, timeout: float = STOP_TIMEOUT) -> None:
        """Restart the operating system; return when it is booting again."""
        with self.lock:
            process, leader, boots = self._process, self.leader, self._boots
            if process is None or leader is None:
                raise MachineError(f"{self.instance_id} does not run")
            self._rebooting = True
            os.kill(leader, SIGNAL_REBOOT)
            if not self._changed.wait_for(lambda: self._process is not process, timeout):
                self._kill(process)
            if not self._changed.wait_for(lambda: self._boots > boots or self._wanted != "running", BOOT_TIMEOUT):
                raise MachineError(f"{self.instance_id} did not boot again within {BOOT_TIMEOUT:.0f} s")

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill every process of the instance and wait until nspawn has seen it; call with the lock held."""
        if self._frozen:
            self.freeze(False)  # version 1 delivers no signal to what is frozen
        leader = nspawn.leader_of(process.pid)
        if leader is not None:
            processes.kill(leader, processes.start_time(leader))
        if not self._changed.wait_for(lambda: self._process is not process, KILL_TIMEOUT):
            process.kill()
            if not self._changed.wait_for(lambda: self._process is not process, KILL_TIMEOUT):
                raise MachineError(f"{self.instance_id} survived being killed (nspawn is process {process.pid})")

    def freeze(self, frozen: bool) -> None:
        """Stop or continue every process of the instance where it stands."""
        cgroups.freeze(self._cgroup, frozen)
        self._frozen = frozen

    def crash(self) -> None:
        """Kill everything at once, as a host that dies does; nobody is told."""
        with self.lock:
            process = self._process
            if process is None:
                raise MachineError(f"{self.instance_id} does not run")
            self._wanted = "stopped"
            self._kill(process)

    def terminate(self) -> None:
        """Leave nothing of the instance; every step is tried even if an earlier one failed."""
        with self.lock:
            self._wanted = "gone"
            problems: list[str] = []
            for step in (
                self._end_processes,
                self._free_disks,
                self._remove_network,
                self._remove_tree,
                self._remove_leftovers,
            ):
                try:
                    step()
                except (MachineError, OSError) as error:
                    problems.append(str(error))
            if problems:
                raise MachineError(f"{self.instance_id} is not wholly gone: {'; '.join(problems)}")

    def _end_processes(self) -> None:
        if self._process is not None:
            self.freeze(False)
            self._kill(self._process)
        inodes = set() if self._namespace is None else {self._namespace.inode}
        for pid in cgroups.processes(self._cgroup) | set(netns.processes_in(inodes)):
            started = processes.start_time(pid)
            processes.kill(pid, started)
            processes.wait_gone(pid, started, 5.0)

    def _free_disks(self) -> None:
        for disk in list(self.disks):
            self._volumes.disconnect(disk.loop)
            self.disks.remove(disk)

    def _remove_network(self) -> None:
        if self._namespace is None:
            return
        netns.unplug_all(self.config, self.instance_id)
        if not netns.delete(self._namespace.name, self._namespace.inode):
            raise MachineError(f"the namespace {self._namespace.name} is no longer the one that the lab made")
        self._ledger.forget(self._namespace.ledger_entry)
        self._namespace = None

    def _remove_tree(self) -> None:
        if self.root.is_dir():
            info = self.root.stat()
            self._root_identity = (info.st_dev, info.st_ino)
        unmount(self.root)
        if self._mount_entry is not None:
            self._ledger.forget(self._mount_entry)
            self._mount_entry = None
        # What it said last is what one asks for when it was given up.
        if self.console.is_file():
            kept = self.config.kept_console(self.instance_id)
            kept.parent.mkdir(exist_ok=True)
            shutil.copyfile(self.console, kept)
        remove_tree(self.directory)

    def _remove_leftovers(self) -> None:
        if left := cgroups.remove(self._cgroup):
            raise MachineError(f"the control group {left[0]} still has processes")
        nspawn.sweep(self.instance_id, *self._root_identity)

    # -- disks --------------------------------------------------------------------------------------------------

    def attach(self, attachment: VolumeAttachment) -> None:
        """Give the instance a disk: node and links at once when it runs, at its boot otherwise."""
        with self.lock:
            if any(disk.attachment.volume_id == attachment.volume_id for disk in self.disks):
                raise MachineError(f"{attachment.volume_id} is attached to {self.instance_id} already")
            disk = Disk(attachment, devices.free_number(self.disks), self._volumes.connect(attachment.volume_id))
            try:
                if self.leader is not None:
                    devices.make_node(self.leader, disk)
                devices.probe([disk])
                devices.write_links(self.directory / "disk", [*self.disks, disk])
            except OSError as error:
                self._volumes.disconnect(disk.loop)
                raise MachineError(f"{attachment.volume_id} did not appear in {self.instance_id}: {error}") from error
            self.disks.append(disk)

    def detach(self, attachment: VolumeAttachment) -> None:
        """Take a disk away; raise while it is in use."""
        with self.lock:
            disk = next((disk for disk in self.disks if disk.attachment.volume_id == attachment.volume_id), None)
            if disk is None:
                return
            if in_use(disk.loop.path):
                raise MachineError(
                    f"{attachment.volume_id} is in use in {self.instance_id} (/dev/{disk.node} is mounted)"
                )
            remaining = [other for other in self.disks if other is not disk]
            devices.write_links(self.directory / "disk", remaining)
            if self.leader is not None:
                devices.remove_node(self.leader, disk)
            self.disks = remaining
            self._volumes.disconnect(disk.loop)

    def refresh_links(self) -> None:
        """Let /dev/disk follow what the instance wrote on its disks; skipped while another call has the instance."""
        if not self.disks or not self.lock.acquire(blocking=False):
            return
        try:
            if devices.probe(self.disks):
                devices.write_links(self.directory / "disk", self.disks)
        finally:
            self.lock.release()

    def console_text(self, last_bytes: int = 65536) -> str:
        """Return the end of what the instance printed."""
        try:
            with self.console.open("rb") as handle:
                handle.seek(0, os.SEEK_END)
                handle.seek(max(0, handle.tell() - last_bytes))
                return handle.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
