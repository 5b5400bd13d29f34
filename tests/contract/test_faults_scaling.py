# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replacements that overlap with what they replace."""

from __future__ import annotations

import time

from tests.contract.ec2_harness import Probe
from tests.contract.fault_client import FaultClient
from tests.contract.test_autoscaling_groups import Group


def unhealthy(group: Group, instance_id: str) -> None:
    """Mark a member as one to be replaced."""
    group.asg.set_instance_health(InstanceId=instance_id, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False)


def test_the_replacement_comes_before_the_old_one_goes(strict: Probe, faults: FaultClient) -> None:
    """Auto Scaling User Guide, "Instance maintenance policies", launch before terminating: the group is over its
    desired capacity until the new instance is in service."""
    group = Group(strict)
    (old,) = group.settled()
    fault = faults.set("launch_before_gone", group=group.name)
    unhealthy(group, old)
    strict.until(lambda: len(group.members()) == 2, "both are in service")
    time.sleep(0.4)
    assert len(group.members(None)) == 2
    assert strict.show(old)["State"]["Name"] == "running"
    assert [event["instance_id"] for event in faults.events(fault["id"])] == [old]
    new = next(one for one in group.members() if one != old)
    faults.clear("launch_before_gone")
    assert group.replaced(old) == new
    strict.until_state(old, "terminated")


def test_the_old_one_goes_by_itself(strict: Probe, faults: FaultClient) -> None:
    group = Group(strict)
    (old,) = group.settled()
    with faults.during("launch_before_gone", seconds=0.3):
        unhealthy(group, old)
        strict.until(lambda: len(group.members()) == 2, "both are in service")
        group.replaced(old)


def test_a_dead_one_is_replaced_as_ever(strict: Probe, faults: FaultClient) -> None:
    group = Group(strict)
    (old,) = group.settled()
    with faults.during("launch_before_gone"):
        strict.terminate(old)
        group.replaced(old)


def test_two_replacements_come_for_one(strict: Probe, faults: FaultClient) -> None:
    group = Group(strict)
    (old,) = group.settled()
    faults.set("launch_before_gone", extra=1, group=group.name)
    time.sleep(0.2)
    assert group.members(None) == [old]
    strict.terminate(old)
    assert len(group.settled(2)) == 2
    faults.clear("launch_before_gone")
    group.settled(1)


def test_without_the_fault_the_old_one_goes_first(strict: Probe, faults: FaultClient) -> None:
    group = Group(strict)
    (old,) = group.settled()
    with faults.during("launch_before_gone", group=Group(strict).name), strict.held("instance_start"):
        unhealthy(group, old)
        strict.until(lambda: strict.show(old)["State"]["Name"] in ("shutting-down", "terminated"), "it goes")
        assert group.members() == []


def test_one_that_is_called_healthy_again_counts_again(strict: Probe, faults: FaultClient) -> None:
    group = Group(strict)
    (old,) = group.settled()
    with faults.during("launch_before_gone"):
        unhealthy(group, old)
        strict.until(lambda: len(group.members()) == 2, "both are in service")
        group.asg.set_instance_health(InstanceId=old, HealthStatus="Healthy")
        group.settled(1)
