# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""For how long topics could not be written to as promised, by what the brokers say about twice a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from benchmarks.figures import NotMeasuredError
from lab.demo.fleet import bootstrap

PERIOD_SECONDS = 0.5
# A sample says nothing of what comes later than this after it.
HOLDS_SECONDS = 2.0
SEEN_SHARE = 0.8
END_SECONDS = 60


@dataclass(frozen=True)
class Sample:
    """Topics with a partition that has fewer replicas in sync than it needs, and those with one without a leader."""

    at: float
    under_min_isr: frozenset[str]
    offline: frozenset[str]


@dataclass(frozen=True)
class Broken:
    """Seconds in which some partition was short of replicas in sync, or had no leader; and seconds nobody could say."""

    under_min_isr_seconds: float
    offline_seconds: float
    unseen_seconds: float


def judged(at: float, described: Iterable[Mapping[str, Any]], minima: Mapping[str, int]) -> Sample | None:
    """What the answer to C(describe_topics) says; None when it lacks a topic, as that of a broker that just started."""
    partitions = {topic["name"]: topic["partitions"] for topic in described if topic["partitions"]}
    if not partitions.keys() >= minima.keys():
        return None
    short, offline = set(), set()
    for topic, minimum in minima.items():
        for partition in partitions[topic]:
            if partition["leader_id"] is None or partition["leader_id"] < 0:
                offline.add(topic)
            if len(partition["isr_nodes"]) < minimum:
                short.add(topic)
    return Sample(at, frozenset(short), frozenset(offline))


def broken(samples: Sequence[Sample], begin: float, end: float, topic: str | None = None) -> Broken:
    """Add up; each sample holds until the next one. NotMeasuredError when too little of the time was seen."""
    seen = short = offline = 0.0
    for number, sample in enumerate(samples):
        until = min(end, sample.at + HOLDS_SECONDS, *(following.at for following in samples[number + 1 : number + 2]))
        held = max(0.0, until - max(sample.at, begin))
        seen += held
        short += held * bool(sample.under_min_isr if topic is None else topic in sample.under_min_isr)
        offline += held * bool(sample.offline if topic is None else topic in sample.offline)
    if seen < SEEN_SHARE * (end - begin):
        raise NotMeasuredError(f"of {end - begin:.0f} s the brokers told about {seen:.0f} s only")
    return Broken(round(short, 1), round(offline, 1), round(end - begin - seen, 1))


class Sampler(threading.Thread):
    """Asks until told to end; ``describe`` stands for the brokers in tests."""

    def __init__(
        self,
        addresses: list[str],
        minima: Mapping[str, int],
        describe: Callable[[], Iterable[Mapping[str, Any]]] | None = None,
    ) -> None:
        super().__init__(daemon=True)
        self.samples: list[Sample] = []
        self.began = time.monotonic()
        self._servers, self._minima = bootstrap(addresses), dict(minima)
        self._describe = describe or self._ask
        self._admin: KafkaAdminClient | None = None
        self._ended = threading.Event()

    def run(self) -> None:
        """Ask again and again; what fails is a gap between two samples."""
        while not self._ended.wait(PERIOD_SECONDS):
            try:
                sample = judged(time.monotonic(), self._describe(), self._minima)
            except (KafkaError, OSError):
                self._close()
            else:
                self.samples += [] if sample is None else [sample]
        self._close()

    def stop(self) -> float:
        """End it; return when that was."""
        ended = time.monotonic()
        self._ended.set()
        self.join(END_SECONDS)
        return ended

    def _ask(self) -> Iterable[Mapping[str, Any]]:
        if self._admin is None:
            self._admin = KafkaAdminClient(
                bootstrap_servers=self._servers, request_timeout_ms=2_000, bootstrap_timeout_ms=2_000
            )
        described: list[Mapping[str, Any]] = self._admin.describe_topics(sorted(self._minima))
        return described

    def _close(self) -> None:
        if self._admin is not None:
            self._admin.close()
            self._admin = None
