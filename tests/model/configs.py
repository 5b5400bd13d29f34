# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is explored: some in every test run, more by `make model`; and the planted mistakes, each with its config."""

from __future__ import annotations

from typing import Any

from tests.model.mistakes import MISTAKES
from tests.model.world import GHOST, NO_ZNODE, UNREADABLE, Config

#: Whoever wipes ZooKeeper takes away what these rest on; until the holders have written their claims again, EC2's
#: attach alone decides, and what it decides is promised by the others.
AFTER_A_WIPE = frozenset({"one-holder", "claim-before-write", "one-identity"})
AFTER_AN_OPERATOR = AFTER_A_WIPE | {"served-whole"}


def config(name: str, zones: str, instances: str, faults: str, **more: Any) -> Config:
    """Write a configuration down in one line; each letter is an Availability Zone."""
    return Config(name, tuple(zones), tuple(instances), faults=frozenset(faults.split()), **more)


def _limits(text: str) -> tuple[tuple[str, int], ...]:
    pairs = (item.split("=") for item in text.split())
    return tuple((name, int(number)) for name, number in pairs)


#: In every test run.
SMALL = (
    config("race", "aa", "aaa", ""),
    config("race-mixed", "aa", "aaa", "", spread="mixed"),
    config("death", "a", "aa", "kill crash deadline"),
    config("death-of-three", "a", "aaa", "kill", at_most=_limits("kill=1")),
    config("death-of-three-for-two", "aa", "aaa", "kill", at_most=_limits("kill=1")),
    config("replies", "a", "aa", "kill crash replies expire"),
    config("replies-for-two", "aa", "aa", "kill crash replies"),
    config("stale-parts", "a", "aa", "kill crash stale"),
    config("stale-release", "a", "a", "crash stale api deadline"),
    config("late-states", "a", "aa", "kill crash late"),
    config("young", "a", "aa", "kill crash young"),
    config("stopped", "a", "aa", "kill crash stop"),
    config("api-errors", "a", "aa", "kill crash api deadline"),
    config("outage", "a", "aa", "kill crash outage deadline"),
    config("wipe", "a", "aa", "kill crash wipe", excused=AFTER_A_WIPE),
    config("forgotten", "a", "aa", "kill crash forget"),
    config("ghost", "a", "aa", "kill", claims=(GHOST,), at_most=_limits("kill=1")),
    config("unreadable", "aa", "aa", "kill crash", claims=(UNREADABLE, NO_ZNODE)),
    config("two-zones", "ab", "aab", "kill", at_most=_limits("kill=1")),
    config("twice", "a", "aa", "", runs_each=2),
    config("attachment", "a", "aa", "kill crash api stop", strategy="attachment"),
    config("attachment-stale", "a", "aa", "kill crash stale late", strategy="attachment"),
    config("attachment-three", "aa", "aaa", "", strategy="attachment"),
)

#: By `make model`.
LARGE = (
    *SMALL,
    config("ghost-for-two", "aa", "aa", "kill", claims=(GHOST, UNREADABLE), at_most=_limits("kill=1")),
    config("stale-for-two", "aa", "aa", "kill stale late", at_most=_limits("kill=1")),
    config("wipe-for-two", "aa", "aa", "kill wipe crash", at_most=_limits("kill=1"), excused=AFTER_A_WIPE),
    config("wipe-of-the-young", "a", "aa", "wipe young kill", at_most=_limits("kill=1"), excused=AFTER_A_WIPE),
    config("twice-for-two", "aa", "aa", "", runs_each=2),
)

#: Each mistake, the smallest world in which it does harm, and the promise that has to catch it.
PLANTED = tuple(
    (config(name, zones, instances, faults, mistake=MISTAKES[name], **more), promise)
    for name, zones, instances, faults, promise, more in (
        ("read-then-use", "a", "aa", "", "takeover-from-dead", {}),
        ("read-then-use", "a", "aa", "", "one-holder", {"excused": frozenset({"takeover-from-dead"})}),
        (
            "read-then-use-unseen",
            "a",
            "aa",
            "",
            "one-server",
            {"excused": AFTER_A_WIPE | {"takeover-from-dead", "served-whole"}},
        ),
        ("attached-unseen", "a", "a", "", "served-whole", {}),
        ("any-zone", "ba", "a", "", "own-zone", {}),
        ("forgetful", "aa", "a", "crash", "one-identity", {}),
        ("forgetful", "aa", "a", "crash", "same-again", {"excused": frozenset({"one-identity"})}),
        ("denied-for-ever", "a", "a", "", "never-stranded", {"claims": (GHOST,)}),
        ("release-while-attached", "a", "a", "crash api deadline", "release-detached", {}),
        ("not-found-is-dead", "a", "aa", "young", "takeover-from-dead", {}),
        ("claim-age-by-wall-clock", "a", "aa", "young", "takeover-from-dead", {}),
        ("denied-when-heard", "a", "aa", "young", "takeover-from-dead", {}),
        ("blind-takeover", "a", "aa", "", "takeover-from-dead", {"claims": (GHOST,)}),
        ("api-error-is-free", "a", "aa", "api", "takeover-from-dead", {}),
        ("timeout-is-free", "a", "aa", "outage", "claim-before-write", {}),
        ("lost-reply-is-won", "a", "aa", "replies", "claim-before-write", {}),
        ("stopped-is-dead", "a", "aa", "stop", "takeover-from-dead", {}),
        ("leaving-is-dead", "a", "aa", "kill", "takeover-from-dead", {}),
        ("force-detach", "a", "aa", "wipe", "no-theft", {"excused": AFTER_A_WIPE}),
        ("volumes-ignored", "a", "aa", "operator wipe", "never-split", {"excused": AFTER_AN_OPERATOR}),
        ("restore-over-anybody", "a", "aa", "wipe crash", "takeover-from-dead", {"excused": AFTER_A_WIPE}),
        (
            "writes-across-sessions",
            "a",
            "aa",
            "wipe",
            "takeover-from-dead",
            {"excused": AFTER_A_WIPE, "claims": (GHOST,)},
        ),
    )
)
