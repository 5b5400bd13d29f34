# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters that make server lists of pools, and the address of a subnet's router."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.holdfast.kafka.plugins.filter.pool_addresses import pool_addresses
from ansible_collections.holdfast.kafka.plugins.filter.subnet import subnet_gateway
from ansible_collections.holdfast.kafka.plugins.filter.zookeeper_server_lines import zookeeper_server_lines


def test_declared_and_read_pools_give_the_same():
    declared = [{"node_id": 10, "private_ip": "192.0.2.10"}, {"node_id": 9, "private_ip": "192.0.2.9"}]
    read = [{"node_id": 9, "eni": {"private_ip": "192.0.2.9"}}, {"node_id": 10, "eni": {"private_ip": "192.0.2.10"}}]
    assert list(pool_addresses(declared).items()) == [("9", "192.0.2.9"), ("10", "192.0.2.10")]
    assert pool_addresses(declared) == pool_addresses(read)


@pytest.mark.parametrize(
    "identities",
    [
        [{"node_id": 1}],
        [{"node_id": 1, "private_ip": "192.0.2.1"}, {"node_id": 1, "private_ip": "192.0.2.2"}],
        [{"node_id": 1, "private_ip": "192.0.2.1"}, {"node_id": 2, "private_ip": "192.0.2.1"}],
    ],
)
def test_a_pool_that_is_ambiguous_is_refused(identities):
    with pytest.raises(AnsibleFilterError):
        pool_addresses(identities)


def test_server_lines():
    assert zookeeper_server_lines({"1": "192.0.2.1"}, 2888, 3888) == {"server.1": "192.0.2.1:2888:3888"}


def test_the_router_of_a_subnet():
    assert subnet_gateway("192.0.2.0/25") == "192.0.2.1"
    with pytest.raises(AnsibleFilterError):
        subnet_gateway("here")
