# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Holdfast's AWS modules share: options, the way to fail, and who this instance is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from ansible_collections.holdfast.kafka.plugins.module_utils.attach_rules import Reading
from ansible_collections.holdfast.kafka.plugins.module_utils.imds import Imds, ImdsError, Myself
from ansible_collections.holdfast.kafka.plugins.module_utils.number_bounds import require_numbers

POOL_OPTIONS: dict[str, dict[str, Any]] = {
    "tag_cluster": {"type": "str", "default": "holdfast:cluster"},
    "tag_role": {"type": "str", "default": "holdfast:role"},
    "tag_node_id": {"type": "str", "default": "holdfast:node-id"},
    "tag_volume": {"type": "str", "default": "holdfast:volume"},
    "name_patterns": {"type": "dict", "default": {}},
}
#: What an act on one identity's instance asks for, and how long it waits.
ONE_IDENTITY: dict[str, dict[str, Any]] = {
    "role": {"type": "str", "required": True, "choices": ["kafka", "zookeeper"]},
    "node_id": {"type": "int", "required": True},
    "poll_seconds": {"type": "float", "default": 5},
    "timeout_seconds": {"type": "float", "default": 1200},
}


def fail(module: Any, reason: str, message: str, requests: Sequence[str] = (), **extra: Any) -> NoReturn:
    """Fail with the word that plays branch by, and the sentence that people read."""
    module.fail_json(
        msg=message, reason=reason, changed=False, api_calls=len(requests), api_requests=list(requests), **extra
    )
    raise AssertionError("fail_json returned")


def check_attach(module: Any, resource: str) -> None:
    """Refuse an attach's options that can never work, before anybody is asked."""
    params = module.params
    if not params[resource].strip():
        fail(module, "bad_parameter", f"{resource} is {params[resource]!r}; name the resource to attach.")
    try:
        require_numbers(params, ("timeout_seconds", "poll_seconds"), 0)
    except ValueError as error:
        fail(module, "bad_parameter", f"{error}.")


def make_imds(module: Any, **extra: Any) -> Imds:
    """Return the metadata service's client; fail on an address that cannot be one, with C(extra)."""
    try:
        return Imds()
    except ImdsError as error:
        fail(module, "bad_parameter", f"{error}.", **extra)


def whoami(module: Any, imds: Imds, needed: Mapping[str, str | None]) -> Myself:
    """Fill in from the metadata service what the task does not say (C(instance_id), C(availability_zone))."""
    instance_id, zone = needed.get("instance_id"), needed.get("availability_zone", "")
    if instance_id and zone is not None:
        return Myself(instance_id, zone, zone[:-1])
    try:
        me = imds.myself()
    except ImdsError as error:
        message = f"{error}; run this on the instance, or set instance_id (and availability_zone)."
        fail(module, "imds_unreachable", message)
    return Myself(instance_id or me.instance_id, zone or me.availability_zone, me.region)


def default_region(module: Any, region: str) -> None:
    """Let the instance's own region stand in for one that neither the task nor the environment names."""
    if region and not module.region:
        module.params["region"] = region


def attach_diff(kind: str, before: Reading, changed: bool, me: str) -> dict[str, Any]:
    """Return the C(diff) of an attach, nothing if there was no change."""
    if not changed:
        return {}
    facts = {kind: before.resource_id, "delete_on_termination": False}
    told = bool(before.delete_on_termination) if before.instance_id == me else False
    return {
        "diff": {
            "before": {**facts, "instance_id": before.instance_id, "delete_on_termination": told},
            "after": {**facts, "instance_id": me},
        }
    }
