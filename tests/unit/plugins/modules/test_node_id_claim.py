# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""node_id_claim's own part: parameters, strategies without services, the shape of success and failure."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import imds as imds_module
from ansible_collections.holdfast.kafka.plugins.module_utils import release_runner, zk_claims, zk_session
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_errors import Meaning
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim, decode
from ansible_collections.holdfast.kafka.plugins.module_utils.imds import Imds, ImdsError, Myself
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import PoolReading, build_pools
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme
from ansible_collections.holdfast.kafka.plugins.modules import node_id_claim

from tests.unit.plugins.module_utils.pool_answers import CLUSTER, ZONE, eni, volume
from tests.unit.plugins.modules.in_process import run_module

ME = "i-me"
ARGUMENTS = {
    "cluster": CLUSTER,
    "role": "kafka",
    "instance_id": ME,
    "availability_zone": ZONE,
    "region": "eu-central-1",
    "zookeeper_hosts": ["zk:2181"],
    "poll_seconds": 0,
    "timeout_seconds": 0,
}


def reading(holder: str | None = None) -> PoolReading:
    """Return a pool of one broker's identity."""
    return build_pools(CLUSTER, [eni("eni-1", holder=holder)], [volume("vol-1", holder=holder)], TagScheme())


class Ec2:
    """EC2 as one reading, or one error."""

    what: Any = None
    states: ClassVar[dict[str, str]] = {}

    def __init__(self, _module: Any) -> None:
        self.requests: list[str] = []

    def read_pools(self, *_arguments: Any) -> PoolReading:
        """Return the reading or raise the error."""
        self.requests.append("DescribeNetworkInterfaces")
        if isinstance(self.what, Exception):
            raise self.what
        return reading() if self.what is None else self.what

    def instance_states(self, instance_ids: tuple[str, ...]) -> dict[str, str]:
        """Return the states."""
        return {one: self.states[one] for one in instance_ids if one in self.states}


class Store:
    """ZooKeeper as one dictionary, or one error."""

    claims: ClassVar[dict[int, Claim]] = {}
    read_error: Exception | None = None
    write_error: Exception | None = None

    open_paths: ClassVar[list[str]] = []
    foreign: ClassVar[list[str]] = []
    acl_error: Exception | None = None
    opened: ClassVar[list[tuple[Any, ...]]] = []

    def __init__(self, *arguments: Any) -> None:
        self.opened.append(arguments)

    def loose(self) -> list[str]:
        """Return what is open."""
        if self.acl_error:
            raise self.acl_error
        return list(self.open_paths)

    def secure(self) -> list[str]:
        """Close what is open."""
        found = self.loose()
        type(self).open_paths = []
        return found

    def read_all(self) -> dict[int, Claim]:
        """Return the claims."""
        if self.read_error:
            raise self.read_error
        return dict(self.claims)

    def create(self, node_id: int, value: bytes) -> int:
        """Write a claim."""
        return self.set(node_id, value, -1)

    def set(self, node_id: int, value: bytes, version: int) -> int:
        """Write a claim."""
        if self.write_error:
            raise self.write_error
        type(self).claims = {**self.claims, node_id: decode(node_id, value, version + 1, 0.0)}
        return version + 1

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture(autouse=True)
def services(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the tables in the services' place."""
    ec2 = type("Ec2", (Ec2,), {})
    store = type("Store", (Store,), {"claims": {}, "opened": []})
    monkeypatch.setattr(node_id_claim, "Ec2", ec2)
    monkeypatch.setattr(zk_claims, "ZkClaims", store)


def ec2() -> Any:
    """The table in EC2's place."""
    return node_id_claim.Ec2


def store() -> Any:
    """The table in ZooKeeper's place."""
    return zk_claims.ZkClaims


def failed(reason: str, **options: Any) -> dict[str, Any]:
    """Run, and require this failure in its full shape."""
    result = run_module(node_id_claim, {**ARGUMENTS, **options})
    assert (result["failed"], result.get("reason")) == (True, reason), result
    assert result["msg"].endswith((".", "!")) or reason in ("bad_parameter", "missing_library")
    assert isinstance(result["api_calls"], int)
    assert result["changed"] is False
    same = ("bad_parameter", "configuration_mismatch", "zookeeper_refused", "zookeeper_auth_failed")
    assert ("give_up" in result) == (reason in same), "exactly what the next instance would meet as well is kept"
    assert result.get("give_up", False) is False
    return result


def test_claims_and_then_holds() -> None:
    predicted = run_module(node_id_claim, ARGUMENTS, check=True, diff=True)
    assert store().claims == {}
    first = run_module(node_id_claim, ARGUMENTS, diff=True)
    assert first["changed"] is predicted["changed"] is True
    assert first["diff"] == predicted["diff"]
    assert first["diff"]["after"] == {"identity": "orders-kafka-1", "holder": ME}
    assert (first["node_id"], first["outcome"], first["zookeeper_version"]) == (1, "claimed", 0)
    assert first["pools"]["kafka"][0]["node_id"] == 1
    again = run_module(node_id_claim, ARGUMENTS, diff=True)
    assert (again["changed"], again["outcome"]) == (False, "already_held")
    assert "diff" not in again
    assert run_module(node_id_claim, ARGUMENTS, check=True)["changed"] is False


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"cluster": "a/b"}, "cannot be part of a ZooKeeper path"),
        ({"role": ""}, "cannot be part of a ZooKeeper path"),
        ({"name_patterns": {"kafka": "KAFKA"}}, "must hold {node_id} once"),
        ({"expected_volumes": -1}, "expected_volumes"),
        ({"expected_pools": {"kafka": [{"node_id": 1}]}}, "holdfast_pools.kafka"),
        ({"grace_period_seconds": -1}, "grace_period_seconds"),
        ({"timeout_seconds": -1}, "timeout_seconds"),
        ({"held_wait_seconds": -1}, "held_wait_seconds"),
        ({"poll_seconds": -1}, "poll_seconds"),
        ({"poll_seconds": float("nan")}, "poll_seconds is nan"),
        ({"device_index": 0}, "device_index"),
        ({"reserved_broker_max_id": -1}, "leaves no room"),
        ({"state": "released", "strategy": "attachment"}, "no claim that could be released"),
    ],
)
def test_bad_parameters_fail_before_anything_is_asked(options: dict[str, Any], text: str) -> None:
    assert text in failed("bad_parameter", **options)["msg"]


