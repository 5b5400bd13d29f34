# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a lab up: check, clean up after a killed one, build the base image, make the VPC, start the server."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lab import client, preflight, repository
from lab.config import LabConfig
from lab.images import build
from lab.images.recipe import Recipe
from lab.ledger import Ledger
from lab.machine import netns, processes
from lab.machine.shell import MachineError, run
from lab.teardown import lab_exists, teardown

Say = Callable[[str], None]
SERVER_TIMEOUT = 60.0


class RefusedError(RuntimeError):
    """The lab was not brought up and nothing was touched; one sentence per line."""


@dataclass(frozen=True)
class Timings:
    """How long the parts of bringing it up took."""

    image_seconds: float
    up_seconds: float


@contextmanager
def state_lock(config: LabConfig) -> Iterator[bool]:
    """Let one `up` or `down` run at a time; yield whether the directory of all labs had to be made."""
    while True:
        made = not config.state_root.exists()
        config.state_root.mkdir(mode=0o755, parents=True, exist_ok=True)
        handle = os.open(config.state_root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                same = os.fstat(handle).st_ino == config.state_root.stat().st_ino
            except FileNotFoundError:
                same = False
            if same:
                yield made
                return
        finally:
            os.close(handle)


def check(config: LabConfig) -> None:
    """Raise RefusedError with every reason why this lab cannot come up now; nothing is changed."""
    problems = preflight.judge(preflight.gather(config))
    if not problems:
        pid = client.server_pid(config)
        # A server that runs without having said what it serves is of an `up` that was killed.
        if pid is not None and config.server_path.is_file():
            problems = [
                f"lab '{config.name}' is up already (server process {pid}): "
                f"see `lab --name {config.name} status`, or run `lab --name {config.name} down` first"
            ]
        elif not lab_exists(config):
            problems = preflight.judge_names(config.name, preflight.gather_names(config))
    if problems:
        raise RefusedError("\n".join(problems))


def up(config: LabConfig, say: Say, mirror: str | None = None) -> Timings:
    """Bring the lab up; on any failure nothing of it stays."""
    check(config)
    began = time.monotonic()
    build.ensure(config.images_dir, Recipe(), say, mirror)
    built = time.monotonic()
    with state_lock(config) as made_root:
        check(config)
        if lab_exists(config):
            say(f"lab '{config.name}' was left half up: removing what is there")
            outcome = teardown(config, say)
            if outcome.problems:
                raise RefusedError("\n".join(outcome.problems))
            check(config)
        try:
            _make(config, made_root, say)
        except BaseException:
            say("taking down what was made")
            for problem in teardown(config, say).problems:
                say(problem)
            raise
    return Timings(round(built - began, 1), round(time.monotonic() - built, 1))


def _make(config: LabConfig, made_root: bool, say: Say) -> None:
    config.state_root.mkdir(mode=0o755, exist_ok=True)
    config.state_dir.mkdir(mode=0o711)
    ledger = Ledger(config.ledger_path)
    ledger.create(config.name, made_root)
    say(f"making the VPC (namespace {config.vpc_netns})")
    ledger.intend("cgroup", path=config.cgroup)
    netns.build_vpc(config, ledger)
    config.log_dir.mkdir()
    config.key_file.parent.mkdir(mode=0o700)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"lab-{config.name}", "-f", str(config.key_file)])
    say("committing the work tree for the instances to pull")
    repository.sync(config.repository, config.git_dir)
    config.artifacts_dir.mkdir(parents=True, exist_ok=True)
    say("starting the server")
    _start_server(config, ledger)


def _start_server(config: LabConfig, ledger: Ledger) -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "HOLDFAST_LAB_"))
        and name.lower() not in ("http_proxy", "https_proxy", "no_proxy")
    }
    environment |= {
        "HOLDFAST_LAB_STATE": str(config.state_root),
        "HOLDFAST_LAB_CACHE": str(config.cache_dir),
        "PYTHONPATH": str(config.repository),
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "lab.server", "--name", config.name, "--preset", config.preset]
    log = config.log_dir / "server.log"
    with log.open("ab") as output:
        process, _ = processes.spawn(command, ledger, what="server", output=output, environment=environment)
    deadline = time.monotonic() + SERVER_TIMEOUT
    while not config.server_path.is_file():
        if process.poll() is not None or time.monotonic() > deadline:
            words = " ".join(log.read_text(errors="replace").splitlines()[-1:]) or "it said nothing"
            raise MachineError(f"the lab's server did not start: {words}")
        time.sleep(0.05)
