# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster that is rolled: playbooks and their output, processes before and after, a roll's own record."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.demo import cluster, fleet, playbooks
from lab.demo.fleet import Holder, Process
from lab.demo.stage import Stage, wait_until
from lab.machine import processes

TIMEOUT_SECONDS = 900
QUICK = {"kafka_roll_settle_timeout_seconds": 300}
RESTART = "kafka_rolling_restart"
RACK = {"kafka_roll_mode": "rack"}
ALL = {1, 2, 3, 4, 5, 6}
#: What a story has measured, by name.
Figures = dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """A playbook's end; ``events`` are those of its own record."""

    status: int
    output: str
    seconds: float
    record: Path | None

    @property
    def changed(self) -> int:
        """How many changes its recap counts on all hosts."""
        return sum(playbooks.changed(self.output).values())

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of the roll's record, in order; none when it made no record."""
        return events_of(self.record)

    @property
    def report(self) -> dict[str, Any]:
        """Its roll.json."""
        assert self.record is not None, self.output[-3000:]
        return dict(json.loads((self.record / "roll.json").read_text(encoding="utf-8")))

    @property
    def batches(self) -> list[list[int]]:
        """The batches that were begun, in order."""
        return batches_of(self.events)


def batches_of(events: list[dict[str, Any]]) -> list[list[int]]:
    """The batches that were begun, in order."""
    return [sorted(event["node_ids"]) for event in events if event["kind"] == "batch_start"]


def events_of(record: Path | None) -> list[dict[str, Any]]:
    """The events of a record so far; a last line that is still being written is left out."""
    if record is None or not (record / "events.jsonl").exists():
        return []
    text = (record / "events.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


class Running:
    """A playbook under way."""

    def __init__(self, world: World, label: str, command: list[str]) -> None:
        self.log = world.logs / f"{label}.log"
        self._world, self._began, self._known = world, time.monotonic(), set(world.records())
        with self.log.open("wb") as out:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=playbooks.ansible_environment(),
            )

    @property
    def record(self) -> Path | None:
        """The directory of its record, once there is one."""
        fresh = sorted(self._world.records() - self._known)
        return fresh[0] if fresh else None

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of its record so far."""
        return events_of(self.record)

    @property
    def batches(self) -> list[list[int]]:
        """The batches that were begun so far, in order."""
        return batches_of(self.events)

    def await_event(self, kind: str, batch: int = 1, timeout_seconds: float = 300) -> set[int]:
        """Wait until its record has an event, and return that batch's brokers; it must not end before."""

        def missing() -> str | None:
            if self._process.poll() is not None:
                raise AssertionError(f"{self.log} ended before its {kind} of batch {batch}")
            events = self.events
            told = any(event["kind"] == kind and event.get("batch") == batch for event in events)
            return None if told else f"{len(events)} events"

        wait_until(f"{kind} of batch {batch}", missing, timeout_seconds, poll_seconds=0.1)
        began = next(event for event in self.events if event["kind"] == "batch_start" and event["batch"] == batch)
        return set(began["node_ids"])

    def _signal(self, number: signal.Signals) -> int:
        """Send a signal to all its processes, parents first; return how many. A worker of Ansible has its own group."""
        tree = [self._process.pid]
        for pid in tree:
            tree.extend(processes.children(pid))
        for pid in tree:
            with suppress(ProcessLookupError):  # it ended meanwhile
                os.kill(pid, number)
        return len(tree)

    def pause(self) -> None:
        """Let all its processes stand still, as on a controller that is suspended."""
        stopped = 0
        while (now := self._signal(signal.SIGSTOP)) != stopped:
            stopped = now

    def go_on(self) -> None:
        """Wake a paused one."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill all its processes at once, as when its controller loses its power; nothing when it has ended."""
        if self._process.poll() is not None:
            return
        self.pause()
        self._signal(signal.SIGKILL)
        self._process.wait(10)

    def wait(self) -> Ended:
        """Wait for its end."""
        status = self._process.wait(TIMEOUT_SECONDS)
        output = self.log.read_text(encoding="utf-8", errors="replace")
        return Ended(status, output, time.monotonic() - self._began, self.record)


