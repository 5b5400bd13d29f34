# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the claims that are missing of the instances that EC2 shows as holders. Nobody's claim is ever replaced.

A claim is written only where none names anybody, and only by compare-and-set: C(create), or C(set) at the version of
the record that was given back. Who stands in a claim stays there, and the contradiction is reported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils import cluster_reader, zk_claims
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim, encode
from ansible_collections.holdfast.kafka.plugins.module_utils.cluster_reader import ClusterReader
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.identity_conditions import Condition
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Identity

#: Conditions of an identity that somebody has and whose claim cannot be made true from outside.
CONFLICTS = frozenset(
    {
        "claim_of_former_holder",
        "claim_disagrees",
        "claim_unreadable",
        "parts_split",
        "attached_without_eni",
        "two_identities",
    }
)


@dataclass
class Restored:
    """What a run did, or in check mode would do."""

    written: list[dict[str, Any]] = field(default_factory=list)
    conflicts: list[Condition] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)


def is_conflict(condition: Condition) -> bool:
    """Whether somebody has, or may have, the identity and no claim can be written for them."""
    if condition.kind in CONFLICTS:
        return True
    # A fault names its own resources only: who has the rest of the identity is not told.
    told = condition.claimed_by is not None
    contradicted = bool(condition.instance_ids) and condition.claimed_by not in condition.instance_ids
    return condition.is_fault and (contradicted or not told)


def restore(
    reader: ClusterReader, role: str, check_mode: bool, progress: Callable[[str], None], done: Restored
) -> None:
    """Restore a role's claims and tell in C(done), also when this raises HoldfastError (a read or a write failed)."""
    reading = reader.read_pools()
    reader.require_declared(role)
    if not reading.of_role(role) and not reading.faults_of(role):
        message = f"The pool of {reader.cluster} has no interface and no volume of the role {role!r}"
        raise HoldfastError("not_found", f"{message}: check the cluster, the role, the region and the tags.")
    reader.read_claims(role)
    reader.read_instances()
    done.conditions = reader.conditions(role)
    done.conflicts = [one for one in done.conditions if is_conflict(one)]
    missing = [one for one in done.conditions if one.kind == "claim_missing"]
    if not missing:
        return
    # EC2's describe may lag: what is written must have been seen twice, and the claims are read after the first look.
    # Without the pause both looks would ask the same lagging replica.
    reader.sleep(cluster_reader.SECOND_LOOK_SECONDS)
    first = {one.node_id: one.holder for one in missing}
    reading = reader.read_pools()
    reader.require_declared(role)
    again = {one.node_id: one for one in reader.conditions(role) if one.kind == "claim_missing"}
    identities = {identity.node_id: identity for identity in reading.of_role(role)}
    for node_id, holder in first.items():
        assert node_id is not None
        now = again.get(node_id)
        if now is None or now.holder != holder or holder is None:
            message = f"{role} {node_id} changed hands between two looks ({holder} before): run this again."
            raise HoldfastError("lost_race", message)
        _write(reader, role, identities[node_id], holder, check_mode, done)
        progress(f"claim of {identities[node_id].name} written for {holder}")


def _write(reader: ClusterReader, role: str, identity: Identity, holder: str, check_mode: bool, done: Restored) -> None:
    claim = reader.claims[role].get(identity.node_id)
    entry = {
        "role": role,
        "node_id": identity.node_id,
        "name": identity.name,
        "instance_id": holder,
        "evidence": f"{identity.eni.id} is attached to {holder} ({reader.book.states[holder]})",
        "action": "create" if claim is None else "set",
        "version": 0 if claim is None else claim.version + 1,
    }
    if not check_mode and not _written(reader, role, identity, holder, claim):
        return
    done.written.append(entry)


def _written(reader: ClusterReader, role: str, identity: Identity, holder: str, claim: Claim | None) -> bool:
    """Write one claim; a lost reply or a lost race is settled by reading. Raise HoldfastError."""
    store, node_id = reader.store(role), identity.node_id
    value = encode(identity, holder, reader.wall())
    try:
        if claim is None:
            store.create(node_id, value)
        else:
            store.set(node_id, value, claim.version)
    except (zk_claims.ClaimLostError, zk_claims.ZkReplyLostError) as error:
        there = reader.read_claims(role).get(node_id)
        if there is not None and there.instance_id == holder:
            # A lost reply was a write of ours; a lost race was the holder's own boot, which wrote the same.
            return isinstance(error, zk_claims.ZkReplyLostError)
        if isinstance(error, zk_claims.ZkReplyLostError):
            message = (
                f"The claim of {identity.name} was not written for {holder}: ZooKeeper's reply was lost ({error})."
            )
            raise HoldfastError("zookeeper_unreachable", f"{message} Run this again.") from error
        whom = there.instance_id if there is not None else None
        message = f"The claim of {identity.name} was written for {whom or 'nobody'} meanwhile, not for {holder}."
        raise HoldfastError("lost_race", f"{message} Run this again.") from error
    except zk_claims.ZkUnreachableError as error:
        raise HoldfastError("zookeeper_unreachable", f"{error}.") from error
    except zk_claims.ZkRefusedError as error:
        raise HoldfastError(error.reason, f"{error}.") from error
    return True
