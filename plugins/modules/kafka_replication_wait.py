#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until brokers are registered and in sync."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kafka_replication_wait
short_description: Wait until brokers are registered and in sync
version_added: 0.1.0
description:
  - Waits until the given brokers are registered, on the right host, answer, and are in the ISR of every partition they
    host, for several reads in a row.
  - Shows while it waits what it waits for, how far that is, how fast it moves and how long it may still take.
  - Fails with the names of the partitions, never with "timed out" alone.
author:
  - Holdfast contributors
extends_documentation_fragment:
  - holdfast.kafka.attributes
  - holdfast.kafka.kafka
options:
  bootstrap_servers:
    required: true
  node_ids:
    description: The brokers to wait for. Needed unless O(scope=cluster).
    type: list
    elements: int
    default: []
  expected_hosts:
    description: The host that each broker must announce, by node id. Brokers that are not named may announce any.
    type: dict
    default: {}
  scope:
    description:
      - V(nodes) looks at the replicas that O(node_ids) host.
      - V(cluster) looks at all replicas; nothing may be under-replicated anywhere.
    type: str
    default: nodes
    choices: [nodes, cluster]
  stable_reads:
    description: How many reads in a row must be good.
    type: int
    default: 3
  poll_seconds:
    description: How long to wait between two reads.
    type: float
    default: 2
  timeout_seconds:
    description: How long to wait in all.
    type: float
    default: 600
  stall_timeout_seconds:
    description:
      - How long nothing may move while all of O(node_ids) are registered. V(0) means for ever.
      - Movement is another replica in sync, or more bytes in the replicas that are behind.
      - With O(service) it also bounds how long a broker may stay unregistered while its service does not move. Movement
        is then also a line about loading or repairing logs, another open segment, or 16 MiB read.
    type: float
    default: 300
  service:
    description:
      - The systemd unit of the only one of O(node_ids), when this runs on its host, such as V(kafka.service).
      - The wait then ends as soon as the unit fails, is stopped, or is restarted O(service_restart_limit) times.
    type: str
  service_restart_limit:
    description:
      - How many restarts of O(service) by systemd during the wait end it.
      - A broker that died and comes back may be refused until its old session ends, so some restarts are normal.
    type: int
    default: 8
  slice_seconds:
    description: For the action plugin, which shows progress between slices. V(0) waits in one go.
    type: float
    default: 0
  resume:
    description: For the action plugin. What the slice before returned.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    details: It reads once and tells what it would wait for.
  diff_mode:
    support: none
seealso:
  - module: holdfast.kafka.kafka_cluster_info
"""

EXAMPLES = r"""
- name: Wait until the broker is back
  holdfast.kafka.kafka_replication_wait:
    bootstrap_servers: [10.77.1.21, 10.77.2.22, 10.77.3.23]
    node_ids: [2]
    expected_hosts:
      "2": 10.77.2.22
    timeout_seconds: 1800

- name: Wait until nothing is under-replicated anywhere
  holdfast.kafka.kafka_replication_wait:
    bootstrap_servers: [10.77.1.21]
    scope: cluster
"""

RETURN = r"""
give_up:
  description:
    - Whether another instance may do better, because O(service) crashes or the broker never came while nothing moved.
    - V(false) when the broker is there and replicas lag, or when something still moved at the end.
  returned: failure of the wait
  type: bool
state:
  description:
    - V(reached) when everything is as wanted.
    - V(waiting) when it is not and the module did not wait, as in check mode.
    - V(failed) otherwise.
  returned: always
  type: str
waited_seconds:
  description: How long it waited.
  returned: always
  type: float
reads:
  description: How often the cluster was read.
  returned: always
  type: int
progress:
  description: What is waited for and how far it is, in one line.
  returned: always
  type: str
  sample: "broker 2: 12 of 40 replicas in sync, 1.2 GB to copy, at 35.0 MB/s, about 34 s left (20 s of at most 600 s)"
replicas_total:
  description: How many replicas are looked at.
  returned: when the cluster was read
  type: int
replicas_in_sync:
  description: How many of them are in sync.
  returned: when the cluster was read
  type: int
remaining_bytes:
  description: How much the replicas that are behind hold less than their leaders; null when unknown.
  returned: when the cluster was read
  type: int
rate_bytes_per_second:
  description: How fast they have grown lately; null when unknown.
  returned: when the cluster was read
  type: float
estimated_seconds_left:
  description: How long copying will take at that rate; null when unknown.
  returned: when the cluster was read
  type: float
unregistered:
  description: Those of O(node_ids) that are not registered.
  returned: when the cluster was read
  type: list
  elements: int
wrong_hosts:
  description: The brokers that announce another host, as C(node_id), C(expected), C(found).
  returned: when the cluster was read
  type: list
  elements: dict
