#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop this host's broker when the cluster can spare it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kafka_broker_stop
short_description: Stop this host's broker when the cluster can spare it
version_added: 0.1.0
description:
  - Runs on the broker's own host and does in one process what must not be torn apart. It waits until the gate is open,
    proves that the roll still has its lock, reads the cluster once more, and stops the broker's unit. The last read is
    made from the controller and from one other broker, because a broker that is cut off tells old news.
  - The gate is open when every partition with a replica in the batch keeps C(min.insync.replicas) replicas in sync, and
    at least one, without the whole batch; when outside of the batch no replica lags and no broker of the pool is
    missing; and when every broker that the batch's partitions then rest on answers a request now.
  - Each broker of a batch asks for the whole batch, so all of them may be stopped at the same time.
  - Then it waits until the process has ended and the cluster no longer lists the broker.
  - A broker whose unit does not run is not gated; only its leaving the cluster is waited for.
author:
  - Holdfast contributors
extends_documentation_fragment:
  - holdfast.kafka.attributes
  - holdfast.kafka.kafka
  - holdfast.kafka.zookeeper
options:
  bootstrap_servers:
    required: true
  node_id:
    description: The broker of this host. The host must have its address.
    type: int
    required: true
  batch_node_ids:
    description: All brokers that are stopped together, O(node_id) among them. It alone unless given.
    type: list
    elements: int
    default: []
  brokers:
    description: Every broker of the pool by node id, each with C(address), as for M(holdfast.kafka.kafka_roll_plan).
    type: dict
    required: true
  unavailable_topics_allowed:
    description: Topics that may become unavailable, as for M(holdfast.kafka.kafka_roll_plan).
    type: list
    elements: str
    default: []
  lock:
    description:
      - The token that M(holdfast.kafka.cluster_lock) returned. The stop then needs the lock, and renews it.
      - Without it nobody is kept from rolling the cluster at the same time.
    type: dict
  zookeeper_hosts:
    description: The ZooKeeper servers that have O(lock), as C(host) or C(host:port); needed with it.
    type: list
    elements: str
  unit:
    description: The broker's systemd unit on this host.
    type: str
    default: kafka.service
  gate_timeout_seconds:
    description: How long to wait for the gate. V(0) looks once.
    type: float
    default: 120
  poll_seconds:
    description: How long to wait between two looks at the gate.
    type: float
    default: 2
  stop_timeout_seconds:
    description: How long the process may take to end; more than the unit's C(TimeoutStopSec).
    type: float
    default: 660
  deregister_timeout_seconds:
    description: How long the cluster may list the broker after its process has ended.
    type: float
    default: 60
attributes:
  check_mode:
    support: full
    details: It evaluates gate and lock once, says whether it would stop, and does not fail when the gate is closed.
  diff_mode:
    support: full
seealso:
  - module: holdfast.kafka.kafka_roll_plan
  - module: holdfast.kafka.kafka_replication_wait
  - module: holdfast.kafka.cluster_lock
"""

EXAMPLES = r"""
- name: Stop this host's broker as one of its rack
  holdfast.kafka.kafka_broker_stop:
    bootstrap_servers: [10.77.1.21, 10.77.2.22, 10.77.3.23]
    node_id: 1
    batch_node_ids: [1, 4]
    brokers:
      "1": {address: 10.77.1.21}
      "2": {address: 10.77.2.22}
      "3": {address: 10.77.3.23}
      "4": {address: 10.77.1.24}
    lock: "{{ roll_run_token }}"
    zookeeper_hosts: [10.77.1.11, 10.77.2.12, 10.77.3.13]
"""

RETURN = r"""
gate_open:
  description: Whether the gate was open at the last look; null when it was not asked, as for a unit that does not run.
  returned: always
  type: bool
closed_by:
  description:
    - What kept the gate closed at the last look, the first 100 of each reason, shaped as RV(plan.refusals) of
      M(holdfast.kafka.kafka_roll_plan). V(not_enough_in_sync) is only said here.
  returned: always
  type: list
  elements: dict
gate_reads:
  description: How often the cluster was read for the gate; three times when it is open at once.
  returned: always
  type: int
gate_waited_seconds:
  description: How long the gate was waited for.
  returned: always
  type: float
controller_id:
  description: The active controller at the last look; null when there was none.
  returned: always
  type: int
stop_seconds:
  description: How long the process took to end; null when none was stopped.
  returned: always
  type: float
clean:
  description:
    - Whether the process ended by itself. V(false) when systemd had to kill it, or it ended with an error; the next
      start then checks its logs. Null when none was stopped.
  returned: always
  type: bool
deregister_seconds:
  description: How long after that the cluster still listed the broker; null when the batch is the whole pool.
  returned: always
  type: float
reason:
  description:
    - V(gate_closed) when the gate did not open in time; RV(closed_by) says why, and nothing was stopped.
    - V(lock_lost), V(lost_race), V(zookeeper_unreachable), V(zookeeper_refused) and V(zookeeper_auth_failed) speak of
      O(lock); nothing was stopped.
    - V(wrong_host) when this host does not have the broker's address; nothing was stopped.
    - V(stop_timeout) when the process did not end in time, V(still_registered) when the cluster still lists it.
    - V(service_failed) when O(unit) is no unit of this host or systemd says nothing of it, V(stop_failed) when systemd
      refuses to stop it.
    - V(unreachable), V(auth), V(kafka_error), V(bad_parameter) and V(missing_library) speak of the connection and the
      call.
  returned: failure
  type: str
