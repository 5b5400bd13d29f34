#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say in which order the servers of an ensemble may be restarted, or refuse."""

from __future__ import annotations

DOCUMENTATION = r"""
module: zookeeper_roll_plan
short_description: Plan a rolling restart of a ZooKeeper ensemble, or refuse it
version_added: 0.1.0
description:
  - Asks every server of the ensemble and orders those that are to be restarted. First what does not run, which is
    started together; then, one at a time, what runs outside of the quorum, the followers, and the leader last.
  - Refuses when the ensemble could lose its majority, or when a server's state is not known.
author:
  - Holdfast contributors
extends_documentation_fragment:
  - holdfast.kafka.attributes.info
options:
  servers:
    description:
      - Every server of the ensemble, node id to address, as C(host) or C(host:port). The port is 2181 unless given.
      - All of them, also those that are not to be restarted, because the majority is theirs.
    type: dict
    required: true
  target_node_ids:
    description: The servers to restart; all unless given.
    type: list
    elements: int
  skipped:
    description: Targets that need nothing, node id to the reason why, such as a process that runs with what is on disk.
    type: dict
    default: {}
  interruption_allowed:
    description: Whether an ensemble of one or two may be restarted, which then serves nobody for a while.
    type: bool
    default: false
  to_version:
    description:
      - The version that the roll leads to. Every server's running version must be a neighbour of it, as servers of both
        serve together meanwhile.
    type: str
  downgrade_allowed:
    description: Whether O(to_version) may be older than what runs, which is the way back from an upgrade.
    type: bool
    default: false
  seconds_per_server:
    description: How long one server's turn takes, for the estimate.
    type: float
    default: 30
  timeout_seconds:
    description: How long to wait for one server's answer. The servers are asked at the same time.
    type: float
    default: 5
seealso:
  - module: holdfast.kafka.zookeeper_server_stop
  - module: holdfast.kafka.zookeeper_ensemble_info
"""

EXAMPLES = r"""
- name: Plan the restart of all servers
  holdfast.kafka.zookeeper_roll_plan:
    servers: "{{ holdfast_pools.zookeeper | holdfast.kafka.pool_addresses }}"
  register: roll
"""

RETURN = r"""
plan:
  description: The order and what forbids it.
  returned: always, unless a parameter is bad
  type: dict
  contains:
    batches:
      description: The node ids in their order, none when it is refused. Only servers that do not run share a batch.
      type: list
      elements: list
      sample: [[1], [3], [2]]
    serial:
      description: The batches' sizes.
      type: list
      elements: int
      sample: [1, 1, 1]
    servers:
      description: The turns in their order.
      type: list
      elements: dict
      contains:
        node_id:
          description: Whose turn it is.
          type: int
        action:
          description: V(start) for a server that does not answer, otherwise V(restart).
          type: str
        why:
          description: Why it stands in this place.
          type: str
        may_be_absent:
          description: Servers outside of the quorum whose turn is later, so that nobody waits for them after this one.
          type: list
          elements: int
    skipped:
      description: Who is left alone, as C(node_id) and C(why).
      type: list
      elements: dict
    refusals:
      description: What forbids the roll, as C(reason), C(message) and C(node_ids).
      type: list
      elements: dict
    leader_id:
      description: Who leads now; null when nobody or more than one does.
      type: int
    expected_seconds:
      description: How long it should take.
      type: float
states:
  description: What each server said, by node id.
  returned: always, unless a parameter is bad
  type: dict
versions:
  description: The version that each server says it runs, by node id; null when it does not serve.
  returned: always, unless a parameter is bad
  type: dict
reason:
  description:
    - V(refused) when the plan has refusals; each has a word of its own, V(leader_not_unique), V(server_alone),
      V(server_state_unknown), V(server_missing), V(followers_not_in_sync), V(no_quorum), V(no_majority_left) or
      V(upgrade_unsupported).
    - V(bad_parameter) speaks of the call.
  returned: failure
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import release, zk_roll_gate, zk_roll_plan
from ansible_collections.holdfast.kafka.plugins.module_utils.number_bounds import require_numbers
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_roll_module import ask_all, read_addresses


def _parameters(params: dict[str, Any]) -> tuple[dict[int, Any], list[int], dict[int, str]]:
    """Return addresses, targets and the skipped; ValueError names what is wrong."""
    servers = read_addresses(params["servers"])
    targets = list(servers) if params["target_node_ids"] is None else params["target_node_ids"]
    unknown = sorted(set(targets) - set(servers))
    if unknown or not targets:
        known = ", ".join(str(one) for one in servers)
        raise ValueError(f"target_node_ids {targets} must name servers of the ensemble ({known}), and at least one")
    strangers = sorted(str(one) for one in params["skipped"] if str(one) not in {str(known) for known in servers})
    if strangers:
        raise ValueError(f"skipped names {', '.join(strangers)}, which is no server of the ensemble")
    require_numbers(params, ("timeout_seconds", "seconds_per_server"))
    return servers, targets, {int(one): str(why) for one, why in params["skipped"].items()}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "servers": {"type": "dict", "required": True},
            "target_node_ids": {"type": "list", "elements": "int"},
            "skipped": {"type": "dict", "default": {}},
            "interruption_allowed": {"type": "bool", "default": False},
            "to_version": {"type": "str"},
            "downgrade_allowed": {"type": "bool", "default": False},
            "seconds_per_server": {"type": "float", "default": 30},
            "timeout_seconds": {"type": "float", "default": 5},
        },
        supports_check_mode=True,
    )
    try:
        servers, targets, skipped = _parameters(module.params)
        wanted = release.parse(module.params["to_version"]) if module.params["to_version"] is not None else None
    except ValueError as error:
        module.fail_json(msg=f"{error}.", reason="bad_parameter")
    seen = ask_all(servers, module.params["timeout_seconds"])
    plan = zk_roll_plan.plan(
        seen,
        targets,
        skipped,
        interruption_allowed=module.params["interruption_allowed"],
        seconds_per_server=module.params["seconds_per_server"],
        wanted=wanted,
        downgrade_allowed=module.params["downgrade_allowed"],
    )
    told = {
        "plan": plan.as_dict(),
        "states": zk_roll_gate.states(seen),
        "versions": {str(node_id): (server.version or "").split("-")[0] or None for node_id, server in seen.items()},
    }
    if plan.refusals:
        why = ". ".join(f"{one.message} (reason: {one.reason})" for one in plan.refusals)
        module.fail_json(msg=f"No server was touched: {why}.", reason="refused", **told)
    module.exit_json(changed=False, **told)


if __name__ == "__main__":
    main()