def test_bad_metadata_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(imds_module.ENDPOINT_VARIABLE, "ftp://x")
    failed("bad_parameter")


def test_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zk_session, "HAS_KAZOO", False)
    assert "kazoo" in failed("missing_library")["msg"]
    assert run_module(node_id_claim, {**ARGUMENTS, "strategy": "instance"})["failed"] is False


def test_nobody_answers_as_the_metadata_service(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_self: Imds) -> Myself:
        raise ImdsError("nobody there")

    monkeypatch.setattr(Imds, "myself", unreachable)
    assert "set instance_id" in failed("imds_unreachable", instance_id=None)["msg"]


def test_metadata_fill_in_who_i_am(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Imds, "myself", lambda _self: Myself("i-imds", ZONE, "eu-central-1"))
    arguments = {
        key: value for key, value in ARGUMENTS.items() if key not in ("instance_id", "availability_zone", "region")
    }
    assert run_module(node_id_claim, arguments)["instance_id"] == "i-imds"


@pytest.mark.parametrize(
    ("word", "reason"), [(Meaning.AUTH, "auth"), (Meaning.FATAL, "api_error"), (Meaning.RETRY, "api_error")]
)
def test_ec2_errors(word: Meaning, reason: str) -> None:
    ec2().what = AwsError("describe_volumes", "Code", "text", word)
    assert "DescribeVolumes" in failed(reason)["msg"]
    failed("auth" if word is Meaning.AUTH else "api_error", state="released")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (zk_claims.ZkUnreachableError("nobody"), "zookeeper_unreachable"),
        (zk_claims.ZkRefusedError("no"), "zookeeper_refused"),
        (zk_claims.ZkAuthError("no"), "zookeeper_auth_failed"),
    ],
)
def test_zookeeper_errors(error: Exception, reason: str) -> None:
    store().read_error = error
    failed(reason)
    failed(reason, state="released")


@pytest.mark.parametrize("check", [False, True])
def test_reboot_while_zookeeper_is_away_keeps_the_identity(check: bool) -> None:
    ec2().what = reading(ME)
    store().read_error = zk_claims.ZkUnreachableError("nobody")
    result = run_module(node_id_claim, {**ARGUMENTS, "timeout_seconds": 1200, "held_wait_seconds": 0}, check=check)
    assert (result["failed"], result["changed"], result["outcome"]) == (False, False, "already_held")
    assert (result["node_id"], result["claim_pending"]) == (1, True)
    store().read_error = None
    again = run_module(node_id_claim, ARGUMENTS, check=check)
    assert (again["changed"], again["outcome"], again["claim_pending"]) == (True, "restored", False)


