#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_evidence
version_added: 0.2.0
short_description: Keep what a node knows about its service when something went wrong
description:
  - Reads what systemd says of a unit, the end of its journal, and how full memory and filesystems are.
  - Passwords, keys and what follows their names are left out, and whatever is given as O(hidden).
  - What cannot be read is told in RV(evidence.problems) and fails nothing, since this runs after a failure.
options:
  unit:
    description: The unit.
    type: str
    required: true
  journal_lines:
    description: How many lines of the journal to keep.
    type: int
    default: 300
  hidden:
    description: Texts that must not be in the result, such as the passwords of the play.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - holdfast.kafka.attributes
  - holdfast.kafka.attributes.info
author:
  - Holdfast contributors
"""

EXAMPLES = r"""
- name: Keep what the broker knows
  holdfast.kafka.service_evidence:
    unit: kafka.service
    hidden: ["{{ holdfast_zookeeper_auth.password }}"]
  register: evidence
"""

RETURN = r"""
evidence:
  description: What was found.
  returned: success
  type: dict
  contains:
    unit:
      description: The unit.
      type: str
    state:
      description: Properties of the unit, as systemd names them.
      type: dict
      sample: {"ActiveState": "failed", "Result": "exit-code", "NRestarts": "5"}
    journal:
      description: The last lines of its journal.
      type: list
      elements: str
    memory_available_bytes:
      description: Memory that can still be had.
      type: int
    filesystems:
      description: The filesystems on disks, with their C(free_bytes) and C(size_bytes).
      type: dict
    problems:
      description: What could not be read, and why.
      type: list
      elements: str
reason:
  description: V(bad_parameter).
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import node_evidence


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "unit": {"type": "str", "required": True},
            "journal_lines": {"type": "int", "default": 300},
            "hidden": {"type": "list", "elements": "str", "default": [], "no_log": True},
        },
        supports_check_mode=True,
    )
    lines = module.params["journal_lines"]
    if not 1 <= lines <= 10_000:
        module.fail_json(msg=f"journal_lines is {lines}; it must be between 1 and 10000.", reason="bad_parameter")
    evidence = node_evidence.collect(module.run_command, module.params["unit"], lines)
    module.exit_json(changed=False, evidence=evidence)


if __name__ == "__main__":
    main()
