# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an AWS error means to Holdfast. Pure, and one table, so that no caller guesses; docs/ec2_errors.md shows it.

A code that no row names is fatal and told with its name; nothing is retried because it is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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


#: What the word means for a reader of the table, and what the runners do.
ACTIONS = {
    Meaning.RETRY: "retried with growing pauses, then read again: the reply to an attach may have been a lost yes",
    Meaning.LOST: "read again: who has it decides",
    Meaning.NOT_READY: "waited for, then read and tried again",
    Meaning.OCCUPIED: "another device name; an index is read again and then refused",
    Meaning.NOT_FOUND: "read again for 30 s, because EC2 is eventually consistent; then fatal",
    Meaning.AUTH: "fatal",
    Meaning.FATAL: "fatal",
}


@dataclass(frozen=True)
class Row:
    """Some errors that mean the same: C(codes) are AWS's, or the SDK's exceptions by class name.

    C(texts): only when the message holds one of them. C(remedy) is for people; C({action}) becomes the IAM action.
    """

    name: str
    codes: tuple[str, ...]
    meaning: Meaning
    reason: str
    remedy: str
    texts: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()

    def fits(self, code: str, text: str) -> bool:
        """Whether the row speaks of this code and message."""
        if code not in self.codes:
            return False
        return not self.texts or any(part in text.lower() for part in self.texts)


ERRORS: tuple[Row, ...] = (
    Row(
        "throttling",
        (
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
        ),
        Meaning.RETRY,
        "api_error",
        "The account's request rate for {action} is used up: find who calls so often (CloudTrail), or ask AWS for more",
    ),
    Row(
        "EC2 fails for a moment",
        (
            "Unavailable",
            "ServiceUnavailable",
            "InternalError",
            "InternalFailure",
            "RequestTimeout",
            "RequestTimeoutException",
        ),
        Meaning.RETRY,
        "api_error",
        "Look at AWS's health page for the region, and run this again",
    ),
    Row(
        "no reply",
        ("HTTPClientError", "ConnectionError", "IncompleteReadError", "ResponseParserError"),
        Meaning.RETRY,
        "api_error",
        "Check the way to the EC2 endpoint: route, security group, VPC endpoint, proxy, DNS",
    ),
    Row(
        "somebody has it",
        ("InvalidNetworkInterface.InUse", "VolumeInUse"),
        Meaning.LOST,
        "lost_race",
        "Another instance was faster; run this again",
    ),
    Row(
        "wrong state",
        ("IncorrectState", "IncorrectInstanceState"),
        Meaning.NOT_READY,
        "api_error",
        "The instance must be running and the resource available: look at both states",
    ),
    Row(
        "place taken",
        ("InvalidParameterValue",),
        Meaning.OCCUPIED,
        "conflict",
        "Detach what is there and does not belong there, or choose another place",
        texts=("already has an interface attached at device index", "is already in use"),
    ),
    Row(
        "not visible yet, or gone",
        (
            "InvalidNetworkInterfaceID.NotFound",
            "InvalidVolume.NotFound",
            "InvalidInstanceID.NotFound",
            "InvalidAttachmentID.NotFound",
            "InvalidAttachment.NotFound",
            "NoAnswer",
        ),
        Meaning.NOT_FOUND,
        "not_found",
        "It was deleted, or is of another account or region: correct the pool's tags, or create it anew",
    ),
    Row(
        "another zone",
        ("InvalidVolume.ZoneMismatch",),
        Meaning.FATAL,
        "pool_fault",
        "The instance and the identity's parts must be in one Availability Zone: correct the pool",
    ),
    Row(
        "another zone (interface)",
        ("InvalidParameterCombination",),
        Meaning.FATAL,
        "pool_fault",
        "The instance and the identity's parts must be in one Availability Zone: correct the pool",
        texts=("availability zone",),
    ),
    Row(
        "instance is full",
        ("AttachmentLimitExceeded",),
        Meaning.FATAL,
        "attachment_limit",
        "Use an instance type that takes more interfaces and volumes, or detach what is not the identity's",
    ),
    Row(
        "attached more than once",
        ("MultiAttached",),
        Meaning.FATAL,
        "conflict",
        "Detach it from all but one, and switch Multi-Attach off: no filesystem here survives two writers",
    ),
    Row(
        "not allowed",
        ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "OptInRequired", "Blocked"),
        Meaning.AUTH,
        "auth",
        "Allow {action} to the caller's role (the nodes stack's policy does), and look for a deny in a permissions "
        "boundary or an organization's policy",
    ),
    Row(
        "credentials too old",
        ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "SignatureDoesNotMatch"),
        Meaning.AUTH,
        "auth",
        "Set this host's clock, or renew credentials that were given by hand; an instance role's renew themselves",
    ),
    Row(
        "credentials unknown",
        (
            "InvalidClientTokenId",
            "AuthFailure",
            "UnrecognizedClientException",
            "InvalidAccessKeyId",
            "MissingAuthenticationToken",
            "IncompleteSignature",
            "NoCredentialsError",
            "PartialCredentialsError",
            "CredentialRetrievalError",
            "TokenRetrievalError",
        ),
        Meaning.AUTH,
        "auth",
        "On a controller set AWS_PROFILE or renew the credentials in the environment; on a node give the instance its "
        "instance profile, and the profile its role",
    ),
)

