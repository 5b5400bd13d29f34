# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What EC2, Auto Scaling and the instances' consoles say when an identity does not come back, in one line."""

from __future__ import annotations

import re
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lab import client
from lab.demo import fleet

CONSOLE_LINES = 3
CONSOLE_CHARACTERS = 400
ERRORS_SHOWN = 2
TROUBLE = ("machine_error", "background_error")


def _console(instance_id: str) -> str:
    """The end of an instance's console: what the boot said last, else whatever was printed last."""
    printed = fleet.client("ec2").get_console_output(InstanceId=instance_id, Latest=True).get("Output", "")
    lines = [line.strip() for line in re.split(r"[\r\n]+", printed) if line.strip()]
    told = [line for line in lines if "holdfast" in line]
    return " / ".join((told or lines)[-CONSOLE_LINES:])[-CONSOLE_CHARACTERS:] or "empty"


def _member(member: dict[str, Any]) -> str:
    instance_id = member["InstanceId"]
    state = fleet.instance(instance_id)["State"]["Name"]
    return (
        f"{instance_id} is {state}, {member['LifecycleState']} and {member['HealthStatus']}; "
        f"its console ends: {_console(instance_id)}"
    )


def _group(group: dict[str, Any], holding: set[str]) -> str:
    """One group: its members that hold nothing, or, when it has none, what it tried last."""
    members = [one for one in group["Instances"] if one["InstanceId"] not in holding]
    name = group["AutoScalingGroupName"]
    if members:
        return f"{name}: {'; '.join(map(_member, members))}"
    done = fleet.client("autoscaling").describe_scaling_activities(AutoScalingGroupName=name, MaxRecords=1)
    last = [f"{one['Description']} {one['StatusCode']} {one.get('StatusMessage', '')}" for one in done["Activities"]]
    return f"{name}: no instance but the holders; last activity: {(last or ['none'])[0].strip()}"


def _errors() -> list[str]:
    events = client.call("GET", "events")["events"]
    told = [f"{one['kind']}: {one['error']}" for one in events if one["kind"] in TROUBLE]
    return [f"the lab has {len(told)} errors, the last: {' / '.join(told[-ERRORS_SHOWN:])}"] if told else []


def of_the_vacant(cluster: str) -> str:
    """What became of the groups that have fewer holders than instances wanted; what cannot be asked is said too."""
    try:
        holding = {one.instance_id for one in fleet.holders(cluster) if one.instance_id}
        groups = fleet.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        lacking = [
            one
            for one in groups
            if len(holding & {member["InstanceId"] for member in one["Instances"]}) < one["DesiredCapacity"]
        ]
        return " | ".join([*(_group(one, holding) for one in lacking), *_errors()]) or "every group's instances hold"
    except (BotoCoreError, ClientError, client.LabDownError, client.LabRefusedError, LookupError) as error:
        return f"no evidence, because EC2 could not be asked: {type(error).__name__}: {error}"
