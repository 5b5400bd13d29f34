#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until this host's ZooKeeper server is in the quorum."""

from __future__ import annotations

DOCUMENTATION = r"""
module: zookeeper_member_wait
short_description: Wait until this host's ZooKeeper server is in the quorum
version_added: 0.1.0
description:
  - Asks the server by C(srvr) until it leads, follows or observes or, as the only server of its ensemble, stands alone.
  - Ends at once when its systemd unit fails, is stopped, or restarts over and over, with the last lines of its journal.
  - At the end of the time it asks the other servers too, and says what each of them said.
author:
  - Holdfast contributors
extends_documentation_fragment:
  - holdfast.kafka.attributes
options:
  host:
    description: The server's client address, as C(host) or C(host:port). The port is 2181 unless given.
    type: str
    required: true
  peers:
    description: The client addresses of the other servers.
    type: list
    elements: str
    default: []
  service:
    description: The server's systemd unit on this host. Without it only the server is asked.
    type: str
  service_restart_limit:
    description: How many restarts of O(service) by systemd during the wait end it.
    type: int
    default: 5
  poll_seconds:
    description: How long to wait between two looks.
    type: float
    default: 1
  timeout_seconds:
    description: How long to wait in all.
    type: float
    default: 600
attributes:
  check_mode:
    support: full
    details: It looks once and does not wait.
  diff_mode:
    support: none
seealso:
  - module: holdfast.kafka.zookeeper_ensemble_info
"""

EXAMPLES = r"""
- name: Wait until this server is in the quorum
  holdfast.kafka.zookeeper_member_wait:
    host: 10.77.1.11
    peers: [10.77.2.12, 10.77.3.13]
    service: zookeeper.service
"""

RETURN = r"""
mode:
  description: V(leader), V(follower), V(observer) or V(standalone); null in check mode when it does not serve.
  returned: success
  type: str
waited_seconds:
  description: How long it waited.
  returned: always
  type: float
give_up:
  description: Whether another instance may do better. V(false) when this server runs and its peers are missing.
  returned: failure of the wait
  type: bool
reason:
  description:
    - V(crash_loop), V(service_failed) and V(service_stopped) speak of O(service).
    - V(not_answering) means that this server says nothing, V(not_joined) that it stays outside of the peers' quorum,
      V(no_quorum) that it runs and there is no quorum to join.
    - V(bad_parameter) speaks of the call.
  returned: failure
  type: str
"""

import time
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import addresses, service_watch, zk_4lw, zk_member
from ansible_collections.holdfast.kafka.plugins.module_utils.number_bounds import require_numbers

ANSWER_SECONDS = 3.0


def ask(address: addresses.Address) -> zk_4lw.Server:
    """Ask one server."""
    return zk_4lw.read_server(address, lambda where, word: zk_4lw.ask(where, word, ANSWER_SECONDS))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "peers": {"type": "list", "elements": "str", "default": []},
            "service": {"type": "str"},
            "service_restart_limit": {"type": "int", "default": 5},
            "poll_seconds": {"type": "float", "default": 1},
            "timeout_seconds": {"type": "float", "default": 600},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    try:
        require_numbers(parameters, ("service_restart_limit", "poll_seconds", "timeout_seconds"))
    except ValueError as error:
        module.fail_json(msg=f"{error}.", reason="bad_parameter")
    try:
        host = addresses.parse(parameters["host"], default_port=2181)
        peers = [addresses.parse(text, default_port=2181) for text in parameters["peers"]]
    except ValueError as error:
        module.fail_json(msg=f"host, peers: {error}", reason="bad_parameter")
    expected = len(peers) + 1
    service = service_watch.Systemd(parameters["service"], module.run_command) if parameters["service"] else None
    began = time.monotonic()
    before: int | None = None
    while True:
        fault = None
        if service is not None and not module.check_mode:
            seen = service.look()
            # systemctl restart begins the count anew.
            before = seen.restarts if before is None else min(before, seen.restarts)
            fault = service_watch.judge(seen, before, parameters["service_restart_limit"])
        me = ask(host)
        waited = round(time.monotonic() - began, 1)
        if fault is None and (zk_member.serves(me, expected) or module.check_mode):
            module.exit_json(changed=False, mode=me.mode, waited_seconds=waited)
        if fault is None and waited >= parameters["timeout_seconds"]:
            with ThreadPoolExecutor(max_workers=expected) as pool:
                fault = zk_member.judge(me, list(pool.map(ask, peers)), waited)
        if fault is not None:
            words = service.last_words() if service is not None and fault.own else ""
            module.fail_json(
                msg=f"{fault.message}.{words}", reason=fault.reason, give_up=fault.own, waited_seconds=waited
            )
        time.sleep(parameters["poll_seconds"])


if __name__ == "__main__":
    main()
