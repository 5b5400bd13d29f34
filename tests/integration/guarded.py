# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ZooKeeper server with passwords and TLS, configured by what the role zookeeper makes of an inventory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.kafka.plugins.filter.properties import to_properties

from tests.integration.services import ZooKeeperServer
from tests.ports import free_ports
from tests.role_settings import role_settings

# What JAAS files and Java's tokenizer are known to stumble over.
PASSWORD = 'a "quoted" \\ back; slash\' {$} = #1'
AUTH = {"scheme": "sasl", "username": "holdfast", "password": PASSWORD}
OTHER = {"scheme": "sasl", "username": "payments", "password": "another-secret"}


@dataclass
class Guarded:
    """One server; ``host`` is its plain address, ``secure_host`` the one for TLS."""

    server: ZooKeeperServer
    secure_host: str

    @property
    def host(self) -> str:
        """The plain client address."""
        return self.server.host


def guarded_server(directory: Path, **variables: Any) -> Guarded:
    """Return a server, not started, with the role's settings for these variables."""
    directory.mkdir(parents=True, exist_ok=True)
    port, secure_port = free_ports(2)
    case = {
        "__zookeeper_configuration_directory": str(directory),
        "zookeeper_secure_client_port": secure_port,
        "holdfast_zookeeper_auth": AUTH,
        **variables,
    }
    names = ["__zookeeper_security_properties", "__zookeeper_security_jvm_options", "__zookeeper_secret_files"]
    settings = role_settings("zookeeper", names, {"server": case})["server"]
    for file in settings["__zookeeper_secret_files"]:
        if file["content"]:
            Path(file["path"]).write_text(file["content"])
    lines = to_properties(settings["__zookeeper_security_properties"]).splitlines()
    options = settings["__zookeeper_security_jvm_options"]
    server = ZooKeeperServer(1, port, directory, [*lines, "secureClientPortAddress=127.0.0.1"], options)
    return Guarded(server, f"127.0.0.1:{secure_port}")