def test_claim_failures_name_whom() -> None:
    ec2().what, ec2().states = reading("i-1"), {"i-1": "running"}
    assert "i-1 (running)" in failed("no_candidate")["msg"]
    ec2().states = {"i-1": "shutting-down"}
    assert failed("no_candidate")["waiting_for"] == ["i-1"]
    waiting = run_module(node_id_claim, ARGUMENTS | {"timeout_seconds": 5}, check=True)
    assert (waiting["outcome"], waiting["waiting_for"], waiting["changed"]) == ("waiting", ["i-1"], True)
    store().claims = {1: Claim(1, 0, ME, 0.0)}
    ec2().states = {"i-1": "running"}
    assert "i-1 (running)" in failed("conflict")["msg"]
    store().claims, store().write_error = {}, zk_claims.ClaimLostError("other")
    ec2().what = reading()
    failed("lost_race")
    ec2().what = build_pools(CLUSTER, [eni("eni-1"), eni("eni-2")], [volume("vol-1")], TagScheme())
    result = failed("pool_fault")
    assert "eni-2" in result["msg"]
    assert result["faults"][0]["kind"] == "duplicate_eni"


PARTS_THAT_ARE_NOT_WHOLE = [
    ([eni("eni-1")], [], ["eni-1"], "without a volume"),
    ([eni("eni-1")], [volume("vol-1", zone="eu-central-1b")], ["eni-1", "vol-1"], "several Availability Zones"),
    ([eni("eni-1"), eni("eni-2")], [volume("vol-1")], ["eni-1", "eni-2"], "more than one network interface"),
    ([eni("eni-1")], [volume("vol-1"), volume("vol-2")], ["vol-1", "vol-2"], "same index"),
]


@pytest.mark.parametrize("strategy", ["zookeeper", "attachment"])
@pytest.mark.parametrize(
    ("enis", "volumes", "ids", "text"),
    PARTS_THAT_ARE_NOT_WHOLE,
    ids=["eni-without-volume", "volume-in-another-zone", "two-enis", "two-volumes"],
)
def test_identity_that_is_not_whole_ends_with_its_resources(
    strategy: str, enis: list[Any], volumes: list[Any], ids: list[str], text: str
) -> None:
    ec2().what = build_pools(CLUSTER, enis, volumes, TagScheme())
    result = failed("pool_fault", strategy=strategy)
    assert text in result["msg"]
    assert "kafka 1" in result["msg"]
    assert [one for one in ids if one not in result["msg"]] == []
    assert result["faults"][0]["resource_ids"] == ids
    assert result["attempts"] == []
    assert store().claims == {}


DECLARED = {"node_id": 1, "availability_zone": ZONE, "private_ip": "10.77.1.21", "volumes": [{"size_gib": 1}]}


@pytest.mark.parametrize("strategy", ["zookeeper", "attachment"])
@pytest.mark.parametrize("holder", [None, ME])
def test_inventory_of_another_cluster_claims_nothing(strategy: str, holder: str | None) -> None:
    ec2().what = reading(holder)
    foreign = {"kafka": [{**DECLARED, "private_ip": "10.9.9.9"}]}
    result = failed("configuration_mismatch", strategy=strategy, expected_pools=foreign)
    for text in ("kafka 1", "10.77.1.21", "10.9.9.9", "holdfast_pools"):
        assert text in result["msg"]
    assert (result["attempts"], store().claims) == ([], {})


def test_inventory_of_this_cluster_claims() -> None:
    result = run_module(node_id_claim, {**ARGUMENTS, "expected_pools": {"kafka": [DECLARED]}})
    assert (result["failed"], result["outcome"]) == (False, "claimed")


def test_another_region_than_the_instances_claims_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Imds, "myself", lambda _self: Myself("i-imds", ZONE, "eu-central-1"))
    result = failed("configuration_mismatch", instance_id=None, availability_zone=None, region="eu-west-1")
    for text in ("eu-west-1", "eu-central-1", "holdfast_region", "i-imds"):
        assert text in result["msg"]
    assert (result["api_calls"], store().claims) == (0, {})


