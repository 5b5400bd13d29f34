# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order the servers of a ZooKeeper ensemble may be restarted, and why not at all. No I/O.

What does not run is started first, all of it together, because nothing is lost by a start and one alone may make no
quorum. Then one server at a time: what runs outside of the quorum, the followers, and the leader last, so that one
election is enough.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils import release, zk_upgrade
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_4lw import Server

#: With fewer servers the ensemble has no majority without the one that is stopped.
SMALLEST_ENSEMBLE = 3
#: An answer with one of these words comes from a server whose state nobody knows.
UNTOLD = ("not_listed", "empty", "protocol")


@dataclass(frozen=True)
class Step:
    """One server's turn. C(action) is C(start) for one that does not run, otherwise C(restart).

    C(may_be_absent) are the servers outside of the quorum whose turn is later: nobody waits for them now.
    """

    node_id: int
    action: str
    why: str
    may_be_absent: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Refusal:
    """Why the roll must not begin; C(reason) is for plays and runbooks."""

    reason: str
    message: str
    node_ids: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """Whose turn it is when, who is left alone and why, and what forbids all of it."""

    steps: list[Step]
    skipped: list[dict[str, Any]]
    refusals: list[Refusal]
    leader_id: int | None
    expected_seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, with C(batches) and C(serial) as a playbook wants them; a refused plan has none."""
        starts = [step.node_id for step in self.steps if step.action == "start"]
        batches = [starts] if starts else []
        batches += [[step.node_id] for step in self.steps if step.action != "start"]
        batches = [] if self.refusals else batches
        return {
            "servers": [asdict(step) for step in self.steps],
            "batches": batches,
            "serial": [len(batch) for batch in batches],
            "skipped": self.skipped,
            "refusals": [asdict(refusal) for refusal in self.refusals],
            "leader_id": self.leader_id,
            "expected_seconds": self.expected_seconds,
        }


def leader_of(servers: Mapping[int, Server]) -> int | None:
    """Return the id of the one leader (or of a lone server), None when there is none or more than one."""
    wanted = "leader" if len(servers) > 1 else "standalone"
    leaders = [node_id for node_id, server in servers.items() if server.mode == wanted]
    return leaders[0] if len(leaders) == 1 else None


def _named(servers: Mapping[int, Server], node_ids: Collection[int]) -> str:
    told = []
    for node_id in sorted(node_ids):
        server = servers[node_id]
        said = server.mode or (server.error or {}).get("message", "in no quorum")
        told.append(f"{node_id} ({server.host}: {said})")
    return ", ".join(told)


def _silent(servers: Mapping[int, Server]) -> set[int]:
    return {node_id for node_id, server in servers.items() if not server.reachable}


def _outside(servers: Mapping[int, Server]) -> set[int]:
    """Servers that answer and serve nobody."""
    return {node_id for node_id, server in servers.items() if server.reachable and server.mode is None}


def _untold(servers: Mapping[int, Server]) -> set[int]:
    return {node_id for node_id in _outside(servers) if (servers[node_id].error or {}).get("reason") in UNTOLD}


def _state_refusals(servers: Mapping[int, Server], targets: Collection[int]) -> list[Refusal]:
    """What is wrong with the ensemble now, apart from servers that this roll itself brings back."""
    found = []
    size = len(servers)
    leaders = [node_id for node_id, server in servers.items() if server.mode == "leader"]
    alone = [node_id for node_id, server in servers.items() if server.mode == "standalone"]
    if len(leaders) > 1:
        told = (
            f"more than one server leads: {_named(servers, leaders)}; find out which of them have the ensemble's data"
        )
        found.append(Refusal(reason="leader_not_unique", message=told, node_ids=sorted(leaders)))
    if size > 1 and alone:
        told = (
            f"in an ensemble of {size} these run alone, by a configuration without the others: {_named(servers, alone)}"
        )
        found.append(Refusal(reason="server_alone", message=told, node_ids=sorted(alone)))
    if _untold(servers):
        told = (
            f"nobody knows the state of {_named(servers, _untold(servers))}; "
            "4lw.commands.whitelist must hold srvr and mntr on every server"
        )
        found.append(Refusal(reason="server_state_unknown", message=told, node_ids=sorted(_untold(servers))))
    lost = (_silent(servers) | _outside(servers)) - set(targets) - _untold(servers)
    if lost:
        told = (
            f"servers that this roll does not touch are in no quorum: {_named(servers, lost)}; stopping another one "
            "could leave no majority. Bring them back first, or let the roll do it by including them"
        )
        found.append(Refusal(reason="server_missing", message=told, node_ids=sorted(lost)))
    if size > 1 and not leaders and not alone and not _silent(servers):
        told = (
            f"every server answers and nobody leads: {_named(servers, servers)}; a restart of each in turn mends no "
            "election. Read their journals, and start from there"
        )
        found.append(Refusal(reason="no_quorum", message=told, node_ids=sorted(servers)))
    return found


def _sync_refusals(servers: Mapping[int, Server]) -> list[Refusal]:
    leader_id = leader_of(servers)
    if leader_id is None or len(servers) == 1:
        return []
    followers = [node_id for node_id, server in servers.items() if server.mode == "follower"]
    synced = servers[leader_id].synced_followers
    if synced is None:
        told = f"the leader {_named(servers, [leader_id])} does not say by mntr how many followers are in sync"
        return [Refusal(reason="server_state_unknown", message=told, node_ids=[leader_id])]
    if synced < len(followers):
        told = (
            f"{synced} of {len(followers)} followers are in sync with the leader {_named(servers, [leader_id])}: "
            f"{_named(servers, followers)}; wait until they have caught up"
        )
        return [Refusal(reason="followers_not_in_sync", message=told, node_ids=sorted(followers))]
    return []


def upgrade_refusals(
    servers: Mapping[int, Server], wanted: release.Version, *, downgrade_allowed: bool
) -> list[Refusal]:
    """Say which servers run a version from which C(wanted) must not be reached by a roll."""
    found = []
    for node_id, server in sorted(servers.items()):
        if server.version is None:
            continue
        try:
            running = release.parse(server.version)
        except ValueError as error:
            told = f"server {_named(servers, [node_id])} says that it runs {server.version}: {error}"
            found.append(Refusal(reason="upgrade_unsupported", message=told, node_ids=[node_id]))
            continue
        fault = zk_upgrade.step_fault(running, wanted, downgrade_allowed=downgrade_allowed)
        if fault:
            told = f"server {_named(servers, [node_id])}: {fault}"
            found.append(Refusal(reason="upgrade_unsupported", message=told, node_ids=[node_id]))
    return found


def _steps(servers: Mapping[int, Server], targets: Collection[int]) -> list[Step]:
    leader_id = leader_of(servers)
    silent, outside = _silent(servers), sorted(_outside(servers) & set(targets))
    # Without a leader they are not outside of anything: they are a part of the quorum that the starts are to make.
    later = outside if leader_id is not None else []
    steps = [
        Step(one, "start", f"does not answer ({servers[one].host})", later) for one in sorted(silent & set(targets))
    ]
    for place, one in enumerate(outside, start=1):
        steps.append(Step(one, "restart", "answers and is in no quorum", later[place:]))
    done = {*silent, *outside, leader_id}
    steps += [Step(one, "restart", f"is {servers[one].mode}") for one in sorted(set(targets) - done)]
    if leader_id is not None and leader_id in targets:
        last = "leads, so its turn is last" if len(servers) > 1 else "is the only server"
        steps.append(Step(leader_id, "restart", last))
    return steps


def plan(
    servers: Mapping[int, Server],
    targets: Collection[int],
    skipped: Mapping[int, str],
    *,
    interruption_allowed: bool,
    seconds_per_server: float,
    wanted: release.Version | None = None,
    downgrade_allowed: bool = False,
) -> Plan:
    """Order C(targets) of the whole ensemble C(servers); C(skipped) says why the others of the targets need nothing.

    C(interruption_allowed) accepts that an ensemble of one or two serves nobody while one of its servers restarts.
    """
    turns = set(targets) - set(skipped)
    steps = _steps(servers, turns)
    refusals: list[Refusal] = []
    # A start takes nothing from anybody, so a plan that stops nobody is never refused.
    if any(step.action == "restart" for step in steps):
        refusals = _state_refusals(servers, turns) + _sync_refusals(servers)
        if len(servers) < SMALLEST_ENSEMBLE and not interruption_allowed:
            told = (
                f"an ensemble of {len(servers)} serves nobody while one server restarts; "
                "allow it with interruption_allowed when clients can bear that"
            )
            refusals.append(Refusal(reason="no_majority_left", message=told, node_ids=sorted(servers)))
    if steps and wanted is not None:
        refusals = refusals + upgrade_refusals(servers, wanted, downgrade_allowed=downgrade_allowed)
    untouched = sorted(set(servers) - turns)
    return Plan(
        steps=steps,
        skipped=[{"node_id": one, "why": skipped.get(one, "not asked for")} for one in untouched],
        refusals=refusals,
        leader_id=leader_of(servers),
        expected_seconds=round(seconds_per_server * len(steps), 1),
    )
