# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an update of the pool stack would throw away or make twice, told from the two templates.

PRIVATE to the collection. Pure functions. CloudFormation replaces an interface or a volume when one of a few properties
changes. As everything in the pool is retained, the result is a second resource with the same tags: a pool fault, after
which no node of that identity can be replaced. So such a change is refused before AWS is asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

REPLACING = {
    "AWS::EC2::NetworkInterface": ("SubnetId", "PrivateIpAddress"),
    "AWS::EC2::Volume": ("AvailabilityZone", "Encrypted", "KmsKeyId", "SnapshotId", "OutpostArn", "MultiAttachEnabled"),
}
LOGICAL_ID = re.compile(r"^(Zookeeper|Kafka)(\d+)(Interface|Volume\d+)$")
KIND = {"AWS::EC2::NetworkInterface": "interface", "AWS::EC2::Volume": "volume"}
Template = Mapping[str, Any]


def identity_of(logical_id: str) -> str | None:
    """Return C(<role>-<node id>) of a resource of the pool stack; None for what belongs to no identity."""
    match = LOGICAL_ID.match(logical_id)
    return f"{match[1].lower()}-{match[2]}" if match else None


def pool_changes(old: Template | None, new: Template, released: Collection[str] = ()) -> list[str]:
    """Return a sentence for each interface or volume that the update would replace, remove or shrink.

    C(released) names the identities (C(kafka-1)) for which the operator said that this is meant.
    """
    faults: list[str] = []
    wanted = new.get("Resources", {})
    for name, before in sorted(((old or {}).get("Resources") or {}).items()):
        kind, identity = before.get("Type"), identity_of(name)
        if kind not in REPLACING or identity in released:
            continue
        what = f"the {KIND[kind]} {name} of {identity or 'the pool'}"
        after = wanted.get(name)
        if after is None:
            faults.append(
                f"{what} is in the stack and no longer in holdfast_pools; it would stay in EC2, tagged and claimable. "
                f"Put it back{_or_release(identity)}."
            )
        else:
            faults += _property_faults(what, identity, kind, before.get("Properties", {}), after.get("Properties", {}))
    return faults


def _property_faults(
    what: str, identity: str | None, kind: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[str]:
    faults = []
    for key in REPLACING[kind]:
        was, is_now = before.get(key), after.get(key)
        if _plain(was) != _plain(is_now):
            faults.append(
                f"{key} of {what} would change from {_shown(was)} to {_shown(is_now)}; CloudFormation would make "
                "a second one with the same tags, and no node could take the identity. "
                f"Take the change back{_or_release(identity)}."
            )
    if kind == "AWS::EC2::Volume" and int(after.get("Size") or 0) < int(before.get("Size") or 0):
        faults.append(
            f"Size of {what} would shrink from {before.get('Size')} to {after.get('Size')} GiB; EBS volumes only grow."
        )
    return faults


def _or_release(identity: str | None) -> str:
    return (
        f", or name {identity} in pool_stack_released_identities and deal with the old one by hand" if identity else ""
    )


def _plain(value: Any) -> str:
    """One text for what YAML, JSON and CloudFormation write differently (true, "true")."""
    return value.lower() if isinstance(value, str) else json.dumps(value, sort_keys=True).lower()


def _shown(value: Any) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else json.dumps(value)


def stack_policy(new: Template, old: Template | None = None, released: Collection[str] = ()) -> dict[str, Any]:
    """Return the stack policy: no interface and no volume is replaced or deleted, save those of released identities."""
    names = {*new.get("Resources", {}), *((old or {}).get("Resources") or {})}
    free = sorted(f"LogicalResourceId/{name}" for name in names if identity_of(name) in set(released))
    deny: dict[str, Any] = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["Update:Replace", "Update:Delete"],
        "Condition": {"StringEquals": {"ResourceType": sorted(REPLACING)}},
    }
    deny.update({"NotResource": free} if free else {"Resource": "*"})
    return {
        "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"}, deny],
    }
