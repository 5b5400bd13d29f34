# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""IAM's say over requests: who is checked, how a statement is read, and how a refusal is worded.

moto can tell which action a request is, but not which resources it touches. A statement therefore matches by its action
alone: an Allow for one interface allows the call on any, a Deny that names resources or conditions denies nothing.
So the lab proves that a role lists every action that is called, not that it is limited to its own resources.

Modes (``GET``/``PUT /_lab/iam``): ``roles`` checks requests signed with a role's session, as an instance's are;
``all`` checks every request; ``off`` checks none.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlparse

from moto.core.exceptions import AccessDeniedError, JsonRESTError
from moto.core.responses import ActionAuthenticatorMixin
from moto.iam.access_control import IAMPolicyStatement, IAMRequest, PermissionResult

from lab.api.context import LabContext, LabRequest, RouteError
from lab.api.patching import PatchSet

PATCHES = PatchSet()
MODES = ("roles", "all", "off")


class UnauthorizedOperationError(AccessDeniedError):
    """EC2's own word for a refusal by IAM."""

    def __init__(self, sentence: str) -> None:
        super(AccessDeniedError, self).__init__("UnauthorizedOperation", sentence)


def install(context: LabContext) -> None:
    """Apply the patches; a fresh lab checks role sessions."""
    PATCHES.apply()
    context.iam_mode = "roles"  # type: ignore[attr-defined]  # a field of this file's own
    context.register_route("iam", lambda request: _route(context, request))


def _route(context: LabContext, request: LabRequest) -> dict[str, str]:
    if request.method == "PUT":
        mode = (request.body or {}).get("mode")
        if mode not in MODES:
            raise RouteError(400, f"mode is {mode!r}; it must be one of {', '.join(MODES)}")
        context.iam_mode = mode  # type: ignore[attr-defined]  # a field of this file's own
        context.events.record("iam_mode", mode=mode)
    return {"mode": mode_of(context)}


def mode_of(context: LabContext) -> str:
    """Whose requests are checked now."""
    return str(getattr(context, "iam_mode", "off"))


def is_checked(mode: str, has_session_token: bool) -> bool:
    """Whether a request is subject to policies; pure."""
    return mode == "all" or (mode == "roles" and has_session_token)


@PATCHES.function(ActionAuthenticatorMixin, "_authenticate_and_authorize_action")
def _authorize(context: LabContext, original: Any, self: Any, request_class: type, resource: str = "*") -> None:
    if not is_checked(mode_of(context), "X-Amz-Security-Token" in self.headers):
        return
    parsed = urlparse(self.uri)
    request: Any = request_class(
        account_id=self.current_account,
        method=self.method,
        path=self.raw_path + (f"?{parsed.query}" if parsed.query else ""),
        data=self.data,
        body=self.raw_body,
        headers=self.headers,
        action=self._get_action(),
    )
    request.lab_is_json = bool(self.headers.get("X-Amz-Target"))
    request.check_signature()
    request.check_action_permitted(resource)


@PATCHES.function(IAMPolicyStatement, "is_action_permitted")
def _by_action(
    context: LabContext,
    original: Any,
    self: Any,
    action: str,
    resource: str = "*",
    principal: str | None = None,
    incoming_condition_values: dict[str, str] | None = None,
) -> Any:
    """A permission by its action alone; trust policies are moto's business."""
    statement = self._statement
    if principal is not None or not statement.get("Resource"):
        return original(self, action, resource, principal, incoming_condition_values)
    if "NotAction" in statement:
        concerned = not self._check_element_matches("NotAction", action)
    else:
        concerned = bool(self._check_element_matches("Action", action))
    if not concerned:
        return PermissionResult.NEUTRAL
    if statement["Effect"] == "Allow":
        return PermissionResult.PERMITTED
    sweeping = statement["Resource"] in ("*", ["*"]) and not statement.get("Condition")
    return PermissionResult.DENIED if sweeping else PermissionResult.NEUTRAL


@PATCHES.function(IAMRequest, "_raise_access_denied")
def _denied(context: LabContext, original: Any, self: Any) -> None:
    who, action = self._access_key.arn, self._action
    sentence = f"User: {who} is not authorized to perform: {action} because no identity-based policy allows it"
    context.events.record("access_denied", user=who, action=action)
    if self._service == "ec2":
        raise UnauthorizedOperationError(f"You are not authorized to perform this operation. {sentence}")
    if getattr(self, "lab_is_json", False):
        raise JsonRESTError("AccessDeniedException", sentence)
    original(self)
