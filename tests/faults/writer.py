# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One Kafka writer over many faults: who acknowledged what during which fault, read back and compared at the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.demo import workload

MESSAGES_PER_SECOND = 100


@dataclass(frozen=True)
class Window:
    """The part of the writer's output that was written during one fault, in bytes."""

    begin: int
    end: int


def acknowledged(output: bytes, window: Window) -> set[str]:
    """The values whose acknowledgement is noted in this part of the output; a line on a border counts where it ends."""
    begin = output.rfind(b"\n", 0, window.begin) + 1
    end = output.rfind(b"\n", 0, window.end) + 1
    return workload.outcomes(output[begin:end].decode(errors="replace").splitlines())[0]


class Writer:
    """Writes to a topic of its own from inside the lab's network (acks=all, idempotent, forever retrying)."""

    def __init__(self, brokers: list[str], topic: str, folder: Path) -> None:
        workload.create_topic(brokers, topic, partitions=6)
        self.producer = workload.Producer(brokers, topic, folder, messages_per_second=MESSAGES_PER_SECOND)
        self.producer.start()

    def mark(self) -> int:
        """This moment, as a place in the output."""
        return self.producer.output.stat().st_size

    def stop(self) -> None:
        """Stop writing."""
        self.producer.stop()

    def lost(self, windows: Iterable[Window]) -> list[tuple[int, int]]:
        """Stop, read everything back, and say for each window how many values were acknowledged, and how many lost."""
        self.producer.stop()
        read = set(workload.read_values(self.producer.addresses, self.producer.topic, self.producer.folder))
        output = self.producer.output.read_bytes()
        sets = [acknowledged(output, window) for window in windows]
        return [(len(acked), len(acked - read)) for acked in sets]
