# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fault from a whole cluster to a whole cluster: observer on, story, gate; then the data, then the verdict."""

from __future__ import annotations

import datetime
import re
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from kafka.errors import KafkaError

from lab import client
from lab.demo import cluster, fleet
from lab.demo.fleet import Holder, Process
from lab.demo.stage import Stage, StageError, wait_until
from tests.faults import samples, verdict
from tests.faults.model import Fault, Seen
from tests.faults.observer import Observer
from tests.faults.world import World
from tests.faults.writer import Window, Writer

WHOLE_SECONDS = 300
# Between two samples a second holder would have to come and go; with longer gaps the observation proves too little.
LONGEST_GAP_SECONDS = 20.0


def groups_missing() -> str | None:
    """What keeps Auto Scaling from being at rest: sizes, health, suspended processes, faults of the lab still set."""
    for group in client.call("GET", "status?sections=groups")["groups"]:
        members = group["instances"].values()
        healthy = [one for one in members if (one["lifecycle"], one["health"]) == ("InService", "Healthy")]
        if len(healthy) != group["desired"] or len(members) != group["desired"]:
            return f"{group['name']} has {len(healthy)} healthy of {len(members)} members, {group['desired']} desired"
        if group["suspended"]:
            return f"{group['name']} has suspended {', '.join(group['suspended'])}"
    return None


def pool_missing(identities: list[Holder]) -> str | None:
    """What keeps the pool from being whole by EC2's own books: every part of an identity with one holder."""
    volumes = {one["volume_id"]: one for one in client.call("GET", "status?sections=volumes")["volumes"]}
    for identity in identities:
        if len(identity.volume_ids) != 1:
            return f"{identity.name} has {len(identity.volume_ids)} volumes"
        attachment = (volumes.get(identity.volume_ids[0]) or {}).get("attachment") or {}
        if attachment.get("instance_id") != identity.instance_id:
            return f"{identity.name}: {identity.volume_ids[0]} is with {attachment.get('instance_id')}"
    names = [identity.name for identity in identities]
    if len(set(names)) != 6 or len(names) != 6:
        return f"the pool shows {', '.join(names)}"
    return None


def whole_missing() -> str | None:
    """The gate between faults: pool, groups, ensemble of three, all brokers in all their ISRs."""
    return pool_missing(fleet.holders(cluster.CLUSTER)) or groups_missing() or cluster.cluster_missing()


def await_whole(timeout_seconds: float = WHOLE_SECONDS) -> float:
    """Wait for the gate; return seconds waited."""
    return wait_until("the whole cluster", whole_missing, timeout_seconds)


def census() -> dict[str, Process]:
    """Every node's process, all asked at once."""
    everyone = fleet.holders(cluster.CLUSTER)
    with ThreadPoolExecutor(len(everyone)) as pool:
        return dict(zip([one.name for one in everyone], pool.map(fleet.running_process, everyone), strict=True))


def _victim(fault: Fault, turn: int) -> Holder:
    """Broker after broker, so that no fault meets only one of them."""
    found = [one for one in fleet.holders(cluster.CLUSTER) if one.role == fault.role]
    return found[turn % len(found)]


def _excused(fault: Fault, victim: Holder, names: list[str]) -> set[str]:
    """Identities whose processes may be others afterwards: the victim and what the fault itself stops."""
    stopped = fault.expected.disturbs
    return {victim.name} | {name for name in names if name in stopped or name.rpartition("-")[0] in stopped}


@dataclass
class Played:
    """A fault that was played, before it is known what of its messages can be read back."""

    fault: Fault
    seen: Seen
    window: Window
    whole: bool
    seconds: float


