# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the real code talks to in the model: ports with one answer each, or an error as the real one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ansible_collections.holdfast.kafka.plugins.module_utils import zk_claims
from ansible_collections.holdfast.kafka.plugins.module_utils.attach_rules import Reading
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_errors import Meaning
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import PoolReading
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme

if TYPE_CHECKING:
    from tests.model.runs import Automata, Local

#: Every claim is read at this version; whether it is still the znode's is the world's to say (C(Run.fresh)).
VERSION = 1

Answer = tuple[Any, ...]
Request = tuple[Any, ...]


class SuspendedError(Exception):
    """The real code has asked something that is not answered yet."""

    def __init__(self, request: Request) -> None:
        super().__init__(str(request))
        self.request = request


def _aws_error(word: Meaning) -> AwsError:
    return AwsError("call", word.value, "as the model says", word)


def _raise_for(answer: Answer) -> None:
    words: dict[str, Callable[[], Exception]] = {
        "lost": lambda: _aws_error(Meaning.LOST),
        "unknown": lambda: _aws_error(Meaning.RETRY),
        "error": lambda: _aws_error(Meaning.RETRY),
        "not-ready": lambda: _aws_error(Meaning.NOT_READY),
        "occupied": lambda: _aws_error(Meaning.OCCUPIED),
    }
    if answer[0] in words:
        raise words[answer[0]]()


def _raise_for_zookeeper(answer: Answer) -> None:
    if answer[0] == "error":
        raise zk_claims.ZkUnreachableError("nobody answers")
    if answer[0] == "lost":
        raise zk_claims.ClaimLostError("BadVersionError")
    if answer[0] == "unknown":
        raise zk_claims.ZkReplyLostError("ConnectionLoss")


class Ec2:
    """EC2 for the claim's Runner."""

    def __init__(self, automata: Automata, answer: Answer) -> None:
        self.automata, self.answer = automata, answer

    def read_pools(self, _cluster: str, _scheme: TagScheme, _expected: Any = None) -> PoolReading:
        _raise_for(self.answer)
        return self.automata.pool(self.answer[1])

    def instance_states(self, _ids: tuple[str, ...]) -> dict[str, str]:
        _raise_for(self.answer)
        return {str(self.automata.name(one)): word for one, word in self.answer[1] if word is not None}

    def attach_eni(self, _eni: str, _instance: str, _index: int) -> str:
        _raise_for(self.answer)
        return "attach"


class Claims:
    """ZooKeeper for the claim's Runner."""

    def __init__(self, automata: Automata, answer: Answer) -> None:
        self.automata, self.answer = automata, answer

    def read_all(self) -> dict[int, Claim]:
        _raise_for_zookeeper(self.answer)
        return self.automata.claim_map(self.answer[1])

    def create(self, _node: int, _value: bytes) -> int:
        _raise_for_zookeeper(self.answer)
        return VERSION

    def set(self, _node: int, _value: bytes, _version: int) -> int:
        _raise_for_zookeeper(self.answer)
        return VERSION

    def close(self) -> None:
        """Nothing to close."""


class _Script:
    """Answers in the order in which they came; the first question without one suspends the code."""

    def __init__(self, automata: Automata, local: Local) -> None:
        self.automata, self.local = automata, local
        self._left = list(local.script)

    def ask(self, *request: Any) -> Answer:
        """Return the next answer or suspend."""
        if not self._left:
            raise SuspendedError(request)
        return self._left.pop(0)


class AttachPort(_Script):
    """One ENI or volume for AttachRun; an attach may be proved by the metadata service at once (C(proved))."""

    hint = stuck = "none."

    def __init__(self, automata: Automata, local: Local, part: str) -> None:
        super().__init__(automata, local)
        self.part, self.node = part, local.node
        self.name = f"{part}-{local.node}"
        self.one_place = part == "eni"

    def read(self) -> Reading:
        answer = self.ask("read", self.part, self.node)
        _raise_for(answer)
        assert self.node is not None
        return self.automata.reading_of(self.part, self.node, answer[1])

    def attach(self) -> Reading | None:
        answer = self.ask("attach", self.part, self.node)
        _raise_for(answer)
        assert self.node is not None
        mine = self.local.instance
        return self.automata.reading_of(self.part, self.node, mine) if answer[0] == "proved" else None

    def keep(self, reading: Reading) -> None:
        """Never needed here: what is attached outlives its instance from the start."""
        raise AssertionError(reading)

    def holder_state(self, instance_id: str) -> str | None:
        answer = self.ask("states", self.automata.number(instance_id))
        _raise_for(answer)
        word: str | None = answer[1][0][1]
        return word

    def occupied(self) -> bool:
        return False

    def occupant(self) -> str:
        return ""


class ReleasePort(_Script):
    """EC2, the host's own view and the claims' store for release()."""

    def __init__(self, automata: Automata, local: Local) -> None:
        super().__init__(automata, local)
        self._seen: Answer | None = None

    def read_pools(self, _cluster: str, _scheme: TagScheme, _expected: Any = None) -> PoolReading:
        answer = self.ask("pool")
        _raise_for(answer)
        return self.automata.pool(answer[1])

    def _host(self) -> tuple[frozenset[str], frozenset[str]]:
        if self._seen is None:
            self._seen = self.ask("host")
        return self._seen[1], self._seen[2]

    def interface_id(self, mac: str) -> str | None:
        """The metadata service's word, which may lag."""
        name = f"eni-{mac.removeprefix('02:')}"
        return name if name in self._host()[1] else None

    def find_interface(self, mac: str) -> str | None:
        """The kernel's word."""
        return f"eth{mac}" if f"eni-{mac.removeprefix('02:')}" in self._host()[0] else None

    def find_volume(self, volume_id: str) -> str | None:
        """The kernel's word."""
        return f"/dev/{volume_id}" if volume_id in self._host()[0] else None

    def read_all(self) -> dict[int, Claim]:
        answer = self.ask("claims")
        _raise_for_zookeeper(answer)
        return self.automata.claim_map(answer[1])

    def set(self, node: int, _value: bytes, version: int) -> int:
        assert version == VERSION
        answer = self.ask("give_back", node)
        _raise_for_zookeeper(answer)
        return VERSION

    def close(self) -> None:
        """Nothing to close."""
