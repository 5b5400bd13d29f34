# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``/_lab/faults``: GET lists kinds and what is set, POST sets one, DELETE (``?which=KIND or id``) clears."""

from __future__ import annotations

from typing import Any

from lab import render
from lab.api import status
from lab.api.context import LabContext, LabRequest, RouteError
from lab.api.faults_board import Fault
from lab.api.faults_catalogue import FaultRefusedError, read
from lab.api.faults_hooks import Hook
from lab.api.faults_kinds import KINDS
from lab.api.sources import occasion_of
from lab.machine.shell import MachineError


def register(context: LabContext) -> None:
    """Serve the route."""

    def faults(request: LabRequest) -> dict[str, Any]:
        if request.method == "GET":
            return _listing(context)
        if request.method == "POST":
            return {"set": set_fault(context, request.body).describe()}
        if request.method == "DELETE":
            return {"cleared": clear_faults(context, request.query.get("which"))}
        raise RouteError(405, "faults are listed with GET, set with POST and cleared with DELETE")

    context.register_route("faults", faults)
    context.register_status("faults", lambda: [fault.describe() for fault in context.faults.all()])


def _listing(context: LabContext) -> dict[str, Any]:
    return {
        "kinds": [KINDS[name].describe() for name in sorted(KINDS)],
        "set": [fault.describe() for fault in context.faults.all()],
    }


def set_fault(context: LabContext, body: Any) -> Fault:
    """Set what ``{"kind": ..., "parameters": {...}}`` asks for; raise ``RouteError`` before anything is changed."""
    if not isinstance(body, dict) or not isinstance(body.get("parameters", {}), dict):
        raise RouteError(400, 'a fault is set with {"kind": ..., "parameters": {...}}')
    name = str(body.get("kind", ""))
    try:
        parameters = read(KINDS, name, body.get("parameters", {}))
        with context.lock:
            parameters |= _resolve(context, name, parameters)
            known = frozenset(i.id for r in context.ec2.reservations.values() for i in r.instances)
    except (FaultRefusedError, render.AmbiguousError) as error:
        raise RouteError(400, str(error)) from None
    fault = context.faults.make(name, parameters, tuple(body.get("parameters", {})), known)
    _act(context, fault, "apply")
    context.faults.set(fault)
    if KINDS[name].at_once:
        with context.lock:
            instance = next((i for i in context.ec2.all_instances() if i.id == parameters["instance"]), None)
            occasion = occasion_of(context, instance)
        context.faults.strike_at_once(fault, occasion)
    if KINDS[name].passing:
        context.faults.clear(fault)
    return fault


def _act(context: LabContext, fault: Fault, verb: str) -> None:
    """Let the kind's hook do its part; what it raises is the answer."""
    hook = context.fault_hooks.get(fault.kind, Hook())
    try:
        getattr(hook, verb)(fault)
    except (FaultRefusedError, MachineError, OSError) as error:
        done = "set" if verb == "apply" else f"cleared ({fault.fault_id} is still set)"
        raise RouteError(409, f"{fault.kind} was not {done}: {error}") from error


def _resolve(context: LabContext, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Ids for names; raise for an instance, a group or a resource that is not there. Call with the lock held."""
    found: dict[str, Any] = {}
    if parameters.get("instance"):
        there = {"instances": status.instances(context), "network_interfaces": status.network_interfaces(context)}
        found["instance"] = render.find_instance(parameters["instance"], there)["instance_id"]
    if parameters.get("group"):
        groups = [group["name"] for group in status.groups(context)]
        if parameters["group"] not in groups:
            raise FaultRefusedError(
                f"{name}: no Auto Scaling group is called '{parameters['group']}' "
                f"(there are: {', '.join(sorted(groups)) or 'none'})"
            )
    resource = parameters.get("resource")
    if resource:
        backend = context.ec2
        instances = [i.id for i in backend.all_instances()]
        if resource not in backend.enis and resource not in backend.volumes and resource not in instances:
            raise FaultRefusedError(f"{name}: {resource} does not exist in this lab")
    return found


def clear_faults(context: LabContext, which: str | None) -> list[dict[str, Any]]:
    """Clear every fault, those of a kind, or the one with an id; say which were cleared."""
    there = context.faults.all()
    if which is None:
        chosen = there
    else:
        chosen = [fault for fault in there if which in (fault.kind, fault.fault_id)]
        if not chosen and which not in KINDS:
            raise RouteError(
                400, f"'{which}' is neither a kind of fault ({', '.join(sorted(KINDS))}) nor the id of one that is set"
            )
    problems = []
    for fault in chosen:
        try:
            _act(context, fault, "undo")
        except RouteError as error:
            problems.append(str(error))
        else:
            context.faults.clear(fault)
    if problems:
        raise RouteError(409, "; ".join(problems))
    return [fault.describe() for fault in chosen]
