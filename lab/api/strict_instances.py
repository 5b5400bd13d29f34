# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances that take time to change state, and calls that EC2 refuses in the wrong one."""

from __future__ import annotations

import copy
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.core.types import Base64EncodedString
from moto.core.utils import utcnow
from moto.ec2.models.instances import Instance, InstanceState
from moto.ec2.responses.general import General
from moto.ec2.responses.instances import InstanceResponse

from lab.api.context import LabContext
from lab.api.errors import incorrect_instance_state, refuse
from lab.api.lifecycle import (
    GONE,
    USER_SHUTDOWN,
    begin_boot,
    begin_reboot,
    begin_stop,
    begin_terminate,
    set_state,
)
from lab.api.patching import PatchSet

PATCHES = PatchSet()


def _previous(instance: Any) -> Any:
    return copy.copy(instance._state)


@PATCHES.function(Instance, "start")
def _start(context: LabContext, _original: Any, self: Any) -> Any:
    with context.lock:
        previous = _previous(self)
        if self.state in ("running", "pending"):
            return previous
        if self.state != "stopped":
            raise incorrect_instance_state(self.id, "started")
        set_state(context, self, "pending", ("", ""))
        self.launch_time = utcnow()
        begin_boot(context, self, first=False)
        return previous


@PATCHES.function(Instance, "stop")
def _stop(context: LabContext, _original: Any, self: Any) -> Any:
    with context.lock:
        previous = _previous(self)
        if self.state in ("stopping", "stopped"):
            return previous
        if self.state != "running":
            raise incorrect_instance_state(self.id, "stopped")
        set_state(context, self, "stopping", USER_SHUTDOWN)
        begin_stop(context, self)
        return previous


@PATCHES.function(Instance, "reboot")
def _reboot(context: LabContext, _original: Any, self: Any) -> None:
    with context.lock:
        if self.state != "running":
            raise incorrect_instance_state(self.id, "rebooted")
        begin_reboot(context, self)


@PATCHES.function(Instance, "terminate")
def _terminate(context: LabContext, _original: Any, self: Any) -> Any:
    with context.lock:
        previous = _previous(self)
        if self.state not in GONE:
            set_state(context, self, "shutting-down", USER_SHUTDOWN)
            begin_terminate(context, self)
        return previous


def _primary(self: Any) -> Any:
    return self.nics.get(0)


@PATCHES.getter(Instance, "private_ip")
def _private_ip(_context: LabContext, _original: Any, self: Any) -> str | None:
    return _primary(self).private_ip_address if _primary(self) else None


@PATCHES.getter(Instance, "private_ip_address")
def _private_ip_address(_context: LabContext, _original: Any, self: Any) -> str | None:
    return _primary(self).private_ip_address if _primary(self) else None


@PATCHES.getter(Instance, "private_dns_name")
def _private_dns_name(_context: LabContext, original: Any, self: Any) -> str:
    return original(self) if _primary(self) else ""


@PATCHES.getter(Instance, "public_ip")
def _public_ip(_context: LabContext, _original: Any, _self: Any) -> str | None:
    return None


@PATCHES.getter(Instance, "public_ip_address")
def _public_ip_address(_context: LabContext, _original: Any, _self: Any) -> str | None:
    return None


@PATCHES.getter(Instance, "subnet_id")
def _subnet_id(_context: LabContext, original: Any, self: Any) -> str | None:
    """A terminated instance is in no subnet (and so in no VPC)."""
    return None if self.state == "terminated" and not getattr(self, "nics", None) else original(self)


@PATCHES.getter(Instance, "block_device_mappings")
def _block_device_mappings(_context: LabContext, original: Any, self: Any) -> Any:
    return [] if self.state == "terminated" else original(self)


def _state_changes(changes: list[tuple[Any, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "InstanceId": instance.id,
            "CurrentState": InstanceState(instance._state.name, instance._state.code),
            "PreviousState": previous,
        }
        for instance, previous in changes
    ]


@PATCHES.function(InstanceResponse, "terminate_instances")
def _terminate_response(_context: LabContext, _original: Any, self: Any) -> ActionResult:
    """As moto's, but the current state is the real one and Auto Scaling finds out by itself (its health check)."""
    instance_ids = self._get_param("InstanceIds", [])
    self.error_on_dryrun()
    protected = [
        i.id for i in self.ec2_backend.get_multi_instances_by_id(instance_ids) if i.disable_api_termination is True
    ]
    if protected:
        raise refuse(
            "OperationNotPermitted",
            f"The instance '{protected[0]}' may not be terminated. Modify its 'disableApiTermination' instance"
            " attribute and try again.",
        )
    return ActionResult({"TerminatingInstances": _state_changes(self.ec2_backend.terminate_instances(instance_ids))})


@PATCHES.function(InstanceResponse, "stop_instances")
def _stop_response(_context: LabContext, _original: Any, self: Any) -> ActionResult:
    self.error_on_dryrun()
    changes = self.ec2_backend.stop_instances(self._get_param("InstanceIds", []))
    return ActionResult({"StoppingInstances": _state_changes(changes)})


@PATCHES.function(InstanceResponse, "start_instances")
def _start_response(_context: LabContext, _original: Any, self: Any) -> ActionResult:
    self.error_on_dryrun()
    changes = self.ec2_backend.start_instances(self._get_param("InstanceIds", []))
    return ActionResult({"StartingInstances": _state_changes(changes)})


def _fingerprint(response: Any) -> str:
    """The call's parameters, to tell a retry from another call under the same token."""
    return repr(sorted((key, str(value)) for key, value in response.data.items()))


@PATCHES.function(InstanceResponse, "run_instances")
def _run_response(context: LabContext, original: Any, self: Any) -> ActionResult:
    """ClientToken makes the call idempotent; MaxCount instances are launched, not MinCount."""
    token = self._get_param("ClientToken")
    fingerprint = _fingerprint(self)
    if token and token in context.client_tokens:
        known, reservation = context.client_tokens[token]
        if known != fingerprint:
            raise refuse(
                "IdempotentParameterMismatch",
                f"The request's parameters do not match those of the earlier request with the token '{token}'.",
            )
        return ActionResult(reservation)
    context.request.max_count = self._get_param("MaxCount")
    try:
        result: ActionResult = original(self)
    finally:
        context.request.max_count = None
    if token:
        context.client_tokens[token] = (fingerprint, result.result)
    return result


@PATCHES.function(InstanceResponse, "modify_instance_attribute")
def _modify_attribute(_context: LabContext, original: Any, self: Any) -> Any:
    mappings = self._get_param("BlockDeviceMappings", [])
    if not mappings:
        return original(self)
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    self.error_on_dryrun()
    for mapping in mappings:
        if mapping.get("DeviceName") not in instance.block_device_mapping:
            raise refuse(
                "InvalidInstanceAttributeValue", f"No device is currently mapped at {mapping.get('DeviceName')}"
            )
    for mapping in mappings:
        wish = (mapping.get("Ebs") or {}).get("DeleteOnTermination")
        if wish is not None:
            block = instance.block_device_mapping[mapping["DeviceName"]]
            block.delete_on_termination = str(wish).lower() == "true"
    return EmptyResult()


@PATCHES.function(General, "get_console_output")
def _console(context: LabContext, _original: Any, self: Any) -> ActionResult:
    """What the machine's console really printed; this call alone is served without the lock (see ``application``)."""
    with context.lock:
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    text = context.machine.console_output(instance.id)
    output = Base64EncodedString.from_raw_string(text[-64 * 1024 :])
    return ActionResult({"InstanceId": instance.id, "Timestamp": utcnow(), "Output": output})
