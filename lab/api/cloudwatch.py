# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudWatch's alarms as far as Holdfast uses them: actions of EC2 are checked, and a fresh alarm has no data yet.

An alarm never evaluates by itself here, because the lab's instances have no status metrics. ``SetAlarmState`` plays a
host that fails: the recover action reboots the instance in place, with its id, its addresses and its volumes, as EC2
does on other hardware.
"""

from __future__ import annotations

import re
from typing import Any

from moto.cloudwatch.exceptions import ValidationError
from moto.cloudwatch.models import Alarm, CloudWatchBackend

from lab.api.context import LabContext
from lab.api.lifecycle import begin_reboot
from lab.api.patching import PatchSet

PATCHES = PatchSet()
AUTOMATE = re.compile(r"arn:(?P<partition>aws[a-z-]*):automate:(?P<region>[a-z0-9-]+):ec2:(?P<action>[a-z]+)")
ACTIONS = ("recover", "stop", "terminate", "reboot")
#: EC2 recovers an instance for what fails under it, and for nothing else.
RECOVERABLE = "StatusCheckFailed_System"
NO_DATA = "INSUFFICIENT_DATA"


def install(context: LabContext) -> None:
    """Apply the patches."""
    PATCHES.apply()


def partition_of(region: str) -> str:
    """The partition of a region; pure."""
    prefixes = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
    return next((name for prefix, name in prefixes.items() if region.startswith(prefix)), "aws")


def action_fault(arn: str, region: str, namespace: str, metric: str, dimensions: list[str]) -> str | None:
    """What CloudWatch has against an alarm's action, None when it takes it; pure."""
    found = AUTOMATE.fullmatch(arn)
    if found is None:
        return f"Invalid arn syntax: {arn}" if ":automate:" in arn else None
    if (found["partition"], found["region"]) != (partition_of(region), region):
        return f"Invalid region {found['region']} specified. Only {region} is supported."
    if found["action"] not in ACTIONS:
        return f"Unsupported EC2 action: {found['action']}"
    if namespace != "AWS/EC2" or dimensions != ["InstanceId"]:
        return "EC2 actions need a metric of the namespace AWS/EC2 with the one dimension InstanceId"
    if found["action"] == "recover" and metric != RECOVERABLE:
        return f"The recover action is not supported for the metric {metric}, only for {RECOVERABLE}"
    return None


@PATCHES.function(CloudWatchBackend, "put_metric_alarm")
def _put(context: LabContext, original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    names = [dimension["Name"] for dimension in kwargs.get("dimensions") or []]
    for arn in kwargs.get("alarm_actions") or []:
        fault = action_fault(arn, context.region, kwargs.get("namespace") or "", kwargs.get("metric_name") or "", names)
        if fault:
            raise ValidationError(fault)
    alarm: Alarm = original(self, *args, **kwargs)
    alarm.state_value = NO_DATA
    return alarm


@PATCHES.function(CloudWatchBackend, "set_alarm_state")
def _set_state(context: LabContext, original: Any, self: Any, alarm_name: str, *args: Any, **kwargs: Any) -> None:
    before = self.alarms[alarm_name].state_value if alarm_name in self.alarms else ""
    original(self, alarm_name, *args, **kwargs)
    alarm = self.alarms[alarm_name]
    if alarm.state_value == "ALARM" != before and alarm.actions_enabled:
        _act(context, alarm)


def _act(context: LabContext, alarm: Alarm) -> None:
    """Recover the alarm's instance if that is its action and the instance runs; call with the lock held."""
    if not any(arn.endswith(":ec2:recover") for arn in alarm.alarm_actions):
        return
    instance_id = alarm.dimensions[0].value
    instance = next((one for one in context.ec2.all_instances() if one.id == instance_id), None)
    if instance is not None and instance.state == "running":
        context.events.record("instance_recovered", instance_id=instance_id, alarm=alarm.name)
        begin_reboot(context, instance)
