# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a batch of brokers may be stopped now, by a view of the cluster that was read just now. No I/O, no clock.

The gate is stricter than the inequality: outside of what the batch itself lacks nothing may be under-replicated, and
no other broker of the pool may be missing or silent.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Collection

from ansible_collections.holdfast.kafka.plugins.module_utils import kafka_roll_rules as rules_of
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_roll_rules import Refusal, Rules
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import View


def closed_by(view: View, rules: Rules, batch: Collection[int]) -> list[Refusal]:
    """Return what keeps the gate closed; nothing when the whole batch may be stopped now.

    All of the batch may be stopped at once, and some of it may be stopped already: each of its brokers asks this for
    itself, and gets the same answer.
    """
    if not batch:
        raise ValueError("a gate for nobody is no gate")
    members = frozenset(batch)
    found = rules_of.cluster_refusals(view, rules, members)
    found += rules_of.minimum_refusals(view, rules, members)
    for partition in view.partitions:
        broken = rules_of.replica_refusal(view, partition)
        if broken is not None and (partition.leader is None or not members.issuperset(partition.missing)):
            found.append(broken)
        taken = rules_of.stop_refusal(view, rules, partition, members)
        if taken is not None:
            found.append(taken)
    return found
