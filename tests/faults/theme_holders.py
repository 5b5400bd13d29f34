# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holders that live, half live or take their time to die, and replacements that come too early or too many."""

from __future__ import annotations

from lab.demo import fleet
from lab.demo.stage import wait_until
from tests.faults.model import Expected, Fault
from tests.faults.world import World

SLOW_DEATH_SECONDS = 30.0


def _two_at_once(world: World) -> None:
    """The group launches two instances for the one identity whose holder was just terminated."""
    autoscaling = fleet.client("autoscaling")
    size = int(world.group["DesiredCapacity"])
    with world.suspended("Launch"):
        world.terminate()
        world.resize(size + 1)
    rivals = [world.next_instance(), world.next_instance()]
    with world.suspended("ReplaceUnhealthy", "Launch"):
        world.await_return()
        winner = str(world.holder().instance_id)
        loser = next(one for one in rivals if one != winner)
        before = world.untouchables()
        world.refusal(loser, "no_candidate", before)
        autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=loser, ShouldDecrementDesiredCapacity=True)
        world.restore_size()


def _too_early(world: World) -> None:
    """A replacement is launched while the old instance runs; then the old one goes."""
    autoscaling = fleet.client("autoscaling")
    before = world.untouchables()
    world.resize(int(world.group["DesiredCapacity"]) + 1)
    early = world.next_instance()
    with world.suspended("ReplaceUnhealthy"):
        world.refusal(early, "no_candidate", before)
    old = str(world.victim.instance_id)
    world.mended()
    world.death = world.death_now()
    autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=old, ShouldDecrementDesiredCapacity=True)
    world.await_return()
    world.restore_size()


def _slow_death(world: World) -> None:
    """The old instance stays shutting-down, and serves, for a long time; the next one waits for it."""
    with world.delays(shutting_down_seconds=SLOW_DEATH_SECONDS):
        world.terminate()
        successor = world.next_instance()
        wait_until(
            f"{successor} to claim",
            lambda: None if world.claim()["instance_id"] == successor else "it waits",
            SLOW_DEATH_SECONDS + 120,
        )
    state = fleet.instance(str(world.victim.instance_id))["State"]["Name"]
    world.seen.notes.append(f"the old instance was {state} when its identity was claimed")
    if state != "terminated":
        world.seen.problems.append(f"the identity was claimed while its holder was {state}")
    world.await_return()


def _stopped(world: World) -> None:
    """The holder is stopped, unseen by Auto Scaling; another instance of the zone must leave it its identity."""
    holder = str(world.victim.instance_id)
    ec2 = fleet.client("ec2")
    with world.suspended("HealthCheck"):
        ec2.stop_instances(InstanceIds=[holder])
        world.await_state(holder, "stopped")
        before = world.untouchables()
        with world.one_more_instance() as extra:
            world.refusal(extra, "no_candidate", before)
        world.mended()
        ec2.start_instances(InstanceIds=[holder])
        world.await_state(holder, "running")


def _partitioned(world: World) -> None:
    """The holder lives and nobody reaches it; another instance of the zone must leave it its identity."""
    before = world.untouchables()
    with world.lab_fault("partition", instance=str(world.victim.instance_id)):
        with world.one_more_instance() as extra:
            world.refusal(extra, "no_candidate", before)
        world.mended()


FAULTS = (
    Fault(
        "two-replacements",
        "two instances are launched at once for one identity",
        _two_at_once,
        Expected("refused", "no_candidate"),
    ),
    Fault(
        "launched-too-early",
        "the replacement is launched before the old instance is gone",
        _too_early,
        Expected("refused", "no_candidate"),
    ),
    Fault(
        "shutting-down-long",
        f"the old instance stays shutting-down, and serves, for {SLOW_DEATH_SECONDS:.0f} s",
        _slow_death,
        Expected("recovers"),
    ),
    Fault(
        "stopped-holder",
        "the holder is stopped while another instance looks for an identity",
        _stopped,
        Expected("unharmed", "no_candidate"),
    ),
    Fault(
        "partitioned-holder",
        "the holder lives behind a partition while another instance looks for an identity",
        _partitioned,
        Expected("unharmed", "no_candidate"),
    ),
)
