# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting, listing and clearing faults: what is refused, by name, before anything changes."""

from __future__ import annotations

from typing import Any

import pytest

from lab.api.faults_kinds import KINDS
from tests.contract.ec2_harness import Probe
from tests.contract.fault_client import FaultClient, ask


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        ("api_trottle", {}, ["api_trottle", "api_throttle"]),
        ("api_slow", {"second": "1"}, ["api_slow", "'second'", "seconds"]),
        ("api_slow", {}, ["api_slow", "seconds"]),
        ("api_slow", {"seconds": "0"}, ["seconds='0'"]),
        ("api_slow", {"seconds": "nan"}, ["seconds='nan'"]),
        ("api_slow", {"seconds": "long"}, ["seconds='long'"]),
        ("api_slow", {"seconds": "1", "before": "noon"}, ["before='noon'", "call, reply"]),
        ("api_throttle", {"actions": "AttachNetworkInterfaces"}, ["AttachNetworkInterfaces"]),
        ("api_throttle", {"actions": ""}, ["actions=''"]),
        ("api_throttle", {"rate": "1.5"}, ["rate='1.5'"]),
        ("api_throttle", {"every": "0"}, ["every='0'"]),
        ("api_throttle", {"code": "Slow"}, ["code='Slow'", "RequestLimitExceeded"]),
        ("api_error", {"status": "200"}, ["status='200'"]),
        ("api_error", {"times": "-1"}, ["times='-1'"]),
        ("api_error", {"times": "many"}, ["times='many'"]),
        ("api_error", {"instance": "KAFKA-9"}, ["KAFKA-9"]),
        ("api_error", {"group": "nobody"}, ["nobody"]),
        ("api_error", {"resource": "eni-0123456789abcdef0"}, ["eni-0123456789abcdef0", "does not exist"]),
        ("api_error", {"resource": "sg-0123456789abcdef0"}, ["sg-0123456789abcdef0"]),
    ],
)
def test_a_bad_wish_is_refused_by_name(faults: FaultClient, kind: str, parameters: dict[str, Any], words: list[str]):
    sentence = faults.refused(kind, **parameters)
    assert "\n" not in sentence
    for word in words:
        assert word in sentence


@pytest.mark.parametrize("body", [None, [], {"kind": "api_error", "parameters": []}])
def test_a_body_that_is_no_wish_is_refused(strict: Probe, body: Any) -> None:
    assert ask(strict.endpoint, "POST", body=body)[0] == 400


def test_the_list_shows_kinds_and_what_is_set(strict: Probe, faults: FaultClient) -> None:
    shown = ask(strict.endpoint, "GET")[1]
    assert [kind["kind"] for kind in shown["kinds"]] == sorted(KINDS)
    assert all(kind["description"] and all(p["description"] for p in kind["parameters"]) for kind in shown["kinds"])
    assert shown["set"] == []
    first, second = faults.set("api_slow", seconds=5, actions="RunInstances"), faults.set("api_throttle", times=3)
    assert [fault["id"] for fault in faults.listed()] == [first["id"], second["id"]]
    assert faults.listed()[0]["parameters"]["seconds"] == 5
    assert faults.listed()[1]["remaining"] == 3


def test_clearing_takes_a_kind_an_id_or_everything(faults: FaultClient) -> None:
    ids = [faults.set(kind, actions="RunInstances")["id"] for kind in ("api_error", "api_error", "api_throttle")]
    faults.set("attaching_stuck")
    assert [fault["id"] for fault in faults.clear(ids[0])] == ids[:1]
    assert [fault["id"] for fault in faults.clear("api_error")] == ids[1:2]
    assert faults.clear("api_slow") == []
    assert len(faults.clear()) == 2
    assert faults.listed() == []


def test_clearing_what_nobody_knows_is_refused(strict: Probe, faults: FaultClient) -> None:
    faults.set("attaching_stuck")
    status, found = ask(strict.endpoint, "DELETE", "faults?which=f999")
    assert status == 400
    assert "f999" in found["error"]
    assert len(faults.listed()) == 1


def test_the_journal_knows_when_a_fault_was_set_and_cleared(strict: Probe, faults: FaultClient) -> None:
    made = faults.set("api_error", actions="RunInstances")
    faults.clear()
    events = [e for e in ask(strict.endpoint, "GET", "events")[1]["events"] if e.get("fault") == made["id"]]
    assert [event["kind"] for event in events] == ["fault_set", "fault_cleared"]


def test_the_status_shows_what_is_set(strict: Probe, faults: FaultClient) -> None:
    made = faults.set("attaching_stuck")
    shown = ask(strict.endpoint, "GET", "status?sections=faults")[1]
    assert [fault["id"] for fault in shown["faults"]] == [made["id"]]
