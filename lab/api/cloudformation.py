# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudFormation's API: what is refused at once, what is answered, and what goes to the stack's queue."""

from __future__ import annotations

import json
import time
from typing import Any

import yaml
from moto.cloudformation.exceptions import AlreadyExistsException, CloudFormationError, ValidationError
from moto.cloudformation.models import Change, CloudFormationBackend, Stack
from moto.cloudformation.parsing import get_model_map
from moto.cloudformation.responses import CloudFormationResponse
from moto.cloudformation.utils import generate_stack_id
from moto.core.responses import ActionResult, EmptyResult

from lab.api import cloudformation_runner as runner
from lab.api import cloudformation_template as templates
from lab.api.cloudformation_memory import memory_of, resource_event, stack_event
from lab.api.cloudformation_policy import denied_deletions
from lab.api.cloudformation_resources import KINDS
from lab.api.context import LabContext
from lab.api.patching import PatchSet

PATCHES = PatchSet()
UNSUPPORTED = ("AWS::CloudFormation::WaitCondition", "AWS::CloudFormation::WaitConditionHandle")
UPDATABLE_STATES = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
NO_UPDATES = "No updates are to be performed."
NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."


class InsufficientCapabilitiesError(CloudFormationError):
    """A template with IAM resources without the caller's acknowledgement."""

    code = "InsufficientCapabilitiesException"


def install(context: LabContext) -> None:
    """Apply the patches."""
    PATCHES.apply()
    # moto dispatches by method name; these it lacks.
    CloudFormationResponse.signal_resource = lambda self: _signal_resource(context, self)
    CloudFormationResponse.update_termination_protection = _update_termination_protection
    context.register_status("stacks", lambda: _status(context))


def _status(context: LabContext) -> list[dict[str, Any]]:
    return [
        {"name": s.name, "status": s.status, "reason": getattr(s, "stack_status_reason", None)}
        for s in runner.backend_of(context).stacks.values()
    ]


def read_template(body: str) -> dict[str, Any]:
    """Parse and check a template; raise AWS' refusals."""
    try:
        parsed = Stack.parse_template(body)
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise ValidationError(message=f"Template format error: YAML not well-formed. ({error})") from error
    if not isinstance(parsed, dict) or not parsed.get("Resources"):
        raise ValidationError(message="Template format error: At least one Resources member must be defined.")
    template: dict[str, Any] = templates.normalise(parsed)
    types = {resource.get("Type") for resource in template["Resources"].values()}
    unknown = sorted(str(t) for t in types if t in UNSUPPORTED or t not in {**get_model_map(), **KINDS})
    if unknown:
        raise ValidationError(message=f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]")
    loose = templates.unresolved(template)
    if loose:
        raise ValidationError(
            message=f"Template format error: Unresolved resource dependencies [{', '.join(loose)}] "
            "in the Resources block of the template"
        )
    circle = templates.circular(templates.dependencies(template["Resources"]))
    if circle:
        raise ValidationError(message=f"Circular dependency between resources: [{', '.join(circle)}]")
    return template


def check_capabilities(template: dict[str, Any], given: list[str]) -> None:
    """Refuse IAM resources that the caller did not acknowledge."""
    missing = templates.missing_capability(template["Resources"], given)
    if missing:
        raise InsufficientCapabilitiesError(f"Requires capabilities : [{missing}]")


def _tags(response: Any) -> dict[str, str]:
    return {item["Key"]: item["Value"] for item in response._get_param("Tags", [])}


