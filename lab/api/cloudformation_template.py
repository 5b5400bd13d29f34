# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading templates: what depends on what, what is unknown, what needs a capability. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

SUBSTITUTION = re.compile(r"\$\{([^!}][^}]*)\}")
DURATION = re.compile(r"^PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?$")
NAMED_BY = {
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::User": "UserName",
    "AWS::IAM::Group": "GroupName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
}
IAM_TYPES = (*NAMED_BY, "AWS::IAM::Policy", "AWS::IAM::AccessKey", "AWS::IAM::UserToGroupAddition")
DEFAULT_SIGNAL_SECONDS = 300
RETAINED = ("Retain", "RetainExceptOnCreate")


def normalise(node: Any) -> Any:
    """Return the template with every Fn::GetAtt as a list, the form that moto understands."""
    if isinstance(node, Mapping):
        return {
            key: value.split(".", 1) if key == "Fn::GetAtt" and isinstance(value, str) else normalise(value)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [normalise(item) for item in node]
    return node


def references(node: Any) -> set[str]:
    """Return the logical names that Ref, Fn::GetAtt and Fn::Sub in ``node`` mention."""
    found: set[str] = set()
    if isinstance(node, list):
        for item in node:
            found |= references(item)
    elif isinstance(node, Mapping):
        for key, value in node.items():
            if key == "Ref" and isinstance(value, str):
                found.add(value)
            elif key == "Fn::GetAtt" and isinstance(value, list):
                found.add(str(value[0]))
            elif key == "Fn::Sub":
                text, given = (value, {}) if isinstance(value, str) else (value[0], value[1])
                found |= {match.split(".")[0] for match in SUBSTITUTION.findall(text)} - set(given)
                found |= references(given)
            else:
                found |= references(value)
    return found


def dependencies(resources: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return for each resource those that must be there before it."""
    result = {}
    for name, resource in resources.items():
        explicit = resource.get("DependsOn", [])
        explicit = [explicit] if isinstance(explicit, str) else explicit
        body = {key: value for key, value in resource.items() if key != "Condition"}
        result[name] = ((references(body) & set(resources)) | set(explicit)) - {name}
    return result


def circular(needs: Mapping[str, set[str]]) -> list[str]:
    """Return the resources that can never be made because they wait for each other."""
    done: set[str] = set()
    while True:
        ready = {name for name, before in needs.items() if name not in done and before <= done}
        if not ready:
            return sorted(set(needs) - done)
        done |= ready


def unresolved(template: Mapping[str, Any]) -> list[str]:
    """Return references to what is neither resource nor parameter nor pseudo parameter."""
    known = set(template.get("Resources", {})) | set(template.get("Parameters", {}))
    mentioned = references(template.get("Resources", {}))
    explicit = [resource.get("DependsOn", []) for resource in template.get("Resources", {}).values()]
    for item in explicit:
        mentioned |= {item} if isinstance(item, str) else set(item)
    return sorted(name for name in mentioned - known if not name.startswith("AWS::"))


def missing_capability(resources: Mapping[str, Any], given: Iterable[str]) -> str | None:
    """Return the capability that the resources need and the call does not give."""
    given = set(given)
    iam = [r for r in resources.values() if r.get("Type") in IAM_TYPES]
    if not iam or "CAPABILITY_NAMED_IAM" in given:
        return None
    if any(NAMED_BY.get(r["Type"], "") in r.get("Properties", {}) for r in iam):
        return "CAPABILITY_NAMED_IAM"
    return None if "CAPABILITY_IAM" in given else "CAPABILITY_IAM"


def seconds_of(duration: str) -> int:
    """Return the seconds of an ISO 8601 duration like PT20M; raise ``ValueError`` for anything else."""
    match = DURATION.match(duration)
    if not match or not any(match.groups()):
        raise ValueError(f"{duration!r} is not a duration like PT20M or PT1H30M")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def changed_properties(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """Return the names of the properties in which two definitions of a resource differ."""
    before, after = old.get("Properties", {}), new.get("Properties", {})
    return {key for key in {*before, *after} if before.get(key) != after.get(key)}
