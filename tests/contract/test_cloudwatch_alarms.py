# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alarms with EC2's own actions: what CloudWatch refuses, the first state, and a recovery that keeps the instance.

After AWS's documentation (EC2 User Guide, "Create alarms that stop, terminate, reboot, or recover an instance";
CloudWatch API, PutMetricAlarm and SetAlarmState). The wording of refusals is not compared with AWS.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from lab.api.cloudwatch import action_fault
from tests.contract.ec2_harness import Check, Probe, does_not_hold, refused

NAMES = (f"alarm-{number}" for number in itertools.count())
RECOVER = "arn:aws:automate:eu-central-1:ec2:recover"


def _alarm(instance_id: str, **more: Any) -> dict[str, Any]:
    return {
        "AlarmName": next(NAMES),
        "Namespace": "AWS/EC2",
        "MetricName": "StatusCheckFailed_System",
        "Dimensions": [{"Name": "InstanceId", "Value": instance_id}],
        "Statistic": "Maximum",
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "Threshold": 1.0,
        "Period": 60,
        "EvaluationPeriods": 2,
        "AlarmActions": [RECOVER],
        **more,
    }


def _state(p: Probe, name: str) -> str:
    return str(p.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"])


def a_fresh_alarm_has_no_data(p: Probe) -> None:
    """PutMetricAlarm: the state is immediately set to INSUFFICIENT_DATA; so it stays without an instance."""
    wanted = _alarm("i-0123456789abcdef0")
    p.client("cloudwatch").put_metric_alarm(**wanted)
    assert _state(p, wanted["AlarmName"]) == "INSUFFICIENT_DATA"


def an_action_of_another_region_is_refused(p: Probe) -> None:
    """The action's ARN names the alarm's own region."""
    wanted = _alarm("i-1", AlarmActions=["arn:aws:automate:us-east-1:ec2:recover"])
    assert "us-east-1" in refused("ValidationError", p.client("cloudwatch").put_metric_alarm, **wanted)


def an_instance_recovers_only_from_what_fails_under_it(p: Probe) -> None:
    """The recover action goes with StatusCheckFailed_System, not with the check of the instance itself."""
    wanted = _alarm("i-1", MetricName="StatusCheckFailed_Instance")
    refused("ValidationError", p.client("cloudwatch").put_metric_alarm, **wanted)


def an_alarm_that_is_set_recovers_the_instance_in_place(p: Probe) -> None:
    """SetAlarmState invokes the action; a recovered instance keeps its id, its addresses and its volumes."""
    assert p.machine is not None, "stock moto has no machine that could boot"
    machine = p.machine.fake
    instance = p.run()
    p.attach_volume(p.volume(), instance)
    p.attach(p.eni(), instance)
    before = p.show(instance)
    wanted = _alarm(instance)
    client = p.client("cloudwatch")
    client.put_metric_alarm(**wanted)

    def reboots() -> int:
        return [call.verb for call in machine.calls].count("instance_reboot")

    earlier = reboots()
    client.set_alarm_state(AlarmName=wanted["AlarmName"], StateValue="ALARM", StateReason="a test")
    p.until(lambda: reboots() == earlier + 1, "the instance restarted")
    client.set_alarm_state(AlarmName=wanted["AlarmName"], StateValue="ALARM", StateReason="again")
    after = p.show(instance)
    assert after["State"]["Name"] == "running"
    keys = ("InstanceId", "PrivateIpAddress", "BlockDeviceMappings")
    assert {key: after[key] for key in keys} == {key: before[key] for key in keys}
    assert reboots() == earlier + 1, "the action runs when the state changes"


CHECKS: list[Check] = [
    a_fresh_alarm_has_no_data,
    an_action_of_another_region_is_refused,
    an_instance_recovers_only_from_what_fails_under_it,
    an_alarm_that_is_set_recovers_the_instance_in_place,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_strict(check: Check, strict: Probe) -> None:
    """The row holds here."""
    check(strict)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_stock_differs(check: Check, stock: Probe) -> None:
    """The row does not hold on stock moto, so its patch is needed."""
    does_not_hold(check, stock)


@pytest.mark.parametrize(
    ("arn", "region", "accepted"),
    [
        ("arn:aws:automate:eu-central-1:ec2:recover", "eu-central-1", True),
        ("arn:aws-cn:automate:cn-north-1:ec2:recover", "cn-north-1", True),
        ("arn:aws:automate:cn-north-1:ec2:recover", "cn-north-1", False),
        ("arn:aws-us-gov:automate:us-gov-west-1:ec2:recover", "us-gov-west-1", True),
        ("arn:aws:automate:eu-central-1:ec2:heal", "eu-central-1", False),
        ("arn:aws:sns:eu-central-1:123456789012:topic", "eu-central-1", True),
    ],
)
def test_an_actions_partition_is_its_regions(arn: str, region: str, accepted: bool) -> None:
    fault = action_fault(arn, region, "AWS/EC2", "StatusCheckFailed_System", ["InstanceId"])
    assert (fault is None) is accepted
