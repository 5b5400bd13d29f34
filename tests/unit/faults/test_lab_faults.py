# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stories ask of the lab is something that the lab can play."""

from __future__ import annotations

import functools

import pytest

from lab.api import faults_catalogue
from lab.api.faults_kinds import KINDS
from tests.faults import table
from tests.faults.model import Fault
from tests.faults.world import as_wish

ASKING = [
    fault for fault in table.FAULTS if isinstance(fault.play, functools.partial) and "kind" in fault.play.keywords
]


@pytest.mark.parametrize("fault", ASKING, ids=lambda fault: fault.name)
def test_the_lab_knows_the_fault_and_its_parameters(fault: Fault) -> None:
    assert isinstance(fault.play, functools.partial)
    wish = {**fault.play.keywords, "group": "demo-kafka-eu-central-1a", "new": True}
    kind = wish.pop("kind")
    read = faults_catalogue.read(KINDS, kind, dict(pair.split("=", 1) for pair in as_wish(wish)))
    assert read["new"] is True


def test_a_fault_that_the_lab_does_not_know_is_found() -> None:
    assert len(ASKING) >= 5
    with pytest.raises(faults_catalogue.FaultRefusedError):
        faults_catalogue.read(KINDS, "api_throttle", {"sometimes": "true"})
