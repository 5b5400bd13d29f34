# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The brokers as ZooKeeper has them registered, for when no broker can be asked.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_view import Broker
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_errors import ZkRefusedError, ZkUnreachableError
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_security import OPEN, Security
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_session import (
    HAS_KAZOO,
    SESSION_TIMEOUT_SECONDS,
    KazooException,
    ZkSession,
)

if HAS_KAZOO:
    from kazoo.exceptions import NoNodeError


class RegistryError(RuntimeError):
    """ZooKeeper could not be read; ``reason`` is ``unreachable``, ``zookeeper_auth_failed`` or ``zookeeper_error``."""

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


def read(
    hosts: Sequence[str], chroot: str, timeout_seconds: float, security: Security = OPEN
) -> tuple[list[Broker], int | None]:
    """Return the registered brokers and the controller's id (None when there is none)."""
    session = ZkSession(hosts, security, min(timeout_seconds, SESSION_TIMEOUT_SECONDS))
    try:
        session.connect(timeout_seconds)
        return _read(session.client, chroot)
    except ZkUnreachableError as error:
        raise RegistryError("unreachable", str(error)) from error
    except ZkRefusedError as error:
        raise RegistryError(error.reason, str(error)) from error
    except (KazooException, ValueError, KeyError) as error:
        told = session.explain(error, "reading", chroot or "/")
        reason = "zookeeper_error" if told.reason == ZkRefusedError.reason else told.reason
        raise RegistryError(reason, f"cannot read Kafka's brokers from ZooKeeper: {told}") from error
    finally:
        session.close()


def _read(client: Any, chroot: str) -> tuple[list[Broker], int | None]:
    # The server that answers may be behind the others.
    client.sync("/")
    brokers = []
    for name in _children(client, f"{chroot}/brokers/ids"):
        value = _value(client, f"{chroot}/brokers/ids/{name}")
        if value is not None:
            brokers.append(parse_registration(int(name), value))
    controller = _value(client, f"{chroot}/controller")
    return sorted(brokers, key=lambda broker: broker.node_id), (
        int(json.loads(controller)["brokerid"]) if controller else None
    )


def _children(client: Any, path: str) -> list[str]:
    """Return the children's names; none when the path does not exist."""
    try:
        return list(client.get_children(path))
    except NoNodeError:
        return []


def _value(client: Any, path: str) -> bytes | None:
    """Return a znode's value; None when it does not exist (any more)."""
    try:
        return bytes(client.get(path)[0])
    except NoNodeError:
        return None
