# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""refuse: it fails with what it was told, in check mode too."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.kafka.plugins.modules import refuse

from tests.unit.plugins.modules.in_process import run_module


@pytest.mark.parametrize("give_up", [True, False])
@pytest.mark.parametrize("check", [True, False])
def test_it_says_whose_fault_it_is(check: bool, give_up: bool) -> None:
    told = {"reason": "database_missing", "msg": "The volume is empty.", "give_up": give_up}
    result = run_module(refuse, told, check=check)
    assert (result["failed"], result["reason"], result["give_up"]) == (True, "database_missing", give_up)
    assert result["msg"] == "The volume is empty. (reason: database_missing)"
