# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's server process: the EC2 API, the metadata service, git and the machine, inside the VPC's namespace.

`lab up` starts it; it ends on SIGTERM or on the shutdown route, and leaves instances to `lab down`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from lab import kept, repository
from lab.config import (
    API_PORT,
    GIT_PORT,
    IMDS_ADDRESS,
    IMDS_PORT,
    KEY_NAME,
    SUBNETS,
    VPC_ADDRESS,
    VPC_CIDR,
    LabConfig,
    load,
)
from lab.git_http import GitServer
from lab.images import build
from lab.images.recipe import Recipe
from lab.ledger import Ledger
from lab.machine.machine import LabMachine
from lab.machine.shell import MachineError
from lab.namespaces import enter_network

log = logging.getLogger("lab")


def write_atomically(path: Path, data: dict[str, Any]) -> None:
    """Write JSON such that a reader sees all of it or nothing."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(data, indent=2) + "\n")
    fresh.chmod(0o600)
    fresh.rename(path)


class LabServer:
    """What runs inside the server process."""

    def __init__(self, config: LabConfig) -> None:
        """Start every part; raise if one cannot start."""
        from lab.api.clock import preset
        from lab.api.seed import SeedPlan, SubnetSeed
        from lab.api.server import create_lab_api

        self.config = config
        self.ended = threading.Event()
        base = build.find(config.images_dir, Recipe())
        if base is None:
            raise MachineError("the base image is gone from the cache: run `lab image build`")
        self.machine = LabMachine(config, Ledger(config.ledger_path))
        self.git = GitServer(VPC_ADDRESS, GIT_PORT, config.git_dir)
        self.git.start()
        self.api = create_lab_api(
            self.machine,
            host=VPC_ADDRESS,
            port=API_PORT,
            delays=preset(config.preset),
            seed_plan=SeedPlan(
                image_id=base.image_id,
                vpc_cidr=VPC_CIDR,
                subnets=tuple(SubnetSeed(subnet.availability_zone, subnet.cidr) for subnet in SUBNETS),
                key_name=KEY_NAME,
                public_key=config.key_file.with_suffix(".pub").read_text().strip(),
            ),
            imds_address=(IMDS_ADDRESS, IMDS_PORT),
        )
        self.base = base
        self.machine.images.register(self.api.seed.image_id, [base.tree])
        self.machine.on_instance_exit = self._instance_exited
        self._register()
        write_atomically(config.server_path, self._description())

    def _description(self) -> dict[str, Any]:
        seed = self.api.seed
        return {
            "lab": self.config.name,
            "pid": os.getpid(),
            "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "preset": self.config.preset,
            "base_image_key": self.base.key,
            "environment": self.api.environment(),
            "vpc_id": seed.vpc_id,
            "image_id": seed.image_id,
            "key_name": seed.key_name,
            "subnets": [
                {"availability_zone": s.availability_zone, "subnet_id": s.subnet_id, "cidr": s.cidr}
                for s in seed.subnets
            ],
        }

    def _instance_exited(self, instance_id: str, reason: str) -> None:
        self.api.events.record("instance_exited", instance_id=instance_id, reason=reason)
        self.api.instance_exited(instance_id)

    def _register(self) -> None:
        from lab.api.context import LabRequest, RouteError

        def needs(request: LabRequest, method: str) -> None:
            if request.method != method:
                raise RouteError(405, f"{request.path} is asked with {method}")

        def shutdown(request: LabRequest) -> dict[str, Any]:
            needs(request, "POST")
            threading.Timer(0.1, self.ended.set).start()
            return {"ending": os.getpid()}

        def sync(request: LabRequest) -> dict[str, Any]:
            needs(request, "POST")
            try:
                return {"commit": repository.sync(self.config.repository, self.config.git_dir)}
            except MachineError as error:
                raise RouteError(500, str(error)) from error

        def keep(request: LabRequest) -> dict[str, Any]:
            needs(request, "POST")
            body = request.body or {}
            try:
                return kept.keep(
                    self.config, self.api, self.machine, self.base, str(body["image_id"]), str(body["key"])
                )
            except (KeyError, MachineError) as error:
                raise RouteError(400, str(error)) from error

        def use(request: LabRequest) -> dict[str, Any]:
            needs(request, "POST")
            body = request.body or {}
            try:
                return kept.use(self.config, self.api, self.machine, self.base, str(body["key"]))
            except (KeyError, MachineError) as error:
                raise RouteError(404, str(error)) from error

        context = self.api.context
        context.register_route("shutdown", shutdown)
        context.register_route("sync", sync)
        context.register_route("images/keep", keep)
        context.register_route("images/use", use)
        context.register_status("machine", self.machine.describe)

    def stop(self) -> None:
        """End every part."""
        self.config.server_path.unlink(missing_ok=True)
        self.git.stop()
        self.api.stop()
        self.machine.close()


def main(arguments: list[str] | None = None) -> int:
    """Run the server until it is told to end."""
    parser = argparse.ArgumentParser(prog="python -m lab.server", description=__doc__)
    parser.add_argument("--name")
    parser.add_argument("--preset")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    config = load(name=options.name, preset=options.preset)
    enter_network(Path("/run/netns") / config.vpc_netns)
    try:
        server = LabServer(config)
    except (MachineError, OSError, RuntimeError) as error:
        log.error("the server cannot start: %s", error)  # noqa: TRY400 - the sentence is enough, a traceback is not for users
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.ended.set())
    log.info("lab '%s' serves %s (preset %s)", config.name, config.api_url, config.preset)
    server.ended.wait()
    log.info("ending")
    threading.Timer(8.0, lambda: os._exit(3)).start()
    server.stop()
    logging.shutdown()
    # Whatever a worker thread is in the middle of, the server has said goodbye.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
