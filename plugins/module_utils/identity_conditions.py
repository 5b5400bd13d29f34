# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How each identity of a cluster stands: EC2's attachments against ZooKeeper's claims, one word for each. Pure.

Two readers share this: who shows the cluster, and who restores claims. The latter writes where it is C(claim_missing);
every other word than C(held) is for a person, and C(NEXT_STEPS) says what that person does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_rules import (
    NOT_FOUND,
    InstanceBook,
    Life,
    of_another_pool,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Fault, Identity, PoolReading

BOOT = "on {holder}: sudo systemctl restart holdfast-boot"
#: The inventory of every command here; who knows the one in use puts it there (cluster_problems).
INVENTORY = "-i inventories/mine"
RESTORE = f"ansible-playbook {INVENTORY} playbooks/claims_restore.yml"
RELEASE = (
    f"ansible-playbook {INVENTORY} playbooks/identity_release.yml "
    "-e identity_release_role={role} "
    "-e identity_release_node_id={node_id} --check"
)
LOOK = "aws ec2 describe-instances --instance-ids {holders}"
TAGS = (
    f"correct the tags or the resources: {{resources}}; then ansible-playbook {INVENTORY} playbooks/cluster_status.yml"
)

#: What to do about each condition; every word has a page in docs/runbooks/reasons.
NEXT_STEPS: dict[str, str] = {
    "held": "",
    "free": "see why Auto Scaling launches nobody: aws autoscaling describe-scaling-activities",
    "vacant": "wait for the replacement, which takes the claim over; without one: " + RELEASE,
    "claimed_not_attached": "wait for its boot, or read why it ended: on {holder}: journalctl -u holdfast-boot",
    "claim_missing": RESTORE,
    "claim_of_former_holder": BOOT,
    "claim_disagrees": "find out which of {holders} serves, and terminate the other: " + LOOK,
    "claim_unreadable": "read the record and what wrote it: zkCli.sh get {claim_path}",
    "claim_without_identity": "restore the interface and the volumes of {name}, or their tags",
    "identity_missing": (
        "see that these are the cluster's account and region: aws sts get-caller-identity; "
        f"then ansible-playbook {INVENTORY} playbooks/pool_provision.yml --check"
    ),
    "parts_split": "find out which of {holders} serves, and terminate the other: " + LOOK,
    "half_attached": BOOT,
    "attached_without_eni": BOOT,
    "deleted_on_termination": BOOT,
    "two_identities": "find out as which {role} {holder} serves: on {holder}: journalctl -u holdfast-boot",
    "holder_stopped": "aws ec2 start-instances --instance-ids {holder}; or terminate it, and it is replaced",
    "holder_leaving": "wait until {holder} is terminated: " + LOOK,
    "holder_unknown": "ask EC2 again after the grace period: " + LOOK,
    "parts_busy": "ask EC2 what the resources wait for: {resources}",
    "zookeeper_unreachable": "bring the ensemble's servers back: on each: systemctl status zookeeper",
    "zookeeper_auth_failed": "compare holdfast_zookeeper_auth with the ACL: zkCli.sh getAcl /holdfast",
    "zookeeper_refused": "give this client access to /holdfast: zkCli.sh getAcl /holdfast",
}


@dataclass(frozen=True)
class Condition:
    """One finding; C(kind) is a word of NEXT_STEPS, or a pool fault's kind."""

    kind: str
    role: str
    node_id: int | None
    name: str
    message: str
    next_step: str
    resource_ids: tuple[str, ...] = ()
    instance_ids: tuple[str, ...] = ()
    holder: str | None = None
    holder_state: str | None = None
    claimed_by: str | None = None
    claim_version: int | None = None
    is_fault: bool = False

    @property
    def is_problem(self) -> bool:
        """Whether somebody has to look."""
        return self.kind != "held"

    @property
    def runbook(self) -> str:
        """Return the page that explains the word; a healthy identity needs none."""
        return f"docs/runbooks/reasons/{self.kind}.md" if self.is_problem else ""

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON shape that modules hand to plays."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {**plain, "problem": self.is_problem, "runbook": self.runbook}


def instances_to_ask(reading: PoolReading, claims: Mapping[str, Mapping[int, Claim]]) -> tuple[str, ...]:
    """Return every instance that has a part of an identity or is named by a claim."""
    found = {holder for identity in reading.identities for holder in identity.attached_instances()}
    found |= {holder for fault in reading.faults for holder in fault.holders}
    found |= {claim.instance_id for ones in claims.values() for claim in ones.values() if claim.instance_id}
    return tuple(sorted(found))


class _Judge:
    """Judges the identities of one role."""

    def __init__(
        self,
        reading: PoolReading,
        role: str,
        claims: Mapping[int, Claim] | None,
        book: InstanceBook,
        now: float,
        wall: float,
    ) -> None:
        self.reading, self.role, self.claims = reading, role, claims
        self.book, self.now, self.wall = book, now, wall
        self.identities = reading.of_role(role)
        self.held_by: dict[str, set[int]] = {}
        for identity in self.identities:
            for holder in identity.attached_instances():
                self.held_by.setdefault(holder, set()).add(identity.node_id)
        for node_id, claim in (claims or {}).items():
            if claim.instance_id:
                self.held_by.setdefault(claim.instance_id, set()).add(node_id)

    def all(self) -> list[Condition]:
        """Return one condition for each identity, fault and stray claim of the role."""
        found = [self._identity(identity) for identity in self.identities]
        found += [self._fault(fault) for fault in self.reading.faults_of(self.role)]
        known = {identity.node_id for identity in self.identities}
        known |= {fault.node_id for fault in self.reading.faults_of(self.role) if fault.node_id is not None}
        found += [
            self._stray(node_id, claim)
            for node_id, claim in sorted((self.claims or {}).items())
            if node_id not in known and not claim.given_back
        ]
        return found

    def _told(self, instance_id: str) -> str:
        return f"{instance_id} ({self.book.states.get(instance_id, 'state unknown')})"

    def _say(self, kind: str, identity: Identity, message: str, involved: Iterable[str] = ()) -> Condition:
        claim = (self.claims or {}).get(identity.node_id)
        attached = identity.attached_instances()
        holder = identity.eni.instance_id or next(iter(sorted(attached)), None) or (claim and claim.instance_id) or None
        instances = tuple(sorted({*involved, *attached, *({holder} if holder else ())}))
        resources = (identity.eni.id, *(volume.id for volume in identity.volumes))
        return Condition(
            kind=kind,
            role=self.role,
            node_id=identity.node_id,
            name=identity.name,
            message=f"{identity.name}: {message}",
            next_step=self._next(kind, identity.node_id, identity.name, holder, instances, resources),
            resource_ids=resources,
            instance_ids=instances,
            holder=holder,
            holder_state=self.book.states.get(holder) if holder else None,
            claimed_by=claim.instance_id if claim else None,
            claim_version=claim.version if claim else None,
        )

    def _next(
        self,
        kind: str,
        node_id: int | None,
        name: str,
        holder: str | None,
        instances: Iterable[str],
        resources: Iterable[str],
    ) -> str:
        return NEXT_STEPS.get(kind, TAGS).format(
            role=self.role,
            node_id=node_id,
            name=name,
            holder=holder or "its holder",
            holders=" ".join(instances) or "its holder",
            resources=" ".join(resources),
            claim_path=f"/holdfast/{self.reading.cluster}/{self.role}/claims/{node_id}",
        )

    def _fault(self, fault: Fault) -> Condition:
        name = f"{self.reading.cluster}-{self.role}-{'?' if fault.node_id is None else fault.node_id}"
        claim = (self.claims or {}).get(fault.node_id) if fault.node_id is not None else None
        holder = fault.holders[0] if len(fault.holders) == 1 else None
        return Condition(
            kind=fault.kind,
            role=self.role,
            node_id=fault.node_id,
            name=name,
            message=fault.message,
            next_step=self._next(fault.kind, fault.node_id, name, holder, fault.holders, fault.resource_ids),
            resource_ids=fault.resource_ids,
            instance_ids=fault.holders,
            holder=holder,
            holder_state=self.book.states.get(holder) if holder else None,
            claimed_by=claim.instance_id if claim else None,
            claim_version=claim.version if claim else None,
            is_fault=True,
        )

    def _stray(self, node_id: int, claim: Claim) -> Condition:
        name = f"{self.reading.cluster}-{self.role}-{node_id}"
        kind = "claim_without_identity" if claim.readable else "claim_unreadable"
        instances = (claim.instance_id,) if claim.instance_id else ()
        whom = self._told(claim.instance_id) if claim.instance_id else "somebody unknown"
        return Condition(
            kind=kind,
            role=self.role,
            node_id=node_id,
            name=name,
            message=f"{name}: claimed by {whom}, and the pool has no such identity",
            next_step=self._next(kind, node_id, name, claim.instance_id, instances, ()),
            instance_ids=instances,
            holder=claim.instance_id,
            holder_state=self.book.states.get(claim.instance_id) if claim.instance_id else None,
            claimed_by=claim.instance_id,
            claim_version=claim.version,
        )

    def _identity(self, identity: Identity) -> Condition:
        claim = (self.claims or {}).get(identity.node_id)
        if claim is not None and not claim.readable:
            return self._say("claim_unreadable", identity, "its claim cannot be read, so whoever wrote it holds it")
        attached = sorted(identity.attached_instances())
        if len(attached) > 1:
            told = ", ".join(self._told(one) for one in attached)
            return self._say("parts_split", identity, f"its parts are attached to several instances: {told}")
        if attached:
            return self._attached(identity, attached[0], claim)
        return self._unattached(identity, claim)

    def _attached(self, identity: Identity, holder: str, claim: Claim | None) -> Condition:
        state = self.book.states.get(holder, NOT_FOUND)
        if state == NOT_FOUND:
            return self._say("holder_unknown", identity, f"EC2 does not know {holder}, to which it is attached")
        if state in ("shutting-down", "terminated") or identity.eni.attachment_status == "detaching":
            return self._say("holder_leaving", identity, f"{self._told(holder)} is giving it up")
        others = sorted(self.held_by[holder] - {identity.node_id})
        if others:
            told = f"{self._told(holder)} holds {self.role} {', '.join(map(str, others))} as well"
            return self._say("two_identities", identity, told)
        named = claim.instance_id if claim is not None else None
        if named is not None and named != holder:
            return self._contradicted(identity, holder, named, claim)
        if identity.eni.instance_id is None:
            missing = f"{identity.eni.id} is not attached to {self._told(holder)}, which has a volume of it"
            return self._say("attached_without_eni", identity, missing)
        if self.claims is not None and named is None:
            return self._say("claim_missing", identity, f"{self._told(holder)} holds it and no claim says so")
        if state in ("stopping", "stopped"):
            return self._say("holder_stopped", identity, f"{self._told(holder)} holds it and serves nobody")
        loose = [volume.id for volume in identity.volumes if volume.instance_id != holder]
        if loose:
            return self._say("half_attached", identity, f"{', '.join(loose)} is not attached to {self._told(holder)}")
        lost = [part.id for part in identity.parts() if part.delete_on_termination]
        if lost:
            told = f"EC2 would delete {', '.join(lost)} when {holder} is terminated"
            return self._say("deleted_on_termination", identity, told)
        return self._say("held", identity, f"held by {self._told(holder)}")

    def _contradicted(self, identity: Identity, holder: str, named: str, claim: Claim | None) -> Condition:
        assert claim is not None
        life = self.book.life_at_one_look(named, self.wall - claim.modified_at, self.now)
        told = f"attached to {self._told(holder)} and claimed by {self._told(named)}"
        foreign = of_another_pool(identity, claim, self.book)
        if foreign:
            return self._say("claim_disagrees", identity, foreign, [named])
        kind = "claim_of_former_holder" if life is Life.DEAD else "claim_disagrees"
        return self._say(kind, identity, told, [named])

    def _unattached(self, identity: Identity, claim: Claim | None) -> Condition:
        odd = [part.id for part in identity.parts() if part.status != "available"]
        if odd:
            return self._say("parts_busy", identity, f"{', '.join(odd)} is in use, and EC2 names no instance")
        if claim is None or claim.instance_id is None:
            return self._say("free", identity, "nobody holds it")
        named = claim.instance_id
        foreign = of_another_pool(identity, claim, self.book)
        if foreign:
            return self._say("claim_disagrees", identity, foreign, [named])
        life = self.book.life_at_one_look(named, self.wall - claim.modified_at, self.now)
        if life is Life.DEAD:
            return self._say("vacant", identity, f"{self._told(named)} held it last", [named])
        if self.book.states.get(named, NOT_FOUND) == NOT_FOUND:
            return self._say("holder_unknown", identity, f"claimed by {named}, which EC2 does not know yet", [named])
        if life is Life.LEAVING:
            return self._say("holder_leaving", identity, f"claimed by {self._told(named)}", [named])
        if self.book.states.get(named) in ("stopping", "stopped"):
            return self._say(
                "holder_stopped", identity, f"claimed by {self._told(named)}, which serves nobody", [named]
            )
        told = f"claimed by {self._told(named)}, which has attached nothing of it"
        return self._say("claimed_not_attached", identity, told, [named])


def judge_conditions(
    reading: PoolReading,
    role: str,
    claims: Mapping[int, Claim] | None,
    book: InstanceBook,
    now: float,
    wall: float,
) -> list[Condition]:
    """Judge a role; C(claims) is C(None) for a role that has none, or when they could not be read.

    C(book) must know every instance of C(instances_to_ask); C(now) is monotonic, C(wall) since the epoch, in seconds.
    """
    return _Judge(reading, role, claims, book, now, wall).all()


def absent(cluster: str, role: str, node_id: int, region: str | None) -> Condition:
    """Return the finding that the inventory declares an identity of which EC2 shows nothing."""
    name, kind = f"{cluster}-{role}-{node_id}", "identity_missing"
    where = f" (region {region})" if region else ""
    message = f"{name}: holdfast_pools declares it, and EC2 shows no interface and no volume of it{where}"
    return Condition(kind, role, node_id, name, message, NEXT_STEPS[kind])


def unasked(cluster: str, role: str, reason: str, message: str) -> Condition:
    """Return the finding that a role's claims could not be read, and why."""
    step = NEXT_STEPS.get(reason, NEXT_STEPS["zookeeper_unreachable"])
    return Condition(reason, role, None, f"{cluster}-{role}", f"{role}: {message}", step)
