#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: refuse
short_description: End a run with a reason that machines read as well
version_added: 0.1.0
author:
  - Holdfast contributors
description:
  - Fails, always. For what only a play can see.
  - M(ansible.builtin.assert) tells a person, and not whether another instance would do better.
  - An action plugin does the work, so that it needs neither a connection nor an interpreter there.
options:
  reason:
    description: The word by which runbooks and plays know it.
    type: str
    required: true
  msg:
    description: What is wrong, with its values, and what to do.
    type: str
    required: true
  give_up:
    description: Whether another instance would do better. A boot gives its instance up for nothing else.
    type: bool
    required: true
attributes:
  check_mode:
    description: Can run in check mode and return what it would without changing the target.
    support: full
  diff_mode:
    description: Nothing is changed, so there is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Refuse an empty lone server where there was a full one
  holdfast.kafka.refuse:
    reason: database_missing
    msg: The only server of this ensemble has lost its data. Restore the volume from a snapshot.
    give_up: false
  when: not zookeeper_founds
"""

RETURN = r"""
reason:
  description: The reason given.
  returned: always
  type: str
give_up:
  description: As given.
  returned: always
  type: bool
"""
