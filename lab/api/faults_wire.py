# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of API calls, where a call is still HTTP: refused, slow, or carried out without its reply arriving."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from lab.api.context import LabContext
from lab.api.faults_board import Fault, FaultBoard
from lab.api.faults_match import Occasion
from lab.api.sources import instance_at, occasion_of

# EC2 answers throttling with a code and a status of its own; the other services with the common one.
THROTTLED = {"ec2": "RequestLimitExceeded"}
STATUSES = {
    "RequestLimitExceeded": 503,
    "Throttling": 400,
    "ThrottlingException": 400,
    "InternalError": 500,
    "InternalFailure": 500,
    "Unavailable": 503,
    "ServiceUnavailable": 503,
    "UnauthorizedOperation": 403,
    "AccessDenied": 403,
    "AccessDeniedException": 403,
    "AuthFailure": 401,
    "ExpiredToken": 403,
    "ExpiredTokenException": 403,
    "InvalidClientTokenId": 403,
}
MESSAGES = {
    "RequestLimitExceeded": "Request limit exceeded.",
    "Throttling": "Rate exceeded",
    "ThrottlingException": "Rate exceeded",
    "InternalError": "An internal error has occurred",
    "Unavailable": "The service is unavailable. Please try again shortly.",
    "UnauthorizedOperation": "You are not authorized to perform this operation.",
    "AuthFailure": "AWS was not able to validate the provided access credentials",
    "ExpiredToken": "The security token included in the request is expired",
    "ExpiredTokenException": "The security token included in the request is expired",
    "RequestExpired": "Request has expired.",
}
REASONS = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 500: "Internal Server Error"}


@dataclass(frozen=True)
class Refusal:
    """An error to answer with."""

    code: str
    status: int
    message: str

    @property
    def status_line(self) -> str:
        """The status as WSGI writes it."""
        return f"{self.status} {REASONS.get(self.status, 'Error')}"


def refusal(parameters: Mapping[str, Any], service: str) -> Refusal:
    """The error that a fault's parameters amount to for a service; pure."""
    code = parameters.get("code") or THROTTLED.get(service, "Throttling")
    status = parameters.get("status") or STATUSES.get(code, 400)
    return Refusal(code, status, parameters.get("message") or MESSAGES.get(code, f"The lab was told to answer {code}."))


def error_body(service: str, code: str, message: str, is_json: bool, status: int = 400) -> tuple[str, bytes]:
    """Return (content type, body) of an AWS error in the service's protocol; pure."""
    if is_json:
        return "application/x-amz-json-1.1", json.dumps({"__type": code, "message": message}).encode()
    inner = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    if service == "ec2":
        text = f"<Response><Errors><Error>{inner}</Error></Errors><RequestID>lab</RequestID></Response>"
    else:
        side = "Sender" if status < 500 else "Receiver"
        text = f"<ErrorResponse><Error><Type>{side}</Type>{inner}</Error><RequestId>lab</RequestId></ErrorResponse>"
    return "text/xml", text.encode()


class WireFaults:
    """The faults of one call, asked in the order in which the call meets them."""

    def __init__(self, context: LabContext, service: str, action: str, source: str, values: frozenset[str]) -> None:
        self._context, self._service = context, service
        self._occasion = Occasion()
        self._any = bool(context.faults.all())
        if self._any:
            with context.lock:
                self._occasion = occasion_of(context, instance_at(context, source), *values, action=action)

    def refusal(self) -> Refusal | None:
        """Wait if the call is to be slow; return the error it is to be answered with, None to carry it out."""
        self._slow("call")
        for kind in ("api_throttle", "api_error"):
            if fault := self._strike(kind):
                return refusal(fault.parameters, self._service)
        return None

    def stale(self) -> Fault | None:
        """The fault that makes the call describe what was, None if none does."""
        return self._strike("api_stale") if self._service == "ec2" else None

    def reply_is_lost(self) -> bool:
        """Wait if the reply is to be slow; say whether it shall not arrive."""
        self._slow("reply")
        return self._strike("api_reply_lost") is not None

    def _slow(self, before: str) -> None:
        if fault := self._strike("api_slow", before):
            seconds = float(fault.parameters["seconds"])
            FaultBoard.hold(fault, seconds, self._context.workers.pause)

    def _strike(self, kind: str, before: str | None = None) -> Fault | None:
        if not self._any:
            return None
        where = None if before is None else lambda parameters: parameters["before"] == before
        return self._context.faults.strike(kind, self._occasion, where, service=self._service)


def cut(environ: Mapping[str, Any]) -> None:
    """Close the connection to the client without another byte."""
    connection = environ.get("werkzeug.socket")
    if connection is None:
        raise RuntimeError("this server does not give its connections away, so none can be cut")
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
