#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: boot_phase
short_description: Record when a node's boot reached a phase
version_added: 0.1.0
author:
  - Holdfast contributors
description:
  - Writes the time at which a phase was first reached in this boot of the machine into a JSON file, and says it.
  - A phase that is recorded already keeps its time, so that a second run in the same boot changes nothing.
    A new boot starts a new record.
  - Is an action plugin that works in the controller's own process, because a node's boot is on the clock.
    The connection must be local.
options:
  phase:
    description: The phase that is reached now. Without it the record is only opened and read.
    type: str
  path:
    description: The record.
    type: path
    default: /var/lib/holdfast/boot.json
  detail:
    description:
      - What the phase has brought, for the line that is printed when it is reached first, such as the identity and the
        ids of its resources. It is not recorded; passwords are left out.
    type: str
    default: ""
  failure:
    description: Print a line that the boot has failed, and why. It is not recorded; passwords are left out.
    type: str
  reason:
    description: The word of O(failure), which has a page in C(docs/runbooks/reasons).
    type: str
    default: ""
attributes:
  check_mode:
    description: Can run in check mode and return what it would without changing the target.
    support: full
  diff_mode:
    description: The record is not shown as a difference.
    support: none
"""

EXAMPLES = r"""
- name: Record the start of the claim
  holdfast.kafka.boot_phase:
    phase: claim_start

- name: Tell what was claimed
  holdfast.kafka.boot_phase:
    phase: claim_end
    detail: kafka 1 (claimed), eni-0123456789abcdef0, vol-0123456789abcdef0
"""

RETURN = r"""
phases:
  description: ISO 8601 times in UTC by phase.
  returned: success
  type: dict
  sample: {claim_start: '2030-01-02T03:04:05.678Z'}
first_run:
  description:
    - Whether no run in this boot of the machine had finished before this task. A run finishes with one of the phases
      C(signalled), C(finished), C(gave_up) and C(kept).
  returned: success
  type: bool
"""
