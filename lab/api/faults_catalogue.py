# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of faults and their parameters as data, and how a wish is read against them; pure."""

from __future__ import annotations

import fnmatch
import functools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_SECONDS = 86400.0
SERVICES = ("ec2", "autoscaling", "cloudformation", "iam", "sts")


class FaultRefusedError(ValueError):
    """A wish that names what does not exist or cannot be; one sentence, and nothing was changed."""


@dataclass(frozen=True)
class Parameter:
    """One parameter: ``kind`` says how its text is read (see ``READERS``)."""

    name: str
    kind: str
    summary: str
    default: Any = None
    required: bool = False
    choices: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """The parameter as `lab fault list --json` shows it."""
        return {
            "name": self.name,
            "type": self.kind,
            "required": self.required,
            "default": self.default,
            "choices": list(self.choices),
            "description": self.summary,
        }


@dataclass(frozen=True)
class Kind:
    """One kind of fault; ``at_once`` ones strike when they are set, and ``passing`` ones are over then."""

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    at_once: bool = False
    passing: bool = False

    def describe(self) -> dict[str, Any]:
        """The kind as `lab fault list --json` shows it."""
        return {
            "kind": self.name,
            "description": self.summary,
            "parameters": [parameter.describe() for parameter in self.parameters],
        }


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("it is not finite")
    return value


def _seconds(text: str) -> float:
    value = _number(text)
    if not 0 < value <= MAX_SECONDS:
        raise ValueError(f"it must be more than 0 and at most {MAX_SECONDS:.0f} seconds")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1_000_000:
        raise ValueError("it must be a whole number from 1 to 1000000")
    return value


def _natural(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 2**53:
        raise ValueError("it must be a whole number that is not negative")
    return value


def _rate(text: str) -> float:
    value = _number(text)
    if not 0 < value <= 1:
        raise ValueError("it must be more than 0 and at most 1")
    return value


def _status(text: str) -> int:
    value = int(text)
    if not 400 <= value <= 599:
        raise ValueError("it must be an HTTP status from 400 to 599")
    return value


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("it must be true or false")
    return text == "true"


def _word(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.@:-]{1,128}", text):
        raise ValueError("it must be one word")
    return text


def _resource(text: str) -> str:
    if not re.fullmatch(r"(eni|vol|i)-[0-9a-f]{8,17}", text):
        raise ValueError("it must be the id of an interface, a volume or an instance")
    return text


def _path(text: str) -> str:
    if not text.startswith("/") or ".." in text.split("/") or "\n" in text:
        raise ValueError("it must be an absolute path without '..'")
    return text.rstrip("/") or "/"


@functools.cache
def known_actions() -> frozenset[str]:
    """The names of the calls that a fault can strike: those of botocore's models of the lab's services."""
    import botocore.session

    session = botocore.session.get_session()
    return frozenset(name for service in SERVICES for name in session.get_service_model(service).operation_names)


def _actions(text: str) -> tuple[str, ...]:
    patterns = tuple(part for part in text.split(",") if part)
    if not patterns:
        raise ValueError("it must name at least one call")
    for pattern in patterns:
        if not fnmatch.filter(known_actions(), pattern):
            raise ValueError(f"no call of {', '.join(SERVICES)} is named {pattern}")
    return patterns


def _describe_actions(text: str) -> tuple[str, ...]:
    patterns = _actions(text)
    for pattern in patterns:
        wrong = [name for name in fnmatch.filter(known_actions(), pattern) if not name.startswith("Describe")]
        if wrong:
            raise ValueError(f"only calls that describe can be stale, and {pattern} covers {min(wrong)}")
    return patterns


READERS: dict[str, Callable[[str], Any]] = {
    "seconds": _seconds,
    "count": _count,
    "natural": _natural,
    "rate": _rate,
    "status": _status,
    "flag": _flag,
    "word": _word,
    "text": str,
    "instance": str,
    "group": str,
    "resource": _resource,
    "path": _path,
    "actions": _actions,
    "describe_actions": _describe_actions,
}


def read(kinds: Mapping[str, Kind], name: str, wish: Mapping[str, Any]) -> dict[str, Any]:
    """Return the kind's parameters with the wish's values; raise ``FaultRefusedError`` naming what is wrong."""
    kind = kinds.get(name)
    if kind is None:
        raise FaultRefusedError(f"unknown kind of fault '{name}', known are: {', '.join(sorted(kinds))}")
    known = {parameter.name: parameter for parameter in kind.parameters}
    for key in wish:
        if key not in known:
            raise FaultRefusedError(f"{name} has no parameter '{key}', it has: {', '.join(known) or 'none'}")
    found: dict[str, Any] = {}
    for key, parameter in known.items():
        if key in wish:
            found[key] = _value(name, parameter, str(wish[key]))
        elif parameter.required:
            raise FaultRefusedError(f"{name} needs {key}=...: {parameter.summary}")
        else:
            found[key] = parameter.default
    return found


def _value(name: str, parameter: Parameter, text: str) -> Any:
    what = f"{name}: {parameter.name}={text!r} cannot be used"
    if parameter.choices and text not in parameter.choices:
        raise FaultRefusedError(f"{what}: it must be one of {', '.join(parameter.choices)}")
    if not text:
        raise FaultRefusedError(f"{what}: it is empty")
    try:
        return READERS[parameter.kind](text)
    except ValueError as error:
        why = str(error) if "invalid literal" not in str(error) and "could not convert" not in str(error) else ""
        raise FaultRefusedError(f"{what}: {why or f'it is not a {parameter.kind}'}") from None
