# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether brokers are back in sync, how far they are, and when waiting longer makes no sense. No I/O, no clock.

All times are seconds since the wait began, given by the caller. The state is plain data, so that a wait can be
continued by another process.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import Partition, View

SAMPLES = 12
NAMED = 20
FATAL_PROBLEMS = frozenset({"auth", "bad_parameter"})


@dataclass(frozen=True)
class Goal:
    """What is waited for, and how long."""

    node_ids: tuple[int, ...]
    expected_hosts: Mapping[int, str] = field(default_factory=dict)
    whole_cluster: bool = False
    stable_reads: int = 3
    timeout_seconds: float = 600.0
    stall_timeout_seconds: float = 300.0

    @property
    def who(self) -> str:
        """The brokers waited for, for sentences."""
        if not self.node_ids:
            return "the cluster"
        return f"broker{'s' if len(self.node_ids) > 1 else ''} {', '.join(map(str, self.node_ids))}"


@dataclass(frozen=True)
class Reading:
    """One look at the cluster with the goal in mind. Bytes are None when nobody could say.

    ``silent`` are brokers that are registered and do not answer: a registration outlives a killed broker for as long
    as its session lasts, and until then its replicas look as if they were in sync.
    """

    unregistered: tuple[int, ...]
    wrong_hosts: tuple[tuple[int, str, str], ...]
    replicas_total: int
    replicas_in_sync: int
    lagging: tuple[Partition, ...]
    offline: tuple[Partition, ...]
    copied_bytes: int | None = None
    remaining_bytes: int | None = None
    silent: tuple[int, ...] = ()

    @property
    def reached(self) -> bool:
        """Whether everything is as wanted in this one look."""
        return not (self.unregistered or self.wrong_hosts or self.lagging or self.offline or self.silent)


@dataclass(frozen=True)
class Decision:
    """What to do now: ``waiting``, ``reached`` or ``failed`` with a reason and a sentence.

    ``give_up`` says that the brokers never came and nothing moved: another instance may do better. Replicas that lag
    on brokers that are there are no reason for that.
    """

    state: str
    reason: str = ""
    message: str = ""
    give_up: bool = False


def look(view: View, goal: Goal, sizes: Mapping[tuple[str, int, int], int] | None = None) -> Reading:
    """Judge one view. ``sizes`` are replica sizes in bytes by (topic, partition, broker)."""
    registered = {broker.node_id: broker for broker in view.brokers}
    wanted = set(goal.node_ids)
    hosted = [p for p in view.partitions if goal.whole_cluster or wanted.intersection(p.replicas)]
    pairs = [(p, replica) for p in hosted for replica in p.replicas if goal.whole_cluster or replica in wanted]
    behind = [(partition, replica) for partition, replica in pairs if replica not in partition.isr]
    copied, remaining = _bytes(behind, sizes)
    return Reading(
        unregistered=tuple(sorted(wanted - set(registered))),
        wrong_hosts=tuple(
            (node_id, host, registered[node_id].host)
            for node_id, host in sorted(goal.expected_hosts.items())
            if node_id in registered and registered[node_id].host != host
        ),
        replicas_total=len(pairs),
        replicas_in_sync=len(pairs) - len(behind),
        lagging=tuple(dict.fromkeys(partition for partition, _ in behind)),
        offline=tuple(partition for partition in hosted if partition.leader is None),
        copied_bytes=copied,
        remaining_bytes=remaining,
    )


def _bytes(
    behind: Sequence[tuple[Partition, int]], sizes: Mapping[tuple[str, int, int], int] | None
) -> tuple[int | None, int | None]:
    """Return how much the replicas that are behind hold, and how much less than their leaders that is."""
    if sizes is None:
        return None, None
    copied = remaining = 0
    for partition, replica in behind:
        own = sizes.get((partition.topic, partition.partition, replica), 0)
        copied += own
        if partition.leader is not None:
            remaining += max(0, sizes.get((partition.topic, partition.partition, partition.leader), 0) - own)
    return copied, remaining