"""

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.holdfast.kafka.plugins.module_utils import (
    cluster_lock,
    kafka_reader,
    kafka_roll_rules,
    local_host,
    service_watch,
    zk_security,
    zk_session,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.broker_stop import Order, Stop
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_roll_rules import Rules
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import Broker, View


class Connection:
    """The cluster by a connection that is made anew after an error."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._reader: kafka_reader.Reader | None = None

    def read(self) -> View:
        """Return brokers and partitions."""
        with self._open() as reader:
            return reader.read()

    def read_in_full(self, witness: int | None = None) -> View:
        """Return also each topic's min.insync.replicas and the reassignments, as any broker or this one has them."""
        with self._open() as reader:
            return reader.read_in_full(witness)

    def silent(self, brokers: Iterable[Broker]) -> frozenset[int]:
        """Return those that do not answer."""
        return kafka_reader.silent(self._options, brokers)

    def close(self) -> None:
        """End the connection."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    @contextlib.contextmanager
    def _open(self) -> Any:
        try:
            self._reader = self._reader or kafka_reader.Reader(self._options)
            yield self._reader
        except kafka_reader.ReadError:
            self.close()
            raise


def order_of(parameters: Mapping[str, Any]) -> tuple[Order, Rules]:
    """Return what to stop and who belongs to the cluster; ValueError when that can never be done."""
    members = kafka_roll_rules.members_of(parameters["brokers"])
    rules = Rules(members, frozenset(parameters["unavailable_topics_allowed"]))
    order = Order(
        node_id=parameters["node_id"],
        batch=frozenset(parameters["batch_node_ids"] or [parameters["node_id"]]),
        gate_timeout_seconds=parameters["gate_timeout_seconds"],
        poll_seconds=parameters["poll_seconds"],
        stop_timeout_seconds=parameters["stop_timeout_seconds"],
        deregister_timeout_seconds=parameters["deregister_timeout_seconds"],
    )
    return order.checked(rules), rules


def missing_library(parameters: Mapping[str, Any]) -> str | None:
    """Return the library that this task needs and the host does not have."""
    if kafka_reader.IMPORT_ERROR:
        return "kafka-python"
    return zk_session.missing_library(parameters["zookeeper_auth"]) if parameters["lock"] is not None else None


def carry_out(stop: Stop, check_mode: bool) -> bool:
    """Stop the broker, or look whether that could be done; return whether something was or would be changed."""
    member = stop.rules.members[stop.order.node_id]
    local_host.require_local(f"broker {member.node_id}", member.host)
    due = stop.due()
    if check_mode:
        if due:
            stop.look_once()
    elif due:
        stop.run()
    else:
        stop.leave()
    return due


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **kafka_reader.argument_spec(),
            **zk_security.argument_spec(),
            "bootstrap_servers": {"type": "list", "elements": "str", "required": True},
            "node_id": {"type": "int", "required": True},
            "batch_node_ids": {"type": "list", "elements": "int", "default": []},
            "brokers": {"type": "dict", "required": True},
            "unavailable_topics_allowed": {"type": "list", "elements": "str", "default": []},
            "lock": {"type": "dict"},
            "zookeeper_hosts": {"type": "list", "elements": "str"},
            "unit": {"type": "str", "default": "kafka.service"},
            "gate_timeout_seconds": {"type": "float", "default": 120},
            "poll_seconds": {"type": "float", "default": 2},
            "stop_timeout_seconds": {"type": "float", "default": 660},
            "deregister_timeout_seconds": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    zk_security.show_who(module)
    library = missing_library(module.params)
    if library:
        exception = kafka_reader.IMPORT_ERROR or ""
        module.fail_json(msg=missing_required_lib(library), exception=exception, reason="missing_library")
    try:
        order, rules = order_of(module.params)
        prove = cluster_lock.prover(module.params, module.check_mode)
        options = kafka_reader.client_options(module.params)
    except ValueError as error:
        module.fail_json(msg=str(error), reason="bad_parameter")
    except kafka_reader.ReadError as error:
        module.fail_json(msg=str(error), reason=error.reason)
    unit = service_watch.Systemd(module.params["unit"], module.run_command)
    with contextlib.closing(Connection(options)) as connection:
        stop = Stop(order, rules, connection, unit, prove)
        try:
            changed = carry_out(stop, module.check_mode)
        except HoldfastError as error:
            facts = {**stop.told.as_dict(), **error.extra}
            module.fail_json(msg=error.message, reason=error.reason, changed=stop.ordered, **facts)
    state = {"unit": module.params["unit"], "state": "active"}
    diff = {"diff": {"before": state, "after": {**state, "state": "inactive"}}} if changed else {}
    if stop.told.clean is False:
        module.warn(f"broker {order.node_id} did not end by itself; its next start checks its logs, which takes longer")
    module.exit_json(changed=changed, **diff, **stop.told.as_dict())


if __name__ == "__main__":
    main()