@PATCHES.function(CloudFormationResponse, "create_stack")
def _create_stack(context: LabContext, original: Any, self: Any) -> Any:
    name, body = self._get_param("StackName"), self._get_param("TemplateBody")
    if not body and self._get_param("TemplateURL"):
        body = self._get_stack_from_s3_url(self._get_param("TemplateURL"))
    backend = self.cloudformation_backend
    if any(stack.name == name for stack in backend.stacks.values()):
        raise AlreadyExistsException(f"Stack [{name}] already exists")
    template = read_template(body or "")
    capabilities = self._get_param("Capabilities", [])
    check_capabilities(template, capabilities)
    stack = _new_stack(context, self, name, body, template)
    memory = memory_of(stack)
    memory.capabilities, memory.token = capabilities, self._get_param("ClientRequestToken")
    memory.on_failure = self._get_param("OnFailure") or (
        "DO_NOTHING" if self._get_bool_param("DisableRollback", False) else "ROLLBACK"
    )
    stack.disable_rollback = memory.on_failure == "DO_NOTHING"
    minutes = self._get_param("TimeoutInMinutes")
    memory.deadline = time.monotonic() + 60 * int(minutes) if minutes else None
    backend.stacks[stack.stack_id] = stack
    stack_event(context, stack, "CREATE_IN_PROGRESS", "User Initiated")
    context.submit(f"stack {name}", f"create stack {name}", lambda: runner.create(context, stack))
    return ActionResult({"StackId": stack.stack_id})


def _new_stack(context: LabContext, response: Any, name: str, body: str, template: dict[str, Any]) -> Any:
    backend = response.cloudformation_backend
    stack = Stack(
        stack_id=generate_stack_id(name, context.region, context.account_id),
        name=name,
        template=json.dumps(template, default=str),
        parameters=response._get_params_from_list(response._get_param("Parameters", [])),
        account_id=context.account_id,
        region_name=context.region,
        notification_arns=response._get_param("NotificationARNs", []),
        tags=_tags(response),
        role_arn=response._get_param("RoleARN"),
        cross_stack_resources=backend.exports,
        enable_termination_protection=response._get_bool_param("EnableTerminationProtection", False),
        timeout_in_mins=response._get_param("TimeoutInMinutes"),
        stack_policy_body=response._get_param("StackPolicyBody"),
    )
    # moto's constructor replaces an empty dictionary by one of its own; exports come and go
    stack.cross_stack_resources = backend.exports
    stack.resource_map.cross_stack_resources = backend.exports
    stack.template = body
    return stack


@PATCHES.function(CloudFormationResponse, "update_stack")
def _update_stack(context: LabContext, original: Any, self: Any) -> Any:
    stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
    body = self._get_param("TemplateBody")
    if not body and self._get_param("TemplateURL"):
        body = self._get_stack_from_s3_url(self._get_param("TemplateURL"))
    body = body or stack.template
    begin_update(context, stack, body, self)
    return ActionResult({"StackId": stack.stack_id})