def test_dying_claimant_of_my_eni_is_a_timeout() -> None:
    ec2().what, ec2().states = reading(ME), {"i-1": "shutting-down"}
    store().claims = {1: Claim(1, 0, "i-1", 0.0)}
    failed("timeout")


def test_instance_strategy_is_deterministic_and_needs_nobody() -> None:
    ec2().what = AssertionError("not to be asked")
    results = [run_module(node_id_claim, {**ARGUMENTS, "strategy": "instance"}) for _each in range(2)]
    assert results[0] == results[1]
    assert results[0]["node_id"] > 1000
    assert (results[0]["changed"], results[0]["api_calls"], results[0]["identity"]["eni"]) == (False, 0, None)


def test_release_in_check_mode_for_real_and_again() -> None:
    store().claims = {1: Claim(1, 4, ME, 0.0)}
    arguments = {**ARGUMENTS, "state": "released"}
    predicted = run_module(node_id_claim, arguments, check=True, diff=True)
    assert store().claims[1].instance_id == ME
    real = run_module(node_id_claim, arguments, diff=True)
    assert predicted["outcome"] == real["outcome"] == "released"
    assert (
        predicted["diff"]
        == real["diff"]
        == {
            "before": {"identity": "orders-kafka-1", "holder": ME},
            "after": {"identity": "orders-kafka-1", "holder": None},
        }
    )
    assert (store().claims[1].instance_id, store().claims[1].version) == (None, 5)
    assert run_module(node_id_claim, arguments)["outcome"] == "not_held"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (zk_claims.ClaimLostError("other"), "lost_race"),
        (zk_claims.ZkReplyLostError("loss"), "zookeeper_unreachable"),
        (zk_claims.ZkRefusedError("no"), "zookeeper_refused"),
    ],
)
def test_release_that_cannot_be_written(error: Exception, reason: str) -> None:
    store().claims = {1: Claim(1, 4, ME, 0.0)}
    store().write_error = error
    failed(reason, state="released")


def test_release_without_servers() -> None:
    failed("zookeeper_unreachable", state="released", zookeeper_hosts=[])


def test_release_believes_the_instance_over_a_stale_describe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Imds, "myself", lambda _self: Myself(ME, ZONE, "eu-central-1"))
    monkeypatch.setattr(Imds, "interface_id", lambda _self, _mac: "eni-1")
    monkeypatch.setattr(release_runner, "find_volume", lambda _volume_id: None)
    monkeypatch.setattr(release_runner, "find_interface", lambda _mac: None)
    store().claims = {1: Claim(1, 4, ME, 0.0)}
    here = {**ARGUMENTS, "state": "released", "instance_id": None, "availability_zone": None}
    assert run_module(node_id_claim, here)["outcome"] == "kept"
    monkeypatch.setattr(Imds, "interface_id", lambda _self, _mac: None)
    monkeypatch.setattr(release_runner, "find_volume", lambda volume_id: f"/dev/{volume_id}")
    assert run_module(node_id_claim, here)["outcome"] == "kept"
    monkeypatch.setattr(release_runner, "find_volume", lambda _volume_id: None)
    monkeypatch.setattr(release_runner, "find_interface", lambda _mac: "eth1")
    assert run_module(node_id_claim, here)["outcome"] == "kept"

    def unreachable(_self: Imds, _mac: str) -> str:
        raise ImdsError("nobody there")

    monkeypatch.setattr(Imds, "interface_id", unreachable)
    failed("imds_unreachable", **here)


# ---- a guarded ZooKeeper ---------------------------------------------------------------------------------------------

AUTH = {"zookeeper_auth": {"username": "holdfast", "password": "the-secret"}}


def test_open_acls_are_closed_once_and_predicted() -> None:
    store().open_paths = ["/holdfast/orders", "/holdfast/orders/kafka/claims/1"]
    run_module(node_id_claim, ARGUMENTS)
    assert store().open_paths != []
    predicted = run_module(node_id_claim, {**ARGUMENTS, **AUTH}, check=True)
    real = run_module(node_id_claim, {**ARGUMENTS, **AUTH})
    assert (predicted["outcome"], predicted["changed"], real["changed"]) == ("already_held", True, True)
    assert predicted["acls_closed"] == real["acls_closed"] == ["/holdfast/orders", "/holdfast/orders/kafka/claims/1"]
    again = run_module(node_id_claim, {**ARGUMENTS, **AUTH})
    assert (again["changed"], again["acls_closed"]) == (False, [])
    assert "the-secret" not in str([predicted, real, again])


