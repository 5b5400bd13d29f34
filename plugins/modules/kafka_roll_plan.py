#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan in which batches the brokers of a cluster are restarted."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kafka_roll_plan
short_description: Plan in which batches the brokers of a cluster are restarted
version_added: 0.1.0
description:
  - Reads the cluster, asks every registered broker of the pool whether it answers, and plans the batches of a roll.
  - A batch keeps for every partition at least C(min.insync.replicas) replicas, and at least one, outside of it.
  - Brokers that are not registered come first, all in one batch, because one may need the other to come into sync; they
    are started and nobody is stopped for them. Then comes the one registered broker that is silent or whose replicas
    lag, if there is one, then the others rack after rack, and the active controller's batch last.
  - Refuses, and names each broker and partition, when the cluster is in no state to be rolled. A plan that stops nobody
    is never refused.
author:
  - Holdfast contributors
extends_documentation_fragment:
  - holdfast.kafka.attributes.info
  - holdfast.kafka.kafka
options:
  bootstrap_servers:
    required: true
  brokers:
    description:
      - Every broker of the pool by node id, each a dictionary with C(address), as C(host) or C(host:port), and C(rack).
      - The address is what the broker must announce. The rack is needed with O(mode=rack) unless the broker announces
        one; where both are there, the pool's counts.
    type: dict
    required: true
  target_node_ids:
    description: The brokers to restart, or to start. All of O(brokers) unless given; an empty list makes an empty plan.
    type: list
    elements: int
  mode:
    description:
      - V(serial) stops one broker after the other.
      - V(rack) stops a whole rack at once where that is safe, and otherwise splits it into the fewest safe batches.
    type: str
    default: serial
    choices: [serial, rack]
  max_parallel:
    description:
      - How many brokers may be stopped at once with O(mode=rack); the rack's size unless given.
      - It does not bound the batch of brokers that are only started.
    type: int
  unavailable_topics_allowed:
    description:
      - Topics that may lose their leader or refuse writes while their brokers restart, by their exact names.
      - Only C(min.insync.replicas) is waived for them. What is offline or under-replicated now is refused all the same.
    type: list
    elements: str
    default: []
  seconds_per_broker:
    description: How long one broker takes from its stop until it is back in sync, for RV(plan.expected_seconds).
    type: float
seealso:
  - module: holdfast.kafka.kafka_broker_stop
  - module: holdfast.kafka.kafka_cluster_info
"""

EXAMPLES = r"""
- name: Plan to restart one rack after the other
  holdfast.kafka.kafka_roll_plan:
    bootstrap_servers: [10.77.1.21, 10.77.2.22, 10.77.3.23]
    brokers:
      "1": {address: 10.77.1.21, rack: eu-central-1a}
      "2": {address: 10.77.2.22, rack: eu-central-1b}
      "3": {address: 10.77.3.23, rack: eu-central-1c}
    mode: rack
    seconds_per_broker: 60
  register: roll

- name: Show it
  ansible.builtin.debug:
    msg: "{{ roll.plan.batches }} in about {{ roll.plan.expected_seconds }} s"
