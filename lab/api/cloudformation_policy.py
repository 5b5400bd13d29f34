# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stack policies, as far as an update here can meet them: which resources may be deleted. Pure functions.

A statement is read by Effect, Action, Resource or NotResource and a ResourceType condition; a Deny outweighs an Allow,
and what no statement allows is denied. Replacements need no policy here: the lab refuses them in any case.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])


def _matches(patterns: Any, value: str) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in _list(patterns))


def _concerns(statement: Mapping[str, Any], action: str, logical_id: str, kind: str) -> bool:
    name = f"LogicalResourceId/{logical_id}"
    if "NotResource" in statement:
        here = not _matches(statement["NotResource"], name)
    else:
        here = _matches(statement.get("Resource"), name)
    for operator in (statement.get("Condition") or {}).values():
        here = here and _matches(operator.get("ResourceType", "*"), kind)
    return here and _matches(statement.get("Action"), action)


def denied(policy: str | None, action: str, logical_id: str, kind: str) -> str | None:
    """Return AWS' sentence when the policy denies the action on the resource; None when it is allowed."""
    if not policy:
        return None
    allowed = False
    for number, statement in enumerate(json.loads(policy).get("Statement", []), 1):
        if not _concerns(statement, action, logical_id, kind):
            continue
        if statement.get("Effect") == "Deny":
            where = f"[{action}] for resource [{logical_id}]"
            return f"Action denied by stack policy: Statement [#{number}] does not allow {where}"
        allowed = True
    return (
        None
        if allowed
        else f"Action denied by stack policy: no statement allows [{action}] for resource [{logical_id}]"
    )


def denied_deletions(policy: str | None, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each resource that the update removes and the policy keeps."""
    found = (denied(policy, "Update:Delete", name, old[name]["Type"]) for name in sorted(set(old) - set(new)))
    return [sentence for sentence in found if sentence]
