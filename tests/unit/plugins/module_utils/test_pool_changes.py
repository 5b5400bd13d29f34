# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an update of the pool stack may not do, and the stack policy that says the same to CloudFormation."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_changes import pool_changes, stack_policy

from lab.api.cloudformation_policy import denied, denied_deletions

ENI, VOLUME = "AWS::EC2::NetworkInterface", "AWS::EC2::Volume"
POOL: dict[str, Any] = {
    "Resources": {
        "KafkaSecurityGroup": {"Type": "AWS::EC2::SecurityGroup", "Properties": {}},
        "Kafka1Interface": {"Type": ENI, "Properties": {"SubnetId": "subnet-a", "PrivateIpAddress": "10.0.1.21"}},
        "Kafka1Volume0": {"Type": VOLUME, "Properties": {"AvailabilityZone": "a", "Encrypted": True, "Size": 10}},
    }
}


def changed(name: str, **properties: Any) -> dict[str, Any]:
    """The pool with other properties of one resource."""
    new = copy.deepcopy(POOL)
    new["Resources"][name]["Properties"].update(properties)
    return new


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        (changed("Kafka1Interface", PrivateIpAddress="10.0.1.22"), "would change from 10.0.1.21 to 10.0.1.22"),
        (changed("Kafka1Interface", SubnetId="subnet-b"), "SubnetId of the interface Kafka1Interface of kafka-1"),
        (changed("Kafka1Volume0", AvailabilityZone="b"), "AvailabilityZone of the volume Kafka1Volume0 of kafka-1"),
        (
            changed("Kafka1Volume0", Encrypted=False),
            "Encrypted of the volume Kafka1Volume0 of kafka-1 would change from true",
        ),
        (
            changed("Kafka1Volume0", KmsKeyId="arn:x"),
            "KmsKeyId of the volume Kafka1Volume0 of kafka-1 would change from nothing",
        ),
        (changed("Kafka1Volume0", Size=9), "would shrink from 10 to 9 GiB; EBS volumes only grow"),
    ],
)
def test_a_replacement_is_named(new: dict[str, Any], sentence: str) -> None:
    faults = pool_changes(POOL, new)
    assert len(faults) == 1
    assert sentence in faults[0]
    assert pool_changes(POOL, new, ["kafka-2"]) == faults
    assert pool_changes(POOL, new, ["kafka-1"]) == []


def test_a_removed_identity_is_named() -> None:
    new = copy.deepcopy(POOL)
    del new["Resources"]["Kafka1Interface"], new["Resources"]["Kafka1Volume0"]
    faults = pool_changes(POOL, new)
    assert len(faults) == 2
    assert all("no longer in holdfast_pools" in fault and "kafka-1 in pool_stack_released" in fault for fault in faults)


def test_growing_adding_and_the_first_stack_are_no_faults() -> None:
    new = changed("Kafka1Volume0", Size=20, VolumeType="io2")
    new["Resources"]["Kafka2Interface"] = POOL["Resources"]["Kafka1Interface"]
    assert pool_changes(POOL, new) == []
    assert pool_changes(None, POOL) == []
    assert pool_changes(POOL, changed("Kafka1Volume0", Encrypted="true")) == []


@pytest.mark.parametrize("action", ["Update:Replace", "Update:Delete"])
def test_the_policy_keeps_interfaces_and_volumes(action: str) -> None:
    policy = json.dumps(stack_policy(POOL))
    assert "Statement [#2]" in (denied(policy, action, "Kafka1Interface", ENI) or "")
    assert denied(policy, action, "KafkaSecurityGroup", "AWS::EC2::SecurityGroup") is None
    assert denied(policy, "Update:Modify", "Kafka1Volume0", VOLUME) is None
    released = json.dumps(stack_policy({}, POOL, ["kafka-1"]))
    assert denied(released, action, "Kafka1Interface", ENI) is None
    assert denied(released, action, "Kafka2Interface", ENI) is not None


def test_the_lab_reads_a_policy_as_aws_does() -> None:
    assert denied_deletions(None, POOL["Resources"], {}) == []
    kept = denied_deletions(json.dumps(stack_policy(POOL)), POOL["Resources"], {})
    assert [sentence.split("[")[-1] for sentence in kept] == ["Kafka1Interface]", "Kafka1Volume0]"]
    assert "no statement allows" in str(denied('{"Statement": []}', "Update:Delete", "X", VOLUME))
