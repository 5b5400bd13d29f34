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
extends_documentation_fragment:
  - holdfast.kafka.attributes
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
reason:
  description: V(bad_parameter), V(record_missing), V(record_broken) or V(write_failed).
  returned: failure
  type: str
"""

import time
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import roll_events, roll_files
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
        },
        supports_check_mode=True,
    )
    params = module.params
    if params["batch"] is not None and params["batch"] < 1:
        module.fail_json(msg=f"batch is {params['batch']}; batches count from 1.", reason="bad_parameter")
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
    except HoldfastError as error:
        module.fail_json(msg=error.message, reason=error.reason)
    diff = {"before": "", "after": f"{event.line()}\n", "after_header": f"{params['directory']}/{roll_files.EVENTS}"}
    module.exit_json(changed=True, event={**asdict(event), "node_ids": list(event.node_ids)}, diff=diff)


if __name__ == "__main__":
    main()
