# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One instance's boot as far as EC2 sees it: the three modules claim, attach the interface and attach the volume.

The modules run as they are, over HTTP against the strict EC2 and its metadata service. Only the host is played: devices
appear at once, and requests to the metadata service come from an address of the instance's own.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.parse
from collections.abc import Mapping
from functools import cache
from typing import Any

import boto3
from ansible_collections.holdfast.kafka.plugins.module_utils import attach_ports, imds
from ansible_collections.holdfast.kafka.plugins.modules import ec2_eni_attach, ec2_volume_attach, node_id_claim
from botocore.loaders import JSONFileLoader

from tests.unit.plugins.modules.in_process import run_module


def prepare() -> None:
    """Import and load what every boot needs, once, in the process that boots are forked from.

    EC2's service model is 10 MB of JSON, which takes a core about half a second, per client: loaded once and shared.
    """
    loader: Any = JSONFileLoader
    original = JSONFileLoader.load_file
    load = cache(lambda path: original(JSONFileLoader(), path))
    loader.load_file = lambda _self, path: load(path)
    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
    make_client: Any = boto3.client
    make_client("ec2", region_name="eu-central-1", endpoint_url="http://127.0.0.1:9", **keys)
    # EC2's metadata service is the host's own; the lab's is one process with its EC2, and waits for the herd there.
    metadata: Any = imds
    metadata.REQUEST_TIMEOUT_SECONDS = 30.0
    ports: Any = attach_ports
    ports.find_interface = lambda mac: f"eth-{mac[-2:]}"
    ports.find_volume = lambda volume_id, _device=None: f"/dev/disk/by-id/{volume_id}"


def be_at(source: str, endpoint: str) -> None:
    """Let this process' requests to the metadata service come from this loopback address."""
    port = urllib.parse.urlsplit(endpoint).port
    original = http.client.HTTPConnection.__init__

    def connect(self: Any, host: str, *arguments: Any, **options: Any) -> None:
        if host.endswith(f":{port}"):
            options["source_address"] = (source, 0)
        original(self, host, *arguments, **options)

    connection: Any = http.client.HTTPConnection
    connection.__init__ = connect


def boot(job: Mapping[str, Any]) -> dict[str, Any]:
    """Claim and attach; return what it came to and every EC2 request in order."""
    claim = run_module(
        node_id_claim,
        {
            "cluster": job["cluster"],
            "role": job["role"],
            "zookeeper_hosts": job["hosts"],
            "poll_seconds": job["poll_seconds"],
            "timeout_seconds": job["timeout_seconds"],
        },
    )
    told = {
        "outcome": claim.get("outcome"),
        "reason": claim.get("reason"),
        "message": claim.get("msg", ""),
        "node_id": claim.get("node_id"),
        "version": claim.get("zookeeper_version"),
        "attempts": [(one["node_id"], one["action"], one["result"]) for one in claim.get("attempts", [])],
        "waits": [wait["reason"] for wait in claim.get("waits", [])],
        "waited_seconds": claim.get("waited_seconds", 0.0),
        "requests": list(claim["api_requests"]),
    }
    if claim["failed"]:
        return told
    eni = claim["identity"]["eni"]
    steps = [(ec2_eni_attach, {"eni_id": eni["id"], "known_status": eni})]
    steps += [
        (ec2_volume_attach, {"volume_id": volume["id"], "known_status": volume})
        for volume in claim["identity"]["volumes"]
    ]
    for module, arguments in steps:
        result = run_module(module, {**arguments, "poll_seconds": job["poll_seconds"]})
        told["requests"] += result["api_requests"]
        if result["failed"]:
            return told | {"outcome": None, "reason": result["reason"], "message": result["msg"]}
    return told


def live(job: Mapping[str, Any], order: Mapping[str, Any], signalled: float, results: int) -> None:
    """Be one booting instance after the start signal, and append what came of it to the results as one line."""
    started = time.monotonic()
    os.environ.update(job["environment"])
    be_at(order["source"], job["imds"])
    os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = job["imds"]
    told = boot(job)
    line = {
        "instance_id": order["instance_id"],
        "incarnation": 0,
        "signalled": signalled,
        "started": started,
        "ended": time.monotonic(),
        "cpu_seconds": time.process_time(),
        **told,
    }
    os.write(results, (json.dumps(line) + "\n").encode())
