#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop this host's ZooKeeper server when its ensemble can spare it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: zookeeper_server_stop
short_description: Stop this host's ZooKeeper server when its ensemble can spare it
version_added: 0.1.0
description:
  - Waits, bounded, until every server of the ensemble serves and all followers are in sync, proves that the run still
    has the cluster's lock, looks once more, stops the unit, and waits until the others are in order without it.
  - A server that serves nobody is stopped when the others are in order without it. One that does not run needs no stop.
  - A server that leads is left alone and reported as V(deferred) unless O(leader_allowed), because leadership may have
    moved to it since the roll was planned.
author:
  - Holdfast contributors
extends_documentation_fragment:
  - holdfast.kafka.attributes
  - holdfast.kafka.zookeeper
options:
  servers:
    description:
      - Every server of the ensemble, node id to address, as C(host) or C(host:port). The port is 2181 unless given.
    type: dict
    required: true
  node_id:
    description: The server of this host. The host must have its address.
    type: int
    required: true
  unit:
    description: Its systemd unit.
    type: str
    default: zookeeper.service
  leader_allowed:
    description: Whether it may be stopped while it leads. The last turn of a roll may.
    type: bool
    default: false
  interruption_allowed:
    description: Whether an ensemble of one or two may lose its majority for the restart.
    type: bool
    default: false
  lock:
    description: The token that M(holdfast.kafka.cluster_lock) returned. Without it no lock is looked at.
    type: dict
  zookeeper_hosts:
    description:
      - The servers where the lock is, as C(host:port). Those of O(servers) at port 2181, with
        O(zookeeper_tls) 2281, unless given.
    type: list
    elements: str
  gate_timeout_seconds:
    description: How long the gate may stay closed.
    type: float
    default: 120
  stop_timeout_seconds:
    description: How long the unit may take to stop.
    type: float
    default: 90
  rest_timeout_seconds:
    description: How long the others may take to be in order without it. After a leader they have to elect one.
    type: float
    default: 60
  poll_seconds:
    description: How long to wait between two looks.
    type: float
    default: 1
attributes:
  check_mode:
    support: full
    details: The gate is read once, and nothing is stopped. A closed gate fails.
  diff_mode:
    support: full
seealso:
  - module: holdfast.kafka.zookeeper_roll_plan
  - module: holdfast.kafka.cluster_lock
"""

EXAMPLES = r"""
- name: Stop this server
  holdfast.kafka.zookeeper_server_stop:
    servers: "{{ holdfast_pools.zookeeper | holdfast.kafka.pool_addresses }}"
    node_id: 2
  become: true
"""

RETURN = r"""
outcome:
  description: V(stopped); V(deferred) when it leads and may not be stopped now; V(nothing_to_stop) if it does not run.
  returned: success
  type: str
mode:
  description: What it was before, as V(leader) or V(follower); null when it served nobody.
  returned: when the ensemble was asked
  type: str
states:
  description: What each server said last, by node id.
  returned: when the ensemble was asked
  type: dict
gate_reads:
  description: How often the gate was read.
  returned: always, unless a parameter is bad
  type: int
gate_waited_seconds:
  description: How long the gate was closed.
  returned: always, unless a parameter is bad
  type: float
stop_seconds:
  description: From the request to stop until the unit was inactive.
  returned: when it was stopped
  type: float
killed:
  description: Whether systemd had to kill it.
  returned: when it was stopped
  type: bool
rest_seconds:
  description: How long the others took to be in order without it.
  returned: when the others are a majority
  type: float
closed_by:
  description: What kept the gate closed, or the others from serving.
  returned: V(gate_closed) and V(rest_not_serving)
  type: list
  elements: str
