# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses as people write them."""

from __future__ import annotations

import contextlib

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.addresses import Address, parse
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1", Address("10.0.0.1", 2181)),
        (" zk-1 ", Address("zk-1", 2181)),
        ("zk-1:2182", Address("zk-1", 2182)),
        ("[::1]:2182", Address("::1", 2182)),
        ("[::1]", Address("::1", 2181)),
        ("fe80::1", Address("fe80::1", 2181)),
    ],
)
def test_what_is_read(text: str, address: Address) -> None:
    assert parse(text, 2181) == address


@pytest.mark.parametrize(
    "text", ["", ":2181", "zk:", "zk:0", "zk:65536", "zk:x", "a b", "a,b", "zk:1/kafka", "[::1", "[::1]x"]
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"host:port|no port"):
        parse(text, 2181)


@given(
    st.one_of(st.ip_addresses().map(str), st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)), st.integers(1, 65535)
)
def test_an_address_reads_its_own_text(host: str, port: int) -> None:
    assert parse(str(Address(host, port)), 1) == Address(host, port)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert 0 < parse(text, 2181).port < 65536