@dataclass
class Watch:
    """A wait in progress."""

    goal: Goal
    stable: int = 0
    reads: int = 0
    last_progress: float = 0.0
    best_in_sync: int = -1
    best_copied: int = -1
    samples: list[list[float]] = field(default_factory=list)
    registered: bool = False
    recovery: str = ""
    restarts_before: int = -1

    @classmethod
    def resumed(cls, goal: Goal, state: Mapping[str, Any]) -> Watch:
        """Continue from what ``state()`` returned; an empty mapping begins anew."""
        return cls(
            goal=goal,
            stable=int(state.get("stable", 0)),
            reads=int(state.get("reads", 0)),
            last_progress=float(state.get("last_progress", 0.0)),
            best_in_sync=int(state.get("best_in_sync", -1)),
            best_copied=int(state.get("best_copied", -1)),
            samples=[[float(value) for value in sample] for sample in state.get("samples", [])],
            registered=bool(state.get("registered", False)),
            recovery=str(state.get("recovery", "")),
            restarts_before=int(state.get("restarts_before", -1)),
        )

    def state(self) -> dict[str, Any]:
        """Return what another process needs to go on."""
        state = asdict(self)
        del state["goal"]
        return state

    def moved(self, recovery: str) -> bool:
        """Take in what the service's recovery looks like now; whether that is another look than before."""
        before, self.recovery = self.recovery, recovery or self.recovery
        return bool(recovery) and recovery != before

    def observe(self, elapsed: float, reading: Reading, moving: bool | None = None) -> Decision:
        """Take in a reading made at ``elapsed`` seconds and decide.

        ``moving`` is whether the service that is to register still recovers; None when nobody watches it, and then a
        broker that is not registered has until the timeout.
        """
        self.reads += 1
        if not (reading.unregistered or reading.wrong_hosts) and not self.registered:
            self.registered = True
            self.last_progress = elapsed
        self._note_progress(elapsed, reading, moving)
        if reading.reached:
            self.stable += 1
            self.last_progress = elapsed
            if self.stable >= self.goal.stable_reads:
                return Decision("reached")
        else:
            self.stable = 0
        idle = elapsed - self.last_progress
        if elapsed >= self.goal.timeout_seconds:
            return self._failed(reading, "timeout", f"gave up after {elapsed:.0f} s")
        if self._idle_too_long(elapsed):
            failed = self._failed(reading, "stalled", f"nothing has moved for {idle:.0f} s")
            return replace(failed, give_up=not self.registered)
        return Decision("waiting")

    def _idle_too_long(self, elapsed: float) -> bool:
        bound = self.goal.stall_timeout_seconds
        return bool(bound) and elapsed - self.last_progress >= bound

    def observe_problem(self, elapsed: float, reason: str, message: str, moving: bool | None = None) -> Decision:
        """Take in that the cluster could not be read at ``elapsed`` seconds, and decide; ``moving`` as above."""
        self.stable = 0
        if moving is not False:
            self.last_progress = elapsed
        if reason in FATAL_PROBLEMS:
            return Decision("failed", reason, message)
        if elapsed >= self.goal.timeout_seconds:
            return Decision("failed", reason, f"gave up after {elapsed:.0f} s waiting for {self.goal.who}: {message}")
        if self._idle_too_long(elapsed):
            idle = elapsed - self.last_progress
            said = f"nothing has moved for {idle:.0f} s while {self.goal.who} was waited for: {message}"
            return Decision("failed", reason, said, give_up=not self.registered)
        return Decision("waiting")

    def rate_bytes_per_second(self) -> float | None:
        """Return how fast the replicas that are behind have grown lately; None when that is unknown."""
        if len(self.samples) < 2:
            return None
        seconds = self.samples[-1][0] - self.samples[0][0]
        grown = self.samples[-1][1] - self.samples[0][1]
        return grown / seconds if seconds > 0 and grown > 0 else None

    def seconds_left(self, reading: Reading) -> float | None:
        """Return an estimate of how long copying will take; None when nothing tells."""
        rate = self.rate_bytes_per_second()
        if rate is None or not reading.remaining_bytes:
            return None
        return reading.remaining_bytes / rate

    def _note_progress(self, elapsed: float, reading: Reading, moving: bool | None) -> None:
        """Move the stall clock when something moved, or while a broker that nobody watches still has to register."""
        copied = reading.copied_bytes
        coming = bool(reading.unregistered)
        if moving or (coming and moving is None) or (not coming and reading.replicas_in_sync > self.best_in_sync):
            self.last_progress = elapsed
        if coming or reading.replicas_in_sync > self.best_in_sync:
            # Another set of replicas is behind now: bytes compare only within one set.
            self.best_copied = -1
            self.samples.clear()
        if reading.unregistered:
            self.best_in_sync = reading.replicas_in_sync
        self.best_in_sync = max(self.best_in_sync, reading.replicas_in_sync)
        if copied is not None:
            if copied > self.best_copied:
                self.last_progress = elapsed
                self.best_copied = copied
            self.samples.append([elapsed, float(copied)])
            del self.samples[:-SAMPLES]

    def _failed(self, reading: Reading, otherwise: str, ending: str) -> Decision:
        """Name what is the matter; ``otherwise`` is the reason when replicas only lag."""
        if reading.unregistered:
            reason = "not_registered"
        elif reading.wrong_hosts:
            reason = "wrong_host"
        elif reading.silent:
            reason = "unreachable"
        elif reading.offline:
            reason = "offline"
        else:
            reason = otherwise
        return Decision("failed", reason, f"{ending}: {'; '.join(self.complaints(reading))}")

    def complaints(self, reading: Reading) -> list[str]:
        """Return what is not as wanted, a sentence each, with the partitions' names."""
        said = []
        if reading.unregistered:
            said.append(f"not registered: broker {', '.join(map(str, reading.unregistered))}")
        said.extend(
            f"broker {node_id} announces {found} where {wanted} was expected"
            for node_id, wanted, found in reading.wrong_hosts
        )
        if reading.silent:
            said.append(f"registered and silent: broker {', '.join(map(str, reading.silent))}")
        if reading.offline:
            said.append(f"without a leader: {named(reading.offline)}")
        if reading.lagging:
            done = f"{reading.replicas_in_sync} of {reading.replicas_total}"
            said.append(
                f"{done} replicas of {self.goal.who} are in sync, missing in the ISR of {named(reading.lagging)}"
            )
        if not said:
            said.append(f"in sync, but only for {self.stable} of {self.goal.stable_reads} reads in a row")
        return said

    def progress(self, elapsed: float, reading: Reading | None, problem: str = "") -> str:
        """Return one line for a person: what is waited for, how far it is, how fast, how long still."""
        clock = f"({elapsed:.0f} s of at most {self.goal.timeout_seconds:.0f} s)"
        if reading is None:
            return f"{self.goal.who}: {problem} {clock}"
        if reading.reached:
            text = f"all {reading.replicas_total} replicas in sync, read {self.stable} of {self.goal.stable_reads}"
        elif reading.unregistered:
            text = f"waiting for broker {', '.join(map(str, reading.unregistered))} to register"
        else:
            text = self._how_far(reading)
        return f"{self.goal.who}: {text} {clock}"

    def _how_far(self, reading: Reading) -> str:
        parts = [f"{reading.replicas_in_sync} of {reading.replicas_total} replicas in sync"]
        if reading.remaining_bytes:
            parts.append(f"{human_bytes(reading.remaining_bytes)} to copy")
        rate = self.rate_bytes_per_second()
        if rate is not None:
            parts.append(f"at {human_bytes(rate)}/s")
        left = self.seconds_left(reading)
        if left is not None:
            parts.append(f"about {human_seconds(left)} left")
        parts.extend(f"broker {node} announces {found}, not {wanted}" for node, wanted, found in reading.wrong_hosts)
        if reading.silent:
            parts.append(f"broker {', '.join(map(str, reading.silent))} is registered and does not answer")
        if reading.offline:
            parts.append(f"without a leader: {named(reading.offline, 3)}")
        return ", ".join(parts)


def named(partitions: Sequence[Partition], limit: int = NAMED) -> str:
    """Return the partitions' names, the first ``limit`` of them."""
    names = ", ".join(partition.name for partition in partitions[:limit])
    return names if len(partitions) <= limit else f"{names} and {len(partitions) - limit} more"


def human_bytes(count: float) -> str:
    """Return a number of bytes for a person, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def human_seconds(seconds: float) -> str:
    """Return a duration for a person."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