def play(stage: Stage, writer: Writer, fault: Fault, turn: int) -> Played:
    """Play one fault on a whole cluster; the cluster may be broken afterwards (`whole` says so)."""
    stage.say(f"{fault.name}: {fault.what}")
    started, begin = time.monotonic(), writer.mark()
    seen = Seen()
    victim = _victim(fault, turn)
    seen.holder_before = str(victim.instance_id)
    before = census()
    ensemble = [f"{address}:{fleet.ZOOKEEPER_PORT}" for address in cluster.addresses("zookeeper")]
    with Observer(stage.config, cluster.CLUSTER, ensemble) as observer:
        whole = _play(stage, fault, victim, seen)
    _observed(observer, seen)
    if whole:
        _compare(fault, victim, before, seen)
    seconds = time.monotonic() - started
    stage.say(f"    {verdict.sentence(seen)}; recovered in {seen.recovered_seconds} s, {seconds:.0f} s in all")
    for problem in [*seen.problems, *seen.doubles]:
        stage.say(f"    ! {problem[:600]}")
    if seen.problems or seen.doubles:
        cluster.keep_evidence(stage)
    return Played(fault, seen, Window(begin, writer.mark()), whole, seconds)


def judge(writer: Writer, played: list[Played]) -> list[dict[str, Any]]:
    """Read back what was acknowledged during each fault, and judge all of them. Ends the writer."""
    try:
        for one, (acked, lost) in zip(played, writer.lost([one.window for one in played]), strict=True):
            one.seen.acked, one.seen.lost = acked, lost
    except (OSError, subprocess.SubprocessError) as error:
        for one in played:
            one.seen.problems.append(f"what was acknowledged could not be read back: {error}")
    return [_result(one) for one in played]


def _play(stage: Stage, fault: Fault, victim: Holder, seen: Seen) -> bool:
    """Run the story and wait for the gate; whatever goes wrong is noted. Returns whether the cluster is whole."""
    world = World(stage, victim, seen)
    _noting(seen, "the story", lambda: fault.play(world))
    try:
        await_whole()
    except (StageError, OSError, KafkaError, client.LabDownError) as error:
        seen.problems.append(f"not whole afterwards: {error}")
        return False
    seen.recovered_seconds = round(time.time() - (world.mended_at or world.began), 1)
    after = world.holder()
    seen.holder_after = str(after.instance_id)
    seen.same_address_and_volumes = (after.private_ip, after.eni_id, after.volume_ids) == (
        victim.private_ip,
        victim.eni_id,
        victim.volume_ids,
    )
    return True


def _noting(seen: Seen, what: str, function: Callable[[], None]) -> None:
    """A story that breaks off is a failure of its fault, not of the run."""
    try:
        function()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this fault's result and the next one goes on
        seen.problems.append(f"{what} broke off: {type(error).__name__}: {error}")


def _observed(observer: Observer, seen: Seen) -> None:
    watch = observer.watch
    seen.samples = len(watch.taken)
    seen.doubles = samples.doubles(watch.taken)
    seen.samples_with_claims = watch.with_claims()
    gap = watch.longest_gap_seconds(observer.ended)
    if gap > LONGEST_GAP_SECONDS:
        seen.problems.append(f"the observer saw nothing for {gap:.0f} s ({observer.failures[-1:]})")


def _compare(fault: Fault, victim: Holder, before: dict[str, Process], seen: Seen) -> None:
    def compare() -> None:
        after = census()
        excused = _excused(fault, victim, list(before))
        seen.restarted_elsewhere = fleet.restarted(before, after, excused)
        seen.reconfigured_elsewhere = fleet.reconfigured(before, after, {victim.name})

    _noting(seen, "the comparison of processes", compare)


def _result(played: Played) -> dict[str, Any]:
    fault, seen = played.fault, played.seen
    wrong = verdict.differences(fault.expected, seen)
    return {
        "name": fault.name,
        "what": fault.what,
        "acked": seen.acked,
        "lost": seen.lost,
        "double_identity": len(seen.doubles),
        "recovered_seconds": seen.recovered_seconds,
        "as_expected": not wrong,
        "expected": fault.expected.sentence(),
        "seen": verdict.sentence(seen),
        "differences": [re.sub(r"\s+", " ", one)[:1500] for one in wrong],
        "observer_samples": seen.samples,
        "observer_samples_with_claims": seen.samples_with_claims,
        "fault_seconds": round(played.seconds, 1),
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
