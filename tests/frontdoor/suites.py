# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the front door runs, as data: names, paths, needs and bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["lint", "pytest", "molecule"]


@dataclass(frozen=True)
class Suite:
    """One suite; ``needs`` names capabilities (see ``capabilities``), ``workers`` is how many of pytest-xdist's
    processes or of molecule's scenarios run side by side, ``options`` are pytest's. Suites of one ``lane`` follow each
    other, beside those of other lanes; a suite without a lane has the machine for itself."""

    name: str
    title: str
    kind: Kind
    timeout_seconds: int
    paths: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    workers: int = 0
    options: tuple[str, ...] = ()
    lane: str = ""


# Those without a lane come first. The lab's own tests look at the whole machine: no other lab may come and go then.
# Lanes mostly wait (for boots, elections and catch-up), so two of them fit two cores.
SUITES: tuple[Suite, ...] = (
    Suite("lint", "lint steps of .pre-commit-config.yaml", "lint", 600),
    Suite("unit", "pure logic and the house", "pytest", 900, paths=("tests/unit", "tests/house"), workers=2),
    Suite("model", "the claim's protocol in every state of small worlds", "pytest", 900, ("tests/model",), workers=2),
    Suite(
        "contract",
        "the strict EC2 against EC2's documented behaviour",
        "pytest",
        600,
        paths=("tests/contract",),
        workers=2,
    ),
    Suite("lab", "the lab itself", "pytest", 900, paths=("tests/lab",), needs=("lab",)),
    Suite(
        "integration",
        "modules against real ZooKeeper, Kafka and strict-EC2 processes",
        "pytest",
        2100,
        paths=("tests/integration",),
        needs=("java", "maven"),
        workers=2,
        lane="processes",
    ),
    Suite(
        "molecule",
        "one scenario per role on the lab's instances",
        "molecule",
        1200,
        needs=("lab",),
        workers=3,
        lane="processes",
    ),
    Suite(
        "scenarios",
        "a whole cluster under deaths and faults",
        "pytest",
        3000,
        paths=("tests/scenarios",),
        needs=("lab",),
        options=("-s",),
        lane="clusters",
    ),
)

# The whole run stops here, however long single suites may take. The aim is an hour.
TOTAL_TIMEOUT_SECONDS = 5100


class UnknownSuiteError(ValueError):
    """A name was asked for that no suite has."""


def select(names: str | None) -> tuple[Suite, ...]:
    """Return the suites named in a comma-separated list, in the front door's order; all of them for None or ''."""
    if not names:
        return SUITES
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    unknown = wanted - {suite.name for suite in SUITES}
    if unknown:
        known = ", ".join(suite.name for suite in SUITES)
        raise UnknownSuiteError(f"no suite named {', '.join(sorted(unknown))}; there are: {known}")
    return tuple(suite for suite in SUITES if suite.name in wanted)


def split(chosen: tuple[Suite, ...]) -> tuple[tuple[Suite, ...], list[tuple[Suite, ...]]]:
    """Split a selection into the suites that run alone, and the lanes that then run side by side."""
    names = list(dict.fromkeys(suite.lane for suite in chosen if suite.lane))
    alone = tuple(suite for suite in chosen if not suite.lane)
    return alone, [tuple(suite for suite in chosen if suite.lane == name) for name in names]