def begin_update(context: LabContext, stack: Any, body: str, response: Any) -> None:
    """Refuse what cannot be updated, else hand the update to the stack's queue."""
    if stack.status not in UPDATABLE_STATES:
        raise ValidationError(message=f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated.")
    template = read_template(body)
    check_capabilities(template, response._get_param("Capabilities", []))
    parameters = response._get_param_values(response._get_param("Parameters", []), stack.stack_parameters)
    tags = _tags(response) or dict(stack.tags)
    if template == stack.template_dict and tags == stack.tags and parameters in ({}, stack.parameters):
        raise ValidationError(message=NO_UPDATES)
    refuse_lossy_update(stack, template)
    lasting = response._get_param("StackPolicyBody") or stack.policy
    policy = response._get_param("StackPolicyDuringUpdateBody") or lasting
    kept = denied_deletions(policy, stack.template_dict["Resources"], template["Resources"])
    if kept:
        raise ValidationError(message=" ".join(kept))
    stack.policy = lasting
    stack.parameters, stack.tags = parameters or stack.parameters, tags
    memory_of(stack).token = response._get_param("ClientRequestToken")
    stack_event(context, stack, "UPDATE_IN_PROGRESS", "User Initiated")
    context.submit(
        f"stack {stack.name}", f"update stack {stack.name}", lambda: runner.update(context, stack, template, body)
    )


def refuse_lossy_update(stack: Any, template: dict[str, Any]) -> None:
    """Refuse, by name, each change that the lab could only pretend to make."""
    for name, new in template["Resources"].items():
        old = stack.template_dict["Resources"].get(name)
        if old is None:
            continue
        kind = KINDS.get(new["Type"])
        beyond = templates.changed_properties(old, new) - (kind.updatable if kind else frozenset())
        if old["Type"] != new["Type"]:
            beyond = {"Type"}
        if beyond:
            raise ValidationError(
                message=f"The lab cannot change {', '.join(sorted(beyond))} of {name} ({old['Type']}) in an update; "
                "on EC2 this would modify or replace the resource. Leave it, or use another logical id."
            )


@PATCHES.function(CloudFormationResponse, "delete_stack")
def _delete_stack(context: LabContext, original: Any, self: Any) -> Any:
    name = self._get_param("StackName")
    stack = next((s for s in self.cloudformation_backend.stacks.values() if name in (s.name, s.stack_id)), None)
    if stack is None or stack.status == "DELETE_IN_PROGRESS":
        return EmptyResult()
    if stack.enable_termination_protection:
        raise ValidationError(message=f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
    memory = memory_of(stack)
    memory.cancelled, memory.token = True, self._get_param("ClientRequestToken")
    stack_event(context, stack, "DELETE_IN_PROGRESS", "User Initiated")
    context.submit(f"stack {stack.name}", f"delete stack {stack.name}", lambda: runner.delete(context, stack))
    return EmptyResult()


def _update_termination_protection(self: Any) -> Any:
    stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
    stack.enable_termination_protection = self._get_bool_param("EnableTerminationProtection", False)
    return ActionResult({"StackId": stack.stack_id})


def _signal_resource(context: LabContext, self: Any) -> Any:
    """SignalResource: counted while the resource waits, refused as AWS refuses it otherwise."""
    stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
    name, unique = self._get_param("LogicalResourceId"), self._get_param("UniqueId")
    status, memory = self._get_param("Status"), memory_of(stack)
    if status not in ("SUCCESS", "FAILURE"):
        raise ValidationError(message=f"Value '{status}' at 'status' failed to satisfy: [SUCCESS, FAILURE]")
    if not stack.status.endswith("_IN_PROGRESS"):
        raise ValidationError(message=f"Stack {stack.stack_id} is in {stack.status} state and cannot be signaled")
    record = memory.records.get(name)
    if record is None:
        raise ValidationError(message=f"Resource {name} does not exist for stack {stack.name}")
    signals = memory.signals.get(name)
    if signals is None or record.status != "CREATE_IN_PROGRESS":
        raise ValidationError(message=f"Resource {name} is in {record.status} state and cannot be signaled")
    signals.received.setdefault(unique, status)
    resource_event(context, stack, name, "CREATE_IN_PROGRESS", f"Received {status} signal with UniqueId {unique}")
    return EmptyResult()


# --- what is described ----------------------------------------------------------------------------------------------


@PATCHES.getter(Stack, "outputs")
def _outputs(context: LabContext, original: Any, self: Any) -> Any:
    return memory_of(self).outputs or None


@PATCHES.getter(Stack, "exports")
def _exports(context: LabContext, original: Any, self: Any) -> Any:
    return memory_of(self).exports


@PATCHES.getter(Stack, "stack_resources")
def _stack_resources(context: LabContext, original: Any, self: Any) -> Any:
    parsed = self.resource_map._parsed_resources
    return [parsed[name] for name in memory_of(self).records if name in parsed]


def _details(stack: Any, time_key: str) -> list[dict[str, Any]]:
    found = []
    for name, record in memory_of(stack).records.items():
        detail = {
            "StackId": stack.stack_id,
            "StackName": stack.name,
            "LogicalResourceId": name,
            "PhysicalResourceId": record.physical_id,
            "ResourceType": record.resource_type,
            "ResourceStatus": record.status,
            time_key: record.changed_at,
        }
        if record.reason:
            detail["ResourceStatusReason"] = record.reason
        found.append(detail)
    return found


@PATCHES.function(CloudFormationResponse, "list_stack_resources")
def _list_stack_resources(context: LabContext, original: Any, self: Any) -> Any:
    stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
    return ActionResult({"StackResourceSummaries": _details(stack, "LastUpdatedTimestamp")})


@PATCHES.function(CloudFormationResponse, "describe_stack_resources")
def _describe_stack_resources(context: LabContext, original: Any, self: Any) -> Any:
    stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
    wanted = self._get_param("LogicalResourceId")
    found = _details(stack, "Timestamp")
    return ActionResult({"StackResources": [d for d in found if wanted in (None, d["LogicalResourceId"])]})


@PATCHES.function(CloudFormationResponse, "describe_stack_resource")
def _describe_stack_resource(context: LabContext, original: Any, self: Any) -> Any:
    stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
    wanted = self._get_param("LogicalResourceId")
    for detail in _details(stack, "LastUpdatedTimestamp"):
        if detail["LogicalResourceId"] == wanted:
            return ActionResult({"StackResourceDetail": detail})
    raise ValidationError(message=f"Resource {wanted} does not exist for stack {stack.name}")


# --- change sets ----------------------------------------------------------------------------------------------------


@PATCHES.function(CloudFormationResponse, "create_change_set")
def _create_change_set(context: LabContext, original: Any, self: Any) -> Any:
    """UPDATE change sets (the default type); the lab makes stacks by CreateStack only."""
    if self._get_param("ChangeSetType", "UPDATE") != "UPDATE":
        raise NotImplementedError("a change set that creates a stack; use CreateStack")
    stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
    body = self._get_param("TemplateBody") or stack.template
    template = read_template(body)
    check_capabilities(template, self._get_param("Capabilities", []))
    parameters = self._get_param_values(self._get_param("Parameters", []), stack.stack_parameters)
    tags = _tags(self) or dict(stack.tags)
    change_set_id, stack_id = self.cloudformation_backend.create_change_set(
        stack_name=stack.name,
        change_set_name=self._get_param("ChangeSetName"),
        template=body,
        parameters=parameters,
        description=self._get_param("Description"),
        notification_arns=self._get_param("NotificationARNs", []),
        tags=tags,
        role_arn=self._get_param("RoleARN"),
        change_set_type="UPDATE",
    )
    change_set = self.cloudformation_backend.change_sets[change_set_id]
    change_set.lab_capabilities = self._get_param("Capabilities", [])
    if template == stack.template_dict and tags == stack.tags and parameters in ({}, stack.parameters):
        change_set.status, change_set.execution_status = "FAILED", "UNAVAILABLE"
        change_set.status_reason = NO_CHANGES
    else:
        change_set.status, change_set.execution_status = "CREATE_COMPLETE", "AVAILABLE"
        change_set.status_reason = None
        change_set.changes = _changes(stack, template)
    return ActionResult({"Id": change_set_id, "StackId": stack_id})


def _changes(stack: Any, template: dict[str, Any]) -> list[Any]:
    """Resources that are added, changed (with those that depend on a changed one), removed."""
    old, new = stack.template_dict["Resources"], template["Resources"]
    modified = {name for name in new if name in old and old[name] != new[name]}
    needs = templates.dependencies(new)
    while True:
        further = {name for name in new if name in old and name not in modified and needs[name] & modified}
        if not further:
            break
        modified |= further
    changes = [Change("Add", name, new[name]["Type"]) for name in new if name not in old]
    changes += [Change("Modify", name, new[name]["Type"]) for name in sorted(modified)]
    return changes + [Change("Remove", name, old[name]["Type"]) for name in old if name not in new]


@PATCHES.function(CloudFormationBackend, "execute_change_set")
def _execute_change_set(
    context: LabContext, original: Any, self: Any, change_set_name: str, stack_name: str | None = None
) -> None:
    raise NotImplementedError("executing a change set; use UpdateStack")
