# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a stack about: in order of dependency, as far as possible at once, back again on failure.

Each function runs on the stack's own queue, takes the lock for each step and never sleeps with it.
"""

from __future__ import annotations

import time
from typing import Any

from moto.cloudformation.models import cloudformation_backends
from moto.cloudformation.parsing import Export, clean_json, parse_output

from lab.api import cloudformation_steps as steps
from lab.api.cloudformation_memory import memory_of, resource_event, stack_event
from lab.api.cloudformation_resources import ResourceError
from lab.api.cloudformation_template import RETAINED, dependencies
from lab.api.context import LabContext

STABILIZE_SECONDS = 900
CANCELLED = "Resource creation cancelled"


def backend_of(context: LabContext) -> Any:
    """moto's CloudFormation backend of the lab."""
    return cloudformation_backends[context.account_id][context.region]


def create(context: LabContext, stack: Any) -> None:
    """Make every resource; roll back when one fails, or do what the call asked for instead."""
    with context.lock:
        wanted = [name for name in stack.template_dict["Resources"] if steps.is_wanted(stack, name)]
    failed = _make(context, stack, wanted)
    if memory_of(stack).cancelled:
        return
    with context.lock:
        problem = None if failed else _publish(context, stack)
        if not failed and not problem:
            stack_event(context, stack, "CREATE_COMPLETE")
            return
        why = problem or f"The following resource(s) failed to create: [{', '.join(failed)}]."
        mode = memory_of(stack).on_failure
        if mode == "DO_NOTHING":
            stack_event(context, stack, "CREATE_FAILED", why)
            return
        if mode == "DELETE":
            stack_event(context, stack, "DELETE_IN_PROGRESS", f"{why} Delete requested by user.")
        else:
            stack_event(context, stack, "ROLLBACK_IN_PROGRESS", f"{why} Rollback requested by user.")
    kept = _remove(context, stack, list(memory_of(stack).records), kept_policies=("Retain",))
    with context.lock:
        if mode == "DELETE":
            _finish_delete(context, stack, kept)
        else:
            bad = f"The following resource(s) failed to delete: [{', '.join(kept)}]."
            stack_event(context, stack, "ROLLBACK_FAILED" if kept else "ROLLBACK_COMPLETE", bad if kept else None)


def _make(context: LabContext, stack: Any, wanted: list[str]) -> list[str]:
    """Create the resources; return those that failed (the rest is cancelled then)."""
    memory = memory_of(stack)
    needs = dependencies(stack.template_dict["Resources"])
    waiting, active, done = set(wanted), dict[str, float](), set(stack.template_dict["Resources"]) - set(wanted)
    while waiting or active:
        with context.lock:
            if memory.cancelled:
                return []
            before = (len(waiting), len(active))
            failed = _start_ready(context, stack, waiting, active, needs, done)
            failed += _settle(context, stack, active, done)
            if not failed and memory.deadline is not None and time.monotonic() >= memory.deadline:
                failed = sorted(active)
                for name in failed:
                    resource_event(context, stack, name, "CREATE_FAILED", "Stack creation time exceeded")
            if failed:
                for name in sorted(set(active) - set(failed)):
                    resource_event(context, stack, name, "CREATE_FAILED", CANCELLED)
                return failed
            idle = before == (len(waiting), len(active))
        if idle and (waiting or active):
            context.workers.pause(context.delays.stack_reconcile_seconds)
    return []


def _start_ready(
    context: LabContext,
    stack: Any,
    waiting: set[str],
    active: dict[str, float],
    needs: dict[str, set[str]],
    done: set[str],
) -> list[str]:
    for name in sorted(waiting):
        if not needs[name] <= done:
            continue
        waiting.discard(name)
        try:
            steps.start_create(context, stack, name)
        except Exception as error:  # noqa: BLE001 - whatever a backend raises is the resource's failure
            resource_event(context, stack, name, "CREATE_FAILED", steps.message_of(error))
            return [name]
        active[name] = time.monotonic()
    return []