#: Rows that no code selects: first a server's error without a known code, then everything else.
SERVER_ERROR = Row(
    "any other code with HTTP 500, 502, 503 or 504",
    (),
    Meaning.RETRY,
    "api_error",
    "Look at AWS's health page for the region, and run this again",
    statuses=(500, 502, 503, 504),
)
NOT_FOUND = Row(
    "any other code that ends in .NotFound",
    (),
    Meaning.FATAL,
    "not_found",
    "Create what it names, or correct who names it",
)
UNKNOWN = Row("any other code", (), Meaning.FATAL, "api_error", "Look the code up in EC2's list of error codes")
OTHERS = (SERVER_ERROR, NOT_FOUND, UNKNOWN)

#: Codes that the SDK's caller may retry at once, inside one call.
RETRIED = tuple(code for row in ERRORS if row.meaning is Meaning.RETRY for code in row.codes)


def find(codes: Iterable[str], text: str = "", http_status: int = 0) -> Row:
    """Return the row of an error; C(codes) is AWS's code, or an SDK exception's class names, the nearest first."""
    named = list(codes)
    for code in named:
        for row in ERRORS:
            if row.fits(code, text):
                return row
    if http_status in SERVER_ERROR.statuses:
        return SERVER_ERROR
    return NOT_FOUND if any(code.endswith(".NotFound") for code in named) else UNKNOWN


def meaning(code: str, message: str = "", http_status: int = 0) -> Meaning:
    """Classify one error answer of AWS."""
    return find([code], message, http_status).meaning


REASONS = {Meaning.AUTH: "auth", Meaning.NOT_FOUND: "not_found", Meaning.LOST: "lost_race"}


def reason(word: Meaning) -> str:
    """Return the failure's C(reason) for an error of which only the meaning is known."""
    return REASONS.get(word, "api_error")


def table() -> list[str]:
    """Return the lines of the table in docs/ec2_errors.md."""
    lines = ["| error | codes | what Holdfast does | reason | what to do |", "|---|---|---|---|---|"]
    for row in (*ERRORS, *OTHERS):
        codes = ", ".join(f"`{code}`" for code in row.codes) or "-"
        if row.texts:
            codes += " with " + " or ".join(f'"{text}"' for text in row.texts)
        remedy = row.remedy.replace("{action}", "the action")
        lines.append(f"| {row.name} | {codes} | {ACTIONS[row.meaning]} | `{row.reason}` | {remedy} |")
    return lines
