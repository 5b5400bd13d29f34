# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an identity ever had two living holders, judged from samples of the outside. Pure.

An instance lives until EC2 calls it terminated: one that is shutting down still runs its processes. It holds an
identity when a claim names it or when the identity's ENI or a volume of it is attached to it. A sample is not read in
one moment: instance states are read last, so that who died between two reads is not counted as a second holder.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

DEAD = "terminated"


@dataclass(frozen=True)
class Sample:
    """One look: evidence by identity (`kafka-2`), and what runs where.

    ``claims`` is None while ZooKeeper could not be read. ``processes`` are (identity, instance) of each service process
    on the machine, by the id in its own configuration.
    """

    at: float
    states: Mapping[str, str]
    attached: Mapping[str, frozenset[str]]
    claims: Mapping[str, str] | None
    processes: tuple[tuple[str, str], ...] = ()

    def lives(self, instance_id: str) -> bool:
        """Whether EC2 knows this instance and does not call it terminated."""
        return self.states.get(instance_id, DEAD) != DEAD


def doubles_of(sample: Sample) -> list[str]:
    """The identities with two living holders, or with two processes, in one sample; a sentence each."""
    found = []
    claims = sample.claims or {}
    for identity in sorted({*sample.attached, *claims}):
        named = {claims[identity]} if identity in claims else set()
        holders = {one for one in named | sample.attached.get(identity, frozenset()) if sample.lives(one)}
        if len(holders) > 1:
            found.append(f"{identity} has the living holders {', '.join(sorted(holders))}")
    for identity in sorted({identity for identity, _ in sample.processes}):
        where = sorted(instance for one, instance in sample.processes if one == identity)
        if len(where) > 1:
            found.append(f"{identity} runs {len(where)} times: on {', '.join(where)}")
    return found


def doubles(samples: Iterable[Sample]) -> list[str]:
    """Every double identity of a run, each once."""
    return list(dict.fromkeys(double for sample in samples for double in doubles_of(sample)))


@dataclass
class Watch:
    """Samples of one fault, in order."""

    began: float = 0.0
    taken: list[Sample] = field(default_factory=list)

    def with_claims(self) -> int:
        """In how many samples the claims could be read."""
        return sum(sample.claims is not None for sample in self.taken)

    def longest_gap_seconds(self, ended: float) -> float:
        """The longest time without a sample, from beginning to end: what is shorter may have been missed."""
        times = [self.began, *(sample.at for sample in self.taken), ended]
        return max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0)

    def holders(self, identity: str) -> list[str]:
        """Everyone whom EC2's attachments named as holder, in the order of their first appearance."""
        return list(dict.fromkeys(one for sample in self.taken for one in sorted(sample.attached.get(identity, ()))))

    def claimants(self, identity: str) -> list[str]:
        """Everyone whom claims named, in the order of their first appearance."""
        named = [(sample.claims or {}).get(identity) for sample in self.taken]
        return list(dict.fromkeys(one for one in named if one))
