# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to do with an ENI or volume that is to be attached to me. Pure."""

from __future__ import annotations

import string
from dataclasses import dataclass
from enum import Enum

from ansible_collections.holdfast.kafka.plugins.module_utils.claim_rules import NOT_FOUND

DEVICES = tuple(f"/dev/sd{letter}" for letter in string.ascii_lowercase[5:16])
DYING = ("shutting-down", "terminated", NOT_FOUND)
#: What EC2 calls an attachment on its way off, of whomever; nobody has to be robbed for it to come free.
LEAVING = ("detaching", "busy")


class Action(Enum):
    """The next thing to do."""

    DONE = "attached to me"
    KEEP = "attached to me, but would be deleted with me"
    ATTACH = "free"
    SETTLE = "being attached to me"
    ASK = "attached to an instance of unknown state"
    WAIT = "will come free"
    CONFLICT = "attached to an instance that lives"


@dataclass(frozen=True)
class Reading:
    """An ENI or a volume as last seen; C(place) is the device index or the EC2 device name."""

    resource_id: str
    status: str
    instance_id: str | None
    attachment_status: str | None
    place: int | str | None
    delete_on_termination: bool | None
    attachment_id: str | None = None


def judge_attachment(reading: Reading, me: str, holder_state: str | None) -> Action:
    """Judge a reading; C(holder_state) is EC2's word on the instance that has it, C(None) if not asked yet."""
    if reading.instance_id == me:
        if reading.attachment_status in ("attaching", "detaching", "busy"):
            return Action.SETTLE
        return Action.KEEP if reading.delete_on_termination else Action.DONE
    if reading.instance_id is None:
        if reading.status == "available":
            return Action.ATTACH
        return Action.WAIT if reading.status in ("creating", "pending", "attaching", "detaching") else Action.CONFLICT
    if holder_state is None:
        return Action.ASK
    leaves = holder_state in DYING or reading.attachment_status in LEAVING
    return Action.WAIT if leaves else Action.CONFLICT


def next_device(refused: set[str], index: int = 0) -> str | None:
    """Return an EC2 device name of the recommended range that was not refused yet.

    The volume's C(index) says where the search begins, so that the volumes of one identity are not in each other's way.
    """
    begin = index % len(DEVICES)
    return next((device for device in DEVICES[begin:] + DEVICES[:begin] if device not in refused), None)
