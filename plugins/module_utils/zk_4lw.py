# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ZooKeeper's four-letter words: what a server answers, and what the answers say about the ensemble.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils.addresses import Address

NOT_SERVING = "This ZooKeeper instance is not currently serving requests"
NOT_LISTED = "is not executed because it is not in the whitelist"
MAX_ANSWER_BYTES = 1 << 20

Ask = Callable[[Address, str], str]


class AnswerError(RuntimeError):
    """A server did not give a usable answer; ``reason`` is for plays to branch on."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Server:
    """What is known of one server. ``mode`` is None while it does not serve."""

    host: str
    reachable: bool
    mode: str | None = None
    zxid: str | None = None
    version: str | None = None
    node_count: int | None = None
    connections: int | None = None
    synced_followers: int | None = None
    error: dict[str, str] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def ask(address: Address, word: str, timeout_seconds: float) -> str:
    """Send a word and return the whole answer; AnswerError ``refused``, ``timeout`` or ``unreachable``."""
    deadline = time.monotonic() + timeout_seconds
    answer = b""
    try:
        with socket.create_connection(address, timeout_seconds) as connection:
            connection.sendall(word.encode("ascii"))
            while len(answer) < MAX_ANSWER_BYTES:
                # At least a millisecond: zero would mean "do not block", which is another error.
                connection.settimeout(max(deadline - time.monotonic(), 0.001))
                chunk = connection.recv(65536)
                if not chunk:
                    break
                answer += chunk
    except TimeoutError:
        raise AnswerError("timeout", f"did not answer {word} within {timeout_seconds:g} s") from None
    except ConnectionRefusedError:
        raise AnswerError("refused", "refused the connection") from None
    except OSError as error:
        raise AnswerError("unreachable", f"cannot be reached: {error}") from error
    return answer.decode("utf-8", errors="replace")


def _checked(answer: str, word: str) -> str:
    """Return the answer unless the server says that it gives none."""
    if NOT_LISTED in answer:
        raise AnswerError("not_listed", f"{word} is not in the server's 4lw.commands.whitelist")
    if NOT_SERVING in answer:
        raise AnswerError("not_serving", "the server runs but is in no quorum")
    if not answer.strip():
        raise AnswerError("empty", f"the server closed the connection without an answer to {word}")
    return answer


def parse_srvr(answer: str) -> dict[str, Any]:
    """Return version, zxid, mode, node_count and connections of a ``srvr`` answer; AnswerError when it has none."""
    fields = dict(line.split(":", 1) for line in _checked(answer, "srvr").splitlines() if ":" in line)
    mode = fields.get("Mode", "").strip()
    if not mode:
        raise AnswerError("protocol", f"srvr was answered without a mode: {answer[:200]!r}")
    return {
        "mode": mode,
        "zxid": fields.get("Zxid", "").strip() or None,
        "version": fields.get("Zookeeper version", "").strip().split(",")[0] or None,
        "node_count": _whole(fields.get("Node count")),
        "connections": _whole(fields.get("Connections")),
    }


def parse_mntr(answer: str) -> dict[str, str]:
    """Return a ``mntr`` answer's keys and values; AnswerError when there are none."""
    pairs = [line.split("\t", 1) for line in _checked(answer, "mntr").splitlines() if "\t" in line]
    if not pairs:
        raise AnswerError("protocol", f"mntr was answered without values: {answer[:200]!r}")
    return {key.strip(): value.strip() for key, value in pairs}


def _whole(text: str | None) -> int | None:
    """Return a number that ZooKeeper may write as ``2`` or ``2.0``."""
    try:
        return int(float(text)) if text is not None else None
    except ValueError:
        return None


def read_server(address: Address, question: Ask) -> Server:
    """Ask one server; never raises AnswerError, an answer that is none becomes ``error``."""
    host = str(address)
    try:
        facts = parse_srvr(question(address, "srvr"))
    except AnswerError as error:
        reachable = error.reason not in ("refused", "timeout", "unreachable")
        return Server(host=host, reachable=reachable, error={"reason": error.reason, "message": str(error)})
    synced = None
    problem = None
    if facts["mode"] == "leader":
        try:
            synced = _whole(parse_mntr(question(address, "mntr")).get("zk_synced_followers"))
        except AnswerError as error:
            problem = {"reason": error.reason, "message": str(error)}
    return Server(host=host, reachable=True, synced_followers=synced, error=problem, **facts)


def quorum(servers: Sequence[Server], expected: int) -> dict[str, Any]:
    """Judge the ensemble: ``whole`` only when every expected server serves, one leads and all others follow in sync."""
    leaders = [server for server in servers if server.mode == "leader"]
    serving = [server for server in servers if server.mode is not None]
    alone = [server for server in servers if server.mode == "standalone"]
    faults = [f"{server.host}: {server.error['message']}" for server in servers if server.error]
    if expected > 1:
        faults.extend(f"{server.host} runs standalone in an ensemble of {expected}" for server in alone)
        if len(leaders) > 1:
            faults.append(f"more than one leader: {', '.join(server.host for server in leaders)}")
        if serving and not leaders and len(servers) >= expected:
            faults.append("no server leads")
    elif serving and len(alone) != 1:
        faults.append("one server was expected and it does not run standalone")
    if len(serving) < expected:
        faults.append(f"{len(serving)} of {expected} servers serve")
    leader = leaders[0] if len(leaders) == 1 else None
    synced = leader.synced_followers if leader else None
    if leader and synced is not None and synced < expected - 1:
        faults.append(f"{synced} of {expected - 1} followers are in sync with the leader {leader.host}")
    if leader and synced is None and expected > 1 and not leader.error:
        faults.append(f"the leader {leader.host} does not say how many followers are in sync")
    return {
        "leader": (leader.host if leader else alone[0].host if expected == 1 and len(alone) == 1 else None),
        "expected": expected,
        "serving": len(serving),
        "synced_followers": synced,
        "whole": not faults,
        "faults": faults,
    }
