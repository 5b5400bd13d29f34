# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""identity_claims_info, identity_claims_restore and identity_release: what they write, refuse and tell."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.kafka.plugins.doc_fragments import operator
from ansible_collections.holdfast.kafka.plugins.module_utils import (
    cluster_reader,
    operator_module,
    zk_claims,
    zk_session,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_errors import Meaning
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim
from ansible_collections.holdfast.kafka.plugins.module_utils.module_support import POOL_OPTIONS
from ansible_collections.holdfast.kafka.plugins.module_utils.operator_module import OPERATOR_OPTIONS, operator_reader
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_security import claims_argument_spec
from ansible_collections.holdfast.kafka.plugins.modules import (
    identity_claims_info,
    identity_claims_restore,
    identity_release,
)

from tests.unit.plugins.module_utils.pool_answers import CLUSTER, eni, volume
from tests.unit.plugins.modules.in_process import run_module
from tests.unit.plugins.modules.operator_services import Services, raised

COMMON = {"cluster": CLUSTER, "region": "eu-central-1", "zookeeper_hosts": ["zk:2181"]}
RELEASE = {**COMMON, "role": "kafka", "node_id": 1}
FORCED = {**RELEASE, "force": True, "why": "made smaller", "by": "jane"}
ERROR = AwsError("describe_instances", "Code", "text", Meaning.AUTH)


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Services:
    """Two brokers that hold their identities, and no claims: what a lost ZooKeeper leaves."""
    tables = Services(states={"i-1": "running", "i-2": "running"})
    tables.put(
        [eni("eni-1", holder="i-1"), eni("eni-2", "2", holder="i-2")],
        [volume("vol-1", holder="i-1"), volume("vol-2", "2", holder="i-2")],
    )
    for module in (identity_claims_info, identity_claims_restore, identity_release):
        tables.install(monkeypatch, module)
    return tables


def failed(module: ModuleType, arguments: dict[str, Any], reason: str, **modes: bool) -> dict[str, Any]:
    """Run, and require this failure."""
    result = run_module(module, arguments, **modes)
    assert (result["failed"], result.get("reason")) == (True, reason), result
    assert isinstance(result["api_calls"], int)
    return result


def test_the_fragment_says_what_the_modules_take() -> None:
    told = yaml.safe_load(operator.ModuleDocFragment.DOCUMENTATION)["options"]
    assert set(told) == set(OPERATOR_OPTIONS) - set(POOL_OPTIONS) - set(claims_argument_spec())
    for name, option in told.items():
        for key in ("type", "default", "required", "elements"):
            assert option.get(key) == OPERATOR_OPTIONS[name].get(key), name


# ---- restore ---------------------------------------------------------------------------------------------------------


def test_lost_claims_come_back_once(services: Services) -> None:
    predicted = run_module(identity_claims_restore, COMMON, check=True, diff=True)
    assert services.written == []
    real = run_module(identity_claims_restore, COMMON, diff=True)
    assert (predicted["changed"], real["changed"]) == (True, True)
    assert (
        predicted["diff"]
        == real["diff"]
        == {
            "before": {"orders-kafka-1": None, "orders-kafka-2": None},
            "after": {"orders-kafka-1": "i-1", "orders-kafka-2": "i-2"},
        }
    )
    assert [one["evidence"] for one in real["written"]] == [
        "eni-1 is attached to i-1 (running)",
        "eni-2 is attached to i-2 (running)",
    ]
    assert {node_id: one.instance_id for node_id, one in services.claims.items()} == {1: "i-1", 2: "i-2"}
    again = run_module(identity_claims_restore, COMMON)
    assert (again["changed"], again["written"], services.written) == (False, [], [1, 2])
    assert services.closed == 3


def test_a_record_that_was_given_back_is_set_at_its_version(services: Services) -> None:
    services.claims = {1: Claim(1, 6, None, 0.0), 2: Claim(2, 0, "i-2", 0.0)}
    result = run_module(identity_claims_restore, COMMON)
    assert [(one["action"], one["version"]) for one in result["written"]] == [("set", 7)]
    assert services.claims[1].version == 7


CONFLICTS: list[tuple[str, dict[int, Claim], dict[str, str]]] = [
    ("claim_disagrees", {1: Claim(1, 0, "i-9", 0.0)}, {"i-9": "running"}),
    ("claim_of_former_holder", {1: Claim(1, 0, "i-9", 0.0)}, {"i-9": "terminated"}),
    ("claim_unreadable", {1: Claim(1, 0, None, 0.0, readable=False)}, {}),
]


@pytest.mark.parametrize(("kind", "claims", "states"), CONFLICTS)
def test_somebody_elses_claim_is_listed_and_stays(
    services: Services, kind: str, claims: dict[int, Claim], states: dict[str, str]
) -> None:
    services.claims = dict(claims)
    services.states = {**services.states, **states}
    result = failed(identity_claims_restore, COMMON, "conflict")
    assert [(one["kind"], one["node_id"]) for one in result["conflicts"]] == [(kind, 1)]
    assert services.claims[1] == claims[1]
    assert (services.written, result["changed"]) == ([2], True), "the other broker's claim contradicts nobody"
    assert result["conflicts"][0]["next_step"] in result["msg"]


HELD_2 = (eni("eni-2", "2", holder="i-2"), volume("vol-2", "2", holder="i-2"))
SHAPES = [
    ("parts_split", [eni("eni-1", holder="i-1")], [volume("vol-1", holder="i-3")]),
    ("attached_without_eni", [eni("eni-1")], [volume("vol-1", holder="i-1")]),
    ("two_identities", [eni("eni-1", holder="i-2")], [volume("vol-1", holder="i-2")]),
    ("duplicate_eni", [eni("eni-1", holder="i-1"), eni("eni-3")], [volume("vol-1", holder="i-1")]),
]


@pytest.mark.parametrize(("kind", "enis", "volumes"), SHAPES)
def test_attachments_that_are_no_evidence_are_refused(
    services: Services, kind: str, enis: list[Any], volumes: list[Any]
) -> None:
    services.states = {**services.states, "i-3": "running"}
    services.put([*enis, HELD_2[0]], [*volumes, HELD_2[1]])
    result = failed(identity_claims_restore, COMMON, "conflict")
    assert kind in {one["kind"] for one in result["conflicts"]}
    assert 1 not in services.written


@pytest.mark.parametrize("state", ["shutting-down", "terminated", None])
def test_whoever_does_not_live_gets_no_claim(services: Services, state: str | None) -> None:
    services.states = {"i-2": "running", **({"i-1": state} if state else {})}
    result = run_module(identity_claims_restore, COMMON)
    assert (result["failed"], services.written) == (False, [2])


def test_a_holder_that_changes_between_two_looks_gets_no_claim(services: Services) -> None:
    first = services.pool
    services.put([eni("eni-1", holder="i-3")], [volume("vol-1", holder="i-3")])
    services.reads = [first]
    services.states["i-3"] = "running"
    failed(identity_claims_restore, COMMON, "lost_race")
    assert services.written == []


@pytest.mark.parametrize("arguments", [{"role": "kafak"}, {"role": "zookeeper"}, {}])
def test_a_role_of_which_there_is_nothing_is_not_restored(services: Services, arguments: dict[str, Any]) -> None:
    if not arguments:
        services.put([], [])
    assert "region" in failed(identity_claims_restore, {**COMMON, **arguments}, "not_found")["msg"]
    assert services.closed == 0, "ZooKeeper need not be asked"


OTHERS = {"kafka": [{"node_id": 1, "availability_zone": "a", "private_ip": "10.9.9.9", "volumes": [{}]}]}


@pytest.mark.parametrize(("module", "arguments"), [(identity_claims_restore, COMMON), (identity_release, FORCED)])
def test_another_clusters_inventory_writes_nothing(
    services: Services, module: ModuleType, arguments: dict[str, Any]
) -> None:
    services.claims = {1: Claim(1, 0, "i-9", 0.0)}
    result = failed(module, {**arguments, "expected_pools": OTHERS}, "configuration_mismatch")
    assert "10.9.9.9" in result["msg"]
    assert (services.written, services.claims[1].instance_id) == ([], "i-9")


def test_the_two_looks_are_apart(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Any] = []
    make = operator_module.make_reader
    read = cluster_reader.ClusterReader.read_pools

    def reader(*arguments: Any) -> Any:
        made = make(*arguments)
        made.sleep = events.append
        return made

    def look(self: Any) -> Any:
        events.append("look")
        return read(self)

    monkeypatch.setattr(operator_module, "make_reader", reader)
    monkeypatch.setattr(cluster_reader.ClusterReader, "read_pools", look)
    monkeypatch.setattr(cluster_reader, "SECOND_LOOK_SECONDS", 2.5)
    assert len(run_module(identity_claims_restore, COMMON)["written"]) == 2
    assert events == ["look", 2.5, "look"]


def test_a_boot_that_claims_meanwhile_is_no_failure(services: Services) -> None:
    def boot() -> None:
        services.claims.setdefault(1, Claim(1, 0, "i-1", 0.0))

    services.before_write = boot
    result = run_module(identity_claims_restore, COMMON)
    assert (result["failed"], services.written) == (False, [2])


def test_somebody_else_who_claims_meanwhile_keeps_it(services: Services) -> None:
    def thief() -> None:
        services.claims.setdefault(1, Claim(1, 0, "i-9", 0.0))

    services.before_write = thief
    result = failed(identity_claims_restore, COMMON, "lost_race")
    assert "i-9" in result["msg"]
    assert services.claims[1].instance_id == "i-9"


def test_a_lost_reply_is_settled_by_reading(services: Services) -> None:
    services.reply_lost = True
    assert len(run_module(identity_claims_restore, COMMON)["written"]) == 2
    services.claims, services.write_error = {}, zk_claims.ZkReplyLostError("ConnectionLoss")
    failed(identity_claims_restore, COMMON, "zookeeper_unreachable")


FAILURES = [
    ({"pool": ERROR}, "auth"),
    ({"states": ERROR}, "auth"),
    ({"read_error": zk_claims.ZkUnreachableError("nobody")}, "zookeeper_unreachable"),
    ({"read_error": zk_claims.ZkRefusedError("no")}, "zookeeper_refused"),
    ({"read_error": zk_claims.ZkAuthError("no")}, "zookeeper_auth_failed"),
    ({"write_error": zk_claims.ZkAuthError("no")}, "zookeeper_auth_failed"),
    ({"write_error": zk_claims.ZkUnreachableError("nobody")}, "zookeeper_unreachable"),
    ({"write_error": zk_claims.ZkRefusedError("no")}, "zookeeper_refused"),
]


@pytest.mark.parametrize(("what", "reason"), FAILURES)
def test_a_restore_that_cannot_know_writes_nothing(services: Services, what: dict[str, Any], reason: str) -> None:
    for name, value in what.items():
        setattr(services, name, value)
    result = failed(identity_claims_restore, COMMON, reason)
    assert (services.claims, result["changed"]) == ({}, False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"grace_period_seconds": -1},
        {"cluster": "a/b"},
        {"expected_pools": {"kafka": 3}},
        {"name_patterns": {"kafka": "KAFKA"}},
    ],
)
def test_what_can_never_work_is_refused_first(services: Services, wrong: dict[str, Any]) -> None:
    for module, arguments in (
        (identity_claims_restore, COMMON),
        (identity_claims_info, COMMON),
        (identity_release, FORCED),
    ):
        assert failed(module, {**arguments, **wrong}, "bad_parameter")["api_calls"] == 0


