# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One plan of one generated cluster in a process of its own, so that its peak of memory is of that cluster alone.

Called with brokers, partitions, placement and mode; prints what was measured as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_roll_plan import Request, make_plan
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_roll_rules import Member, Rules
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import view_from_metadata

from benchmarks.topology import PORT, Topology


def peak_bytes() -> int:
    """The most memory this process has had so far.

    Not ru_maxrss: that one is kept across execve, so a child would begin with what its parent had.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (kibibytes,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(kibibytes) * 1024


def measure(topology: Topology, mode: str) -> dict[str, Any]:
    """Read, plan, and say what both took and what came of it."""
    cluster, topics = topology.cluster(), topology.topics()
    minima = topology.minima()
    node_ids = tuple(range(topology.brokers))
    rules = Rules({one: Member(one, topology.host(one), PORT, topology.rack(one)) for one in node_ids})
    metadata_peak = peak_bytes()
    began = time.perf_counter()
    view = view_from_metadata(cluster, topics, minima, ())
    read, read_processor = time.perf_counter(), time.process_time()
    plan = make_plan(view, rules, Request(node_ids, mode))
    planned, planned_processor = time.perf_counter(), time.process_time()
    return {
        "view_seconds": round(read - began, 3),
        "plan_seconds": round(planned - read, 3),
        "plan_processor_seconds": round(planned_processor - read_processor, 3),
        "metadata_peak_bytes": metadata_peak,
        "peak_bytes": peak_bytes(),
        "batches": len(plan.batches),
        "refusals": len(plan.refusals),
        "fewest": all(split.fewest for split in plan.splits),
    }


def main(arguments: Sequence[str]) -> None:
    """Measure what the arguments say."""
    brokers, partitions, placement, mode = arguments
    print(json.dumps(measure(Topology(int(brokers), int(partitions), placement), mode)))


if __name__ == "__main__":
    main(sys.argv[1:])
