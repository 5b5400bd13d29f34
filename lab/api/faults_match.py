# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a fault concerns an event, and whether it strikes this time; pure."""

from __future__ import annotations

import fnmatch
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Occasion:
    """An event that a fault may strike: a call, an attachment, a death, a phase of a boot.

    ``instance_id`` is the instance that calls, or the one that it happens to ('' if none).
    """

    action: str = ""
    instance_id: str = ""
    group: str = ""
    resources: frozenset[str] = frozenset()


def concerns(parameters: Mapping[str, Any], launched_before: frozenset[str], occasion: Occasion) -> bool:
    """Whether every selector of the fault holds; ``launched_before`` are the instances older than the fault."""
    if parameters.get("actions") and not any(fnmatch.fnmatchcase(occasion.action, p) for p in parameters["actions"]):
        return False
    if parameters.get("instance") and parameters["instance"] != occasion.instance_id:
        return False
    if parameters.get("group") and parameters["group"] != occasion.group:
        return False
    if parameters.get("new") and (not occasion.instance_id or occasion.instance_id in launched_before):
        return False
    return not parameters.get("resource") or parameters["resource"] in occasion.resources


class Rhythm:
    """Counts the matching occasions of one fault and decides which of them it strikes."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self.matched = 0
        self.struck = 0
        self._skip = int(parameters.get("skip") or 0)
        self._every = int(parameters.get("every") or 1)
        self._rate = float(parameters.get("rate") or 1.0)
        self._times: int | None = parameters.get("times")
        self._random = random.Random(parameters.get("seed") or 0)  # noqa: S311 - repeatable on purpose

    @property
    def remaining(self) -> int | None:
        """How often it can still strike, None without a limit."""
        return None if self._times is None else max(0, self._times - self.struck)

    def strikes(self) -> bool:
        """Count a matching occasion; say whether the fault strikes it."""
        if self.remaining == 0:
            return False
        self.matched += 1
        if self.matched <= self._skip or (self.matched - self._skip) % self._every:
            return False
        if self._rate < 1 and self._random.random() >= self._rate:
            return False
        self.struck += 1
        return True
