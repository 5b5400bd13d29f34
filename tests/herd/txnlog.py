# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ZooKeeper's own transaction logs as the witness of a round: what was written, in the order in which it counts.

The format is that of ZooKeeper's FileTxnLog: a header (magic, version, database id), then records of a checksum, a
length, that many bytes (transaction header, transaction, digest) and the byte C(B); zeros fill the file up.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"ZKLG"
CREATE, DELETE, SET_DATA, CREATE2, MULTI = 1, 2, 5, 15, 14
EPOCH_BITS = 32
MOST_DOUBTS = 6


class LogFormatError(ValueError):
    """A file that is no transaction log, or a record that its checksum denies."""


@dataclass(frozen=True)
class Entry:
    """One write as a server logged it; C(version) is what it made the znode's version, 0 for a create."""

    zxid: int
    session_id: int
    kind: str
    path: str
    data: bytes = b""
    version: int = 0

    @property
    def epoch(self) -> int:
        """The reign of the leader that proposed it."""
        return self.zxid >> EPOCH_BITS


class _Reader:
    """ZooKeeper's serialisation: big-endian numbers, and buffers with their length before them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return int(value)

    def buffer(self) -> bytes:
        length = self.number(">i")
        if length < 0:
            return b""
        self.at += length
        return self.data[self.at - length : self.at]


def _entry(record: bytes) -> Entry | None:
    reader = _Reader(record)
    session, _cxid, zxid, _time, kind = (reader.number(form) for form in (">q", ">i", ">q", ">q", ">i"))
    if kind in (CREATE, CREATE2):
        return Entry(zxid, session, "create", reader.buffer().decode(), reader.buffer())
    if kind == SET_DATA:
        path, data = reader.buffer().decode(), reader.buffer()
        return Entry(zxid, session, "set", path, data, reader.number(">i"))
    if kind == DELETE:
        return Entry(zxid, session, "delete", reader.buffer().decode())
    if kind == MULTI:
        raise LogFormatError(f"zxid {zxid:#x} is a multi, which no claim is written by")
    return None


def parse(data: bytes) -> Iterator[Entry]:
    """Yield the creates, sets and deletes of one log file; the unfinished record of a killed server ends it."""
    if data[:4] != MAGIC:
        raise LogFormatError("this is no transaction log of ZooKeeper")
    at = 16
    while at + 12 <= len(data):
        checksum, length = struct.unpack_from(">qi", data, at)
        end = at + 12 + length
        if length <= 0 or data[end : end + 1] != b"B":
            return
        record = data[at + 12 : end]
        if zlib.adler32(record) != checksum:
            raise LogFormatError(f"record at byte {at}: its checksum is not the one that was written")
        entry = _entry(record)
        if entry is not None:
            yield entry
        at = end + 1


def read_server(data_directory: Path, below: str) -> list[Entry]:
    """Return what one server has logged below a path, in the order of its files."""
    files = sorted((data_directory / "version-2").glob("log.*"), key=lambda path: int(path.suffix[1:], 16))
    prefix = below.rstrip("/") + "/"
    return [entry for path in files for entry in parse(path.read_bytes()) if entry.path.startswith(prefix)]


def settle(logs: Mapping[int, list[Entry]], final: Mapping[str, tuple[int, int]]) -> list[Entry]:
    """Return the committed writes of all servers' logs, by zxid; C(final) is (version, mzxid) of each path as read.

    A server that was down misses entries, so the logs are put together. A leader that was killed may have logged
    proposals that were never committed: those stand in one log only and in a reign that has ended, and they are left
    out where the path's versions do not fit with them and do without. Where nothing fits, everything is returned, and
    the judge of the history sees the tear.
    """
    where: dict[int, set[int]] = {}
    entries: dict[int, Entry] = {}
    for server, log in logs.items():
        for entry in log:
            if entries.setdefault(entry.zxid, entry) != entry:
                raise LogFormatError(f"zxid {entry.zxid:#x}: servers logged different things")
            where.setdefault(entry.zxid, set()).add(server)
    newest = max((entry.epoch for entry in entries.values()), default=0)
    by_path: dict[str, list[Entry]] = {}
    for zxid in sorted(entries):
        by_path.setdefault(entries[zxid].path, []).append(entries[zxid])
    kept: list[Entry] = []
    for path, chain in by_path.items():
        doubtful = [entry for entry in chain if len(where[entry.zxid]) == 1 and entry.epoch < newest]
        kept += _fitting(chain, doubtful[:MOST_DOUBTS], final.get(path))
    return sorted(kept, key=lambda entry: entry.zxid)


def _fitting(chain: list[Entry], doubtful: list[Entry], final: tuple[int, int] | None) -> list[Entry]:
    for count in range(len(doubtful) + 1):
        for dropped in itertools.combinations(doubtful, count):
            rest = [entry for entry in chain if entry not in dropped]
            if _fits(rest, final):
                return rest
    return chain


def _fits(chain: list[Entry], final: tuple[int, int] | None) -> bool:
    if final is None:
        return not chain
    versions = [entry.version for entry in chain]
    return versions == list(range(len(chain))) and bool(chain) and (chain[-1].version, chain[-1].zxid) == final
