# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading ZooKeeper's transaction logs, and putting those of several servers together."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.herd.txnlog import Entry, LogFormatError, parse, read_server, settle

PATH = "/holdfast/c/kafka/claims"
HEADER = b"ZKLG" + struct.pack(">iq", 2, 0)
ACL = struct.pack(">i", 1) + struct.pack(">ii", 31, 5) + b"world" + struct.pack(">i", 6) + b"anyone"


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">i", len(data)) + data


def record(zxid: int, kind: int, content: bytes) -> bytes:
    """One record as ZooKeeper writes it, its digest included."""
    body = struct.pack(">qiqqi", 77, 3, zxid, 0, kind) + content + struct.pack(">iq", 2, 99)
    return struct.pack(">qi", zlib.adler32(body), len(body)) + body + b"B"


def create(zxid: int, path: str, data: bytes) -> bytes:
    return record(zxid, 1, text(path) + text(data) + ACL + struct.pack(">?i", False, 1))


def set_data(zxid: int, path: str, data: bytes, version: int) -> bytes:
    return record(zxid, 5, text(path) + text(data) + struct.pack(">i", version))


def test_writes_are_read_and_everything_else_is_passed_over() -> None:
    session = record(1, -10, struct.pack(">i", 10000))
    refused = record(4, -1, struct.pack(">i", -110))
    log = HEADER + session + create(2, "/a", b"x") + set_data(3, "/a", b"y", 1) + refused + record(5, 2, text("/a"))
    assert list(parse(log + bytes(64))) == [
        Entry(2, 77, "create", "/a", b"x", 0),
        Entry(3, 77, "set", "/a", b"y", 1),
        Entry(5, 77, "delete", "/a"),
    ]


def test_unfinished_record_of_a_killed_server_ends_the_log() -> None:
    log = HEADER + create(2, "/a", b"x") + create(3, "/b", b"y")
    for cut in range(1, 40):
        assert [entry.zxid for entry in parse(log[:-cut])] == [2]


@pytest.mark.parametrize(
    "damaged",
    [
        b"PK\x03\x04" + bytes(64),
        HEADER + create(2, "/a", b"x").replace(b"x", b"z"),
        HEADER + record(2, 14, struct.pack(">i", 0)),
    ],
    ids=["no log", "checksum", "multi"],
)
def test_what_cannot_be_believed_is_refused(damaged: bytes) -> None:
    with pytest.raises(LogFormatError):
        list(parse(damaged))


def test_files_of_a_server_are_read_in_the_order_of_their_zxids(tmp_path: Path) -> None:
    directory = tmp_path / "version-2"
    directory.mkdir()
    (directory / "log.100000001").write_bytes(HEADER + set_data(0x100000001, f"{PATH}/1", b"new", 1))
    (directory / "log.f").write_bytes(HEADER + create(15, f"{PATH}/1", b"old") + create(16, "/elsewhere", b""))
    assert [entry.data for entry in read_server(tmp_path, PATH)] == [b"old", b"new"]


def entries(*wanted: tuple[int, int, int]) -> list[Entry]:
    """Writes of one znode: (epoch, counter, version)."""
    return [
        Entry((epoch << 32) + counter, 1, "set" if version else "create", "/a", b"%d" % counter, version)
        for epoch, counter, version in wanted
    ]


def settled(logs: dict[int, list[Entry]], last: Entry | None) -> Sequence[Entry]:
    return settle(logs, {} if last is None else {"/a": (last.version, last.zxid)})


def test_holes_of_one_server_are_filled_from_the_others() -> None:
    one, two, three = entries((1, 1, 0), (1, 2, 1), (2, 1, 2))
    assert settled({1: [one, three], 2: [one, two], 3: [two, three]}, three) == [one, two, three]


def test_committed_write_that_only_the_next_leader_logged_is_kept() -> None:
    one, two = entries((1, 1, 0), (2, 1, 1))
    assert settled({1: [one, two], 2: [two], 3: [two]}, two) == [one, two]


def test_proposal_that_only_the_killed_leader_logged_is_left_out() -> None:
    orphan, real = entries((1, 9, 0), (2, 1, 0))
    assert settled({1: [orphan], 2: [real], 3: [real]}, real) == [real]
    assert settled({1: [orphan], 2: entries((2, 5, 0))}, None) != [orphan]


def test_two_committed_writes_of_one_version_are_never_talked_away() -> None:
    first, second = entries((1, 1, 0), (1, 2, 0))
    both = {1: [first, second], 2: [first, second], 3: [first, second]}
    assert settled(both, second) == [first, second]
    late = entries((2, 1, 0))[0]
    assert settled({1: [first, late], 2: [first, late], 3: [late]}, late) == [first, late]


def test_servers_that_logged_different_things_under_one_zxid_are_refused() -> None:
    with pytest.raises(LogFormatError):
        settle({1: entries((1, 1, 0)), 2: [Entry((1 << 32) + 1, 2, "create", "/b")]}, {})
