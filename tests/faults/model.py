# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of a fault run: a fault, what is expected of it, and what was seen. Pure values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.world import World

#: How a fault may end. `recovers`: the next instance takes the identity over, without a person. `refused`: an instance
#: says no, gives itself up, and the next one succeeds once the fault is mended. `kept`: an instance says no and stays,
#: because the next one would find the same; it succeeds after the mend. `unharmed`: nobody loses an identity.
OUTCOMES = ("recovers", "refused", "kept", "unharmed")


@dataclass(frozen=True)
class Expected:
    """What should come of a fault; ``reason`` is the machine word that the console must carry.

    ``disturbs`` are identities (or roles) beside the victim whose processes the fault itself stops.
    """

    outcome: str
    reason: str = ""
    disturbs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an expectation that would check nothing."""
        if self.outcome not in OUTCOMES:
            raise ValueError(f"unknown outcome {self.outcome!r}: one of {', '.join(OUTCOMES)}")
        if self.outcome in ("refused", "kept") and not self.reason:
            raise ValueError(f"an outcome '{self.outcome}' needs the reason's word")

    def sentence(self) -> str:
        """What is expected, for the report."""
        word = f" ({self.reason})" if self.reason else ""
        return {
            "recovers": f"the next instance comes back as the same identity{word}",
            "refused": f"refused{word}, given up, nothing changed; after the mend the next instance succeeds",
            "kept": f"refused{word}, the instance kept, nothing changed; after the mend the next boot succeeds",
            "unharmed": f"the holder keeps its identity, nobody takes it{word}",
        }[self.outcome]


@dataclass(frozen=True)
class Fault:
    """One fault: what it is in a sentence, how it is played, what should come of it."""

    name: str
    what: str
    play: Callable[[World], None]
    expected: Expected
    role: str = "kafka"


@dataclass(frozen=True)
class Refusal:
    """One instance that said no: the reason looked for, whether its console has it, and whom it told."""

    instance_id: str
    reason: str
    on_console: bool
    marked_unhealthy: bool
    signalled_failure: bool
    kept: bool
    #: what the refusing instance changed although it must not have (claims, attachments, volume contents)
    changed: tuple[str, ...] = ()


@dataclass
class Seen:
    """What was seen while a fault was played; filled by the story, the observer and the runner."""

    acked: int = 0
    lost: int = 0
    doubles: list[str] = field(default_factory=list)
    samples: int = 0
    samples_with_claims: int = 0
    recovered_seconds: float | None = None
    same_address_and_volumes: bool = False
    holder_before: str = ""
    holder_after: str = ""
    refusals: list[Refusal] = field(default_factory=list)
    restarted_elsewhere: list[str] = field(default_factory=list)
    reconfigured_elsewhere: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