reason:
  description:
    - V(gate_closed) means that nothing was stopped, because the ensemble could not spare the server within the bound.
    - V(lock_lost) and V(zookeeper_unreachable), V(zookeeper_refused), V(zookeeper_auth_failed) speak of the lock;
      nothing was stopped.
    - V(wrong_host) when this host does not have the server's address; nothing was stopped.
    - V(stop_failed), V(stop_timeout) and V(service_failed) speak of the unit.
    - V(rest_not_serving) means that it is stopped and the others are not in order without it.
    - V(bad_parameter) and V(missing_library) speak of the call.
  returned: failure
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.holdfast.kafka.plugins.module_utils import (
    cluster_lock,
    local_host,
    lock_record,
    zk_security,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.number_bounds import require_numbers
from ansible_collections.holdfast.kafka.plugins.module_utils.service_watch import Systemd
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_roll_module import ask_all, read_addresses
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_session import missing_library
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_stop_runner import Bounds, Order, StopRun

SECONDS = ("gate_timeout_seconds", "stop_timeout_seconds", "rest_timeout_seconds", "poll_seconds")
# The servers are asked at the same time, and one that needs longer for four letters is not to be relied on.
ANSWER_SECONDS = 3.0


def _checked(params: dict[str, Any]) -> dict[int, Any]:
    """Return the servers' addresses; ValueError names the parameter that cannot be meant."""
    servers = read_addresses(params["servers"])
    if params["node_id"] not in servers:
        raise ValueError(f"node_id {params['node_id']} is none of the servers ({', '.join(map(str, servers))})")
    require_numbers(params, SECONDS)
    return servers


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "servers": {"type": "dict", "required": True},
            "node_id": {"type": "int", "required": True},
            "unit": {"type": "str", "default": "zookeeper.service"},
            "leader_allowed": {"type": "bool", "default": False},
            "interruption_allowed": {"type": "bool", "default": False},
            "lock": {"type": "dict", "no_log": False},
            "zookeeper_hosts": {"type": "list", "elements": "str"},
            "gate_timeout_seconds": {"type": "float", "default": 120},
            "stop_timeout_seconds": {"type": "float", "default": 90},
            "rest_timeout_seconds": {"type": "float", "default": 60},
            "poll_seconds": {"type": "float", "default": 1},
            **zk_security.argument_spec(),
        },
        supports_check_mode=True,
    )
    params = module.params
    zk_security.show_who(module)
    lock = params["lock"]
    try:
        servers = _checked(params)
        if lock is not None:
            lock_record.token_from(lock)
        security = zk_security.from_parameters(params)
        port = zk_security.port_of(params)
        hosts = zk_security.checked_hosts(params) or [f"{address.host}:{port}" for address in servers.values()]
    except ValueError as error:
        module.fail_json(msg=f"{str(error).rstrip('.')}.", reason="bad_parameter")
    library = missing_library(params["zookeeper_auth"]) if lock is not None else None
    if library:
        module.fail_json(msg=missing_required_lib(library), reason="missing_library")

    def prove_lock() -> None:
        if lock is not None:
            cluster_lock.check(hosts, lock, security, read_only=module.check_mode)

    run = StopRun(
        order=Order(
            node_id=params["node_id"],
            leader_allowed=params["leader_allowed"],
            interruption_allowed=params["interruption_allowed"],
            bounds=Bounds(*(params[name] for name in SECONDS)),
        ),
        ask=lambda: ask_all(servers, ANSWER_SECONDS),
        unit=Systemd(params["unit"], module.run_command),
        prove_lock=prove_lock,
    )
    node_id = run.order.node_id
    try:
        local_host.require_local(f"server {node_id}", servers[node_id].host)
        result = run.run(check=module.check_mode)
    except HoldfastError as error:
        module.fail_json(msg=error.message, reason=error.reason, **{**run.result, **error.extra})
    stopped = {"before": "active\n", "after": "inactive\n"} if result["changed"] else {"before": "", "after": ""}
    module.exit_json(**result, diff={**stopped, "before_header": params["unit"], "after_header": params["unit"]})


if __name__ == "__main__":
    main()
