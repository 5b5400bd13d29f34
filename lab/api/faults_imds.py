# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the metadata service: silent after a boot, slow, or without tokens."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Mapping
from typing import Any

from lab.api.context import LabContext
from lab.api.faults_board import FaultBoard
from lab.api.sources import instance_at, occasion_of

Answer = tuple[int, bytes, dict[str, str]]


class NoAnswerError(Exception):
    """The connection is to end without a byte."""


class ImdsFaults:
    """The faults that a request for metadata meets."""

    def __init__(self, context: LabContext) -> None:
        self._context = context

    def meet(self, method: str, path: str, source: str) -> Answer | None:
        """Wait as long as a fault says; return its answer, or None when the service shall answer itself.

        Raises ``NoAnswerError`` after having let the client wait for one.
        """
        context = self._context
        if not context.faults.all():
            return None
        with context.lock:
            instance = instance_at(context, source)
            if instance is None:
                return None
            occasion = occasion_of(context, instance)
            booted = getattr(instance, "lab_booted_at", 0.0)
        what = f"{method} {path}"
        hold, pause = FaultBoard.hold, context.workers.pause

        def ends(parameters: Mapping[str, Any]) -> float:
            return booted + float(parameters["seconds"]) - time.monotonic()

        if fault := context.faults.strike("imds_late", occasion, lambda p: ends(p) > 0, request=what):
            hold(fault, ends(fault.parameters), pause)
            raise NoAnswerError
        if fault := context.faults.strike("imds_slow", occasion, lambda p: _covers(p, path), request=what):
            hold(fault, float(fault.parameters["seconds"]), pause)
        if (method, path.rstrip("/")) == ("PUT", "/latest/api/token") and (
            fault := context.faults.strike("imds_refuse_tokens", occasion, request=what)
        ):
            return int(fault.parameters["status"]), b"", {}
        return None


def _covers(parameters: Mapping[str, Any], path: str) -> bool:
    return fnmatch.fnmatchcase(path, str(parameters["path"]))
