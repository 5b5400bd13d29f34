# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Launch template versions: what the first can do, later ones can."""

from __future__ import annotations

import base64

import pytest

from tests.contract.ec2_harness import Check, Probe, does_not_hold, refused
from tests.contract.test_autoscaling_groups import Group

USER_DATA = base64.b64encode(b"#cloud-config\n{}\n").decode()


def a_later_versions_user_data_reaches_the_instance(p: Probe) -> None:
    """CreateLaunchTemplateVersion takes base64 as CreateLaunchTemplate does, and a group launches from it."""
    group = Group(p, desired=0)
    data = {"ImageId": p.image_id, "InstanceType": "t3.small", "UserData": USER_DATA}
    p.ec2.create_launch_template_version(LaunchTemplateName=group.name, LaunchTemplateData=data)
    group.asg.update_auto_scaling_group(AutoScalingGroupName=group.name, DesiredCapacity=1)
    member = group.settled()[0]
    found = p.ec2.describe_instance_attribute(InstanceId=member, Attribute="userData")
    assert found["UserData"]["Value"] == USER_DATA


def user_data_of_a_later_version_must_be_base64(p: Probe) -> None:
    """EC2 refuses what it cannot decode."""
    group = Group(p, desired=0)
    data = {"ImageId": p.image_id, "UserData": "not base64!"}
    refused(
        "InvalidUserData.Malformed",
        p.ec2.create_launch_template_version,
        LaunchTemplateName=group.name,
        LaunchTemplateData=data,
    )


CHECKS: list[Check] = [a_later_versions_user_data_reaches_the_instance, user_data_of_a_later_version_must_be_base64]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_strict(check: Check, strict: Probe) -> None:
    """The row holds here."""
    check(strict)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_stock_differs(check: Check, stock: Probe) -> None:
    """The row does not hold on stock moto, so its patch is needed."""
    does_not_hold(check, stock)
