# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's API as a server: moto in this process, made strict, seeded, with the metadata service beside it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import threading
from dataclasses import dataclass
from typing import Any

from werkzeug.serving import BaseWSGIServer, make_server

from lab.api import faults_boot, faults_machine, faults_routes, faults_stale, status, strict
from lab.api.application import LabApplication
from lab.api.clock import Delays, preset
from lab.api.context import LabContext, activate, deactivate
from lab.api.events import EventJournal
from lab.api.imds import ImdsServer
from lab.api.lifecycle import forget_terminated, instance_exited
from lab.api.request_rate import RequestRate
from lab.api.seed import Seed, SeedPlan, plant
from lab.machine.fake import FakeMachine
from lab.machine.protocol import Machine

PARTS = (
    "lab.api.iam",
    "lab.api.launch_template",
    "lab.api.autoscaling",
    "lab.api.cloudwatch",
    "lab.api.cloudformation",
)
"""Further parts of the API, each with ``install(context)``; one that is not in the package is left out."""

_SWEEP_SECONDS = 15.0


@dataclass(repr=False, eq=False)
class LabApi:
    """A running API. ``clock`` are the live delays; ``stop`` ends servers and workers and forgets moto's state.

    ``request_rate.limit(...)`` lets it refuse requests beyond EC2's rates.
    """

    context: LabContext
    seed: Seed
    host: str
    port: int
    imds: ImdsServer | None
    request_rate: RequestRate
    _server: BaseWSGIServer
    _thread: threading.Thread

    @property
    def endpoint(self) -> str:
        """The URL for ``AWS_ENDPOINT_URL``."""
        return f"http://{self.host}:{self.port}"

    @property
    def clock(self) -> Delays:
        """The live delays."""
        return self.context.delays

    @property
    def machine(self) -> Any:
        """The machine that plays the consequences."""
        return self.context.machine

    @property
    def events(self) -> EventJournal:
        """The journal."""
        return self.context.events

    def environment(self) -> dict[str, str]:
        """What an AWS client needs in its environment; a call that misses the endpoint dies on this machine."""
        dead = "http://127.0.0.1:9"
        direct = f"{self.host},127.0.0.1,localhost,169.254.169.254"
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": self.context.region,
            "AWS_DEFAULT_REGION": self.context.region,
            "AWS_ACCESS_KEY_ID": self.seed.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.seed.secret_access_key,
            "AWS_EC2_METADATA_DISABLED": "true",
            **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), dead),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), direct),
        }

    def client(self, service: str) -> Any:
        """A boto3 client of the lab's administrator, without retries."""
        import boto3
        from botocore.config import Config

        make_client: Any = boto3.client
        return make_client(
            service,
            endpoint_url=self.endpoint,
            region_name=self.context.region,
            aws_access_key_id=self.seed.access_key_id,
            aws_secret_access_key=self.seed.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}, proxies={}),
        )

    def instance_exited(self, instance_id: str) -> None:
        """Tell the API that the instance's operating system shut itself down (or died)."""
        instance_exited(self.context, instance_id)

    def wait_idle(self, timeout: float = 10.0) -> bool:
        """Wait until no transition is under way; say whether that came to be."""
        return self.context.workers.wait_idle(timeout)

    def stop(self) -> None:
        """End everything; the machine's instances are not touched."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
        if self.imds:
            self.imds.stop()
        self.context.workers.stop()
        _reset_moto()
        deactivate(self.context)


def create_lab_api(
    machine: Machine,
    *,
    host: str,
    port: int,
    delays: Delays | None = None,
    seed_plan: SeedPlan | None = None,
    imds_address: tuple[str, int] | None = None,
    account_id: str = "123456789012",
    region: str = "eu-central-1",
) -> LabApi:
    """Start the API at ``host:port`` (0: any free port) and, if given an address, the metadata service.

    Raises ``RuntimeError`` on another moto than the pinned one or while this process already runs a lab API, and
    ``OSError`` when an address cannot be bound.
    """
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    strict.install()
    context = LabContext(machine=machine, delays=delays or Delays(), account_id=account_id, region=region)
    activate(context)
    imds: ImdsServer | None = None
    try:
        _reset_moto()
        with context.lock:
            seed = plant(context, seed_plan or SeedPlan())
            status.register(context)
            faults_routes.register(context)
            for part in (faults_stale, faults_machine, faults_boot):
                part.install(context)
            for name in PARTS:
                if importlib.util.find_spec(name) is not None:
                    importlib.import_module(name).install(context)
        context.every(_SWEEP_SECONDS, lambda: forget_terminated(context))
        if imds_address:
            imds = ImdsServer(context, *imds_address)
            imds.start()
        request_rate = RequestRate(LabApplication(context), context)
        server = make_server(host, port, request_rate, threaded=True, request_handler=_handler())
    except BaseException:
        if imds:
            imds.stop()
        context.workers.stop(1)
        deactivate(context)
        raise
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="lab-api", daemon=True)
    thread.start()
    context.events.record("api_started", host=host, port=server.server_port)
    return LabApi(context, seed, host, server.server_port, imds, request_rate, server, thread)


def start_strict_ec2(
    port: int = 0,
    host: str = "127.0.0.1",
    machine: Machine | None = None,
    delays: Delays | str | None = None,
    imds: bool = False,
    seed_plan: SeedPlan | None = None,
) -> LabApi:
    """The API as a plain process for tests: no root, no namespaces, a machine that only remembers.

    ``delays`` may be the name of a preset. With ``imds`` the metadata service listens on a free loopback port
    (``handle.imds.port``); map a source address to an instance with ``handle.imds.map_source``.
    """
    return create_lab_api(
        machine or FakeMachine(),
        host=host,
        port=port,
        delays=preset(delays) if isinstance(delays, str) else delays,
        seed_plan=seed_plan,
        imds_address=(host, 0) if imds else None,
    )


def _handler() -> Any:
    from moto.moto_server.werkzeug_app import MotoRequestHandler

    class QuietHandler(MotoRequestHandler):
        """The journal has every request already."""

        def log_request(self, *_arguments: Any) -> None:
            return

    return QuietHandler


def _reset_moto() -> None:
    from moto.core.base_backend import BackendDict
    from moto.core.model_instances import reset_model_data

    BackendDict.reset()
    reset_model_data()
