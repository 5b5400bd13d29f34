# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""identity_pool_adopt: what it tags, in which order it refuses, and what an error half-way leaves."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_errors import Meaning
from ansible_collections.holdfast.kafka.plugins.modules import identity_pool_adopt

from tests.unit.plugins.module_utils.pool_answers import CLUSTER, ZONE
from tests.unit.plugins.module_utils.test_pool_adopt import a_volume, an_eni
from tests.unit.plugins.modules.in_process import run_module

ARGUMENTS = {"cluster": CLUSTER, "region": "eu-central-1", "name_patterns": {"kafka": "KAFKA-{node_id}"}}
DECLARED = {
    "kafka": [{"node_id": 0, "availability_zone": ZONE, "private_ip": "10.77.1.21", "volumes": [{"size_gib": 1}]}]
}
DENIED = AwsError("create_tags", "UnauthorizedOperation", "no", Meaning.AUTH)


class Ec2:
    """EC2 as two lists whose tags change, or one error."""

    enis: ClassVar[list[Any]] = []
    volumes: ClassVar[list[Any]] = []
    fails: ClassVar[dict[str, Exception]] = {}
    forgetful: ClassVar[bool] = False
    tagged: ClassVar[list[list[str]]] = []

    def __init__(self, _module: Any) -> None:
        self.requests: list[str] = []

    def describe_parts(self, filters: list[dict[str, Any]]) -> tuple[list[Any], list[Any]]:
        """Return the parts that match by name, or by tag."""
        self.requests.append("DescribeNetworkInterfaces")
        if "describe" in self.fails:
            raise self.fails["describe"]
        by_name = filters[0]["Name"] == "tag:Name"

        def matches(answer: Any) -> bool:
            keys = {tag["Key"] for tag in answer.get("TagSet") or answer["Tags"]}
            return by_name or "holdfast:cluster" in keys

        return [one for one in self.enis if matches(one)], [one for one in self.volumes if matches(one)]

    def tag(self, resource_ids: list[str], tags: dict[str, str]) -> None:
        """Add tags, unless EC2 denies it or forgets it."""
        if "tag" in self.fails and len(self.tagged) >= 1:
            raise self.fails["tag"]
        self.tagged.append(resource_ids)
        for answer in [] if self.forgetful else [*self.enis, *self.volumes]:
            if answer.get("NetworkInterfaceId", answer.get("VolumeId")) in resource_ids:
                answer["TagSet" if "TagSet" in answer else "Tags"] += [
                    {"Key": key, "Value": value} for key, value in tags.items()
                ]


@pytest.fixture
def ec2(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put one named identity there."""
    lists = {"enis": [an_eni(holder="i-1")], "volumes": [a_volume(holder="i-1")], "fails": {}, "tagged": []}
    table = type("Ec2", (Ec2,), lists)
    monkeypatch.setattr(identity_pool_adopt, "Ec2", table)
    monkeypatch.setattr(identity_pool_adopt, "POLL_SECONDS", 0.0)
    return table


def failed(reason: str, **options: Any) -> dict[str, Any]:
    """Run, and require this failure."""
    result = run_module(identity_pool_adopt, {**ARGUMENTS, **options})
    assert (result["failed"], result.get("reason")) == (True, reason), result
    return result


def test_check_predicts_and_the_second_run_changes_nothing(ec2: Any) -> None:
    predicted = run_module(identity_pool_adopt, ARGUMENTS, check=True, diff=True)
    assert ec2.tagged == []
    real = run_module(identity_pool_adopt, ARGUMENTS, diff=True)
    assert (predicted["changed"], predicted["diff"], predicted["tagged"]) == (True, real["diff"], real["tagged"])
    assert real["diff"]["before"] == {"eni-1": {}, "vol-1": {}}
    assert real["diff"]["after"]["vol-1"]["holdfast:volume"] == "0"
    again = run_module(identity_pool_adopt, ARGUMENTS, diff=True)
    assert (again["changed"], again["tagged"], "diff" in again) == (False, [], False)
    assert [one["adopted"] for one in again["resources"]] == [True, True]


def test_half_a_plan_tags_nothing_unless_that_is_allowed(ec2: Any) -> None:
    ec2.enis.append(an_eni("eni-2", "KAFKA-1"))
    result = failed("adoption_refused")
    assert (ec2.tagged, result["changed"], result["refusals"][0]["resource_ids"]) == ([], False, ["eni-2"])
    assert "eni-2" in result["msg"]
    assert run_module(identity_pool_adopt, ARGUMENTS, check=True)["reason"] == "adoption_refused"
    partial = run_module(identity_pool_adopt, {**ARGUMENTS, "allow_partial": True, "expected_pools": DECLARED})
    assert (partial["changed"], sorted(partial["tagged"])) == (True, ["eni-1", "vol-1"])
    assert "eni-2" in str(partial["warnings"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"name_patterns": {"kafka": "KAFKA"}},
        {"name_patterns": {}},
        {"name_patterns": {"kafka": 3}},
        {"expected_pools": {"kafka": 3}},
        {"cluster": "a/b"},
        {"timeout_seconds": -1},
        {"allow_partial": True},
        {"allow_partial": True, "expected_pools": {"zookeeper": DECLARED["kafka"]}},
        {"allow_partial": True, "expected_pools": {"kafka": [{**DECLARED["kafka"][0], "volumes": None}]}},
    ],
)
def test_what_can_never_work_is_refused_first(ec2: Any, wrong: dict[str, Any]) -> None:
    assert failed("bad_parameter", **wrong)["api_calls"] == 0


def test_an_error_is_never_an_empty_pool(ec2: Any) -> None:
    ec2.fails["describe"] = AwsError("describe_volumes", "Code", "text", Meaning.RETRY)
    failed("api_error")
    ec2.fails.clear()
    ec2.enis.clear()
    ec2.volumes.clear()
    failed("nothing_found")


def test_an_error_half_way_says_what_was_tagged(ec2: Any) -> None:
    ec2.fails["tag"] = DENIED
    result = failed("auth")
    assert (result["changed"], len(result["tagged"])) == (True, 1)
    assert result["tagged"][0] in result["msg"]
    ec2.fails.clear()
    assert len(run_module(identity_pool_adopt, ARGUMENTS)["tagged"]) == 1


def test_tags_that_ec2_never_shows_are_a_timeout(ec2: Any) -> None:
    ec2.forgetful = True
    assert "eni-1" in failed("timeout", timeout_seconds=0)["msg"]
