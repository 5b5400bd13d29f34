# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports given to servers of tests stay free for them."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ports

ROOT = Path(__file__).resolve().parents[2]


def test_they_are_where_no_outgoing_connection_begins() -> None:
    found = ports.free_ports(20)
    assert len(set(found)) == 20
    assert all(ports.LOWEST <= port < ports.ephemeral_from() for port in found)


def test_a_server_can_bind_them_after_others_have_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = ports.free_ports(1)
    monkeypatch.setattr(random, "randrange", lambda *_: port)
    with pytest.raises(RuntimeError, match="only 0 were found"):
        ports.free_ports(1)
    again = f"import random\nrandom.randrange = lambda *_: {port}\nfrom tests import ports\nports.free_ports(1)\n"
    other = subprocess.run([sys.executable, "-c", again], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "only 0 were found" in other.stderr
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_one_that_somebody_listens_on_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = ports.free_ports(1)
    ports._claims.pop().close()
    monkeypatch.setattr(random, "randrange", lambda *_: port)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(RuntimeError, match="only 0 were found"):
        ports.free_ports(1)
