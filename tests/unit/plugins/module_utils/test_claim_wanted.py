# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance that was launched for one identity, outside of any group."""

from __future__ import annotations

from ansible_collections.holdfast.kafka.plugins.module_utils import claim_steps as steps

from tests.unit.plugins.module_utils.test_claim_machine import ME, Table, pool


def test_an_instance_for_one_identity_takes_no_other_one() -> None:
    done = Table(pool(None, None, None), wanted=2).end()
    assert isinstance(done, steps.Done)
    assert done.identity.node_id == 2
    failed = Table(pool(None, "i-b"), wanted=1, states={"i-b": "running"}).end()
    assert isinstance(failed, steps.Fail)
    assert failed.reason == "no_candidate"
    assert "i-me, which was launched for kafka 1" in failed.message
    held = Table(pool(None, ME), wanted=0).end()
    assert isinstance(held, steps.Done)
    assert held.identity.node_id == 1, "what it holds already is its identity"
