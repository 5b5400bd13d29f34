# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A claim for another interface, and an attachment lost to oneself: what the claim machine makes of them."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import claim_steps as steps

from tests.unit.plugins.module_utils.test_claim_machine import ME, Table, claim, outcome, pool


@pytest.mark.parametrize("holder", [None, ME], ids=["free here", "attached to me"])
def test_holder_that_ec2_does_not_know_never_dies_of_a_claim_for_another_interface(holder: str | None) -> None:
    table = Table(pool(holder), claim(0, "i-far", eni_id="eni-far"), wait_for="any", poll_seconds=10)
    failure = table.failed("conflict" if holder else "no_candidate")
    for told in ("eni-0", "eni-far", "i-far", "zookeeper_chroot"):
        assert told in failure.message
    assert not table.machine.attempts


def test_terminated_holder_is_followed_also_when_its_interface_was_replaced() -> None:
    table = Table(pool(None), claim(0, "i-dead", eni_id="eni-old"), states={"i-dead": "terminated"})
    assert outcome(table.done()) == (0, "taken_over", True)


def test_unknown_holder_of_a_claim_for_this_interface_is_followed_after_the_grace_period() -> None:
    table = Table(pool(None), claim(0, "i-1", eni_id="eni-0"), grace_seconds=60, poll_seconds=10)
    assert outcome(table.done()) == (0, "taken_over", True)
    assert table.now >= 60


def test_attachment_lost_to_my_own_request_is_a_change() -> None:
    """EC2's yes was lost inside the call, which asked again and heard that the interface is in use."""
    table = Table(pool(None), strategy="attachment", writes=[steps.Lost()])
    original = table.answer

    def answer(step: steps.Step) -> steps.Answer:
        if isinstance(step, steps.AttachEni):
            table.reading = pool(ME)
        return original(step)

    table.answer = answer
    assert outcome(table.done()) == (0, "claimed", True)


def test_attachment_lost_to_somebody_else_is_none() -> None:
    table = Table(pool(None, ME), strategy="attachment")
    assert outcome(table.done()) == (1, "already_held", False)
    race = Table(pool(None), strategy="attachment", writes=[steps.Lost()], states={"i-new": "running"})
    original = race.answer

    def answer(step: steps.Step) -> steps.Answer:
        if isinstance(step, steps.AttachEni):
            race.reading = pool("i-new")
        return original(step)

    race.answer = answer
    race.failed("no_candidate")
