# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``roll_targets``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

DOCUMENTATION = r"""
name: roll_targets
short_description: Whom of a pool a run is for, and who in its limit is no member
version_added: 0.1.0
author: Holdfast contributors
description:
  - Without a limit every identity of the pool is meant, also one that no instance has. With one, those whose hosts are
    in the play.
  - A host of the role's group that is in the limit and in no pool is a stranger; a run that leaves it out would seem to
    have done it. Hosts of other roles are none, because a limit may name groups of several.
options:
  _input:
    description: The names of the pool's identities, as the inventory has them.
    type: list
    elements: str
    required: true
  hosts:
    description: The hosts of the play, as C(ansible_play_hosts_all).
    type: list
    elements: str
    required: true
  group:
    description: The hosts of the role's group.
    type: list
    elements: str
    required: true
  limited:
    description: Whether the run has a limit.
    type: bool
    required: true
"""

EXAMPLES = r"""
- name: Show who is meant
  ansible.builtin.debug:
    msg: >-
      {{ ['demo-kafka-1', 'demo-kafka-2']
         | holdfast.kafka.roll_targets(ansible_play_hosts_all, groups.kafka, ansible_limit is defined) }}
"""

RETURN = r"""
_value:
  description: C(targets), in the pool's order, and C(strangers); without a limit there are none.
  type: dict
  sample: {targets: [demo-kafka-1], strangers: [demo-kafka-9]}
"""


def roll_targets(
    names: Sequence[str], hosts: Sequence[str], group: Sequence[str], limited: bool
) -> dict[str, list[str]]:
    """Targets and strangers of a run."""
    if not limited:
        return {"targets": list(names), "strangers": []}
    return {
        "targets": [name for name in names if name in hosts],
        "strangers": [host for host in hosts if host in group and host not in names],
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"roll_targets": roll_targets}
