# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts claimants as forks of one process that has imported everything, all released by one signal.

Starting Python and importing boto3 and kazoo takes longer than a claim and would spread the herd out; forked, a
hundred processes begin within milliseconds of each other. Each has its own kazoo client, sockets and threads: the
parent has none of them, and only one thread. It kills and restarts those it is told to, and prints one line when all
have ended.

Run as C(python -m tests.herd.nursery): one JSON order per line on standard input, one JSON answer per line.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.herd import boot, claimant

PR_SET_PDEATHSIG = 1
Order = dict[str, Any]


class Litter:
    """The claimants of one round."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        self.order = order
        self.results = os.open(order["results"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.errors = Path(order["results"]).with_suffix(".errors")
        self.alive: dict[int, Order] = {}
        self.crashed: list[str] = []
        self.restarts = 0
        self.signalled = 0.0
        self.job = claimant.Job(**order["job"]) if order["kind"] == "claim" else None

    def run(self) -> dict[str, Any]:
        """Fork all, release them, kill and restart as ordered, and wait for the last."""
        gate, release = os.pipe()
        for each in self.order["claimants"]:
            self._fork(each, gate, release)
        time.sleep(self.order.get("settle_seconds", 0.3))
        self.signalled = time.monotonic()
        os.write(release, self.signalled.hex().encode().ljust(32) * len(self.alive))
        deadline = self.signalled + self.order["limit_seconds"]
        doomed = sorted(
            (self.signalled + each["kill_after_seconds"], pid)
            for pid, each in self.alive.items()
            if each.get("kill_after_seconds") is not None
        )
        while self.alive:
            now = time.monotonic()
            while doomed and doomed[0][0] <= now:
                _when, pid = doomed.pop(0)
                if pid in self.alive:
                    os.kill(pid, signal.SIGKILL)
            if now > deadline:
                self._end_all()
            self._reap(gate, release)
            time.sleep(0.005)
        for each in (gate, release, self.results):
            os.close(each)
        return {"signalled": self.signalled, "restarts": self.restarts, "crashed": self.crashed}

    def _fork(self, order: Order, gate: int, release: int) -> None:
        pid = os.fork()
        if pid:
            self.alive[pid] = order
            return
        status = 1
        try:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            os.close(release)
            error_file = os.open(self.errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(error_file, 2)
            signalled = self.signalled or float.fromhex(os.read(gate, 32).decode().strip())
            if self.job is not None:
                claimant.live(self.job, order, signalled, self.results)
            else:
                boot.live(self.order["job"], order, signalled, self.results)
            status = 0
        except BaseException:  # noqa: BLE001 (the fork must never return into the parent's code)
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)

    def _reap(self, gate: int, release: int) -> None:
        while self.alive:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            order = self.alive.pop(pid)
            if os.waitstatus_to_exitcode(status) == 0:
                continue
            killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            meant = order.get("die_at") or order.get("kill_after_seconds") is not None
            if killed and meant:
                self.restarts += 1
                again = {"instance_id": order["instance_id"], "incarnation": order.get("incarnation", 0) + 1}
                self._fork(again, gate, release)
            else:
                self.crashed.append(f"{order['instance_id']}: status {status}")

    def _end_all(self) -> None:
        for pid, order in self.alive.items():
            os.kill(pid, signal.SIGKILL)
            self.crashed.append(f"{order['instance_id']}: still ran after {self.order['limit_seconds']} s")
            order.pop("die_at", None)
            order.pop("kill_after_seconds", None)
        time.sleep(0.2)


def main() -> int:
    """Serve orders until standard input ends."""
    started = time.monotonic()
    boot.prepare()
    gc.collect()
    gc.freeze()
    if threading.active_count() != 1:
        raise RuntimeError("a process with more than one thread must not be forked from")
    print(json.dumps({"ready": True, "preload_seconds": time.monotonic() - started}), flush=True)
    for line in sys.stdin:
        print(json.dumps(Litter(json.loads(line)).run()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
