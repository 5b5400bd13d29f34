# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boots that are cut off in each of their phases, and a boot that is run twice at once."""

from __future__ import annotations

import base64
import dataclasses
import functools
import json
import time
from collections.abc import Callable
from typing import Any

from lab import client
from tests.faults import machine_view
from tests.faults.model import Expected, Fault
from tests.faults.world import World
from tests.scenarios.stories import user_data_for_new_nodes

# The window between two phases is a second or so wide; the watch must be much finer.
LOOK_SECONDS = 0.03


@dataclasses.dataclass(frozen=True)
class Moment:
    """What is known of a booting instance at one look."""

    phases: frozenset[str]
    eni: bool
    volume: bool
    mounted: bool


def look(world: World, instance_id: str, pid: int, ask_ec2: bool) -> Moment:
    """Look at an instance: its own boot record and mounts, and EC2's word on what it has attached."""
    eni = volume = False
    if ask_ec2:
        books = client.call("GET", "status?sections=network_interfaces,volumes")
        eni = _attached(books["network_interfaces"], "eni_id", world.victim.eni_id) == instance_id
        volume = _attached(books["volumes"], "volume_id", world.victim.volume_ids[0]) == instance_id
    return Moment(frozenset(machine_view.boot_phases(pid)), eni, volume, machine_view.mounted(pid, "/var/lib/kafka/0"))


def _attached(parts: list[dict[str, Any]], key: str, wanted: str) -> str | None:
    for part in parts:
        attachment = part["attachment"] if part[key] == wanted else None
        if attachment and attachment["status"] == "attached":
            return str(attachment["instance_id"])
    return None


@dataclasses.dataclass(frozen=True)
class Cut:
    """Where a boot is cut off: ``reached`` says that it got there, ``passed`` that it was cut too late."""

    reached: Callable[[Moment], bool]
    passed: Callable[[Moment], bool]
    ask_ec2: bool = False


CUTS = {
    "claim": Cut(lambda now: "claim_end" in now.phases, lambda now: now.eni, ask_ec2=True),
    "eni": Cut(lambda now: now.eni, lambda now: now.volume, ask_ec2=True),
    "volume": Cut(lambda now: now.volume, lambda now: now.mounted, ask_ec2=True),
    "mount": Cut(lambda now: now.mounted, lambda now: "service_start" in now.phases),
    "signal": Cut(lambda now: "healthy" in now.phases, lambda now: "signalled" in now.phases),
}


def _cut_off(world: World, cut: Cut) -> None:
    """Terminate the holder, cut its replacement's power at the moment, and let the one after it come."""
    world.terminate()
    first = world.next_instance()
    deadline = time.monotonic() + 180
    while True:
        pid = machine_view.leader(world.stage.config, first)
        if pid is not None and cut.reached(look(world, first, pid, cut.ask_ec2)):
            break
        if time.monotonic() > deadline:
            raise OSError(f"{first} never came to the moment at which it was to be cut off")
        time.sleep(LOOK_SECONDS)
    machine_view.freeze(world.stage.config, first, True)
    at = look(world, first, pid, ask_ec2=True)
    machine_view.cut_power(world.stage.config, first)
    last = max(at.phases & set(ORDER), key=ORDER.index, default="none")
    world.say(f"    {first} lost its power after the phase {last} (eni {at.eni}, volume {at.volume})")
    world.seen.notes.append(f"power cut after {last}, ENI {_is(at.eni)}, volume {_is(at.volume)}")
    if cut.passed(at):
        world.seen.problems.append(f"{first} was cut off too late, after {last}: another phase was tested")
    world.next_instance()
    world.await_return()


ORDER = ("claim_start", "claim_end", "attach_end", "configure_end", "service_start", "healthy", "signalled")


def _is(attached: bool) -> str:
    return "attached" if attached else "not attached"


def _boot_twice(world: World) -> None:
    """The replacement's user-data starts holdfast-boot a second time while the unit's own run is at it."""

    # The brackets keep the pattern from finding this very command.
    wait = (
        "until grep -qsa '[a]nsible-pull' /proc/[0-9]*/cmdline; do sleep 0.1; done; exec /usr/local/bin/holdfast-boot"
    )
    command = ["systemd-run", "--no-block", "--unit=second-boot", "-pStandardOutput=journal+console", "sh", "-c", wait]

    def twice(user_data: str) -> str:
        text = base64.b64decode(user_data).decode().rstrip("\n")
        return base64.b64encode(f"{text}\nbootcmd:\n  - {json.dumps(command)}\n".encode()).decode()

    with user_data_for_new_nodes(world.group, twice):
        world.terminate()
        instance = world.next_instance()
        world.await_return()
        world.await_that("both runs to end", lambda: world.console(instance).count("PLAY RECAP") >= 2)
    recaps = [line for line in world.console(instance).splitlines() if "failed=" in line]
    failed = [line for line in recaps if "failed=0" not in line.replace(" ", "")]
    world.seen.notes.append(f"{len(recaps)} runs ended, {len(failed)} failed")
    if failed:
        world.seen.problems.append(f"a run failed: {failed[0]}")


FAULTS = (
    *(
        Fault(
            f"kill-after-{phase}" if phase != "signal" else "kill-before-signal",
            f"the replacement loses its power {where}",
            functools.partial(_cut_off, cut=CUTS[phase]),
            Expected("recovers"),
        )
        for phase, where in (
            ("claim", "after it claimed, with nothing attached yet"),
            ("eni", "after its ENI is attached, without a volume"),
            ("volume", "after its volume is attached, not mounted"),
            ("mount", "after the volume is mounted, before the service starts"),
            ("signal", "when the broker is healthy, before success is signalled"),
        )
    ),
    Fault(
        "boot-twice",
        "user-data starts the replacement's boot a second time while the first is running",
        _boot_twice,
        Expected("recovers"),
    ),
)
