# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two servers of the contract tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.ec2_harness import Probe, stock_probe, strict_probe
from tests.contract.fault_client import FaultClient


@pytest.fixture(scope="module")
def strict_api() -> Iterator[tuple[Probe, object]]:
    """A strict EC2 of this module's own, with its handle."""
    with strict_probe() as started:
        yield started


@pytest.fixture
def strict(strict_api: tuple[Probe, object]) -> Probe:
    """The strict EC2."""
    return strict_api[0]


@pytest.fixture(scope="session")
def stock() -> Iterator[Probe]:
    """Stock moto, for the proof that a row needs its patch."""
    with stock_probe() as probe:
        yield probe


@pytest.fixture
def faults(strict: Probe) -> Iterator[FaultClient]:
    """The strict EC2's faults; none is left behind."""
    client = FaultClient(strict.endpoint)
    yield client
    client.clear()
