# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an inventory may not say, and the groups that follow from what it says."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_plan import (
    pool_faults,
    pool_groups,
    subnet_faults,
    unknown_variables,
)

SUBNETS = [
    {"availability_zone": "eu-central-1a", "subnet_id": "subnet-a", "cidr": "10.0.1.0/24"},
    {"availability_zone": "eu-central-1b", "subnet_id": "subnet-b", "cidr": "10.0.2.0/24"},
]


def identity(node_id: Any, zone: str, ip: Any, volumes: Any = None) -> dict[str, Any]:
    """An identity as in the inventory."""
    volumes = [{"size_gib": 10, "type": "gp3"}] if volumes is None else volumes
    return {"node_id": node_id, "availability_zone": f"eu-central-1{zone}", "private_ip": ip, "volumes": volumes}


POOLS = {
    "zookeeper": [identity(1, "a", "10.0.1.11")],
    "kafka": [identity(1, "a", "10.0.1.21"), identity(2, "a", "10.0.1.22"), identity(3, "b", "10.0.2.23")],
}


def test_a_sound_inventory_has_no_faults() -> None:
    assert pool_faults(POOLS, SUBNETS) == []


@pytest.mark.parametrize(
    ("role", "index", "change", "sentence"),
    [
        ("kafka", 1, {"node_id": 1}, "holdfast_pools.kafka[1].node_id is 1, as is holdfast_pools.kafka[0].node_id;"),
        ("kafka", 1, {"node_id": "x"}, "holdfast_pools.kafka[1].node_id is 'x'; it must be a whole number from 0"),
        ("kafka", 1, {"node_id": True}, "node_id is True; it must be a whole number"),
        ("zookeeper", 0, {"node_id": 0}, "holdfast_pools.zookeeper[0].node_id is 0; it must be a whole number from 1"),
        ("kafka", 0, {"private_ip": "10.0.1.11"}, "private_ip is 10.0.1.11, as is holdfast_pools.zookeeper[0]"),
        ("kafka", 0, {"private_ip": "10.0.2.21"}, "private_ip is 10.0.2.21, outside 10.0.1.0/24, the subnet of"),
        ("kafka", 0, {"private_ip": "10.0.1.3"}, "private_ip is 10.0.1.3, which AWS reserves in 10.0.1.0/24"),
        ("kafka", 0, {"private_ip": "10.0.1.255"}, "private_ip is 10.0.1.255, which AWS reserves"),
        ("kafka", 0, {"private_ip": "ten"}, "private_ip is 'ten', which is no IPv4 address"),
        ("kafka", 0, {"availability_zone": "eu-central-1c"}, "is eu-central-1c, for which holdfast_subnets has no"),
        ("kafka", 0, {"volumes": []}, "holdfast_pools.kafka[0].volumes is []; list at least one volume"),
        ("kafka", 0, {"volumes": ["10"]}, "holdfast_pools.kafka[0].volumes[0] is '10'; write it as"),
        ("kafka", 0, {"volumes": [{"size_gib": 0}]}, "volumes[0].size_gib is 0; it must be a whole number of GiB"),
        ("kafka", 0, {"volumes": [{"size_gib": 5, "type": "ssd"}]}, "volumes[0].type is 'ssd'; it must be one of gp3"),
    ],
)
def test_a_fault_names_variable_value_and_fix(role: str, index: int, change: dict[str, Any], sentence: str) -> None:
    pools = copy.deepcopy(POOLS)
    pools[role][index].update(change)
    faults = pool_faults(pools, SUBNETS)
    assert len(faults) == 1
    assert sentence in faults[0]


def test_all_faults_are_found_at_once() -> None:
    pools = {"kafka": [identity(1, "a", "nowhere", []), identity(1, "c", "10.0.1.9")], "storm": []}
    found = " ".join(pool_faults(pools, SUBNETS))
    for part in (
        "'nowhere'",
        "volumes is []",
        "as is holdfast_pools.kafka[0]",
        "eu-central-1c",
        "'storm'",
        "zookeeper",
    ):
        assert part in found


@pytest.mark.parametrize(
    ("subnets", "sentence"),
    [
        ([{**SUBNETS[0], "cidr": "10.0.1.5/24"}], "cidr is '10.0.1.5/24', which is no IPv4 network"),
        ([SUBNETS[0], SUBNETS[0]], "holdfast_subnets[1].availability_zone is eu-central-1a, as is that of"),
        ([{"availability_zone": "eu-central-1a"}], "holdfast_subnets[0] has no subnet_id and no cidr"),
    ],
)
def test_subnet_faults(subnets: list[dict[str, Any]], sentence: str) -> None:
    assert sentence in subnet_faults(subnets)[0]


def test_groups_count_identities_by_role_and_zone() -> None:
    groups = pool_groups(POOLS, SUBNETS)
    assert [(g["role"], g["availability_zone"][-1], g["subnet_id"], g["count"]) for g in groups] == [
        ("zookeeper", "a", "subnet-a", 1),
        ("kafka", "a", "subnet-a", 2),
        ("kafka", "b", "subnet-b", 1),
    ]


def test_an_identity_with_an_instance_of_its_own_is_in_no_group() -> None:
    pools = {role: [dict(one) for one in ones] for role, ones in POOLS.items()}
    counts = {(g["role"], g["availability_zone"]): g["count"] for g in pool_groups(pools, SUBNETS)}
    pools["kafka"][0]["auto_scaling"] = False
    zone = ("kafka", pools["kafka"][0]["availability_zone"])
    fewer = {(g["role"], g["availability_zone"]): g["count"] for g in pool_groups(pools, SUBNETS)}
    assert fewer == {**counts, zone: counts[zone] - 1}, "the group stays, for its template"


def test_unknown_variables_name_the_nearest() -> None:
    known = ["holdfast_cluster", "holdfast_pools"]
    faults = unknown_variables(["holdfast_clutser", "holdfast_pools"], known)
    assert faults == [
        "the variable holdfast_clutser is set, but Holdfast has none of that name; did you mean holdfast_cluster?"
    ]
    assert "the known ones are" in unknown_variables(["holdfast_qqqqqqqqqqqqqqqqq"], known)[0]
