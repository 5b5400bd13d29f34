# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``to_properties``: what Java reads back is what was given, and what it could not read back is refused."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.holdfast.kafka.plugins.filter.properties import FilterModule, to_properties
from hypothesis import given
from hypothesis import strategies as st


def java_load(text: str) -> dict[str, str]:
    """Read lines as ``java.util.Properties.load`` does, as far as this filter writes them."""
    result = {}
    for line in text.split("\n"):
        if not line:
            continue
        key, _, raw = line.partition("=")
        raw = raw.lstrip(" \t")
        units: list[int] = []
        position = 0
        while position < len(raw):
            if raw[position] != "\\":
                units.append(ord(raw[position]))
                position += 1
            elif raw[position + 1] == "u":
                units.append(int(raw[position + 2 : position + 6], 16))
                position += 6
            else:
                units.append(ord(raw[position + 1]))
                position += 2
        value = b"".join(unit.to_bytes(2, "big") for unit in units).decode("utf-16-be", errors="surrogatepass")
        result[key] = value
    return result


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, ""),
        ({"b": 1, "a": 2}, "a=2\nb=1\n"),
        ({"on": True, "off": False}, "off=false\non=true\n"),
        ({"gone": None, "here": ""}, "here=\n"),
        ({"servers": ["a:1", "b:2"]}, "servers=a:1,b:2\n"),
        ({"none": []}, "none=\n"),
        ({"flags": [True, 1]}, "flags=true,1\n"),
        ({"ratio": 0.5}, "ratio=0.5\n"),
        ({"path": "C:\\x"}, "path=C:\\\\x\n"),
        ({"padded": "  x"}, "padded=\\  x\n"),
        ({"log4j.logger.kafka.network.RequestChannel$": "WARN"}, "log4j.logger.kafka.network.RequestChannel$=WARN\n"),
    ],
)
def test_rules(settings: dict[str, Any], text: str) -> None:
    assert to_properties(settings) == text


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"a": {"b": 1}}, "dictionary"),
        ({"a": [["b"]]}, "nested"),
        ({"a": [{"b": 1}]}, "nested"),
        ({"a": [None]}, "null"),
        ({"a": ["b,c"]}, "comma"),
        ({"a": "one\ntwo"}, "line break"),
        ({"a": "one\rtwo"}, "line break"),
        ({"a": ["one\ntwo"]}, "line break"),
        ({"a": "\x00"}, "control"),
        ({"a": float("nan")}, "nan"),
        ({"a": object()}, "object"),
        ({"a=b": 1}, "name"),
        ({"a b": 1}, "name"),
        ({"#a": 1}, "name"),
        ({"": 1}, "name"),
    ],
)
def test_refusals_name_the_key_and_the_reason(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(AnsibleFilterError, match=word):
        to_properties(settings)


def test_a_list_is_no_dictionary() -> None:
    with pytest.raises(AnsibleFilterError, match="list"):
        to_properties(["a"])  # type: ignore[arg-type]  # the wrong type is the case


VALUES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]))


@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9._]{0,20}", fullmatch=True), VALUES))
def test_java_reads_back_what_was_given(settings: dict[str, str]) -> None:
    assert java_load(to_properties(settings)) == settings


def test_the_filter_is_offered_by_its_name() -> None:
    assert FilterModule().filters() == {"to_properties": to_properties}
