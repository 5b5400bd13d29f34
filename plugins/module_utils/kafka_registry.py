# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The brokers as ZooKeeper has them registered, for when no broker can be asked.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Sequence
from urllib.parse import urlsplit

from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import Broker

IMPORT_ERROR: str | None = None
try:
    from kazoo.client import KazooClient
    from kazoo.exceptions import KazooException, NoNodeError
    from kazoo.handlers.threading import KazooTimeoutError
except ImportError:
    IMPORT_ERROR = traceback.format_exc()


class RegistryError(RuntimeError):
    """ZooKeeper could not be read; ``reason`` is ``unreachable`` or ``zookeeper_error``."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def parse_registration(node_id: int, text: bytes) -> Broker:
    """Read the value of ``/brokers/ids/<id>``; the first listener's address wins. ValueError when it is not JSON."""
    value = json.loads(text)
    endpoints = value.get("endpoints") or []
    host, port = value.get("host"), value.get("port", -1)
    if endpoints:
        address = urlsplit(endpoints[0])
        host, port = address.hostname, address.port
    return Broker(node_id, host or "", port or -1, value.get("rack"))


def read(hosts: Sequence[str], chroot: str, timeout_seconds: float) -> tuple[list[Broker], int | None]:
    """Return the registered brokers and the controller's id (None when there is none)."""
    client = KazooClient(hosts=",".join(hosts) + chroot, timeout=timeout_seconds)
    try:
        client.start(timeout=timeout_seconds)
        # The server that answers may be behind the others.
        client.sync("/")
        brokers = []
        for name in _children(client, "/brokers/ids"):
            value = _value(client, f"/brokers/ids/{name}")
            if value is not None:
                brokers.append(parse_registration(int(name), value))
        controller = _value(client, "/controller")
        return sorted(brokers, key=lambda broker: broker.node_id), (
            int(json.loads(controller)["brokerid"]) if controller else None
        )
    except KazooTimeoutError as error:
        raise RegistryError("unreachable", f"no ZooKeeper server of {', '.join(hosts)} answers: {error}") from error
    except (KazooException, ValueError, KeyError) as error:
        raise RegistryError("zookeeper_error", f"cannot read Kafka's brokers from ZooKeeper: {error!r}") from error
    finally:
        client.stop()
        client.close()


def _children(client: KazooClient, path: str) -> list[str]:
    """Return the children's names; none when the path does not exist."""
    try:
        return list(client.get_children(path))
    except NoNodeError:
        return []


def _value(client: KazooClient, path: str) -> bytes | None:
    """Return a znode's value; None when it does not exist (any more)."""
    try:
        return bytes(client.get(path)[0])
    except NoNodeError:
        return None
