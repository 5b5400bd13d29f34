# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenarios have in common: survive deaths while a producer writes, run a boot by hand, hurry a group."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lab.demo import cluster, fleet, playbooks, replacement, workload
from lab.demo.fleet import Holder
from lab.demo.replacement import Replacement
from lab.demo.stage import Stage


def nodes(role: str) -> list[Holder]:
    """The identities of a role with their holders."""
    return [holder for holder in fleet.holders(cluster.CLUSTER) if holder.role == role]


def survive(stage: Stage, topic: str, choose: Callable[[], list[Holder]]) -> list[Replacement]:
    """Terminate the chosen nodes while a producer writes; assert all that must hold and return the replacements."""
    brokers = cluster.addresses("kafka")
    workload.create_topic(brokers, topic, partitions=6)
    producer = workload.Producer(brokers, topic, stage.logs)
    producer.start()
    try:
        before = fleet.census(cluster.CLUSTER)
        done = replacement.replace(cluster.CLUSTER, choose, stage.say)
        after = fleet.census(cluster.CLUSTER)
        verdict = workload.verify(producer, stage.say)
    finally:
        producer.stop()
    replaced = {f"{one.role}-{one.node_id}" for one in done}
    for one in done:
        stage.say(f"    {one.role}-{one.node_id}: {one.replace_seconds} s, own part {one.holdfast_seconds} s")
        assert one.same_identity, one
    assert fleet.restarted(before, after, replaced) == []
    assert fleet.reconfigured(before, after, replaced) == []
    assert verdict.acked > 0
    assert verdict.lost == 0, verdict
    return done


def boot_by_hand(holder: Holder, *arguments: str) -> dict[str, int]:
    """Run the node's boot again on the node, as its README says; `changed` by host."""
    command = " ".join(["set -a; . /etc/holdfast/boot.env; set +a; holdfast-boot", *arguments])
    return playbooks.changed(fleet.ssh(holder.private_ip, command, timeout_seconds=240))


def group_of(instance_id: str) -> dict[str, Any]:
    """The Auto Scaling group of an instance."""
    autoscaling = fleet.client("autoscaling")
    name = autoscaling.describe_auto_scaling_instances(InstanceIds=[instance_id])["AutoScalingInstances"][0][
        "AutoScalingGroupName"
    ]
    return autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]


def with_node_variable(user_data: str, name: str, value: int) -> str:
    """User-data (base64) whose /etc/holdfast/node.yml sets one more variable."""
    text = base64.b64decode(user_data).decode()
    found = re.search(r"^( +)holdfast_cluster:.*$", text, re.MULTILINE)
    if not found:
        raise ValueError("this user-data writes no node.yml")
    line = f"{found[1]}{name}: {value}\n"
    return base64.b64encode((text[: found.start()] + line + text[found.start() :]).encode()).decode()


@contextmanager
def user_data_for_new_nodes(group: dict[str, Any], change: Callable[[str], str]) -> Iterator[None]:
    """While inside, instances of the group boot with changed user-data (a version of its launch template)."""
    ec2, autoscaling = fleet.client("ec2"), fleet.client("autoscaling")
    used = group["LaunchTemplate"]
    template_id, version = used["LaunchTemplateId"], str(used["Version"])
    old = ec2.describe_launch_template_versions(LaunchTemplateId=template_id, Versions=[version])
    data = dict(old["LaunchTemplateVersions"][0]["LaunchTemplateData"])
    data["UserData"] = change(data["UserData"])
    made = ec2.create_launch_template_version(LaunchTemplateId=template_id, LaunchTemplateData=data)
    number = str(made["LaunchTemplateVersion"]["VersionNumber"])

    def use(wanted: str) -> None:
        autoscaling.update_auto_scaling_group(
            AutoScalingGroupName=group["AutoScalingGroupName"],
            LaunchTemplate={"LaunchTemplateId": template_id, "Version": wanted},
        )

    use(number)
    try:
        yield
    finally:
        use(version)


@contextmanager
def variable_for_new_nodes(group: dict[str, Any], name: str, value: int) -> Iterator[None]:
    """While inside, instances of the group boot with this variable in their node.yml."""
    with user_data_for_new_nodes(group, lambda user_data: with_node_variable(user_data, name, value)):
        yield
