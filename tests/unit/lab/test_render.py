# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`lab status` for people, and which instance a word means."""

from __future__ import annotations

from typing import Any

import pytest

from lab import render

FOUND: dict[str, Any] = {
    "instances": [
        {
            "name": "demo-kafka-1",
            "instance_id": "i-0aaaaaaaaaaaaaaa1",
            "state": "running",
            "availability_zone": "eu-central-1b",
            "private_ip": "10.77.2.100",
            "image_id": "ami-1",
        },
        {
            "name": "demo-kafka-1",
            "instance_id": "i-0aaaaaaaaaaaaaaa0",
            "state": "terminated",
            "availability_zone": "eu-central-1b",
            "private_ip": None,
            "image_id": "ami-1",
        },
        {
            "name": None,
            "instance_id": "i-0bbbbbbbbbbbbbbb2",
            "state": "pending",
            "availability_zone": "eu-central-1a",
            "private_ip": "10.77.1.100",
            "image_id": "ami-1",
        },
    ],
    "network_interfaces": [
        {
            "name": "demo-kafka-1",
            "eni_id": "eni-1",
            "private_ip": "10.77.2.21",
            "availability_zone": "eu-central-1b",
            "status": "in-use",
            "attachment": {"instance_id": "i-0aaaaaaaaaaaaaaa1", "device_index": 1, "status": "attaching"},
        },
        {
            "name": None,
            "eni_id": "eni-2",
            "private_ip": "10.77.2.100",
            "availability_zone": "eu-central-1b",
            "status": "in-use",
            "attachment": {"instance_id": "i-0aaaaaaaaaaaaaaa1", "device_index": 0, "status": "attached"},
        },
    ],
    "volumes": [],
    "groups": [],
    "stacks": [],
    "images": [],
    "machine": [{"instance_id": "i-0aaaaaaaaaaaaaaa1", "running": True, "leader_pid": 42}],
}


def test_a_table_is_aligned_and_an_empty_one_says_so():
    assert render.table("Things", ("A", "LONG"), [("x", 1), ("longer", None)]) == (
        "Things (2)\n  A       LONG\n  x       1\n  longer  -\n"
    )
    assert render.table("Things", ("A",), []) == "Things: none\n"


def test_the_status_shows_who_holds_what():
    text = render.status(FOUND)
    assert "i-0aaaaaaaaaaaaaaa1 eth1 (attaching)" in text
    assert "10.77.2.21" in text
    assert "process 42" in text
    assert "i-0aaaaaaaaaaaaaaa0" not in text
    assert "eni-2" not in text


@pytest.mark.parametrize("wanted", ["demo-kafka-1", "i-0aaaaaaaaaaaaaaa1", "10.77.2.100", "10.77.2.21", "aaa1"])
def test_an_instance_is_meant_by_name_id_or_any_address(wanted):
    assert render.find_instance(wanted, FOUND)["instance_id"] == "i-0aaaaaaaaaaaaaaa1"


def test_nobody_is_meant():
    with pytest.raises(render.AmbiguousError, match="there are: demo-kafka-1, i-0bbbbbbbbbbbbbbb2"):
        render.find_instance("kafka", FOUND)


def test_more_than_one_is_meant():
    twice = {**FOUND, "instances": [{**item, "name": "same"} for item in FOUND["instances"]]}
    with pytest.raises(render.AmbiguousError, match="more than one"):
        render.find_instance("same", twice)