lagging:
  description:
    - The partitions with a replica behind, as C(topic), C(partition), C(leader), C(replicas), C(isr) and C(missing).
  returned: when the cluster was read
  type: list
  elements: dict
silent:
  description: Those of O(node_ids) that are registered and do not answer, as after a kill until the session ends.
  returned: when the cluster was read
  type: list
  elements: int
offline:
  description: The partitions without a leader, shaped as in RV(lagging).
  returned: when the cluster was read
  type: list
  elements: dict
reason:
  description:
    - Why it failed.
    - V(crash_loop), V(service_failed) and V(service_stopped) speak of O(service); the message has its last lines.
    - V(zookeeper_unreachable) means that O(service) ends again and again because no ZooKeeper server answers it. It is
      waited for within O(stall_timeout_seconds), however often it restarts, and no other instance would do better.
    - V(timeout) and V(stalled) mean that replicas lag; V(not_registered), V(wrong_host) and V(offline) say what else is
      wrong at the end of the wait; V(unreachable) means that no broker of O(bootstrap_servers), or one of O(node_ids),
      answers; V(auth), V(kafka_error), V(bad_parameter) and V(missing_library) speak of the connection and the call.
  returned: failure
  type: str
"""

import contextlib
import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import kafka_reader, service_watch
from ansible_collections.holdfast.kafka.plugins.module_utils.addresses import Address
from ansible_collections.holdfast.kafka.plugins.module_utils.number_bounds import require_numbers
from ansible_collections.holdfast.kafka.plugins.module_utils.replication_watch import (
    Decision,
    Goal,
    Reading,
    Watch,
    look,
)


def goal_of(parameters: Mapping[str, Any]) -> Goal:
    """Return the goal; ValueError when the parameters make none."""
    try:
        hosts = {int(node_id): str(host) for node_id, host in parameters["expected_hosts"].items()}
    except ValueError as error:
        raise ValueError(f"expected_hosts has a key that is no node id: {error}") from error
    node_ids = tuple(sorted(set(parameters["node_ids"])))
    whole = parameters["scope"] == "cluster"
    if parameters["service"] and len(node_ids) != 1:
        raise ValueError("service belongs to one broker, and node_ids must name it")
    if not node_ids and not whole:
        raise ValueError("node_ids names no broker; with scope=cluster it need not")
    if set(hosts) - set(node_ids):
        raise ValueError("expected_hosts names a broker that node_ids does not")
    require_numbers(parameters, ("stable_reads", "timeout_seconds", "poll_seconds", "service_restart_limit"))
    require_numbers(parameters, ("stall_timeout_seconds", "slice_seconds"), 0)
    return Goal(
        node_ids=node_ids,
        expected_hosts=hosts,
        whole_cluster=whole,
        stable_reads=parameters["stable_reads"],
        timeout_seconds=parameters["timeout_seconds"],
        stall_timeout_seconds=parameters["stall_timeout_seconds"],
    )


class Waiting:
    """The loop around the watch: reads, sleeps, keeps the last reading."""

    def __init__(
        self,
        goal: Goal,
        options: Mapping[str, Any],
        resume: Mapping[str, Any],
        service: service_watch.Systemd | None = None,
        restart_limit: int = 8,
    ) -> None:
        self.goal = goal
        self.service = service
        self.restart_limit = restart_limit
        self.options = options
        self.watch = Watch.resumed(goal, resume)
        self.began = time.monotonic() - float(resume.get("elapsed", 0.0))
        self.reader: kafka_reader.Reader | None = None
        self.reading: Reading | None = None
        self.problem = ""

    @property
    def elapsed(self) -> float:
        """Seconds since the wait began, in whichever process that was."""
        return time.monotonic() - self.began

    def poll(self) -> Decision:
        """Read once and decide."""
        if self.service is None:
            return self._observe(None)
        seen = self.service.look()
        fault = self._fault(seen)
        crashes = seen.restarts > self.watch.restarts_before or not seen.runs
        orphaned = crashes and self.service.misses_zookeeper()
        if fault and not (orphaned and fault.reason == "crash_loop"):
            said = f"{fault.message}.{self.service.last_words()}"
            return Decision("failed", fault.reason, said, give_up=fault.own)
        # A process that starts anew and anew without ZooKeeper is no progress.
        moving = self.watch.moved(self.service.recovery(seen)) and not orphaned
        decision = self._observe(moving)
        if decision.state == "failed" and orphaned:
            said = f"{seen.unit} reaches no ZooKeeper server and starts again until it does: {decision.message}"
            return Decision("failed", "zookeeper_unreachable", f"{said}.{self.service.last_words()}")
        return decision

    def _observe(self, moving: bool | None) -> Decision:
        """Read the cluster and decide; ``moving`` is whether the watched service still recovers."""
        try:
            self.reading = self._read()
        except kafka_reader.ReadError as error:
            self.close()
            self.reading = None
            self.problem = str(error)
            return self.watch.observe_problem(self.elapsed, error.reason, str(error), moving)
        return self.watch.observe(self.elapsed, self.reading, moving)

    def _fault(self, seen: service_watch.Service) -> service_watch.Fault | None:
        before = self.watch.restarts_before
        # systemctl restart begins the count anew.
        self.watch.restarts_before = seen.restarts if before < 0 else min(before, seen.restarts)
        return service_watch.judge(seen, self.watch.restarts_before, self.restart_limit)

    def wait(self, poll_seconds: float, slice_seconds: float) -> Decision:
        """Poll until there is a decision or, with ``slice_seconds``, the slice is over."""
        slice_ends = self.elapsed + slice_seconds if slice_seconds > 0 else float("inf")
        while True:
            decision = self.poll()
            if decision.state != "waiting" or self.elapsed + poll_seconds > slice_ends:
                return decision
            time.sleep(min(poll_seconds, max(0.1, self.goal.timeout_seconds - self.elapsed)))

    def close(self) -> None:
        """End the connection; the next poll makes another."""
        if self.reader is not None:
            self.reader.close()
            self.reader = None

    def facts(self) -> dict[str, Any]:
        """Return what the module returns, whichever way it ends."""
        elapsed = self.elapsed
        facts: dict[str, Any] = {
            "waited_seconds": round(elapsed, 1),
            "reads": self.watch.reads,
            "progress": self.watch.progress(elapsed, self.reading, self.problem),
        }
        if self.reading is not None:
            reading = self.reading
            facts.update(
                replicas_total=reading.replicas_total,
                replicas_in_sync=reading.replicas_in_sync,
                remaining_bytes=reading.remaining_bytes,
                rate_bytes_per_second=self.watch.rate_bytes_per_second(),
                estimated_seconds_left=self.watch.seconds_left(reading),
                unregistered=list(reading.unregistered),
                silent=list(reading.silent),
                wrong_hosts=[
                    {"node_id": node_id, "expected": wanted, "found": found}
                    for node_id, wanted, found in reading.wrong_hosts
                ],
                lagging=[partition.as_dict() for partition in reading.lagging],
                offline=[partition.as_dict() for partition in reading.offline],
            )
        return facts

    def _read(self) -> Reading:
        if self.reader is None:
            self.reader = kafka_reader.Reader(self.options)
        view = self.reader.read()
        reading = look(view, self.goal)
        registered = {broker.node_id: Address(broker.host, broker.port) for broker in view.brokers}
        if reading.reached:
            silent = tuple(node for node in self.goal.node_ids if not self.reader.answers(registered[node]))
            return dataclasses.replace(reading, silent=silent)
        if not reading.lagging:
            return reading
        involved = {replica for p in reading.lagging for replica in (*p.missing, p.leader) if replica in registered}
        try:
            return look(view, self.goal, self.reader.replica_bytes(sorted(involved)))
        except kafka_reader.ReadError:
            # Sizes only make the estimate; a broker that went down between two requests must not end the wait.
            return reading


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **kafka_reader.argument_spec(),
            "bootstrap_servers": {"type": "list", "elements": "str", "required": True},
            "node_ids": {"type": "list", "elements": "int", "default": []},
            "expected_hosts": {"type": "dict", "default": {}},
            "scope": {"type": "str", "default": "nodes", "choices": ["nodes", "cluster"]},
            "stable_reads": {"type": "int", "default": 3},
            "poll_seconds": {"type": "float", "default": 2},
            "timeout_seconds": {"type": "float", "default": 600},
            "stall_timeout_seconds": {"type": "float", "default": 300},
            "service": {"type": "str"},
            "service_restart_limit": {"type": "int", "default": 8},
            "slice_seconds": {"type": "float", "default": 0},
            "resume": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    kafka_reader.require_library(module)
    parameters = module.params
    try:
        goal = goal_of(parameters)
        options = kafka_reader.client_options(parameters)
    except (ValueError, kafka_reader.ReadError) as error:
        module.fail_json(msg=str(error), reason="bad_parameter", state="failed")
    service = service_watch.Systemd(parameters["service"], module.run_command) if parameters["service"] else None
    waiting = Waiting(goal, options, parameters["resume"], service, parameters["service_restart_limit"])
    with contextlib.closing(waiting):
        if module.check_mode:
            decision = waiting.poll()
            if waiting.reading is not None and waiting.reading.reached:
                decision = Decision("reached")
        else:
            decision = waiting.wait(parameters["poll_seconds"], parameters["slice_seconds"])
    facts = waiting.facts()
    if decision.state == "failed":
        module.fail_json(
            msg=decision.message, reason=decision.reason, state="failed", give_up=decision.give_up, **facts
        )
    if decision.state == "waiting" and not module.check_mode:
        facts["resume"] = waiting.watch.state()
    module.exit_json(changed=False, state=decision.state, **facts)


if __name__ == "__main__":
    main()
