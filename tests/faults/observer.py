# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks on from outside while a fault is played: EC2's attachments, the claims in ZooKeeper, the processes that run.

It shares no code with what it watches: EC2 is read from the lab's own books (no injected fault reaches those), claims
are read raw, and which broker a process is, is read from the process's own files on the machine.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from types import TracebackType
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.retry import KazooRetry

from lab import client
from lab.config import LabConfig
from tests.faults import machine_view
from tests.faults.samples import Sample, Watch

PAUSE_SECONDS = 0.4
# Of sessions and single reads: without a quorum a sample goes on without claims.
ZOOKEEPER_SECONDS = 4.0
SECTIONS = "status?sections=instances,network_interfaces,volumes"


def _identity(tags: dict[str, str], cluster: str) -> str | None:
    """`kafka-2` by the tags of an interface or volume; None for what is not of this pool."""
    if tags.get("holdfast:cluster") != cluster or "holdfast:node-id" not in tags:
        return None
    return f"{tags.get('holdfast:role')}-{tags['holdfast:node-id']}"


def attachments(books: dict[str, Any], cluster: str) -> dict[str, frozenset[str]]:
    """By identity, everyone who has its ENI or one of its volumes attached, in whatever state the attachment is."""
    found: dict[str, set[str]] = {}
    for part in [*books["network_interfaces"], *books["volumes"]]:
        identity = _identity(part["tags"], cluster)
        if identity and part["attachment"]:
            found.setdefault(identity, set()).add(str(part["attachment"]["instance_id"]))
    return {identity: frozenset(instances) for identity, instances in found.items()}


class Observer:
    """A thread that takes samples until it is left; use as a context manager inside the lab's network."""

    def __init__(self, config: LabConfig, cluster: str, zookeeper_hosts: list[str]) -> None:
        self.config, self.cluster = config, cluster
        self.watch = Watch()
        self.ended = 0.0
        self.failures: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        quiet = logging.getLogger("holdfast.observer")
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        self._client: Any = KazooClient(
            hosts=",".join(zookeeper_hosts),
            timeout=ZOOKEEPER_SECONDS,
            connection_retry=KazooRetry(max_tries=-1, delay=0.2, max_delay=1.0),
            logger=quiet,
        )

    def __enter__(self) -> Observer:
        self.watch.began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self.ended = time.monotonic()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        self._client.start_async()
        try:
            while not self._over.is_set():
                try:
                    self.watch.taken.append(self._sample())
                except Exception as error:  # noqa: BLE001 - a look that failed is a gap, and a gap is judged
                    self.failures.append(f"{type(error).__name__}: {error}")
                self._over.wait(PAUSE_SECONDS)
        finally:
            self._client.stop()
            self._client.close()

    def _sample(self) -> Sample:
        attached = attachments(client.call("GET", SECTIONS), self.cluster)
        claims = self._claims()
        processes = tuple((one.identity, one.instance_id) for one in machine_view.service_processes(self.config))
        states = {one["instance_id"]: one["state"] for one in client.call("GET", SECTIONS)["instances"]}
        return Sample(time.monotonic(), states, attached, claims, processes)

    def _claims(self) -> dict[str, str] | None:
        """Claims as they are now, or None while ZooKeeper does not answer; the client connects again by itself."""
        if not self._client.connected:
            return None
        try:
            return {f"kafka-{number}": holder for number, holder in self._read_claims()}
        except (KazooException, KazooTimeoutError, OSError):
            return None

    def _read_claims(self) -> list[tuple[str, str]]:
        path = f"/holdfast/{self.cluster}/kafka/claims"
        found = []
        try:
            numbers = self._client.get_children_async(path).get(timeout=ZOOKEEPER_SECONDS)
        except NoNodeError:
            return []
        for number in numbers:
            value, _ = self._client.get_async(f"{path}/{number}").get(timeout=ZOOKEEPER_SECONDS)
            holder = json.loads(value).get("instance_id")
            if holder:
                found.append((number, holder))
        return found
