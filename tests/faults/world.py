# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster in the hands of a fault's story: its victim, what an operator can do to it, and what can be looked at."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lab import client
from lab.demo import cluster, fleet, replacement
from lab.demo.fleet import Holder
from lab.demo.stage import Stage, wait_until
from tests.faults import machine_view
from tests.faults.model import Refusal, Seen
from tests.scenarios.stories import group_of

KEPT_WORDS = "the instance is kept"
# A boot to its end on a busy machine.
BOOT_SECONDS = 300


class World:
    """One fault's view of the cluster; ``victim`` is the identity that the fault is about."""

    def __init__(self, stage: Stage, victim: Holder, seen: Seen) -> None:
        """Remember how things are before the fault."""
        self.stage, self.victim, self.seen = stage, victim, seen
        self.say = stage.say
        self.group: dict[str, Any] = group_of(str(victim.instance_id))
        self.group_name = str(self.group["AutoScalingGroupName"])
        self.known = set(self.members())
        self.first_event = int(client.call("GET", "events?since=999999999")["last_sequence"])
        self.began = time.time()
        self.mended_at: float | None = None
        self.death: replacement.Death | None = None

    # -- what an operator, or EC2, does -------------------------------------------------------------------------------

    def terminate(self) -> replacement.Death:
        """Terminate the victim's holder through the EC2 API."""
        self.say(f"    terminating {self.victim.instance_id}, which is {self.victim.name}")
        self.death = replacement.terminate(self.victim)[0]
        return self.death

    def terminate_and_await_death(self) -> None:
        """Terminate the holder and wait until EC2 calls it terminated."""
        self.terminate()
        self.await_state(str(self.victim.instance_id), "terminated")

    def death_now(self) -> replacement.Death:
        """The identity's present holder is about to die: what comes back must be younger than this."""
        return replacement.Death(self.holder(), time.time())

    def mended(self) -> None:
        """The operator has mended the cause: from here on the recovery is timed."""
        self.mended_at = time.time()
        self.say(f"    mended after {self.mended_at - self.began:.0f} s")

    def members(self) -> list[str]:
        """The instances of the victim's group that are not on their way out."""
        found = fleet.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[self.group_name])
        members = found["AutoScalingGroups"][0]["Instances"]
        return [one["InstanceId"] for one in members if not one["LifecycleState"].startswith("Terminating")]

    def next_instance(self) -> str:
        """Wait for an instance of the group that was not seen before; return it and count it as seen."""

        def missing() -> str | None:
            return None if set(self.members()) - self.known else f"{self.group_name} has {sorted(self.known)}"

        wait_until("the next instance", missing, 120, poll_seconds=0.2)
        found = sorted(set(self.members()) - self.known)[0]
        self.known.add(found)
        self.say(f"    {found} was launched")
        return found

    @contextmanager
    def suspended(self, *processes: str) -> Iterator[None]:
        """Auto Scaling does not do these meanwhile."""
        autoscaling = fleet.client("autoscaling")
        autoscaling.suspend_processes(AutoScalingGroupName=self.group_name, ScalingProcesses=list(processes))
        try:
            yield
        finally:
            autoscaling.resume_processes(AutoScalingGroupName=self.group_name, ScalingProcesses=list(processes))

    def resize(self, size: int) -> None:
        """Give the group another size."""
        fleet.client("autoscaling").update_auto_scaling_group(
            AutoScalingGroupName=self.group_name,
            MaxSize=max(size, int(self.group["MaxSize"])),
            DesiredCapacity=size,
        )

    @contextmanager
    def one_more_instance(self) -> Iterator[str]:
        """One instance more than the zone has identities; what gives itself up stays, and goes at the end."""
        autoscaling = fleet.client("autoscaling")
        size = int(self.group["DesiredCapacity"])
        self.resize(size + 1)
        extra = self.next_instance()
        with self.suspended("ReplaceUnhealthy", "Launch"):
            try:
                yield extra
            finally:
                autoscaling.terminate_instance_in_auto_scaling_group(
                    InstanceId=extra, ShouldDecrementDesiredCapacity=True
                )
                self.restore_size()
                self.await_state(extra, "terminated")

    def restore_size(self) -> None:
        """The group as it was made."""
        fleet.client("autoscaling").update_auto_scaling_group(
            AutoScalingGroupName=self.group_name,
            MaxSize=int(self.group["MaxSize"]),
            DesiredCapacity=int(self.group["DesiredCapacity"]),
        )

    @contextmanager
    def lab_fault(self, kind: str, **parameters: object) -> Iterator[None]:
        """While inside, the lab plays this fault; at the end it must have struck, or nothing was tested."""
        wish = as_wish(parameters)
        before = self.events("fault_struck")
        self.stage.lab("fault", "set", kind, *wish)
        self.say(f"    lab fault {kind} {' '.join(wish)}")
        try:
            yield
        finally:
            self.stage.lab("fault", "clear")
        struck = len(self.events("fault_struck")) - len(before)
        self.seen.notes.append(f"{kind} struck {struck} times")
        if struck == 0:
            self.seen.problems.append(f"the fault {kind} never struck, so nothing was tested")

    @contextmanager
    def delays(self, **seconds: float) -> Iterator[None]:
        """While inside, these transitions of EC2 take so long."""
        before = client.call("GET", "delays")
        client.call("PUT", "delays", seconds)
        try:
            yield
        finally:
            client.call("PUT", "delays", {name: before[name] for name in seconds})

    def tag(self, resource: str, tags: dict[str, str]) -> None:
        """Put tags on a resource."""
        fleet.client("ec2").create_tags(
            Resources=[resource], Tags=[{"Key": key, "Value": value} for key, value in tags.items()]
        )

    def untag(self, resource: str) -> None:
        """Take a resource out of the pool."""
        keys = self.pool_tags(**{"holdfast:volume": "0"})
        fleet.client("ec2").delete_tags(Resources=[resource], Tags=[{"Key": key} for key in keys])

    def pool_tags(self, **more: str) -> dict[str, str]:
        """The tags of the victim's ENI and volumes."""
        return {
            "Name": f"{cluster.CLUSTER}-{self.victim.name}",
            "holdfast:cluster": cluster.CLUSTER,
            "holdfast:role": self.victim.role,
            "holdfast:node-id": str(self.victim.node_id),
            **more,
        }

    # -- what can be seen ---------------------------------------------------------------------------------------------

    def ensemble(self) -> list[Holder]:
        """ZooKeeper's identities."""
        return [holder for holder in fleet.holders(cluster.CLUSTER) if holder.role == "zookeeper"]

    def holder(self) -> Holder:
        """The victim's identity as it is now."""
        return fleet.holder_of(cluster.CLUSTER, self.victim.role, self.victim.node_id)

    def await_state(self, instance_id: str, state: str, timeout_seconds: float = 120) -> None:
        """Wait until EC2 says this of an instance."""

        def missing() -> str | None:
            now = fleet.instance(instance_id)["State"]["Name"]
            return None if now == state else f"{instance_id} is {now}"

        wait_until(f"{instance_id} to be {state}", missing, timeout_seconds, poll_seconds=0.3)

    def await_return(self, timeout_seconds: float = BOOT_SECONDS) -> None:
        """Wait until another instance is the victim's identity, with its service in the cluster."""
        assert self.death is not None, "nobody was terminated"
        death = self.death
        wait_until(
            f"the return of {self.victim.name}",
            lambda: replacement.missing(cluster.CLUSTER, death),
            timeout_seconds,
        )

    def await_that(self, what: str, condition: Callable[[], bool], timeout_seconds: float = BOOT_SECONDS) -> None:
        """Wait until something is so."""
        wait_until(what, lambda: None if condition() else "not yet", timeout_seconds, poll_seconds=0.05)

    def console(self, instance_id: str) -> str:
        """What an instance has printed, also after its end."""
        return machine_view.console(self.stage.config, instance_id)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """What the lab's EC2 has noted since this fault began."""
        found = client.call("GET", f"events?since={self.first_event}&kind={kind}")
        return list(found["events"])

    def marked_unhealthy(self, instance_id: str) -> bool:
        """Whether the instance was marked unhealthy by a call (not by EC2's own checks)."""
        marks = [one for one in self.events("instance_health") if one["instance_id"] == instance_id]
        return any(one["health"] == "Unhealthy" for one in marks)

    def signalled_failure(self, instance_id: str) -> bool:
        """Whether CloudFormation was told of this instance's failure; a stack that waits for nothing refuses it."""
        calls = [one["parameters"] for one in self.events("api") if one["action"] == "SignalResource"]
        return any(one.get("UniqueId") == instance_id and one.get("Status") == "FAILURE" for one in calls)

    def claim(self) -> dict[str, Any]:
        """The victim's claim as it is written in ZooKeeper, with the znode's version."""
        with fleet.zookeeper([one.private_ip for one in self.ensemble()]) as asked:
            value, stat = asked.get(self.claim_path())
        return {**json.loads(value), "znode_version": stat.version}

    def claim_path(self) -> str:
        """The znode of the victim's claim."""
        return f"/holdfast/{cluster.CLUSTER}/{self.victim.role}/claims/{self.victim.node_id}"

    # -- refusals -----------------------------------------------------------------------------------------------------

    def untouchables(self, *volume_ids: str) -> dict[str, str]:
        """What a refusing instance must leave as it is: claims, who has what attached, and volumes' contents."""
        ensemble = [one.private_ip for one in self.ensemble()]
        found: dict[str, str] = {}
        with fleet.zookeeper(ensemble) as asked:
            parent = f"/holdfast/{cluster.CLUSTER}/kafka/claims"
            for number in asked.get_children(parent):
                value, stat = asked.get(f"{parent}/{number}")
                found[f"the claim of kafka-{number}"] = f"{stat.version} {value.decode()}"
        for holder in fleet.holders(cluster.CLUSTER):
            found[f"the attachment of {holder.name}"] = str(holder.instance_id)
        for volume_id in volume_ids:
            found[f"the content of {volume_id}"] = machine_view.data_digest(self.stage.config, volume_id)
        return found

    def refusal(
        self, instance_id: str, reason: str, before: dict[str, str], but: tuple[str, ...] = (), kept: bool = False
    ) -> Refusal:
        """Wait until the instance has said no, and note how; ``but`` are the untouchables that it may have changed."""

        def ended() -> bool:
            if KEPT_WORDS in self.console(instance_id):
                return True
            if not self.marked_unhealthy(instance_id):
                return False
            # Auto Scaling may end it before it has told the stack: that is a finding, not something to wait for.
            gone = fleet.instance(instance_id)["State"]["Name"] == "terminated"
            return gone or self.signalled_failure(instance_id)

        self.await_that(f"{instance_id} to refuse ({reason})", ended)
        volumes = [name.rpartition(" ")[2] for name in before if name.startswith("the content of ")]
        after = self.untouchables(*volumes)
        text = self.console(instance_id)
        found = Refusal(
            instance_id=instance_id,
            reason=reason,
            on_console=reason in text,
            marked_unhealthy=self.marked_unhealthy(instance_id),
            signalled_failure=self.signalled_failure(instance_id),
            kept=KEPT_WORDS in text,
            changed=tuple(name for name in before if name not in but and before[name] != after.get(name)),
        )
        self.say(f"    {instance_id} refused: {reason} {'on' if found.on_console else 'NOT on'} its console")
        self.seen.refusals.append(found)
        return found


def as_wish(parameters: Mapping[str, object]) -> list[str]:
    """A fault's parameters as the lab's command line takes them."""
    return [f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in parameters.items()]
