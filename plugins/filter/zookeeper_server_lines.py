# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``zookeeper_server_lines``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

DOCUMENTATION = r"""
name: zookeeper_server_lines
short_description: The server lines of zoo.cfg
version_added: 0.1.0
author: Holdfast contributors
description:
  - One C(server.<id>) for each server of the ensemble.
positional: peer_port, election_port
options:
  _input:
    description: Address by node id.
    type: dict
    required: true
  peer_port:
    description: The port on which followers reach the leader.
    type: int
    required: true
  election_port:
    description: The port for elections.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Show the lines
  ansible.builtin.debug:
    msg: "{{ {'1': '192.0.2.11'} | holdfast.kafka.zookeeper_server_lines(2888, 3888) }}"
"""

RETURN = r"""
_value:
  description: The lines as a dictionary.
  type: dict
  sample: {server.1: '192.0.2.11:2888:3888'}
"""


def zookeeper_server_lines(servers: Mapping[Any, str], peer_port: int, election_port: int) -> dict[str, str]:
    """Lines of zoo.cfg by their key."""
    return {f"server.{node_id}": f"{address}:{peer_port}:{election_port}" for node_id, address in servers.items()}


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"zookeeper_server_lines": zookeeper_server_lines}
