# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`lab fault`: make EC2 and the machine misbehave, and let them behave again."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any
from urllib.parse import quote

from lab import client, render
from lab.config import LabConfig

ACTIONS = ("list", "set", "clear")
SET_TIMEOUT_SECONDS = 120.0


def run(config: LabConfig, options: argparse.Namespace) -> int:
    """`lab fault`."""
    try:
        wanted = arguments(options.action, options.arguments)
    except ValueError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 2
    client.enter(config)
    if options.action == "list":
        found = client.call("GET", "faults")
        text = render.faults(found)
    elif options.action == "set":
        found = client.call("POST", "faults", wanted, timeout=SET_TIMEOUT_SECONDS)
        text = render.faults_set([found["set"]], "none was set")
    else:
        which = f"?which={quote(wanted['which'])}" if wanted["which"] else ""
        found = client.call("DELETE", f"faults{which}", timeout=SET_TIMEOUT_SECONDS)
        text = render.faults_set(found["cleared"], "none was set")
    print(json.dumps(found, indent=2) if options.json else text, end="\n" if options.json else "")
    return 0


def arguments(action: str, words: list[str]) -> dict[str, Any]:
    """Read the words behind the action; raise ``ValueError`` with a sentence; pure."""
    if action == "list":
        if words:
            raise ValueError("fault list takes nothing else")
        return {}
    if action == "clear":
        if len(words) > 1:
            raise ValueError("fault clear takes one KIND (or the id of a fault that is set), or nothing for all")
        return {"which": words[0] if words else None}
    if not words:
        raise ValueError("fault set wants a KIND, as in `lab fault set api_throttle actions=Describe*`")
    parameters: dict[str, str] = {}
    for word in words[1:]:
        name, separator, value = word.partition("=")
        if not separator or not name:
            raise ValueError(f"a fault's parameter is given as key=value, not {word!r}")
        if name in parameters:
            raise ValueError(f"{name} is given twice")
        parameters[name] = value
    return {"kind": words[0], "parameters": parameters}
