# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""zookeeper_ensemble_info: what it refuses. The rest is tested against real servers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.holdfast.kafka.plugins.modules import zookeeper_ensemble_info


@pytest.mark.parametrize(
    "arguments",
    [
        {"hosts": ["127.0.0.1:none"]},
        {"hosts": []},
        {"hosts": ["127.0.0.1", "127.0.0.1:2181"]},
        {"hosts": ["127.0.0.1"], "expected": 0},
        {"hosts": ["127.0.0.1"], "timeout_seconds": 0},
        {"hosts": ["127.0.0.1"], "timeout_seconds": "nan"},
    ],
)
def test_bad_parameters(arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        zookeeper_ensemble_info.main()
    result = json.loads(capsys.readouterr().out)
    assert (result["failed"], result["reason"]) == (True, "bad_parameter")