def test_no_servers_and_no_library(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    failed(identity_claims_restore, {**COMMON, "zookeeper_hosts": []}, "zookeeper_unreachable")
    monkeypatch.setattr(zk_session, "HAS_KAZOO", False)
    failed(identity_claims_restore, COMMON, "missing_library")


# ---- info ------------------------------------------------------------------------------------------------------------


def test_status_tells_what_is_wrong_with_ids_and_next_step(services: Services) -> None:
    services.claims = {2: Claim(2, 0, "i-2", 0.0)}
    result = run_module(identity_claims_info, COMMON)
    (problem,) = result["problems"]
    assert (problem["kind"], problem["holder"], problem["resource_ids"]) == ("claim_missing", "i-1", ["eni-1", "vol-1"])
    assert problem["next_step"] == "ansible-playbook -i inventories/mine playbooks/claims_restore.yml"
    assert (result["claims_known"], len(result["conditions"])) == (True, 2)


def test_a_zookeeper_that_is_away_is_a_finding_beside_ec2s_word(services: Services) -> None:
    services.read_error = zk_claims.ZkUnreachableError("nobody answers")
    result = run_module(identity_claims_info, COMMON)
    assert [one["kind"] for one in result["conditions"]] == ["zookeeper_unreachable", "held", "held"]
    assert (result["claims_known"], [one["kind"] for one in result["problems"]]) == (False, ["zookeeper_unreachable"])


def test_a_password_that_zookeeper_does_not_take_is_a_finding_with_its_own_next_step(services: Services) -> None:
    services.read_error = zk_claims.ZkAuthError("no")
    (problem,) = run_module(identity_claims_info, COMMON)["problems"]
    assert (problem["kind"], problem["problem"]) == ("zookeeper_auth_failed", True)
    assert "holdfast_zookeeper_auth" in problem["next_step"]


def test_a_declared_pool_that_ec2_does_not_show_is_no_healthy_one(services: Services) -> None:
    services.put([], [])
    items = [{"node_id": one, "availability_zone": "eu-central-1a", "private_ip": f"10.0.0.{one}"} for one in (1, 2)]
    result = run_module(identity_claims_info, {**COMMON, "expected_pools": {"zookeeper": items, "kafka": items[:1]}})
    found = [(one["kind"], one["role"], one["node_id"]) for one in result["problems"]]
    assert found == [
        ("identity_missing", role, one) for role, one in (("zookeeper", 1), ("zookeeper", 2), ("kafka", 1))
    ]
    assert "get-caller-identity" in result["problems"][0]["next_step"]
    assert result["claims_known"] is False, "nobody was asked"


def test_claims_are_asked_for_once_more_before_nobody_is_there(services: Services, monkeypatch: Any) -> None:
    answers: list[Any] = [zk_claims.ZkUnreachableError("an election"), {}]
    monkeypatch.setattr(zk_claims.ZkClaims, "read_all", lambda _store: raised(answers.pop(0)))
    assert run_module(identity_claims_info, COMMON)["claims_known"] is True


def test_a_role_that_does_not_claim_has_no_missing_claim(services: Services) -> None:
    assert run_module(identity_claims_info, {**COMMON, "claimed_roles": []})["problems"] == []


@pytest.mark.parametrize("what", ["pool", "states"])
def test_an_ec2_that_does_not_answer_is_a_failure(services: Services, what: str) -> None:
    setattr(services, what, ERROR)
    failed(identity_claims_info, COMMON, "auth")


# ---- release ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def dead(services: Services) -> Services:
    """A terminated holder and nothing attached."""
    services.put([eni("eni-1")], [volume("vol-1")])
    services.states = {"i-1": "terminated"}
    services.claims = {1: Claim(1, 3, "i-1", 0.0)}
    return services


def test_release_is_recorded_and_done_once(dead: Services) -> None:
    failed(identity_release, RELEASE, "force_required")
    predicted = run_module(identity_release, FORCED, check=True, diff=True)
    assert dead.written == []
    real = run_module(identity_release, FORCED, diff=True)
    assert predicted["diff"] == real["diff"]
    assert (real["changed"], real["outcome"], real["previous_holder"]) == (True, "released", "i-1")
    assert (predicted["zookeeper_version"], real["zookeeper_version"]) == (4, 4)
    record = json.loads(dead.values[1])
    assert record["instance_id"] is None
    assert (record["released"]["by"], record["released"]["reason"]) == ("jane", "made smaller")
    again = run_module(identity_release, FORCED)
    assert (again["changed"], again["outcome"], dead.written) == (False, "not_held", [1])


@pytest.mark.parametrize("missing", [{"why": ""}, {"by": " "}, {"why": "  \n"}, {"node_id": -1}])
def test_force_without_a_reason_or_a_name_asks_nobody(dead: Services, missing: dict[str, Any]) -> None:
    assert failed(identity_release, {**FORCED, **missing}, "bad_parameter")["api_calls"] == 0
    assert dead.written == []


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("holder_alive", {"states": {"i-1": "stopped"}}),
    ("holder_leaving", {"states": {"i-1": "shutting-down"}}),
    ("claim_disagrees", {"states": {}, "claims": {1: Claim(1, 3, "i-1", 0.0, eni_id="eni-far")}}),
    ("claim_unreadable", {"claims": {1: Claim(1, 3, None, 0.0, readable=False)}}),
    ("auth", {"states": ERROR}),
    ("zookeeper_unreachable", {"read_error": zk_claims.ZkUnreachableError("nobody")}),
    ("zookeeper_refused", {"read_error": zk_claims.ZkRefusedError("no")}),
    ("zookeeper_auth_failed", {"read_error": zk_claims.ZkAuthError("no")}),
    ("zookeeper_auth_failed", {"write_error": zk_claims.ZkAuthError("no")}),
    ("zookeeper_refused", {"write_error": zk_claims.ZkRefusedError("no")}),
    ("zookeeper_unreachable", {"write_error": zk_claims.ZkReplyLostError("loss")}),
]