class World:
    """One cluster in a lab, from inside its network."""

    def __init__(self, stage: Stage, inventory: str) -> None:
        self.stage, self.inventory, self.logs = stage, inventory, stage.logs
        self.reports = stage.logs / "reports"
        self._count = 0
        self._begun: list[Running] = []

    def close(self) -> None:
        """Kill every playbook that has not ended: in a session of its own it would outlive who was interrupted."""
        for running in self._begun:
            running.kill()
        self._begun = []

    def records(self) -> set[Path]:
        """The directories of all records so far."""
        return set((self.reports / "rolls").glob("*/")) if self.reports.exists() else set()

    def begin(self, name: str, variables: dict[str, Any] | None = None, *arguments: str) -> Running:
        """Start a playbook, with variables and further arguments."""
        self._count += 1
        told = {**QUICK, "roll_run_reports_directory": str(self.reports), **(variables or {})}
        command = playbooks.playbook(f"{name}.yml", *arguments, "-e", json.dumps(told), inventory=self.inventory)
        return self.run(f"{self._count:02d}-{name}", command)

    def run(self, label: str, command: list[str]) -> Running:
        """Start a command of which C(close) knows; its output is C(label).log."""
        self._begun.append(Running(self, label, command))
        return self._begun[-1]

    def play(self, name: str, variables: dict[str, Any] | None = None, *arguments: str) -> Ended:
        """Run a playbook to its end."""
        ended = self.begin(name, variables, *arguments).wait()
        self.stage.say(
            f"    {name} {' '.join(arguments)}: status {ended.status}, {ended.seconds:.0f} s, {ended.batches}"
        )
        return ended

    def holders(self, role: str) -> list[Holder]:
        """The identities of a role with their holders."""
        return [holder for holder in fleet.holders(cluster.CLUSTER) if holder.role == role]

    def brokers(self) -> list[Holder]:
        """The brokers' identities with their holders."""
        return self.holders("kafka")

    def ensemble(self) -> list[Holder]:
        """ZooKeeper's identities with their holders."""
        return self.holders("zookeeper")

    def broker(self, node_id: int) -> Holder:
        """One broker."""
        return fleet.holder_of(cluster.CLUSTER, "kafka", node_id)

    def census(self) -> dict[str, Process]:
        """Every node's process."""
        return fleet.census(cluster.CLUSTER)

    def controller_id(self) -> int:
        """The active controller."""
        return fleet.controller_id(cluster.addresses("zookeeper"))

    def ssh(self, node_id: int, command: str) -> str:
        """Run a command as root on a broker's host."""
        return fleet.ssh(self.broker(node_id).private_ip, command, timeout_seconds=90)

    def await_unregistered(self, node_ids: set[int], timeout_seconds: float = 120) -> None:
        """Wait until the cluster no longer lists any of these brokers."""

        def listed() -> str | None:
            left = fleet.registrations(cluster.addresses("zookeeper"), node_ids)
            return f"registered: {sorted(left)}" if left else None

        wait_until(f"brokers {sorted(node_ids)} to leave", listed, timeout_seconds, poll_seconds=0.1)

    @contextmanager
    def full_disk(self, node_id: int) -> Iterator[None]:
        """While inside, the broker's data volume has no space left."""
        instance = str(self.broker(node_id).instance_id)
        self.stage.lab("fault", "set", "disk_full", f"instance={instance}", "mount=/var/lib/kafka/0")
        try:
            yield
        finally:
            self.stage.lab("fault", "clear")

    @contextmanager
    def drop_in(self, node_id: int, *lines: str) -> Iterator[None]:
        """While inside, the broker's unit has these lines as well: a drop-in, which is no file of the role's."""
        place = "/run/systemd/system/kafka.service.d"
        text = "\\n".join(("[Service]", *lines, ""))
        self.ssh(node_id, f"mkdir -p {place} && printf '{text}' > {place}/story.conf && systemctl daemon-reload")
        try:
            yield
        finally:
            self.ssh(node_id, f"rm -r {place} && systemctl daemon-reload")

    def leave_group(self, holder: Holder) -> None:
        """Take an identity's instance out of its group, as an operator does who wants to run it by hand."""
        name, size, scaling = self._group_of(holder)
        scaling.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=size - 1)
        instances = [holder.instance_id]
        scaling.detach_instances(AutoScalingGroupName=name, InstanceIds=instances, ShouldDecrementDesiredCapacity=True)

    def join_group(self, holder: Holder) -> None:
        """Let the group bring an instance for one identity more."""
        name, size, scaling = self._group_of(holder)
        scaling.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=size + 1, DesiredCapacity=size + 1)

    def _group_of(self, holder: Holder) -> tuple[str, int, Any]:
        scaling = fleet.client("autoscaling")
        name = f"{cluster.CLUSTER}-{holder.role}-{holder.availability_zone}"
        (group,) = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return name, int(group["DesiredCapacity"]), scaling

    def alarms(self) -> dict[str, str]:
        """Every alarm, with the instance that it is for."""
        found = fleet.client("cloudwatch").describe_alarms()["MetricAlarms"]
        return {alarm["AlarmName"]: alarm["Dimensions"][0]["Value"] for alarm in found}

    def recover(self, broker: Holder) -> float:
        """Let the broker's host fail: its alarm recovers the instance; return the seconds until all is whole."""
        before = fleet.running_process(broker)
        (name,) = [name for name, instance_id in self.alarms().items() if instance_id == broker.instance_id]
        began = time.monotonic()
        fleet.client("cloudwatch").set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="host failed")

        def same() -> str | None:
            try:
                return "the broker still runs" if fleet.running_process(broker) == before else None
            except (OSError, ValueError) as error:
                return str(error)

        wait_until("the broker's restart", same, 300)
        cluster.await_whole()
        return time.monotonic() - began

    def move_controller(self, wanted: Callable[[int], bool], timeout_seconds: float = 120) -> int:
        """Let the brokers elect another controller until it is a wanted one; return it."""

        def other() -> str | None:
            try:
                now = self.controller_id()
            except OSError as error:
                return str(error)
            if wanted(now):
                return None
            with fleet.zookeeper(cluster.addresses("zookeeper")) as client:
                client.delete(f"{fleet.KAFKA_CHROOT}/controller")
            return f"the controller is {now}"

        wait_until("another controller", other, timeout_seconds, poll_seconds=1.0)
        return self.controller_id()


def restarted(before: dict[str, Process], after: dict[str, Process]) -> set[int]:
    """The brokers whose process is another one; AssertionError when another service's is."""
    names = fleet.restarted(before, after, set())
    assert all(name.startswith("kafka-") for name in names), names
    return {int(name.removeprefix("kafka-")) for name in names}


def reason(output: str) -> str:
    """The reason that a failed playbook says last; empty when it says none."""
    found = re.findall(r"reason['\"]?: ['\"]?([a-z_]+)", output)
    return found[-1] if found else ""
