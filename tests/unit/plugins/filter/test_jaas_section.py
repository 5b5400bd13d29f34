# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``jaas_section``: the text that Java reads, and what it could not read back. A real server reads it elsewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.holdfast.kafka.plugins.filter.jaas_section import FilterModule, jaas_section
from hypothesis import given
from hypothesis import strategies as st


def test_a_section() -> None:
    assert jaas_section({"username": "kafka", "password": 'a"b\\'}, "Client") == (
        "Client {\n"
        "  org.apache.zookeeper.server.auth.DigestLoginModule required\n"
        '  password="a\\"b\\\\"\n'
        '  username="kafka";\n'
        "};\n"
    )
    assert FilterModule().filters() == {"jaas_section": jaas_section}


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1).filter(lambda text: "${" not in text))
def test_a_value_is_read_back_as_it_was(password: str) -> None:
    text = jaas_section({"password": password}, "Client")
    quoted = re.search(r'password="((?:[^"\\]|\\.)*)";$', text, re.MULTILINE)
    assert quoted
    assert re.sub(r"\\(.)", r"\1", quoted.group(1)) == password


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "Client"),
        ({"password": ""}, "Client"),
        ({"password": "secret\n"}, "Client"),
        ({"password": "sécret"}, "Client"),
        ({"password": "secret${user.home}"}, "Client"),
        ({"password": 5}, "Client"),
        ({"user_a b": "secret"}, "Server"),
        ({"user_a": "secret"}, "Server {"),
    ],
)
def test_what_java_would_change_is_refused_without_the_value(options: dict[str, Any], name: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        jaas_section(options, name)
    assert "cret" not in str(caught.value)
