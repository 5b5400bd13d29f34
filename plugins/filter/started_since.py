# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``started_since``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: started_since
short_description: Whether a process has been started since a time
version_added: 0.1.0
author: Holdfast contributors
description:
  - Compares ages and not times. The process's is by its host's clock, that of the time by the controller's, so clocks
    that differ do no harm.
options:
  _input:
    description: What M(holdfast.kafka.service_process_info) returned.
    type: dict
    required: true
  since:
    description: A time in UTC such as V(2026-05-04T03:02:01Z), or nothing, since when no process has been started.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Leave alone what this roll has started already
  ansible.builtin.debug:
    msg: "{{ process | holdfast.kafka.started_since('2026-05-04T03:02:01Z') }}"
"""

RETURN = r"""
_value:
  description: Whether the process runs and is younger than the time.
  type: bool
"""


def started_since(process: Mapping[str, Any], since: str) -> bool:
    """Whether the process runs and was started after the time."""
    if not since:
        return False
    try:
        begun = datetime.fromisoformat(since)
    except (TypeError, ValueError):
        begun = None
    if begun is None or begun.utcoffset() is None:
        raise AnsibleFilterError(f"started_since: {since!r} is no time in UTC such as 2026-05-04T03:02:01Z")
    age = process.get("age_seconds")
    return bool(process.get("running")) and age is not None and age < (datetime.now(UTC) - begun).total_seconds()


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"started_since": started_since}
