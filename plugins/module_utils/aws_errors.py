# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an AWS error code means to Holdfast. Pure, and one table, so that no caller guesses."""

from __future__ import annotations

from enum import Enum


class Meaning(Enum):
    """How to go on after an error."""

    RETRY = "retry"
    LOST = "lost"
    NOT_READY = "not_ready"
    OCCUPIED = "occupied"
    NOT_FOUND = "not_found"
    AUTH = "auth"
    FATAL = "fatal"


THROTTLED = (
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "EC2ThrottledException",
    "TooManyRequestsException",
    "BandwidthLimitExceeded",
    "SlowDown",
)
TRANSIENT = (
    "Unavailable",
    "ServiceUnavailable",
    "InternalError",
    "InternalFailure",
    "RequestTimeout",
    "RequestTimeoutException",
)
AUTH = (
    "UnauthorizedOperation",
    "AuthFailure",
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "MissingAuthenticationToken",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "OptInRequired",
    "Blocked",
)
LOST = ("InvalidNetworkInterface.InUse", "VolumeInUse")
NOT_READY = ("IncorrectState", "IncorrectInstanceState")
OCCUPIED_TEXTS = ("already has an interface attached at device index", "is already in use")


def meaning(code: str, message: str = "", http_status: int = 0) -> Meaning:
    """Classify one error answer of AWS."""
    if code in THROTTLED or code in TRANSIENT or http_status in (502, 503, 504):
        return Meaning.RETRY
    if code in LOST:
        return Meaning.LOST
    if code in AUTH:
        return Meaning.AUTH
    if code in NOT_READY:
        return Meaning.NOT_READY
    if code.endswith(".NotFound"):
        return Meaning.NOT_FOUND
    if code == "InvalidParameterValue" and any(text in message for text in OCCUPIED_TEXTS):
        return Meaning.OCCUPIED
    if http_status == 500:
        return Meaning.RETRY
    return Meaning.FATAL


REASONS = {Meaning.AUTH: "auth", Meaning.NOT_FOUND: "not_found", Meaning.LOST: "lost_race"}


def reason(word: Meaning) -> str:
    """Return the failure's C(reason) for an error that nobody could handle."""
    return REASONS.get(word, "api_error")
