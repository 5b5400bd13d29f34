# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""EC2 and its metadata slow, busy, wrong, stale or silent for the instance that boots; devices that come late."""

from __future__ import annotations

import base64
import functools
import time
from typing import Any

from tests.faults import machine_view
from tests.faults.model import Expected, Fault
from tests.faults.world import World
from tests.scenarios.stories import user_data_for_new_nodes, variable_for_new_nodes

SILENT_SECONDS = 20.0
# Longer than the second look before a boot says that every identity is held (one pause of the claim's polling, 5 s).
STALE_SECONDS = 20
# Instead of node_identity_attach_timeout_seconds' 300, so that a stuck attachment is given up while somebody watches.
ATTACH_SECONDS = 30


def _under(world: World, kind: str, **parameters: Any) -> None:
    """The holder dies and its replacement boots under this fault, from its launch to its return."""
    with world.lab_fault(kind, group=world.group_name, new=True, **parameters):
        world.terminate()
        successor = world.next_instance()
        world.await_return()
    _first_stayed(world, successor)


def _first_stayed(world: World, successor: str) -> None:
    if str(world.holder().instance_id) != successor:
        world.seen.problems.append(f"{successor} gave up, although the fault was shorter than its bounds")


def _stale(world: World) -> None:
    """What Describe calls say is older than what the boot waits for: it may give up, and then a later one succeeds."""
    with world.lab_fault("api_stale", group=world.group_name, new=True, seconds=STALE_SECONDS):
        world.terminate()
        world.next_instance()
        world.await_return()
    launched = len(set(world.members()) - world.known)
    world.seen.notes.append(f"{1 + launched} instances were needed")


def _no_tokens(world: World) -> None:
    """The metadata service stops giving tokens when the boot begins to claim, for a while."""
    world.terminate()
    successor = world.next_instance()

    def claims() -> bool:
        pid = machine_view.leader(world.stage.config, successor)
        return pid is not None and "claim_start" in machine_view.boot_phases(pid)

    world.await_that("the claim to begin", claims)
    with world.lab_fault("imds_refuse_tokens", instance=successor):
        time.sleep(SILENT_SECONDS)
    world.await_return()
    _first_stayed(world, successor)


def _user_data_lost(world: World) -> None:
    """The first instance gets user-data that says nothing: no role, and in the lab not even where Auto Scaling is."""
    with user_data_for_new_nodes(world.group, lambda _user_data: base64.b64encode(b"#!/bin/sh\n").decode()):
        world.terminate()
        successor = world.next_instance()
    words = "holdfast-boot: nobody could be told; powering off"
    world.await_that(f"{successor} to power off", lambda: words in world.console(successor))
    world.next_instance()
    world.await_return()


def _stuck(world: World) -> None:
    """EC2 accepts the ENI's attachment and never completes it; the boot gives up in time, and the next one succeeds."""
    with variable_for_new_nodes(world.group, "node_identity_attach_timeout_seconds", ATTACH_SECONDS):
        with world.lab_fault("attaching_stuck", group=world.group_name, new=True, resource=world.victim.eni_id):
            world.terminate_and_await_death()
            before = world.untouchables(*world.victim.volume_ids)
            first = world.next_instance()
            # The claim is true, because EC2 shows the ENI with this instance, and so it stays.
            mine = (f"the claim of {world.victim.name}", f"the attachment of {world.victim.name}")
            world.refusal(first, "attach_stuck", before, but=mine)
        world.mended()
        world.death = world.death_now()
        world.await_return()


def _api(name: str, what: str, kind: str, **parameters: Any) -> Fault:
    return Fault(name, what, functools.partial(_under, kind=kind, **parameters), Expected("recovers"))


FAULTS = (
    _api("api-throttled", "two of three calls of the boot are refused as too many", "api_throttle", rate=0.66, seed=7),
    _api("api-slow", "each call of the boot takes 4 s longer", "api_slow", seconds=4),
    _api(
        "api-erroring",
        "the boot's first six EC2 calls end in an internal error",
        "api_error",
        actions="Describe*,Attach*",
        code="InternalError",
        times=6,
    ),
    Fault(
        "api-stale",
        f"what the boot is told by Describe calls is {STALE_SECONDS} s old",
        _stale,
        Expected("recovers"),
    ),
    _api(
        "replies-lost",
        "the attachments are carried out and the replies never arrive",
        "api_reply_lost",
        actions="Attach*",
        times=2,
    ),
    Fault(
        "attaching-stuck",
        "EC2 accepts the ENI's attachment and leaves it attaching for ever",
        _stuck,
        Expected("refused", "attach_stuck"),
    ),
    _api("eni-late", "the ENI is attached by EC2's word 15 s before the host sees it", "eni_late", seconds=15),
    _api("volume-late", "the volume is attached by EC2's word 15 s before the host sees it", "volume_late", seconds=15),
    _api("imds-late", "the metadata service is silent for the first 20 s of the boot", "imds_late", seconds=20),
    Fault(
        "imds-refuses-tokens",
        f"the metadata service gives no tokens for {SILENT_SECONDS:.0f} s while the boot claims and attaches",
        _no_tokens,
        Expected("recovers"),
    ),
    Fault(
        "user-data-lost",
        "the replacement's user-data says neither what it is nor where Auto Scaling is",
        _user_data_lost,
        Expected("recovers"),
    ),
)
