# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which host a module was meant for: nobody's unit is stopped in another's place."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import local_host
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.9.8.7"])
def test_an_address_of_this_host(host: str) -> None:
    local_host.require_local("broker 1", host)


def test_an_address_of_another_host() -> None:
    with pytest.raises(HoldfastError) as caught:
        local_host.require_local("broker 1", "192.0.2.1")
    assert (caught.value.reason, "192.0.2.1" in caught.value.message) == ("wrong_host", True)


def test_a_name_that_stands_for_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_arguments: Any, **_options: Any) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(local_host.socket, "getaddrinfo", nobody)
    with pytest.raises(HoldfastError) as caught:
        local_host.require_local("broker 1", "broker-1")
    assert (caught.value.reason, "not known" in caught.value.message) == ("wrong_host", True)
