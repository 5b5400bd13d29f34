# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long EC2's transitions take in the lab: one settable set of delays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass
class Delays:
    """Seconds that a transition lasts before its result shows; all may be changed while the lab runs.

    The defaults are the preset ``none``: everything at once, but still through every state.
    """

    pending_seconds: float = 0.0
    stopping_seconds: float = 0.0
    shutting_down_seconds: float = 0.0
    eni_attaching_seconds: float = 0.0
    eni_detaching_seconds: float = 0.0
    volume_creating_seconds: float = 0.0
    volume_attaching_seconds: float = 0.0
    volume_detaching_seconds: float = 0.0
    image_pending_seconds: float = 0.0
    imds_lag_seconds: float = 0.0
    asg_reconcile_seconds: float = 0.05
    stack_reconcile_seconds: float = 0.05
    busy_retry_seconds: float = 0.1
    terminated_visible_seconds: float = 3600.0

    def update(self, values: Mapping[str, Any]) -> None:
        """Set the named delays; raise ``ValueError`` on an unknown name or a value that is no duration."""
        known = {field.name for field in fields(self)}
        checked: dict[str, float] = {}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"unknown delay '{name}', known are: {', '.join(sorted(known))}")
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 86400:
                raise ValueError(f"{name} must be a number of seconds from 0 to 86400, not {value!r}")
            checked[name] = float(value)
        for name, seconds in checked.items():
            setattr(self, name, seconds)

    def as_dict(self) -> dict[str, float]:
        """All delays by name."""
        return asdict(self)


PRESETS: dict[str, dict[str, float]] = {
    "none": Delays().as_dict(),
    "short": {
        "pending_seconds": 1.0,
        "stopping_seconds": 1.0,
        "shutting_down_seconds": 2.0,
        "eni_attaching_seconds": 0.5,
        "eni_detaching_seconds": 0.5,
        "volume_creating_seconds": 0.3,
        "volume_attaching_seconds": 0.7,
        "volume_detaching_seconds": 0.5,
        "image_pending_seconds": 0.5,
        "imds_lag_seconds": 0.3,
        "asg_reconcile_seconds": 1.0,
        "stack_reconcile_seconds": 0.5,
        "busy_retry_seconds": 1.0,
    },
    "realistic": {
        "pending_seconds": 8.0,
        "stopping_seconds": 20.0,
        "shutting_down_seconds": 35.0,
        "eni_attaching_seconds": 3.0,
        "eni_detaching_seconds": 5.0,
        "volume_creating_seconds": 2.0,
        "volume_attaching_seconds": 4.0,
        "volume_detaching_seconds": 6.0,
        "image_pending_seconds": 60.0,
        "imds_lag_seconds": 2.0,
        "asg_reconcile_seconds": 10.0,
        "stack_reconcile_seconds": 5.0,
        "busy_retry_seconds": 5.0,
    },
}


def preset(name: str) -> Delays:
    """Return a fresh set of delays; raise ``ValueError`` for a preset that does not exist."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset of delays '{name}', known are: {', '.join(sorted(PRESETS))}")
    delays = Delays()
    delays.update(PRESETS[name])
    return delays
