# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every part of the lab's API shares: one lock, the delays, the machine, the journal, background work, routes.

moto's patches are class-wide and its state is one per process, so a process has at most one active context.
A patched method asks ``active()``; without an active context it behaves as stock moto does.

Rules: change moto's objects only while holding ``lock`` (API requests already hold it, see ``application``);
call ``machine`` only without it, from work given to ``submit``; never sleep while holding it.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lab.api.clock import Delays
from lab.api.events import EventJournal
from lab.api.faults_board import FaultBoard
from lab.api.faults_hooks import Hook
from lab.api.workers import Workers
from lab.machine.protocol import Machine

Listener = Callable[..., None]


@dataclass(frozen=True)
class LabRequest:
    """A request to a ``/_lab/...`` route; ``rest`` is what follows a prefix route (one registered with a final '/')."""

    method: str
    path: str
    rest: str
    query: dict[str, str]
    body: Any


RouteHandler = Callable[[LabRequest], Any]


class RouteError(Exception):
    """Raised by a route handler to answer with an HTTP status and one clear sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(repr=False, eq=False)
class LabContext:
    """The shared state of one lab API.

    Events that listeners may subscribe to with ``on`` (keyword arguments in brackets); listeners run with ``lock``
    held and must be short (``submit`` or ``schedule`` anything longer):
    ``instance_state_changed`` [instance_id, state, previous], ``eni_attached``/``eni_detached`` [eni_id, instance_id],
    ``volume_attached``/``volume_detached`` [volume_id, instance_id], ``image_state_changed`` [image_id, state].
    """

    machine: Machine
    delays: Delays
    account_id: str = "123456789012"
    region: str = "eu-central-1"
    lock: threading.RLock = field(default_factory=threading.RLock)
    events: EventJournal = field(default_factory=EventJournal)
    routes: dict[str, RouteHandler] = field(default_factory=dict)
    status_sections: dict[str, Callable[[], Any]] = field(default_factory=dict)
    metadata_parts: list[Callable[[Any], dict[str, Any]]] = field(default_factory=list)
    client_tokens: dict[str, tuple[str, Any]] = field(default_factory=dict)
    request: threading.local = field(default_factory=threading.local)
    sources: dict[str, str] = field(default_factory=dict)
    fault_hooks: dict[str, Hook] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._listeners: dict[str, list[Listener]] = defaultdict(list)
        self.workers = Workers(self._work_failed)
        self.faults = FaultBoard(self.events)

    @property
    def ec2(self) -> Any:
        """moto's EC2 backend of the lab's account and region."""
        from moto.ec2.models import ec2_backends

        return ec2_backends[self.account_id][self.region]

    def on(self, event: str, listener: Listener) -> None:
        """Call ``listener(**fields)`` whenever ``event`` is emitted."""
        self._listeners[event].append(listener)

    def emit(self, event: str, **fields: Any) -> None:
        """Record the event in the journal and tell its listeners; call with ``lock`` held."""
        self.events.record(event, **fields)
        for listener in list(self._listeners[event]):
            listener(**fields)

    def register_route(self, path: str, handler: RouteHandler) -> None:
        """Serve ``/_lab/<path>`` as JSON; a path ending in '/' serves everything below it.

        The handler runs without ``lock``; it returns something JSON can express, or raises ``RouteError``.
        """
        self.routes["/_lab/" + path.removeprefix("/_lab").lstrip("/")] = handler

    def register_status(self, name: str, section: Callable[[], Any]) -> None:
        """Add (or replace) a section of ``GET /_lab/status``; it is called with ``lock`` held."""
        self.status_sections[name] = section

    def register_metadata(self, part: Callable[[Any], dict[str, Any]]) -> None:
        """Add to every instance's metadata: ``part(instance)`` returns a tree (dictionaries are directories).

        It is called with ``lock`` held. Example: ``{"autoscaling": {"target-lifecycle-state": "InService"}}``.
        """
        self.metadata_parts.append(part)

    def submit(self, key: str, what: str, call: Callable[[], None]) -> None:
        """Run ``call`` on the ordered queue of ``key`` (an instance id, a volume id, a stack's name)."""
        self.workers.submit(key, what, call)

    def schedule(self, seconds: float, call: Callable[[], None]) -> None:
        """Run ``call`` once, ``seconds`` from now; dropped when the lab stops first."""
        self.workers.schedule(seconds, call)

    def every(self, seconds: float | Callable[[], float], call: Callable[[], None]) -> None:
        """Run ``call`` periodically until the lab stops; ``lambda: context.delays.x_seconds`` gives a live period."""
        self.workers.every(seconds, call)

    def _work_failed(self, what: str, error: BaseException, trace: str) -> None:
        self.events.record("background_error", what=what, error=f"{type(error).__name__}: {error}", traceback=trace)


_active: LabContext | None = None


def activate(context: LabContext) -> None:
    """Make ``context`` the process's one; raise ``RuntimeError`` while another one is active."""
    global _active
    if _active is not None and _active is not context:
        raise RuntimeError("this process already runs a lab API; stop it before starting another one")
    _active = context


def deactivate(context: LabContext) -> None:
    """Forget ``context`` if it is the active one."""
    global _active
    if _active is context:
        _active = None


def active() -> LabContext | None:
    """The process's active context, None when moto shall behave as it comes."""
    return _active
