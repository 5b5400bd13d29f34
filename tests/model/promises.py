# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is promised, by name. Some promises are about states, some about the one request that breaks them."""

from __future__ import annotations

from tests.model.runs import Automata, Local
from tests.model.world import (
    DYING,
    FORGOTTEN,
    GHOST,
    LIVING,
    NOBODY,
    RUNNING,
    STOPPED,
    TERMINATED,
    UNREADABLE,
    Config,
    State,
)

PROMISES = {
    "one-server": "never do two living instances serve as one node",
    "one-holder": "never do two living instances take themselves for the holder of one identity",
    "served-whole": "who serves as a node has its ENI and its volume, both",
    "never-split": "never has one living instance an identity's ENI and another its volume",
    "one-identity": "no living instance has parts or claims of two identities",
    "own-zone": "nobody holds an identity of another Availability Zone",
    "claim-before-write": "nothing is asked of EC2 for an identity whose claim does not name the asker",
    "no-theft": "no part changes hands while its holder lives",
    "takeover-from-dead": "a claim is taken only from an instance that is terminated",
    "release-detached": "a claim is given back only while nothing of the identity is attached",
    "same-again": "an instance that has an identity attached is never given another one",
    "never-stranded": "without further faults every instance that runs gets an identity while one is free",
}
#: Promises that rest on ZooKeeper's claims: they end when somebody wipes ZooKeeper, and EC2's attach arbitrates alone.
BY_CLAIMS = ("one-holder", "claim-before-write", "one-identity")


def holds(config: Config, name: str) -> bool:
    """Whether this configuration promises it."""
    if name == "claim-before-write" and config.strategy != "zookeeper":
        return False
    return name not in config.excused


def of_state(config: Config, automata: Automata, state: State) -> str | None:
    """Name a promise that this state breaks."""
    given = [
        automata.locals[process.local] for process in state.runs if automata.locals[process.local].node is not None
    ]
    for node in config.identities:
        eni, volume = state.enis[node].value, state.volumes[node].value
        holders = {local.instance for local in given if local.node == node}
        servers = {local.instance for local in given if local.node == node and local.kind == "serve"}
        if len(servers) > 1 and holds(config, "one-server"):
            return "one-server"
        if len(holders) > 1 and holds(config, "one-holder"):
            return "one-holder"
        for server in servers:
            if {eni, volume} != {server} and holds(config, "served-whole"):
                return "served-whole"
        if NOBODY not in (eni, volume) and eni != volume and _lives(state, eni) and _lives(state, volume):
            return "never-split"
    for number in range(len(config.instances)):
        if _lives(state, number):
            has = _identities(config, automata, state, number)
            if len(has) > 1 and holds(config, "one-identity"):
                return "one-identity"
            if any(config.zones[node] != config.instances[number] for node in has) and holds(config, "own-zone"):
                return "own-zone"
    return None


def _lives(state: State, instance: int) -> bool:
    return instance not in (NOBODY, GHOST) and state.instances[instance].value in LIVING


def _identities(config: Config, automata: Automata, state: State, number: int) -> set[int]:
    has = {
        node
        for node in config.identities
        if number in (state.enis[node].value, state.volumes[node].value, state.claims[node])
    }
    for run in config.runs_of(number):
        node = automata.locals[state.runs[run].local].node
        if node is not None:
            has.add(node)
    return has


def on_attach(config: Config, state: State, owner: int, local: Local, part: str, node: int) -> str | None:
    """Name a promise that asking EC2 for this attachment breaks."""
    if local.kind == "attach" and state.claims[node] != owner and holds(config, "claim-before-write"):
        return "claim-before-write"
    holder = (state.enis if part == "eni" else state.volumes)[node].value
    if config.mistake.force and holder not in (NOBODY, owner) and _lives(state, holder):
        return "no-theft"
    return None


def on_claim(config: Config, state: State, owner: int, kind: str, node: int) -> str | None:
    """Name a promise that this write of a claim breaks."""
    if kind == "give_back":
        attached = owner in (state.enis[node].value, state.volumes[node].value)
        return "release-detached" if attached and holds(config, "release-detached") else None
    before = state.claims[node]
    if not holds(config, "takeover-from-dead"):
        return None
    if before == UNREADABLE:
        return "takeover-from-dead"
    if before < 0 or before in (GHOST, owner):
        return None
    return None if state.instances[before].value in (TERMINATED, FORGOTTEN) else "takeover-from-dead"


def on_move(config: Config, automata: Automata, state: State, run: int, before: Local, after: Local) -> str | None:
    """Name a promise that the process's decision breaks."""
    if before.kind != "claim" or after.node is None:
        return None
    owner = config.owner(run)
    attached = {node for node in config.identities if owner in (state.enis[node].value, state.volumes[node].value)}
    return "same-again" if attached - {after.node} and holds(config, "same-again") else None


def is_goal(config: Config, automata: Automata, state: State) -> bool:
    """Whether nobody who runs is without an identity that is free for it."""
    for number, thing in enumerate(state.instances):
        if thing.value != RUNNING:
            continue
        if any(automata.locals[state.runs[run].local].kind == "serve" for run in config.runs_of(number)):
            continue
        for node in config.identities:
            usable = config.zones[node] == config.instances[number] and state.claims[node] != UNREADABLE
            if usable and not _is_held(config, automata, state, number, node):
                return False
    return True


def _is_held(config: Config, automata: Automata, state: State, asker: int, node: int) -> bool:
    """Whether another instance that lives serves as this node, or is stopped and has it."""
    for number, thing in enumerate(state.instances):
        if number == asker or thing.value not in (RUNNING, STOPPED):
            continue
        serves = any(
            (local := automata.locals[state.runs[run].local]).kind == "serve" and local.node == node
            for run in config.runs_of(number)
        )
        parts = (state.claims[node], state.enis[node].value, state.volumes[node].value)
        if serves or (thing.value == STOPPED and number in parts):
            return True
    return False


__all__ = ["BY_CLAIMS", "DYING", "PROMISES", "is_goal", "of_state", "on_attach", "on_claim", "on_move"]
