# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds in which a topic was short of replicas in sync: what an answer says, and how samples add up."""

from __future__ import annotations

import time
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError

from benchmarks.figures import NotMeasuredError
from benchmarks.sampler import Broken, Sample, Sampler, broken, judged

MINIMA = {"one": 2, "two": 2}


def topic(name: str, *partitions: tuple[int | None, list[int]]) -> dict[str, Any]:
    return {"name": name, "partitions": [{"leader_id": leader, "isr_nodes": isr} for leader, isr in partitions]}


WELL = topic("two", (1, [1, 2]))


@pytest.mark.parametrize(
    ("one", "short", "offline"),
    [
        (topic("one", (1, [1, 2, 3]), (2, [2, 3])), set(), set()),
        (topic("one", (1, [1, 2, 3]), (2, [2])), {"one"}, set()),
        (topic("one", (-1, [1, 2])), set(), {"one"}),
        (topic("one", (None, [1])), {"one"}, {"one"}),
    ],
)
def test_what_an_answer_says(one: dict[str, Any], short: set[str], offline: set[str]) -> None:
    assert judged(7.0, [one, WELL, topic("other", (-1, []))], MINIMA) == Sample(
        7.0, frozenset(short), frozenset(offline)
    )


@pytest.mark.parametrize("described", [[], [WELL], [WELL, topic("one")]])
def test_an_answer_without_a_topic_says_nothing(described: list[dict[str, Any]]) -> None:
    assert judged(7.0, described, MINIMA) is None


def samples(*told: tuple[float, str, str]) -> list[Sample]:
    return [Sample(at, frozenset(short.split()), frozenset(offline.split())) for at, short, offline in told]


def test_a_sample_holds_until_the_next() -> None:
    told = samples((0.0, "", ""), (1.0, "one", ""), (2.5, "one two", "two"), (3.0, "", ""), (4.0, "", "one"))
    assert broken(told, 0.0, 5.0) == Broken(2.0, 1.5, 0.0)
    assert broken(told, 0.0, 5.0, "two") == Broken(0.5, 0.5, 0.0)


def test_a_gap_is_of_nobody() -> None:
    told = samples(*((float(second), "", "") for second in range(20)), (23.0, "one", ""))
    assert broken(told, 0.0, 25.0) == Broken(2.0, 0.0, 2.0)


def test_what_was_before_and_after_does_not_count() -> None:
    assert broken(samples((0.0, "one", ""), (1.5, "one", ""), (3.0, "one", "")), 1.0, 2.0) == Broken(1.0, 0.0, 0.0)


@pytest.mark.parametrize("told", [[], samples((0.0, "", "")), samples((0.0, "", ""), (9.0, "", ""))])
def test_too_little_seen_is_no_measurement(told: list[Sample]) -> None:
    with pytest.raises(NotMeasuredError, match="of 10 s"):
        broken(told, 0.0, 10.0)


def test_a_sampler_goes_on_after_an_answer_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.sampler.PERIOD_SECONDS", 0.005)
    answers: list[Any] = [[topic("one", (1, [1, 2])), WELL], KafkaConnectionError(), OSError(), [WELL]]

    def describe() -> list[dict[str, Any]]:
        answer = answers.pop(0) if answers else [topic("one", (1, [1])), WELL]
        if isinstance(answer, Exception):
            raise answer
        return list(answer)

    sampler = Sampler(["192.0.2.1"], MINIMA, describe)
    sampler.start()
    deadline = time.monotonic() + 30
    while len(sampler.samples) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    ended = sampler.stop()
    assert not sampler.is_alive()
    assert [sorted(sample.under_min_isr) for sample in sampler.samples[:3]] == [[], ["one"], ["one"]]
    assert sampler.samples[0].at < ended
