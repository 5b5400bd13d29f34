#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: roll_event
version_added: 0.2.0
short_description: Note what happens in a roll
description:
  - Appends one line to C(events.jsonl) in the directory of a run, with the time and the seconds since the run began.
  - Passwords, keys and what follows their names are left out of O(detail).
  - It runs on the controller. Several tasks may append at once.
  - With O(lock) it renews the cluster's lock, too, or fails because the run has lost it.
options:
  directory:
    description: The directory of the run. It is made with O(kind=run_start).
    type: path
    required: true
  kind:
    description: What happens. V(run_start) is the first event of a run, and nothing follows V(run_end).
    type: str
    required: true
    choices:
      - run_start
      - plan
      - refused
      - batch_start
      - stop_start
      - deferred
      - stopped
      - started
      - in_sync
      - batch_end
      - leaders
      - failed
      - run_end
  batch:
    description: The batch that it belongs to, from 1 on.
    type: int
  node_ids:
    description: The nodes that it is about.
    type: list
    elements: int
    default: []
  detail:
    description:
      - Whatever else is known of it.
      - C(under_replicated), partitions with a replica out of sync as a list or their number, is drawn over time.
    type: dict
    default: {}
  lock:
    description:
      - The token that M(holdfast.kafka.cluster_lock) returned.
      - The lock is renewed once the event is noted, and only looked at in check mode.
    type: dict
  zookeeper_hosts:
    description: The ZooKeeper servers that have O(lock), as C(host) or C(host:port); needed with it.
    type: list
    elements: str
extends_documentation_fragment:
  - holdfast.kafka.attributes
  - holdfast.kafka.zookeeper
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
seealso:
  - module: holdfast.kafka.roll_report
author:
  - Holdfast contributors
"""

EXAMPLES = r"""
- name: Note that a broker is in sync again
  holdfast.kafka.roll_event:
    directory: reports/rolls/20260101T120000Z-4f1c
    kind: in_sync
    batch: 1
    node_ids: [3]
    detail:
      under_replicated: 0
"""

RETURN = r"""
event:
  description: The event as it stands in the record.
  returned: success
  type: dict
  sample: {"at": "2026-01-01T12:00:41.123Z", "seconds": 41.1, "kind": "in_sync", "batch": 1, "node_ids": [3]}
lock:
  description: The lock as M(holdfast.kafka.cluster_lock) shows it.
  returned: with O(lock) on success, and with V(lock_lost) when somebody else has it
  type: dict
reason:
  description:
    - V(bad_parameter), V(record_missing), V(record_broken) and V(write_failed) speak of the event.
    - V(lock_lost), V(zookeeper_unreachable), V(zookeeper_refused), V(zookeeper_auth_failed) and V(lost_race) speak of
      O(lock). Then the event is noted all the same. With V(missing_library) it is not.
  returned: failure
  type: str
"""

import time
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.holdfast.kafka.plugins.module_utils import (
    cluster_lock,
    roll_events,
    roll_files,
    zk_security,
    zk_session,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "kind": {"type": "str", "required": True, "choices": list(roll_events.KINDS)},
            "batch": {"type": "int"},
            "node_ids": {"type": "list", "elements": "int", "default": []},
            "detail": {"type": "dict", "default": {}},
            "lock": {"type": "dict", "no_log": False},
            "zookeeper_hosts": {"type": "list", "elements": "str"},
            **zk_security.argument_spec(),
        },
        supports_check_mode=True,
    )
    zk_security.show_who(module)
    params = module.params
    library = zk_session.missing_library(params["zookeeper_auth"]) if params["lock"] is not None else None
    if library:
        module.fail_json(msg=missing_required_lib(library), reason="missing_library")
    if params["batch"] is not None and params["batch"] < 1:
        module.fail_json(msg=f"batch is {params['batch']}; batches count from 1.", reason="bad_parameter")
    try:
        prove = cluster_lock.prover(params, module.check_mode)
    except ValueError as error:
        module.fail_json(msg=str(error), reason="bad_parameter")
    try:
        event = roll_files.append(
            params["directory"],
            time.time(),
            params["kind"],
            params["batch"],
            params["node_ids"],
            params["detail"],
            write=not module.check_mode,
        )
        lock = {} if prove is None else {"lock": prove()}
    except HoldfastError as error:
        module.fail_json(msg=error.message, reason=error.reason, **error.extra)
    diff = {"before": "", "after": f"{event.line()}\n", "after_header": f"{params['directory']}/{roll_files.EVENTS}"}
    module.exit_json(changed=True, event={**asdict(event), "node_ids": list(event.node_ids)}, diff=diff, **lock)


if __name__ == "__main__":
    main()