@pytest.mark.parametrize(("reason", "what"), REFUSED)
def test_each_refusal_writes_nothing(dead: Services, reason: str, what: dict[str, Any]) -> None:
    for name, value in what.items():
        setattr(dead, name, value)
    assert failed(identity_release, FORCED, reason)["changed"] is False
    assert dead.written == []


class Clock:
    """Monotonic time that passes in sleeps; something may happen C(at) a time."""

    def __init__(self, at: float, event: Callable[[], None]) -> None:
        self.now, self.at, self.event = 0.0, at, event

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        if self.now >= self.at:
            self.event()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Give the release this clock; the wall clock stays, and is far ahead of every claim."""

        def reader(module: Any, ec2: Any, roles: list[str]) -> Any:
            made = operator_reader(module, ec2, roles)
            made.sleep, made.monotonic = self.sleep, lambda: self.now
            return made

        monkeypatch.setattr(identity_release, "operator_reader", reader)


def test_a_holder_that_ec2_does_not_know_is_waited_for_by_this_runs_clock(
    dead: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead.states = {}
    clock = Clock(1e9, lambda: None)
    clock.install(monkeypatch)
    assert run_module(identity_release, FORCED)["outcome"] == "released"
    assert (clock.now, dead.written) == (60, [1])


def test_a_holder_that_shows_in_the_grace_period_keeps_its_old_looking_claim(
    dead: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead.states = {}
    Clock(60, lambda: dead.states.update({"i-1": "running"})).install(monkeypatch)
    failed(identity_release, FORCED, "holder_alive")
    assert dead.written == []


def test_a_clock_that_stands_still_releases_nothing(dead: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    dead.states = {}
    clock = Clock(1e9, lambda: None)
    monkeypatch.setattr(clock, "sleep", lambda _seconds: None)
    clock.install(monkeypatch)
    failed(identity_release, FORCED, "holder_unknown")
    assert dead.written == []


def test_attached_faulty_and_foreign_identities_are_refused(dead: Services) -> None:
    dead.put([eni("eni-1")], [volume("vol-1", holder="i-2")])
    dead.states["i-2"] = "running"
    assert "vol-1" in failed(identity_release, FORCED, "identity_attached")["msg"]
    dead.put([eni("eni-1"), eni("eni-2")], [volume("vol-1")])
    failed(identity_release, FORCED, "pool_fault")
    failed(identity_release, {**FORCED, "node_id": 7}, "not_found")
    assert dead.written == []


def test_a_takeover_in_between_wins(dead: Services) -> None:
    def takeover() -> None:
        dead.claims[1] = Claim(1, 4, "i-2", 0.0)

    dead.before_write = takeover
    failed(identity_release, FORCED, "lost_race")
    assert dead.claims[1].instance_id == "i-2"


def test_every_module_is_in_the_action_group() -> None:
    runtime = Path(__file__).resolve().parents[4] / "meta" / "runtime.yml"
    names = yaml.safe_load(runtime.read_text())["action_groups"]["aws"]
    assert {"identity_claims_info", "identity_claims_restore", "identity_release"} <= {str(name) for name in names}