"""

RETURN = r"""
plan:
  description: The plan. One that was refused has no batches.
  returned: when the cluster was read
  type: dict
  contains:
    batches:
      description: The node ids of each batch, in order.
      type: list
      elements: list
      sample: [[3], [1, 4], [2, 5]]
    serial:
      description: The size of each batch, as a play's C(serial) wants it.
      type: list
      elements: int
      sample: [1, 2, 2]
    brokers:
      description: Each target in order.
      type: list
      elements: dict
      contains:
        node_id:
          description: The broker.
          type: int
        rack:
          description: Its rack; null when nobody says.
          type: str
        batch:
          description: The number of its batch, from 1.
          type: int
        action:
          description: V(start) for a broker that is not registered, and V(restart).
          type: str
        why:
          description: Why it is where it is.
          type: str
    skipped:
      description: The brokers of the pool that are no targets, as C(node_id) and C(why).
      type: list
      elements: dict
    splits:
      description: The racks that take several batches, with O(mode=rack).
      type: list
      elements: dict
      contains:
        rack:
          description: The rack.
          type: str
        batches:
          description: How many batches it takes.
          type: int
        fewest:
          description: Whether it is proven that fewer are not safe. The search for fewer is bounded.
          type: bool
        max_parallel:
          description: O(max_parallel).
          type: int
        partitions:
          description: The first 100 partitions that would keep too few replicas if the rack stopped at once.
          type: list
          elements: str
        partition_count:
          description: How many such partitions there are. With 0 only O(max_parallel) split the rack.
          type: int
    refusals:
      description: Why nothing may be stopped, the first 100 of each reason.
      type: list
      elements: dict
      contains:
        reason:
          description:
            - V(offline_partitions), V(under_min_isr) and V(under_replicated) speak of a partition that is not whole for
              another cause than a broker that this plan repairs, V(replication_not_above_min_isr) of one that no broker
              may leave, V(min_isr_unknown) of a topic without a known minimum.
            - V(no_controller), V(reassignment_in_progress), V(unexpected_broker), V(wrong_host),
              V(broker_not_registered), V(broker_silent) and V(unknown_rack) speak of the cluster and its brokers.
          type: str
        message:
          description: The same as a sentence.
          type: str
        node_ids:
          description: The brokers it is about.
          type: list
          elements: int
        topic:
          description: The topic it is about; null when it is about none.
          type: str
        partition:
          description: The partition's number; null when it is about none.
          type: int
        replicas:
          description: The partition's replicas.
          type: list
          elements: int
        isr:
          description: Those of them that are in sync.
          type: list
          elements: int
        min_insync_replicas:
          description: The topic's C(min.insync.replicas); null when it is unknown.
          type: int
    refusal_counts:
      description: How many refusals there are of each reason.
      type: dict
      sample: {"under_replicated": 12}
    controller_id:
      description: The active controller; null when there is none.
      type: int
    expected_seconds:
      description: The number of batches times O(seconds_per_broker); null without it.
      type: float
reason:
  description:
    - V(refused) when the cluster is in no state to be rolled; RV(plan.refusals) says why.
    - V(unreachable), V(auth), V(kafka_error), V(bad_parameter) and V(missing_library) speak of the connection and the
      call.
  returned: failure
  type: str
"""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import kafka_reader, kafka_roll_plan, kafka_roll_rules
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_roll_plan import Request
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_roll_rules import Rules
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import View


def request_of(parameters: Mapping[str, Any]) -> tuple[Rules, Request]:
    """Return who belongs to the cluster and what is wanted; ValueError when that can never be done."""
    rules = Rules(
        kafka_roll_rules.members_of(parameters["brokers"]), frozenset(parameters["unavailable_topics_allowed"])
    )
    targets = parameters["target_node_ids"]
    request = Request(
        target_node_ids=tuple(rules.members if targets is None else targets),
        mode=parameters["mode"],
        max_parallel=parameters["max_parallel"],
        seconds_per_broker=parameters["seconds_per_broker"],
    )
    return rules, kafka_roll_plan.checked(request, rules)


def read_settled(options: Mapping[str, Any]) -> View:
    """Read the cluster; again for as long as one request may take, while a new controller is being elected."""
    deadline = time.monotonic() + options["request_timeout_ms"] / 1000
    while True:
        view = kafka_reader.read_in_full(options)
        led = any(broker.node_id == view.controller_id for broker in view.brokers)
        told = led and view.reassigning is not None
        if told or time.monotonic() >= deadline:
            return view
        time.sleep(0.5)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **kafka_reader.argument_spec(),
            "bootstrap_servers": {"type": "list", "elements": "str", "required": True},
            "brokers": {"type": "dict", "required": True},
            "target_node_ids": {"type": "list", "elements": "int"},
            "mode": {"type": "str", "default": "serial", "choices": list(kafka_roll_plan.MODES)},
            "max_parallel": {"type": "int"},
            "unavailable_topics_allowed": {"type": "list", "elements": "str", "default": []},
            "seconds_per_broker": {"type": "float"},
        },
        supports_check_mode=True,
    )
    kafka_reader.require_library(module)
    try:
        rules, request = request_of(module.params)
        options = kafka_reader.client_options(module.params)
        view = read_settled(options)
    except ValueError as error:
        module.fail_json(msg=str(error), reason="bad_parameter")
    except kafka_reader.ReadError as error:
        module.fail_json(msg=str(error), reason=error.reason)
    ours = [broker for broker in view.brokers if broker.node_id in rules.members]
    rules = dataclasses.replace(rules, silent=kafka_reader.silent(options, ours))
    plan = kafka_roll_plan.make_plan(view, rules, request)
    if plan.refusals:
        message = (
            f"nothing was stopped, and the cluster may not be rolled now: {kafka_roll_rules.summary(plan.refusals)}"
        )
        module.fail_json(msg=message, reason="refused", plan=plan.as_dict())
    module.exit_json(changed=False, plan=plan.as_dict())


if __name__ == "__main__":
    main()
