# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Background work of the lab's API: ordered queues by key, delayed and periodic calls, all ended by one stop."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)

Failed = Callable[[str, BaseException, str], None]


class LabStoppingError(Exception):
    """The lab is shutting down: the current piece of work is to end now."""


class Workers:
    """Runs functions on daemon threads.

    ``submit`` keeps the order of one key (an instance's or a volume's events) while keys run beside each other.
    A function that raises is reported through ``failed(what, exception, traceback)``; the queue goes on.
    """

    def __init__(self, failed: Failed) -> None:
        self._failed = failed
        self._stop = threading.Event()
        self._guard = threading.Condition()
        self._queues: dict[str, deque[tuple[str, Callable[[], None]]]] = {}
        self._delayed = 0

    @property
    def stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stop.is_set()

    def submit(self, key: str, what: str, call: Callable[[], None]) -> None:
        """Run ``call`` after everything that was submitted under ``key`` before."""
        with self._guard:
            if self.stopping:
                return
            queue = self._queues.get(key)
            if queue is not None:
                queue.append((what, call))
                return
            self._queues[key] = deque([(what, call)])
        threading.Thread(target=self._drain, args=(key,), name=f"lab-{key}", daemon=True).start()

    def schedule(self, seconds: float, call: Callable[[], None]) -> None:
        """Run ``call`` once, ``seconds`` from now."""
        with self._guard:
            if self.stopping:
                return
            self._delayed += 1

        def later() -> None:
            try:
                if not self._stop.wait(seconds):
                    self._run(getattr(call, "__qualname__", "scheduled call"), call)
            finally:
                with self._guard:
                    self._delayed -= 1
                    self._guard.notify_all()

        threading.Thread(target=later, name="lab-scheduled", daemon=True).start()

    def every(self, seconds: float | Callable[[], float], call: Callable[[], None]) -> None:
        """Run ``call`` again and again, that many seconds apart (a function is asked anew each time)."""

        def loop() -> None:
            while not self._stop.wait(seconds() if callable(seconds) else seconds):
                self._run(getattr(call, "__qualname__", "periodic call"), call)

        threading.Thread(target=loop, name="lab-periodic", daemon=True).start()

    def pause(self, seconds: float) -> None:
        """Sleep on a worker; raise ``LabStoppingError`` as soon as the lab shuts down."""
        if self._stop.wait(seconds) if seconds > 0 else self._stop.is_set():
            raise LabStoppingError

    def wait_idle(self, timeout: float, scheduled: bool = False) -> bool:
        """Wait until no queue has work (with ``scheduled``: and nothing is delayed); say whether that came to be."""
        deadline = time.monotonic() + timeout
        with self._guard:
            while self._queues or (scheduled and self._delayed):
                rest = deadline - time.monotonic()
                if rest <= 0:
                    return False
                self._guard.wait(rest)
        return True

    def stop(self, timeout: float = 10.0) -> bool:
        """Accept no more work, wake the sleepers, wait for running calls; say whether all ended in time."""
        self._stop.set()
        return self.wait_idle(timeout)

    def _drain(self, key: str) -> None:
        while True:
            with self._guard:
                queue = self._queues[key]
                if not queue or self.stopping:
                    del self._queues[key]
                    self._guard.notify_all()
                    return
                what, call = queue.popleft()
            self._run(what, call)

    def _run(self, what: str, call: Callable[[], None]) -> None:
        try:
            call()
        except LabStoppingError:
            return
        except Exception as error:  # the boundary of a thread: reported, never lost
            log.exception("background work failed: %s", what)
            self._failed(what, error, traceback.format_exc())