def _settle(context: LabContext, stack: Any, active: dict[str, float], done: set[str]) -> list[str]:
    """Complete what is ready; return what never will be."""
    failed = []
    for name in sorted(active):
        try:
            ready = steps.is_ready(context, stack, name)
            late = name not in memory_of(stack).signals and time.monotonic() - active[name] > STABILIZE_SECONDS
            if not ready and late:
                raise ResourceError("Resource did not stabilize")  # noqa: TRY301 - one way to fail for both
        except ResourceError as error:
            resource_event(context, stack, name, "CREATE_FAILED", str(error))
            failed.append(name)
            continue
        if ready:
            resource_event(context, stack, name, "CREATE_COMPLETE")
            done.add(name)
            del active[name]
    return failed


def _publish(context: LabContext, stack: Any) -> str | None:
    """Evaluate outputs and exports; return why an export cannot be published."""
    memory, backend = memory_of(stack), backend_of(context)
    outputs, exports = [], []
    for key, value in (stack.template_dict.get("Outputs") or {}).items():
        output = parse_output(key, value, stack.resource_map)
        if output is None:
            continue
        shown = {"OutputKey": key, "OutputValue": str(output.value)}
        if output.description:
            shown["Description"] = output.description
        if value.get("Export"):
            name = str(clean_json(value["Export"]["Name"], stack.resource_map))
            holder = backend.exports.get(name)
            if holder is not None and holder.exporting_stack_id != stack.stack_id:
                other = holder.exporting_stack_id.split("/")[1]
                return f"Export with name {name} is already exported by stack {other}."
            shown["ExportName"] = name
            exports.append(Export(stack.stack_id, name, str(output.value)))
        outputs.append(shown)
    for export in memory.exports:
        backend.exports.pop(export.name, None)
    backend.exports.update({export.name: export for export in exports})
    memory.outputs, memory.exports = outputs, exports
    return None


def _remove(context: LabContext, stack: Any, names: list[str], kept_policies: tuple[str, ...] = RETAINED) -> list[str]:
    """Remove resources, dependents first; return those that could not be removed."""
    memory = memory_of(stack)
    definitions = stack.template_dict["Resources"]
    users = {name: {n for n, needs in dependencies(definitions).items() if name in needs} for name in definitions}
    left = {name for name in names if memory.records[name].status not in ("DELETE_COMPLETE", "DELETE_SKIPPED")}
    active: set[str] = set()
    failed: set[str] = set()
    while left or active:
        with context.lock:
            before = (len(left), len(active))
            for name in sorted(left):
                if users.get(name, set()) & (left | active):
                    continue
                left.discard(name)
                if definitions[name].get("DeletionPolicy") in kept_policies:
                    resource_event(context, stack, name, "DELETE_SKIPPED")
                elif _begin_delete(context, stack, name):
                    active.add(name)
                else:
                    failed.add(name)
            for name in sorted(active):
                if steps.is_gone(context, stack, name):
                    active.discard(name)
                    resource_event(context, stack, name, "DELETE_COMPLETE")
            idle = before == (len(left), len(active))
            if failed and not active:
                return sorted(failed)
        if idle and (left or active):
            context.workers.pause(context.delays.stack_reconcile_seconds)
    return sorted(failed)


def _begin_delete(context: LabContext, stack: Any, name: str) -> bool:
    try:
        steps.start_delete(context, stack, name)
    except Exception as error:  # noqa: BLE001 - whatever a backend raises is the resource's failure
        resource_event(context, stack, name, "DELETE_FAILED", steps.message_of(error))
        return False
    return True


def delete(context: LabContext, stack: Any) -> None:
    """Remove the stack; what its DeletionPolicy retains stays."""
    with context.lock:
        used = _importers(context, stack)
    if used:
        with context.lock:
            stack_event(context, stack, "DELETE_FAILED", used)
        return
    kept = _remove(context, stack, list(memory_of(stack).records))
    with context.lock:
        _finish_delete(context, stack, kept)


def _finish_delete(context: LabContext, stack: Any, kept: list[str]) -> None:
    if kept:
        reason = f"The following resource(s) failed to delete: [{', '.join(kept)}]."
        stack_event(context, stack, "DELETE_FAILED", reason)
        return
    backend = backend_of(context)
    for export in memory_of(stack).exports:
        backend.exports.pop(export.name, None)
    stack_event(context, stack, "DELETE_COMPLETE")
    backend.stacks.pop(stack.stack_id, None)
    backend.deleted_stacks[stack.stack_id] = stack


