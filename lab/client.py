# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command line asks of a running lab: its description on disk, its routes over HTTP inside the VPC."""

from __future__ import annotations

import http.client
import json
from typing import Any

from lab import namespaces
from lab.config import API_PORT, VPC_ADDRESS, LabConfig
from lab.ledger import Ledger
from lab.machine import netns, processes


class LabDownError(RuntimeError):
    """There is no lab of this name that answers; the message says what to do."""


class LabRefusedError(RuntimeError):
    """The lab answered with an error; the message is the server's sentence."""


def server_pid(config: LabConfig) -> int | None:
    """Return the server's pid if it is the process that the journal knows and it runs."""
    if not config.ledger_path.is_file():
        return None
    ledger = Ledger(config.ledger_path)
    if not ledger.same_boot():
        return None
    for entry in ledger.entries("process"):
        if entry.facts["what"] == "server" and processes.is_same(entry.facts["pid"], entry.facts["started"]):
            return int(entry.facts["pid"])
    return None


def description(config: LabConfig) -> dict[str, Any]:
    """Return what the server wrote about itself; raise LabDownError unless it runs and has finished starting."""
    if server_pid(config) is not None and config.server_path.is_file():
        found: dict[str, Any] = json.loads(config.server_path.read_text())
        return found
    if config.ledger_path.is_file():
        raise LabDownError(
            f"lab '{config.name}' is there in part, but its server does not run: "
            f"see `lab --name {config.name} logs server`, then `lab --name {config.name} down`"
        )
    raise LabDownError(f"lab '{config.name}' is not up: run `lab --name {config.name} up`")


def enter(config: LabConfig) -> None:
    """Move this process into the lab's VPC; it cannot come back."""
    description(config)
    path = netns.NETNS_DIR / config.vpc_netns
    try:
        namespaces.enter_network(path)
    except PermissionError as error:
        raise LabDownError("entering the lab's network needs root") from error


def call(method: str, route: str, body: Any = None, timeout: float = 30.0) -> Any:
    """Ask ``/_lab/<route>``; the process must be in the VPC's namespace."""
    connection = http.client.HTTPConnection(VPC_ADDRESS, API_PORT, timeout=timeout)
    try:
        payload = None if body is None else json.dumps(body)
        connection.request(method, f"/_lab/{route}", payload, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = json.loads(answer.read() or b"null")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise LabDownError(f"the lab's server does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status >= 400:
        raise LabRefusedError(str(content.get("error", content)))
    return content


def environment(config: LabConfig) -> dict[str, str]:
    """Return what a client of the lab needs in its environment."""
    found = description(config)
    names = {
        "HOLDFAST_LAB_NAME": config.name,
        "HOLDFAST_LAB_NETNS": config.vpc_netns,
        "HOLDFAST_LAB_VPC_ID": found["vpc_id"],
        "HOLDFAST_LAB_SUBNETS": json.dumps(found["subnets"]),
        "HOLDFAST_LAB_BASE_IMAGE_ID": found["image_id"],
        "HOLDFAST_LAB_BASE_IMAGE_KEY": found["base_image_key"],
        "HOLDFAST_LAB_KEY_NAME": found["key_name"],
        "HOLDFAST_LAB_KEY_FILE": str(config.key_file),
        "HOLDFAST_LAB_GIT_URL": config.git_url,
        "HOLDFAST_LAB_ARTIFACTS_DIR": str(config.artifacts_dir),
        "HOLDFAST_LAB_STATE": str(config.state_root),
        "HOLDFAST_LAB_CACHE": str(config.cache_dir),
        # All labs have the same addresses: an ssh connection that Ansible keeps must not be found by another lab's run.
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(config.state_dir / "ssh"),
    }
    direct = f"10.77.0.0/16,{VPC_ADDRESS},169.254.169.254,127.0.0.1,localhost"
    return {**found["environment"], "NO_PROXY": direct, "no_proxy": direct, **names}
