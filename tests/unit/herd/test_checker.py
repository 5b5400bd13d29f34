# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge of the claim bench, itself judged: every planted wrong is found and named, and a good round passes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.herd.checker import check
from tests.herd.history import ClaimWrite, Expectation, Final, History, Verdict

BOUND_SECONDS = 10.0


def won(name: str, node_id: int, version: int = 0, outcome: str = "claimed", **more: object) -> Verdict:
    """A claimant that says it holds this."""
    verdict = Verdict(name, 0, 100.0, 100.1, 101.0, outcome, node_id, version, attempts=((node_id, "create", "won"),))
    return replace(verdict, **more)  # type: ignore[arg-type]  # fields of the verdict


def failed(name: str, reason: str = "no_candidate", **more: object) -> Verdict:
    """A claimant that gave up."""
    return replace(Verdict(name, 0, 100.0, 100.1, 106.0, reason=reason), **more)  # type: ignore[arg-type]  # fields of the verdict


@dataclass
class Tale:
    """A history under construction; a write appends to its identity's versions."""

    writes: list[ClaimWrite] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    claimants: list[str] = field(default_factory=list)
    identities: list[int] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)

    def write(self, node_id: int, holder: str | None) -> Tale:
        version = sum(write.node_id == node_id for write in self.writes)
        self.writes.append(ClaimWrite(len(self.writes) + 1, node_id, version, holder))
        return self

    def final(self) -> tuple[Final, ...]:
        last = {write.node_id: write for write in self.writes}
        return tuple(Final(node_id, one.version, one.zxid, one.holder) for node_id, one in last.items())

    def kinds(self, final: tuple[Final, ...] | None = None) -> set[str]:
        """The kinds of violations that the judge finds."""
        history = History(tuple(self.writes), self.final() if final is None else final, tuple(self.verdicts))
        expected = Expectation(
            tuple(self.claimants), tuple(self.identities), frozenset(self.dead), bound_seconds=BOUND_SECONDS
        )
        return {violation.kind for violation in check(history, expected)}


def good() -> Tale:
    """Two identities, one of them last held by a dead instance; three claimants, so that one goes without."""
    tale = Tale(claimants=["a", "b", "c"], identities=[1, 2], dead={"old"})
    tale.write(2, "old").write(1, "a").write(2, "b")
    tale.verdicts = [won("a", 1), won("b", 2, 1, "taken_over"), failed("c")]
    return tale


def test_a_good_round_has_no_violation() -> None:
    assert good().kinds() == set()


def double_holder(tale: Tale) -> None:
    tale.write(1, "c")
    tale.verdicts[2] = won("c", 1, 1, "taken_over")


def double_by_word(tale: Tale) -> None:
    tale.verdicts[2] = won("c", 1)


def robbed_although_alive(tale: Tale) -> None:
    tale.dead.clear()


def two_at_once(tale: Tale) -> None:
    tale.identities.append(3)
    tale.write(3, "a")


def lost_identity(tale: Tale) -> None:
    tale.verdicts[0] = failed("a")


def lost_to_another_number(tale: Tale) -> None:
    tale.identities.append(3)
    tale.write(3, "c")
    tale.verdicts[2] = won("c", 2, 1)


def false_win(tale: Tale) -> None:
    tale.verdicts[0] = won("a", 1, 7)


def win_without_a_write(tale: Tale) -> None:
    tale.identities.append(3)
    tale.verdicts[2] = won("c", 3)


def nobody_takes_one(tale: Tale) -> None:
    tale.identities.append(3)


def given_back_and_left(tale: Tale) -> None:
    tale.write(1, None)
    tale.verdicts[0] = failed("a")


def wrong_reason(tale: Tale) -> None:
    tale.verdicts[2] = failed("c", "zookeeper_unreachable")


def crash(tale: Tale) -> None:
    tale.verdicts[2] = failed("c", "crash")


def silence(tale: Tale) -> None:
    tale.verdicts.pop()


def too_late(tale: Tale) -> None:
    tale.verdicts[2] = failed("c", ended=100.0 + BOUND_SECONDS + 0.1)


def missing_write(tale: Tale) -> None:
    del tale.writes[0]


def write_twice_at_one_version(tale: Tale) -> None:
    tale.writes.insert(1, replace(tale.writes[0], zxid=77, holder="c"))


def garbage(tale: Tale) -> None:
    tale.writes[1] = replace(tale.writes[1], readable=False)


def stranger(tale: Tale) -> None:
    tale.verdicts.append(failed("z"))


def foreign_identity(tale: Tale) -> None:
    tale.write(9, "z")


def lost_to_nobody(tale: Tale) -> None:
    tale.identities.append(3)
    tale.verdicts[2] = failed("c", attempts=((3, "create", "lost"),))


PLANTED: list[tuple[Callable[[Tale], None], str]] = [
    (double_holder, "double_identity"),
    (double_by_word, "double_identity"),
    (robbed_although_alive, "double_identity"),
    (two_at_once, "two_identities"),
    (lost_identity, "lost_identity"),
    (lost_to_another_number, "lost_identity"),
    (false_win, "false_win"),
    (win_without_a_write, "false_win"),
    (nobody_takes_one, "identity_not_taken"),
    (nobody_takes_one, "wrong_winners"),
    (given_back_and_left, "identity_not_taken"),
    (lost_identity, "wrong_winners"),
    (wrong_reason, "wrong_reason"),
    (crash, "wrong_reason"),
    (silence, "no_verdict"),
    (too_late, "too_late"),
    (missing_write, "torn_history"),
    (write_twice_at_one_version, "torn_history"),
    (garbage, "unreadable_claim"),
    (stranger, "stranger"),
    (foreign_identity, "stranger"),
    (lost_to_nobody, "lost_to_nobody"),
]


@pytest.mark.parametrize(("plant", "kind"), PLANTED, ids=[f"{plant.__name__}-{kind}" for plant, kind in PLANTED])
def test_planted_wrong_is_named(plant: Callable[[Tale], None], kind: str) -> None:
    tale = good()
    plant(tale)
    assert kind in tale.kinds()


def test_every_kind_of_violation_is_planted() -> None:
    source = Path(check.__code__.co_filename).read_text()
    named = set(re.findall(r'Violation\(\s*"([a-z_]+)"', source))
    assert named == {kind for _plant, kind in PLANTED}


def test_claim_that_a_client_reads_otherwise_than_the_log_is_a_tear() -> None:
    tale = good()
    first, *others = tale.final()
    assert tale.kinds((replace(first, holder="c"), *others)) >= {"torn_history"}
    assert tale.kinds(tuple(others)) >= {"torn_history"}
    assert tale.kinds((first, *others, Final(3, 0, 99, "c"))) >= {"torn_history"}


def test_of_a_claimant_started_again_the_last_word_counts() -> None:
    tale = good()
    tale.verdicts[0] = won("a", 1, 0, "already_held", incarnation=1)
    tale.verdicts.insert(0, failed("a", "zookeeper_unreachable"))
    assert tale.kinds() == set()


@given(st.permutations(range(6)), st.integers(0, 4))
def test_one_more_holder_than_identities_is_never_overlooked(order: list[int], thief: int) -> None:
    names = [f"i{number}" for number in range(6)]
    tale = Tale(claimants=names, identities=list(range(6)))
    for name, node_id in zip(names, order, strict=True):
        tale.write(node_id, name)
    tale.verdicts = [won(name, node_id) for name, node_id in zip(names, order, strict=True)]
    assert tale.kinds() == set()
    tale.write(order[5], names[thief])
    assert {"double_identity", "two_identities"} <= tale.kinds()