def _importers(context: LabContext, stack: Any) -> str | None:
    """Why the stack's exports hold it back."""
    names = {export.name for export in memory_of(stack).exports}
    for other in backend_of(context).stacks.values():
        for name in sorted(names):
            if other is not stack and name in _imports(other.template_dict):
                return f"Export {name} cannot be deleted as it is in use by {other.name}"
    return None


def _imports(node: Any) -> set[str]:
    if isinstance(node, list):
        return {name for item in node for name in _imports(item)}
    if isinstance(node, dict):
        found = {name for value in node.values() for name in _imports(value)}
        name = node.get("Fn::ImportValue")
        return found | ({name} if isinstance(name, str) else set())
    return set()


def update(context: LabContext, stack: Any, template: dict[str, Any], body: str) -> None:
    """Bring the stack to a new template: additions and changes in order, then removals; back again on failure."""
    with context.lock:
        old_template, old_body = stack.template_dict, stack.template
        _adopt(stack, template, body)
        added = [n for n in template["Resources"] if n not in memory_of(stack).records and steps.is_wanted(stack, n)]
        gone = [n for n in memory_of(stack).records if n not in template["Resources"]]
    failed = _make(context, stack, added)
    changed: list[str] = []
    with context.lock:
        for name in [] if failed else _in_order(template["Resources"]):
            if name not in memory_of(stack).resolved or name in added or not steps.needs_update(stack, name):
                continue
            try:
                steps.update(context, stack, name)
            except Exception as error:  # noqa: BLE001 - whatever a backend raises is the resource's failure
                resource_event(context, stack, name, "UPDATE_FAILED", steps.message_of(error))
                failed = [name]
                break
            changed.append(name)
        problem = None if failed else _publish(context, stack)
    if failed or problem:
        _revert(context, stack, (old_template, old_body), added, changed, failed, problem)
        return
    with context.lock:
        stack_event(context, stack, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        merged = {**template, "Resources": {**old_template["Resources"], **template["Resources"]}}
        stack.template_dict = merged
    _remove(context, stack, gone)
    with context.lock:
        _adopt(stack, template, body)
        _forget(stack, gone)
        stack_event(context, stack, "UPDATE_COMPLETE")


def _revert(
    context: LabContext,
    stack: Any,
    old: tuple[dict[str, Any], str],
    added: list[str],
    changed: list[str],
    failed: list[str],
    problem: str | None,
) -> None:
    """Undo an update that failed."""
    why = problem or f"The following resource(s) failed to update: [{', '.join(failed)}]."
    with context.lock:
        stack_event(context, stack, "UPDATE_ROLLBACK_IN_PROGRESS", why)
    made = [name for name in added if name in memory_of(stack).records]
    left = _remove(context, stack, made, kept_policies=("Retain",))
    with context.lock:
        _adopt(stack, *old)
        _forget(stack, made)
        for name in reversed([*changed, *failed]):
            if name in memory_of(stack).resolved and steps.needs_update(stack, name):
                steps.update(context, stack, name)
        stack_event(context, stack, "UPDATE_ROLLBACK_FAILED" if left else "UPDATE_ROLLBACK_COMPLETE", why)


def _forget(stack: Any, names: list[str]) -> None:
    """Drop resources that the stack has no longer."""
    for name in names:
        memory_of(stack).records.pop(name, None)
        memory_of(stack).resolved.pop(name, None)


def _adopt(stack: Any, template: dict[str, Any], body: str) -> None:
    """Let moto's resource map evaluate against the template, with the resources that exist."""
    parsed = stack.resource_map._parsed_resources
    resources = {name: parsed[name] for name in memory_of(stack).records if name in parsed}
    stack.template_dict, stack.template, stack.description = template, body, template.get("Description")
    stack.resource_map = stack._create_resource_map()
    stack.resource_map._parsed_resources.update(resources)


def _in_order(resources: dict[str, Any]) -> list[str]:
    needs, order = dependencies(resources), list[str]()
    while len(order) < len(needs):
        order += sorted(name for name, before in needs.items() if name not in order and before <= set(order))
    return order
