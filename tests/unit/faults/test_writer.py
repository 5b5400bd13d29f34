# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The writer's output is cut into windows: no acknowledgement is counted twice, none is left out."""

from __future__ import annotations

import json

from tests.faults.writer import Window, acknowledged


def _lines(*values: int) -> bytes:
    return b"".join(json.dumps({"name": "producer_send_success", "value": str(one)}).encode() + b"\n" for one in values)


def test_windows_that_touch_hold_everything_once() -> None:
    output = _lines(*range(20))
    for cut in range(len(output) + 1):
        first, second = acknowledged(output, Window(0, cut)), acknowledged(output, Window(cut, len(output)))
        assert first | second == {str(one) for one in range(20)}
        assert not first & second


def test_what_was_not_acknowledged_does_not_count() -> None:
    output = _lines(1) + b'{"name": "producer_send_error", "value": "2"}\n' + b'{"name": "producer_send_succ'
    assert acknowledged(output, Window(0, len(output))) == {"1"}