@pytest.mark.parametrize("error", [zk_claims.ZkUnreachableError("gone"), zk_claims.ZkAuthError("no")])
def test_a_claim_is_held_whether_its_acl_can_be_closed_or_not(error: Exception) -> None:
    store().acl_error = error
    result = run_module(node_id_claim, {**ARGUMENTS, **AUTH})
    assert (result["failed"], result["outcome"], result["acls_closed"]) == (False, "claimed", [])
    assert "ACLs" in str(result["warnings"])


def test_where_and_as_whom_the_claims_are_asked_for() -> None:
    arguments = {key: value for key, value in ARGUMENTS.items() if key != "zookeeper_hosts"}
    interfaces = [eni("eni-1"), eni("eni-9", role="zookeeper")]
    volumes = [volume("vol-1"), volume("vol-9", role="zookeeper")]
    ec2().what = build_pools(CLUSTER, interfaces, volumes, TagScheme())
    guarded = {**arguments, **AUTH, "zookeeper_chroot": "/tenants/a/", "zookeeper_tls": {"ca_file": "/ca.pem"}}
    for options, ports in ((arguments, {2181}), (guarded, {2281}), ({**guarded, "zookeeper_port": 2282}, {2282})):
        store().opened.clear()
        run_module(node_id_claim, options)
        hosts, cluster, _role, chroot, security = store().opened[0]
        assert {int(host.rpartition(":")[2]) for host in hosts} == ports
        assert (cluster, chroot) == (CLUSTER, "" if options is arguments else "/tenants/a")
        assert (security.auth is None, security.tls is None) == (options is arguments, options is arguments)


@pytest.mark.parametrize(
    "wrong",
    [
        {"zookeeper_chroot": "tenants"},
        {"zookeeper_hosts": ["10.0.0.1:abc"]},
        {"zookeeper_hosts": [""]},
        {"zookeeper_hosts": ["h:2181/other"]},
        {"zookeeper_port": 99999},
        {"zookeeper_auth": {"scheme": "the-secret", "username": "holdfast", "password": "right"}},
        {"zookeeper_auth": {"username": "a b", "password": "the-secret"}},
        {"zookeeper_auth": {"username": "a", "password": "the-secret\n"}},
        {"zookeeper_tls": {"key_file": "/key.pem"}},
    ],
)
def test_a_session_that_can_never_begin_is_refused_first(wrong: dict[str, Any]) -> None:
    assert "the-secret" not in str(failed("bad_parameter", **wrong))
    assert store().opened == []


@pytest.mark.parametrize(
    "auth",
    [
        {"username": "holdfast", "passwrd": "the-secret"},
        {"username": "holdfast", "password": "right", "Password": "the-secret"},
        {"username": "holdfast", "password": "right", "scheme": "the-secret"},
        {"username": "the-secret!", "password": "holdfast"},
    ],
)
def test_a_password_in_the_wrong_place_is_not_shown(auth: Any) -> None:
    result = run_module(node_id_claim, {**ARGUMENTS, "zookeeper_auth": auth})
    assert result["failed"]
    assert "the-secret" not in str(result)


def test_a_text_in_place_of_the_dictionary_is_not_in_the_message() -> None:
    result = run_module(node_id_claim, {**ARGUMENTS, "zookeeper_auth": "holdfast:the-secret"})
    assert result["failed"]
    assert "the-secret" not in result["msg"]


def test_a_user_called_as_the_role_blots_out_no_result() -> None:
    auth = {"scheme": "sasl", "username": "kafka", "password": "the-secret"}
    result = run_module(node_id_claim, {**ARGUMENTS, "zookeeper_auth": auth})
    assert (result["identity"]["role"], result["invocation"]["module_args"]["role"]) == ("kafka", "kafka")
    assert "the-secret" not in str(result)


@pytest.mark.parametrize("check", [True, False])
def test_acls_that_are_not_ours_to_close_are_told(check: bool) -> None:
    store().foreign = ["/holdfast/orders"]
    result = run_module(node_id_claim, {**ARGUMENTS, **AUTH}, check=check)
    assert "/holdfast/orders" in str(result["warnings"])
