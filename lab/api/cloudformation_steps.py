# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One resource of a stack: make it, change it, remove it, say whether it is ready. Called with the lock held."""

from __future__ import annotations

import copy
import time
from typing import Any

from moto.cloudformation.parsing import parse_resource_and_generate_name
from moto.core.exceptions import ServiceException
from moto.ec2.models.core import TaggedEC2Resource

from lab.api.cloudformation_memory import ResourceRecord, Signals, memory_of, resource_event
from lab.api.cloudformation_resources import KINDS, Kind, Naming, ResourceError
from lab.api.context import LabContext


def message_of(error: Exception) -> str:
    """The reason that an event shows for what a resource's handler raised."""
    if isinstance(error, ServiceException):
        return str(error.message)
    if isinstance(error, KeyError):
        return f"Properties validation failed: {error} is missing"
    return str(error) or type(error).__name__


def kind_of(stack: Any, logical_id: str) -> Kind | None:
    """The lab's own handling of the resource's type, None where moto's is used."""
    return KINDS.get(memory_of(stack).records[logical_id].resource_type)


def is_wanted(stack: Any, logical_id: str) -> bool:
    """Whether the resource's condition holds."""
    condition = stack.template_dict["Resources"][logical_id].get("Condition")
    return not condition or bool(stack.resource_map.lazy_condition_map[condition])


def _resolve(stack: Any, logical_id: str) -> tuple[Any, dict[str, Any], Naming]:
    """moto's class, the definition with every function evaluated, and the naming."""
    definition = copy.deepcopy(stack.template_dict["Resources"][logical_id])
    resource_class, resolved, name = parse_resource_and_generate_name(logical_id, definition, stack.resource_map)
    stack_tags = {
        **stack.tags,
        "aws:cloudformation:stack-name": stack.name,
        "aws:cloudformation:stack-id": stack.stack_id,
    }
    return resource_class, resolved, Naming(name, logical_id, stack_tags)


def start_create(context: LabContext, stack: Any, logical_id: str) -> None:
    """Make the resource; raise whatever its backend raises."""
    memory = memory_of(stack)
    kind_name = stack.template_dict["Resources"][logical_id]["Type"]
    record = memory.records.setdefault(logical_id, ResourceRecord(kind_name))
    resource_event(context, stack, logical_id, "CREATE_IN_PROGRESS")
    resource_class, resolved, naming = _resolve(stack, logical_id)
    kind = KINDS.get(kind_name)
    if kind is not None:
        resource = kind.create(context, resolved["Properties"], naming)
    else:
        resource = resource_class.create_from_cloudformation_json(
            naming.name,
            resolved,
            context.account_id,
            context.region,
            LogicalId=logical_id,
            StackId=stack.stack_id,
            ResourceType=kind_name,
        )
        if isinstance(resource, TaggedEC2Resource):
            tags = {**naming.stack_tags, "aws:cloudformation:logical-id": logical_id}
            context.ec2.create_tags([resource.physical_resource_id], tags)
    resource.cf_resource_type, resource.logical_resource_id = kind_name, logical_id
    stack.resource_map._parsed_resources[logical_id] = resource
    memory.resolved[logical_id] = resolved["Properties"]
    record.physical_id = str(resource.physical_resource_id)
    resource_event(context, stack, logical_id, "CREATE_IN_PROGRESS", "Resource creation Initiated")
    signals = Signals.of(resolved)
    if signals is not None:
        memory.signals[logical_id] = signals


def is_ready(context: LabContext, stack: Any, logical_id: str) -> bool:
    """Whether the resource is complete; raise ``ResourceError`` when it never will be."""
    kind = kind_of(stack, logical_id)
    if kind is not None and not kind.ready(context, stack.resource_map._parsed_resources[logical_id]):
        ready = False
    else:
        ready = True
    signals = memory_of(stack).signals.get(logical_id)
    if signals is None:
        return ready
    over, failure = signals.verdict(time.monotonic())
    if failure:
        raise ResourceError(failure)
    return over


def needs_update(stack: Any, logical_id: str) -> bool:
    """Whether the definition, evaluated now, differs from what the resource was made of."""
    _, resolved, _ = _resolve(stack, logical_id)
    return bool(resolved["Properties"] != memory_of(stack).resolved[logical_id])


def update(context: LabContext, stack: Any, logical_id: str) -> None:
    """Change the resource in place; raise ``ResourceError`` where the lab cannot."""
    memory, kind = memory_of(stack), kind_of(stack, logical_id)
    _, resolved, naming = _resolve(stack, logical_id)
    if kind is None or kind.update is None:
        raise ResourceError(f"The lab cannot update a {memory.records[logical_id].resource_type}")
    resource_event(context, stack, logical_id, "UPDATE_IN_PROGRESS")
    resource = stack.resource_map._parsed_resources[logical_id]
    kind.update(context, resource, memory.resolved[logical_id], resolved["Properties"], naming)
    memory.resolved[logical_id] = resolved["Properties"]
    resource_event(context, stack, logical_id, "UPDATE_COMPLETE")


def start_delete(context: LabContext, stack: Any, logical_id: str) -> None:
    """Begin to remove the resource; raise whatever its backend raises."""
    resource_event(context, stack, logical_id, "DELETE_IN_PROGRESS")
    resource = stack.resource_map._parsed_resources.get(logical_id)
    if resource is None:
        return
    kind = kind_of(stack, logical_id)
    if kind is not None:
        kind.delete(context, resource)
    else:
        definition = copy.deepcopy(stack.template_dict["Resources"][logical_id])
        definition.setdefault("Properties", memory_of(stack).resolved.get(logical_id, {}))
        stack.resource_map._delete_resource(resource, definition)


def is_gone(context: LabContext, stack: Any, logical_id: str) -> bool:
    """Whether nothing is left of the resource."""
    resource = stack.resource_map._parsed_resources.get(logical_id)
    kind = kind_of(stack, logical_id)
    if resource is not None and kind is not None and not kind.gone(context, resource):
        return False
    stack.resource_map._parsed_resources.pop(logical_id, None)
    memory_of(stack).signals.pop(logical_id, None)
    return True
