#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give partitions back to their preferred leaders."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kafka_leader_election
short_description: Give partitions back to their preferred leaders
version_added: 0.1.0
description:
  - After a restart a broker leads nothing until its partitions are given back to it. This elects the preferred replica,
    which is the first, of every partition that another one leads, and waits until it leads.
  - Asks for no election that is not needed, and for no unclean one.
author:
  - Holdfast contributors
extends_documentation_fragment:
  - holdfast.kafka.attributes
  - holdfast.kafka.kafka
options:
  bootstrap_servers:
    required: true
  timeout_seconds:
    description:
      - How long to wait until the preferred replicas lead. Those that are out of sync are waited for as well.
    type: float
    default: 60
  poll_seconds:
    description: How long to wait between two reads.
    type: float
    default: 1
attributes:
  check_mode:
    support: full
    details: It reads once and says what it would elect; a preferred replica that is out of sync is no failure then.
  diff_mode:
    support: full
    details: Shows how many partitions each broker leads. In check mode it shows what would be elected now.
seealso:
  - module: holdfast.kafka.kafka_replication_wait
"""

EXAMPLES = r"""
- name: Give every partition back to its preferred leader
  holdfast.kafka.kafka_leader_election:
    bootstrap_servers: [10.77.1.21, 10.77.2.22, 10.77.3.23]
"""

RETURN = r"""
moved:
  description:
    - The first 100 partitions that their preferred replica leads now and did not lead before, as C(topic),
      C(partition), C(from) and C(to). In check mode those that would be elected.
  returned: when the cluster was read
  type: list
  elements: dict
  sample: [{"topic": "orders", "partition": 0, "from": 2, "to": 1}]
moved_count:
  description: How many these are.
  returned: when the cluster was read
  type: int
not_elected:
  description:
    - The first 100 partitions that another replica leads still, as C(topic), C(partition), C(leader),
      C(preferred_leader) and C(in_sync).
  returned: when the cluster was read
  type: list
  elements: dict
not_elected_count:
  description: How many these are.
  returned: when the cluster was read
  type: int
leaders:
  description: How many partitions each registered broker leads, by node id, at the last read.
  returned: when the cluster was read
  type: dict
waited_seconds:
  description: How long it waited.
  returned: when the cluster was read
  type: float
reason:
  description:
    - V(not_elected) when other replicas lead at the end of the time; RV(not_elected) names the partitions.
    - V(unreachable), V(auth), V(kafka_error), V(bad_parameter) and V(missing_library) speak of the connection and the
      call.
  returned: failure
  type: str
"""

import contextlib
import time
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import kafka_reader, leader_election
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import View
from ansible_collections.holdfast.kafka.plugins.module_utils.leader_election import Move
from ansible_collections.holdfast.kafka.plugins.module_utils.number_bounds import require_numbers


class Election:
    """The elections of one run: what was to move when it began, and what still is."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._reader: kafka_reader.Reader | None = None
        self._began = time.monotonic()
        self.first: View | None = None
        self.view: View | None = None
        self.before: list[Move] = []
        self.left: list[Move] = []
        self.refused: dict[str, str] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def look(self) -> None:
        """Read the cluster; ReadError."""
        if self._reader is None:
            self._reader = kafka_reader.Reader(self._options)
        self.view = self._reader.read()
        self.left = leader_election.moves(self.view)
        if self.first is None:
            self.first, self.before = self.view, self.left

    def elect(self) -> None:
        """Ask for the elections that are needed and possible; ReadError."""
        assert self._reader is not None, "look() comes first"
        for request in leader_election.requests(self.left):
            self.refused.update(self._reader.elect_preferred(request))

    def wait(self, timeout_seconds: float, poll_seconds: float) -> None:
        """Elect until nothing is left or the time is over; ReadError when the cluster cannot be read to the end."""
        while True:
            try:
                self.look()
                if not self.left or (self.elapsed >= timeout_seconds):
                    return
                self.elect()
            except kafka_reader.ReadError as error:
                self.close()
                if error.reason not in ("unreachable", "kafka_error") or self.elapsed >= timeout_seconds:
                    raise
            time.sleep(min(poll_seconds, max(0.1, timeout_seconds - self.elapsed)))

    def close(self) -> None:
        """End the connection; the next look makes another."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def facts(self, check_mode: bool) -> dict[str, Any]:
        """Return what the module returns; nothing when the cluster was never read."""
        if self.view is None or self.first is None:
            return {}
        after = [move for move in self.left if not move.possible] if check_mode else self.left
        moved = leader_election.moved(self.before, after)
        before, leaders = leader_election.leaders(self.first), leader_election.leaders(self.view)
        if check_mode:
            leaders = {**before}
            for one in moved:
                leaders[str(one["to"])] += 1
                if one["from"] is not None:
                    leaders[str(one["from"])] -= 1
        facts = {
            "moved": moved[: leader_election.KEPT],
            "moved_count": len(moved),
            "not_elected": [move.as_dict() for move in after[: leader_election.KEPT]],
            "not_elected_count": len(after),
            "leaders": leader_election.leaders(self.view),
            "waited_seconds": round(self.elapsed, 1),
            "changed": bool(moved),
        }
        return {**facts, "diff": {"before": {"leaders": before}, "after": {"leaders": leaders}}} if moved else facts


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **kafka_reader.argument_spec(),
            "bootstrap_servers": {"type": "list", "elements": "str", "required": True},
            "timeout_seconds": {"type": "float", "default": 60},
            "poll_seconds": {"type": "float", "default": 1},
        },
        supports_check_mode=True,
    )
    kafka_reader.require_library(module)
    parameters = module.params
    try:
        require_numbers(parameters, ("timeout_seconds", "poll_seconds"))
        options = kafka_reader.client_options(parameters)
    except (ValueError, kafka_reader.ReadError) as error:
        module.fail_json(msg=str(error), reason="bad_parameter")
    election = Election(options)
    with contextlib.closing(election):
        try:
            if module.check_mode:
                election.look()
            else:
                election.wait(parameters["timeout_seconds"], parameters["poll_seconds"])
        except kafka_reader.ReadError as error:
            module.fail_json(msg=str(error), reason=error.reason, **election.facts(check_mode=False))
    facts = election.facts(module.check_mode)
    if election.left and not module.check_mode:
        told = leader_election.complaint(election.left, election.refused)
        count = f"{len(election.left)} partition{'s are' if len(election.left) > 1 else ' is'}"
        message = f"after {parameters['timeout_seconds']:g} s {count} not led by the preferred replica: {told}"
        module.fail_json(msg=message, reason="not_elected", **facts)
    module.exit_json(**facts)


if __name__ == "__main__":
    main()
