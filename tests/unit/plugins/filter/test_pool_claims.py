# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A declared pool in the shape of claims."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.holdfast.kafka.plugins.filter.pool_claims import FilterModule

claims, brokers = (FilterModule().filters()[name] for name in ("pool_claims", "pool_brokers"))
POOL = [
    {"node_id": 12, "availability_zone": "eu-central-1b", "private_ip": "10.0.2.12", "volumes": [{"size_gib": 5}]},
    {"node_id": 2, "availability_zone": "eu-central-1a", "private_ip": "10.0.1.2", "volumes": [{}, {}]},
]


def test_identities_come_as_claims_by_rising_id() -> None:
    assert claims(POOL) == [
        {
            "node_id": 2,
            "availability_zone": "eu-central-1a",
            "eni": {"private_ip": "10.0.1.2"},
            "volumes": [{"index": 0}, {"index": 1}],
        },
        {
            "node_id": 12,
            "availability_zone": "eu-central-1b",
            "eni": {"private_ip": "10.0.2.12"},
            "volumes": [{"index": 0}],
        },
    ]


def test_claims_come_as_brokers() -> None:
    assert brokers(claims(POOL)) == {
        "2": {"address": "10.0.1.2", "rack": "eu-central-1a"},
        "12": {"address": "10.0.2.12", "rack": "eu-central-1b"},
    }


@pytest.mark.parametrize("name", ["private_ip", "availability_zone", "volumes"])
def test_what_an_identity_lacks_is_named(name: str) -> None:
    with pytest.raises(AnsibleFilterError, match=f"identity 2 has no {name}"):
        claims([{key: value for key, value in POOL[1].items() if key != name}])
