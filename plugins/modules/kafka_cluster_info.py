#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Report the brokers, leaders and replication of a Kafka cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kafka_cluster_info
short_description: Report the brokers, leaders and replication of a Kafka cluster
version_added: 0.1.0
description:
  - Reads the cluster's metadata, each topic's C(min.insync.replicas) and the running reassignments.
  - Names every partition that is under-replicated, offline or below C(min.insync.replicas).
author:
  - Holdfast contributors
extends_documentation_fragment:
  - holdfast.kafka.attributes.info
  - holdfast.kafka.kafka
  - holdfast.kafka.zookeeper
options:
  expected_node_ids:
    description: The brokers there should be. Those not registered are returned, and the cluster is not healthy.
    type: list
    elements: int
    default: []
  zookeeper_hosts:
    description:
      - ZooKeeper servers, as C(host) or C(host:port), for a cluster in ZooKeeper mode. The port is 2181, with
        O(zookeeper_tls) 2281, unless given.
      - The brokers registered there are returned too, and are asked when O(bootstrap_servers) is not given.
    type: list
    elements: str
  zookeeper_chroot:
    description: The path in ZooKeeper below which Kafka lives.
    type: str
    default: /kafka
seealso:
  - module: holdfast.kafka.kafka_replication_wait
  - module: holdfast.kafka.zookeeper_ensemble_info
"""

EXAMPLES = r"""
- name: Read the cluster
  holdfast.kafka.kafka_cluster_info:
    bootstrap_servers: [10.77.1.21, 10.77.2.22, 10.77.3.23]
    expected_node_ids: [1, 2, 3]
  register: cluster

- name: Refuse to go on while partitions lack replicas
  ansible.builtin.assert:
    that: cluster.healthy
    fail_msg: "under-replicated: {{ cluster.under_replicated }}, not registered: {{ cluster.missing_node_ids }}"
"""

RETURN = r"""
cluster_id:
  description: The cluster's own id.
  returned: success
  type: str
controller_id:
  description: The active controller's node id; null when there is none.
  returned: success
  type: int
brokers:
  description: The registered brokers, sorted by node id.
  returned: success
  type: list
  elements: dict
  contains:
    node_id:
      description: The broker's id.
      type: int
    host:
      description: The host it announces.
      type: str
    port:
      description: The port it announces.
      type: int
    rack:
      description: Its rack.
      type: str
    leaders:
      description: How many partitions it leads.
      type: int
    replicas:
      description: How many replicas it hosts.
      type: int
missing_node_ids:
  description: Those of O(expected_node_ids) that are not registered.
  returned: success
  type: list
  elements: int
topic_count:
  description: How many topics there are.
  returned: success
  type: int
partition_count:
  description: How many partitions there are.
  returned: success
  type: int
under_replicated:
  description: The partitions with a replica out of sync.
  returned: success
  type: list
  elements: dict
  sample: [{"topic": "orders", "partition": 0, "leader": 2, "replicas": [1, 2], "isr": [2], "missing": [1]}]
offline:
  description: The partitions without a leader, shaped as in RV(under_replicated).
  returned: success
  type: list
  elements: dict
under_min_isr:
  description: The partitions with fewer replicas in sync than C(min.insync.replicas), with that number.
  returned: success
  type: list
  elements: dict
not_preferred_count:
  description: How many partitions are led by another replica than the preferred one.
  returned: success
  type: int
reassigning:
  description: The partitions that are being reassigned, as C(topic) and C(partition); null while no controller tells.
  returned: success
  type: list
  elements: dict
registered:
  description: The brokers as ZooKeeper has them, as C(node_id), C(host), C(port), C(rack).
  returned: when O(zookeeper_hosts) is given
  type: list
  elements: dict
healthy:
  description:
    - Whether a controller is active, all of O(expected_node_ids) are registered and no partition is under-replicated,
      offline or below C(min.insync.replicas).
  returned: success
  type: bool
reason:
  description:
    - Why the module failed. V(zookeeper_auth_failed) says that ZooKeeper does not accept O(zookeeper_auth) or
      O(zookeeper_tls), or that an ACL is in the way; everything else is the brokers'.
  returned: failure
  type: str
  sample: unreachable
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.holdfast.kafka.plugins.module_utils import (
    addresses,
    kafka_reader,
    kafka_registry,
    kafka_view,
    zk_security,
    zk_session,
)


def registered_brokers(parameters: Mapping[str, Any]) -> list[kafka_view.Broker]:
    """Return the brokers that ZooKeeper knows; RegistryError when they cannot be had."""
    try:
        chroot = zk_security.checked_chroot(parameters["zookeeper_chroot"], "zookeeper_chroot")
        security = zk_security.from_parameters(parameters)
        hosts = zk_security.checked_hosts(parameters) or []
    except ValueError as error:
        raise kafka_registry.RegistryError("bad_parameter", f"zookeeper_hosts and its options: {error}") from error
    return kafka_registry.read(hosts, chroot, parameters["request_timeout_seconds"], security)[0]


def missing_library(parameters: Mapping[str, Any]) -> str | None:
    """Return the library that this task needs and the host does not have."""
    if kafka_reader.IMPORT_ERROR:
        return "kafka-python"
    return zk_session.missing_library(parameters["zookeeper_auth"]) if parameters["zookeeper_hosts"] else None


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **kafka_reader.argument_spec(),
            **zk_security.argument_spec(),
            "expected_node_ids": {"type": "list", "elements": "int", "default": []},
            "zookeeper_hosts": {"type": "list", "elements": "str"},
            "zookeeper_chroot": {"type": "str", "default": "/kafka"},
        },
        required_one_of=[("bootstrap_servers", "zookeeper_hosts")],
        supports_check_mode=True,
    )
    zk_security.show_who(module)
    library = missing_library(module.params)
    if library:
        exception = kafka_reader.IMPORT_ERROR or ""
        module.fail_json(msg=missing_required_lib(library), exception=exception, reason="missing_library")
    result: dict[str, Any] = {}
    parameters = dict(module.params)
    try:
        if parameters["zookeeper_hosts"]:
            registered = registered_brokers(parameters)
            result["registered"] = [asdict(broker) for broker in registered]
            parameters["bootstrap_servers"] = parameters["bootstrap_servers"] or [
                str(addresses.Address(broker.host, broker.port)) for broker in registered
            ]
            if not parameters["bootstrap_servers"]:
                module.fail_json(msg="no broker is registered in ZooKeeper", reason="unreachable", **result)
        view = kafka_reader.read_in_full(kafka_reader.client_options(parameters))
    except (kafka_reader.ReadError, kafka_registry.RegistryError) as error:
        module.fail_json(msg=str(error), reason=error.reason, **result)
    module.exit_json(changed=False, **result, **kafka_view.report(view, parameters["expected_node_ids"]))


if __name__ == "__main__":
    main()
