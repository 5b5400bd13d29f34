#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Report who leads, follows and is missing in a ZooKeeper ensemble."""

from __future__ import annotations

DOCUMENTATION = r"""
module: zookeeper_ensemble_info
short_description: Report who leads, follows and is missing in a ZooKeeper ensemble
version_added: 0.1.0
description:
  - Asks every server by the four-letter words C(srvr) and, the leader, C(mntr), and judges whether the quorum is whole.
  - A server that does not answer is an answer, not a failure.
author:
  - Holdfast contributors
extends_documentation_fragment:
  - holdfast.kafka.attributes.info
options:
  hosts:
    description: The servers' client addresses, as C(host) or C(host:port). The port is 2181 unless given.
    type: list
    elements: str
    required: true
  expected:
    description:
      - How many servers the ensemble has.
      - The number of O(hosts) unless given. Set it when only some of the servers are asked.
    type: int
  timeout_seconds:
    description: How long to wait for one server's answer. The servers are asked at the same time.
    type: float
    default: 5
seealso:
  - module: holdfast.kafka.kafka_cluster_info
"""

EXAMPLES = r"""
- name: Wait until the quorum is whole
  holdfast.kafka.zookeeper_ensemble_info:
    hosts: [10.77.1.11, 10.77.2.12, 10.77.3.13]
  register: ensemble
  until: ensemble.quorum.whole
  retries: 60
  delay: 2
"""

RETURN = r"""
servers:
  description: What each server says, in the order of O(hosts).
  returned: success
  type: list
  elements: dict
  contains:
    host:
      description: The address, as C(host:port).
      type: str
      sample: 10.77.1.11:2181
    reachable:
      description: Whether something answers there.
      type: bool
    mode:
      description: C(leader), C(follower), C(observer) or C(standalone); null while the server does not serve.
      type: str
    zxid:
      description: The last transaction the server knows.
      type: str
      sample: "0x100000004"
    version:
      description: The server's version.
      type: str
    node_count:
      description: How many znodes it holds.
      type: int
    connections:
      description: How many clients are connected.
      type: int
    synced_followers:
      description: How many followers are in sync with it; only of the leader.
      type: int
    error:
      description:
        - Why there is no answer, as C(reason) and C(message).
        - C(reason) is C(refused), C(timeout), C(unreachable), C(not_serving), C(not_listed), C(empty) or C(protocol).
      type: dict
quorum:
  description: The verdict.
  returned: success
  type: dict
  contains:
    leader:
      description: The leader's address (of a lone server, its own); null when there is none or more than one.
      type: str
    expected:
      description: How many servers there should be.
      type: int
    serving:
      description: How many serve.
      type: int
    synced_followers:
      description: How many followers are in sync with the leader.
      type: int
    whole:
      description: Whether every expected server serves and follows one leader in sync.
      type: bool
    faults:
      description: What keeps it from being whole, one sentence each.
      type: list
      elements: str
reason:
  description: Why the module failed.
  returned: failure
  type: str
  sample: bad_parameter
"""

from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import addresses, zk_4lw
from ansible_collections.holdfast.kafka.plugins.module_utils.number_bounds import require_numbers


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "hosts": {"type": "list", "elements": "str", "required": True},
            "expected": {"type": "int"},
            "timeout_seconds": {"type": "float", "default": 5},
        },
        supports_check_mode=True,
    )
    timeout = module.params["timeout_seconds"]
    try:
        require_numbers(module.params, ["timeout_seconds"])
    except ValueError as error:
        module.fail_json(msg=f"{error}.", reason="bad_parameter")
    try:
        hosts = [addresses.parse(text, default_port=2181) for text in module.params["hosts"]]
    except ValueError as error:
        module.fail_json(msg=f"hosts: {error}", reason="bad_parameter")
    expected = len(hosts) if module.params["expected"] is None else module.params["expected"]
    if not hosts or len(set(hosts)) < len(hosts):
        module.fail_json(msg="hosts must name each server once, and at least one", reason="bad_parameter")
    if expected < len(hosts):
        module.fail_json(msg=f"expected ({expected}) must not be below the number of hosts", reason="bad_parameter")

    def question(address: addresses.Address, word: str) -> str:
        return zk_4lw.ask(address, word, timeout)

    with ThreadPoolExecutor(max_workers=len(hosts)) as pool:
        servers = list(pool.map(lambda address: zk_4lw.read_server(address, question), hosts))
    module.exit_json(
        changed=False,
        servers=[server.as_dict() for server in servers],
        quorum=zk_4lw.quorum(servers, expected),
    )


if __name__ == "__main__":
    main()
