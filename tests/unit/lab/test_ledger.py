# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal survives a kill at any byte."""

from __future__ import annotations

import json
import threading

import pytest

from lab.ledger import Ledger, LedgerError


@pytest.fixture
def ledger(tmp_path):
    found = Ledger(tmp_path / "ledger.jsonl")
    found.create("lab", made_root=True)
    return found


def test_what_is_intended_stays_until_it_is_forgotten(ledger):
    first = ledger.intend("netns", name="hf-lab-vpc", inode=7)
    second = ledger.intend("loop", backing="/x/vol.img")
    ledger.learn(second, device="/dev/loop3")
    assert [entry.kind for entry in ledger.entries()] == ["netns", "loop"]
    assert ledger.entries("loop")[0].facts == {"backing": "/x/vol.img", "device": "/dev/loop3"}
    ledger.forget(first)
    assert [entry.entry_id for entry in Ledger(ledger.path).entries()] == [second]
    assert ledger.made_root()
    assert ledger.same_boot()


def test_a_second_begin_is_refused(ledger):
    with pytest.raises(FileExistsError):
        ledger.create("lab")


def test_an_unknown_kind_is_refused(ledger):
    with pytest.raises(ValueError, match="unknown kind"):
        ledger.intend("spaceship")


def test_cut_off_anywhere_it_still_reads_and_goes_on(ledger):
    for number in range(3):
        ledger.intend("mount", target=f"/m{number}")
    whole = ledger.path.read_bytes()
    begin = whole.index(b"\n") + 1
    for length in range(begin, len(whole)):
        ledger.path.write_bytes(whole[:length])
        known = len(ledger.entries())
        assert known in (whole[begin:length].count(b"\n"), whole[begin:length].count(b"\n") + 1)
        ledger.intend("mount", target="/after")
        assert len(ledger.entries()) == known + 1


def test_a_journal_of_another_format_is_not_guessed_at(ledger):
    ledger.path.write_text(json.dumps({"event": "begin", "format": 99, "lab": "lab", "boot": "x"}) + "\n")
    with pytest.raises(LedgerError, match="format 99"):
        ledger.entries()


def test_after_a_restart_of_the_machine_it_is_another_boot(ledger):
    ledger.path.write_text(json.dumps({"event": "begin", "format": 1, "lab": "lab", "boot": "earlier"}) + "\n")
    assert not ledger.same_boot()


def test_threads_do_not_mix_their_lines(ledger):
    threads = [
        threading.Thread(target=lambda n=n: [ledger.intend("loop", backing=f"/{n}/{i}") for i in range(20)])
        for n in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({entry.facts["backing"] for entry in ledger.entries()}) == 100
