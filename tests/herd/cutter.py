# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP proxy before ZooKeeper servers that cuts connections where it hurts; it speaks enough of the protocol to aim.

Per request, by chance (seeded): cut before it is delivered; deliver it, wait for its reply and cut without it, or in
the middle of it; end the session by another connection, before or after the request took effect. So every case in which
a client cannot know what became of its write is made on purpose and not hoped for.

Run as C(python -m tests.herd.cutter): one JSON order as the argument, then the proxies' addresses and a line per
cut on standard output.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import struct
import sys
from collections.abc import Iterator
from typing import Any

CREATE, SET_DATA, CREATE2, CLOSE_SESSION = 1, 5, 15, -11
WRITES = (CREATE, SET_DATA, CREATE2)
BEFORE, REPLY, HALF, EXPIRE_BEFORE, EXPIRE_AFTER = "before", "reply", "half", "expire_before", "expire_after"
WAYS = (BEFORE, REPLY, HALF, EXPIRE_BEFORE, EXPIRE_AFTER)
REPLY_SECONDS = 5.0


class Frames:
    """Cuts a stream of bytes into ZooKeeper's frames (a length of four bytes, then the content)."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take in bytes and yield each whole frame, its length included."""
        self._rest += data
        while len(self._rest) >= 4:
            (length,) = struct.unpack_from(">i", self._rest)
            if len(self._rest) < 4 + length:
                return
            frame, self._rest = self._rest[: 4 + length], self._rest[4 + length :]
            yield frame


def request_of(frame: bytes) -> tuple[int, int]:
    """Return (xid, operation) of a client's request."""
    xid, operation = struct.unpack_from(">ii", frame, 4)
    return xid, operation


def session_of(frame: bytes) -> tuple[int, bytes]:
    """Return (session id, password) of a server's answer to a connect."""
    _protocol, _timeout, session_id, length = struct.unpack_from(">iiqi", frame, 4)
    return session_id, frame[24 : 24 + length]


def closing(session_id: int, password: bytes) -> bytes:
    """Return the bytes that take a session over and end it."""
    connect = struct.pack(">iqiqi", 0, 0, 10000, session_id, len(password)) + password + b"\0"
    close = struct.pack(">ii", 1, CLOSE_SESSION)
    return b"".join(struct.pack(">i", len(part)) + part for part in (connect, close))


class Chance:
    """Decides, by a seeded generator, whether and how a request is cut."""

    def __init__(self, seed: int, write_chance: float, read_chance: float, ways: list[str]) -> None:
        self._random = random.Random(seed)
        self.write_chance = write_chance
        self.read_chance = read_chance
        self.ways = ways

    def way(self, operation: int) -> str | None:
        """Return how to cut this request, None to let it through."""
        if operation in WRITES:
            return self._random.choice(self.ways) if self._random.random() < self.write_chance else None
        if operation == CLOSE_SESSION or self._random.random() >= self.read_chance:
            return None
        return self._random.choice([BEFORE, HALF])


class Cut(Exception):  # noqa: N818 (no error: the end of a connection by decision)
    """This connection ends now."""


class Link:
    """One client's connection."""

    def __init__(self, chance: Chance, target: tuple[str, int], others: list[tuple[str, int]]) -> None:
        self.chance = chance
        self.target = target
        self.others = others
        self.session: tuple[int, bytes] | None = None
        self.doomed: tuple[int, str] | None = None

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes both ways until one side ends or the connection is cut."""
        writers = [writer]
        try:
            server_reader, server_writer = await asyncio.open_connection(*self.target)
            writers.append(server_writer)
            ways = [
                asyncio.create_task(self._requests(reader, server_writer)),
                asyncio.create_task(self._replies(server_reader, writer)),
            ]
            done, pending = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for task in done:
                if not isinstance(task.exception(), (OSError, Cut, type(None))):
                    print(json.dumps({"fault": repr(task.exception())}), flush=True)
        except OSError:
            pass  # the server is down, which is what the client shall see
        finally:
            for each in writers:
                each.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        frames, first = Frames(), True
        while data := await reader.read(65536):
            for frame in frames.feed(data):
                if not first:
                    await self._aim(frame)
                first = False
                if server.transport.is_closing():
                    raise Cut
                server.write(frame)
            await server.drain()

    async def _aim(self, frame: bytes) -> None:
        xid, operation = request_of(frame)
        way = self.chance.way(operation) if self.doomed is None and xid > 0 else None
        if way is None:
            return
        print(json.dumps({"cut": way, "operation": operation}), flush=True)
        if way == BEFORE:
            raise Cut
        if way == EXPIRE_BEFORE:
            await self._expire()
        else:
            self.doomed = (xid, way)

    async def _replies(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        frames = Frames()
        while data := await reader.read(65536):
            for frame in frames.feed(data):
                if self.session is None:
                    self.session = session_of(frame)
                elif self.doomed is not None and request_of(frame)[0] == self.doomed[0]:
                    if self.doomed[1] == HALF:
                        client.write(frame[: len(frame) // 2])
                        await client.drain()
                    elif self.doomed[1] == EXPIRE_AFTER:
                        await self._expire()
                    raise Cut
                if client.transport.is_closing():
                    raise Cut
                client.write(frame)
            await client.drain()

    async def _expire(self) -> None:
        """End the session as its owner's expiry does: whatever the client has in mind, its session is gone."""
        assert self.session is not None
        for host, port in self.others:
            with contextlib.suppress(OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection(host, port)
                try:
                    writer.write(closing(*self.session))
                    await asyncio.wait_for(self._answers(reader), REPLY_SECONDS)
                    return
                finally:
                    writer.transport.abort()

    async def _answers(self, reader: asyncio.StreamReader) -> None:
        for _each in ("connect", "close"):
            (length,) = struct.unpack(">i", await reader.readexactly(4))
            await reader.readexactly(length)


async def serve(order: dict[str, Any]) -> None:
    """Listen before every target until this process is ended."""
    chance = Chance(order["seed"], order["write_chance"], order["read_chance"], order.get("ways") or list(WAYS))
    targets = [(host, int(port)) for host, port in (each.split(":") for each in order["targets"])]
    ports = []
    for target in targets:
        others = [each for each in targets if each != target]

        async def accept(
            reader: asyncio.StreamReader,
            writer: asyncio.StreamWriter,
            target: tuple[str, int] = target,
            others: list[tuple[str, int]] = others,
        ) -> None:
            await Link(chance, target, others).run(reader, writer)

        server = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=256)
        ports.append(server.sockets[0].getsockname()[1])
    print(json.dumps({"hosts": [f"127.0.0.1:{port}" for port in ports]}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
