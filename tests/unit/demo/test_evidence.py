# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of an identity that did not come back."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from lab import client
from lab.demo import evidence, fleet
from lab.demo.stage import StageError, wait_until


def holder(instance_id: str | None) -> fleet.Holder:
    return fleet.Holder("zookeeper", 1, "eu-central-1a", "10.0.0.1", "eni-1", ("vol-1",), instance_id)


class Books:
    """EC2's and Auto Scaling's answers."""

    members: tuple[str, ...] = ("i-new",)
    console = "Booting\r\r\nholdfast-boot: node.yml is missing\r\nholdfast-boot: nobody could be told\r\nlogin:"
    events: tuple[dict[str, str], ...] = ()
    refuses = False

    def describe_auto_scaling_groups(self) -> dict[str, Any]:
        if self.refuses:
            raise EndpointConnectionError(endpoint_url="http://192.0.2.2")
        told = {"LifecycleState": "InService", "HealthStatus": "Healthy"}
        whole = {"AutoScalingGroupName": "kafka-a", "DesiredCapacity": 1, "Instances": [{"InstanceId": "i-kafka"}]}
        instances = [{"InstanceId": name, **told} for name in self.members]
        return {
            "AutoScalingGroups": [
                whole,
                {"AutoScalingGroupName": "zookeeper-a", "DesiredCapacity": 1, "Instances": instances},
            ]
        }

    def describe_scaling_activities(self, **_: Any) -> dict[str, Any]:
        return {"Activities": [{"Description": "Launching", "StatusCode": "Failed", "StatusMessage": "no capacity"}]}

    def get_console_output(self, **_: Any) -> dict[str, Any]:
        return {"Output": self.console}


@pytest.fixture
def books(monkeypatch: pytest.MonkeyPatch) -> Books:
    made = Books()
    monkeypatch.setattr(fleet, "client", lambda _service: made)
    monkeypatch.setattr(fleet, "holders", lambda _cluster: [holder(None), holder("i-kafka")])
    monkeypatch.setattr(fleet, "instance", lambda _instance_id: {"State": {"Name": "running"}})
    monkeypatch.setattr(client, "call", lambda *_: {"events": made.events})
    return made


def test_an_instance_that_holds_nothing_is_shown_with_its_last_words(books: Books) -> None:
    assert evidence.of_the_vacant("demo") == (
        "zookeeper-a: i-new is running, InService and Healthy; its console ends: "
        "holdfast-boot: node.yml is missing / holdfast-boot: nobody could be told"
    )
    books.console = "Booting\r\n"
    assert evidence.of_the_vacant("demo").endswith("its console ends: Booting")


def test_a_group_that_launches_nothing_is_shown_with_what_it_tried(books: Books) -> None:
    books.members = ()
    assert evidence.of_the_vacant("demo") == (
        "zookeeper-a: no instance but the holders; last activity: Launching Failed no capacity"
    )


def test_the_labs_own_errors_are_shown(books: Books) -> None:
    books.events = ({"kind": "machine_error", "error": "no inotify"}, {"kind": "eni_attached"})
    assert evidence.of_the_vacant("demo").endswith("| the lab has 1 errors, the last: machine_error: no inotify")


def test_what_cannot_be_asked_is_said(books: Books) -> None:
    books.refuses = True
    with pytest.raises(StageError, match=r"gone \[no evidence, because EC2 could not be asked: EndpointConn"):
        wait_until("the return", lambda: "gone", 0, evidence=lambda: evidence.of_the_vacant("demo"))
