# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One cluster in a lab of its own for the whole session; whole again before each scenario begins."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import preflight
from lab.demo import cluster
from lab.demo.stage import REPOSITORY, Stage, StageError
from tests.frontdoor import leftovers

HERE = Path(__file__).resolve().parent
LOGS = REPOSITORY / "reports" / "scenarios"
BROKEN_TIMEOUT_SECONDS = 30.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the lab and takes its time."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.lab)
            item.add_marker(pytest.mark.slow)


def say(line: str) -> None:
    """Progress for whoever watches (seen with -s)."""
    print(line, flush=True)


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """The lab with a provisioned cluster; this process stays inside its network until the session ends.

    HOLDFAST_SCENARIO_LAB names a lab that is up with its cluster: it is used as it is and left up.
    """
    reason = preflight.blocking_reason()
    if reason:
        pytest.skip(reason)
    existing = os.environ.get("HOLDFAST_SCENARIO_LAB")
    made = Stage(existing or leftovers.lab_name("s"), LOGS, say)
    if existing:
        with made.inside():
            yield made
        return
    cluster.prepare(made)
    try:
        made.up()
        with made.inside():
            cluster.run_site(made)
            yield made
    finally:
        made.down()


class Patience:
    """How long to wait for a whole cluster: what did not come back in time is not waited for in full again."""

    def __init__(self) -> None:
        self.seconds: float = cluster.WHOLE_TIMEOUT_SECONDS

    def await_whole(self, stage: Stage) -> None:
        """Wait; the first time in vain, leave the evidence beside the logs."""
        try:
            cluster.await_whole(self.seconds)
        except StageError:
            if self.seconds != BROKEN_TIMEOUT_SECONDS:
                self.seconds = BROKEN_TIMEOUT_SECONDS
                cluster.keep_evidence(stage)
            raise
        self.seconds = cluster.WHOLE_TIMEOUT_SECONDS


@pytest.fixture(scope="session")
def patience() -> Patience:
    """One for all scenarios of the session."""
    return Patience()


@pytest.fixture(autouse=True)
def _whole(stage: Stage, patience: Patience) -> Iterator[None]:
    """A scenario begins with a whole cluster and leaves one behind; one that does not is a failure of its own."""
    patience.await_whole(stage)
    yield
    try:
        patience.await_whole(stage)
    except StageError as error:
        pytest.fail(f"the scenario left the cluster broken: {error}")
