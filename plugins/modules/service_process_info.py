#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Report what a service's process runs with, and whether a restart is due."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_process_info
short_description: Report what a service's process runs with, and whether a restart is due
version_added: 0.1.0
author:
  - Holdfast contributors
description:
  - Says which process of Kafka or ZooKeeper runs on this host, since when, and which version it runs.
  - Says exactly whether the configuration, the unit, the installed release or Java on the disk differ from what the
    process was started with. The unit notes digests in C(/run/<service>/started-with) right before each start, also
    after a crash; the version is that of the jar that the process holds open.
  - A file that was changed and changed back needs no restart, whatever its time says.
  - Runs on the node, as root.
options:
  service:
    description: The service.
    type: str
    required: true
    choices: [kafka, zookeeper]
extends_documentation_fragment:
  - holdfast.kafka.attributes.info
notes:
  - Files that the service reads beyond those the role writes (a keystore of one's own) and drop-ins of the unit are not
    compared.
"""

EXAMPLES = r"""
- name: Ask what the broker runs with
  holdfast.kafka.service_process_info:
    service: kafka
  register: process

- name: Say why a restart is due
  ansible.builtin.debug:
    msg: "{{ process.differences | map(attribute='detail') | join('; ') }}"
  when: process.restart_pending
"""

RETURN = r"""
unit:
  description: The service's unit.
  returned: success
  type: str
  sample: kafka.service
running:
  description: Whether its process lives.
  returned: success
  type: bool
active_state:
  description: What systemd calls its state.
  returned: success
  type: str
  sample: active
pid:
  description: The main process; 0 without one.
  returned: success
  type: int
age_seconds:
  description: How long the process runs, in seconds, by this host's own clock.
  returned: success
  type: float
since:
  description: When it was started, UTC; empty without a process.
  returned: success
  type: str
  sample: "2026-05-04T03:02:01Z"
version:
  description: The version that runs; empty without a process.
  returned: success
  type: str
  sample: 3.9.1
release:
  description: The directory of the release that runs.
  returned: success
  type: str
  sample: /opt/kafka_2.13-3.9.1
installed_version:
  description: The version that the next start would run.
  returned: success
  type: str
installed_release:
  description: The directory that the link C(/opt/<service>) leads to.
  returned: success
  type: str
restart_pending:
  description: Whether a restart would run anything else than what runs. V(false) without a process.
  returned: success
  type: bool
pending:
  description:
    - What differs, out of V(configuration), V(unit), V(version), V(java), and V(unknown) for a process whose unit noted
      nothing.
  returned: success
  type: list
  elements: str
differences:
  description: Each difference as a dictionary of C(what), C(path) and C(detail). No content of a file is shown.
  returned: success
  type: list
  elements: dict
reason:
  description:
    - V(not_found) (no such unit on this host) or V(read_failed) (systemd does not answer, or this is not root).
  returned: failure
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import process_stamp
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"service": {"type": "str", "required": True, "choices": ["kafka", "zookeeper"]}},
        supports_check_mode=True,
    )
    try:
        seen = process_stamp.Host(module.run_command).look(module.params["service"])
    except HoldfastError as error:
        module.fail_json(msg=error.message, reason=error.reason)
    module.exit_json(changed=False, **process_stamp.report(seen, time.time()))


if __name__ == "__main__":
    main()
