# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A broker with the role's settings, and the modules as Ansible runs them, at a ZooKeeper that wants SASL and TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.filter.properties import to_properties
from kazoo.client import KazooClient

from lab.api.server import start_strict_ec2
from tests.integration.ansible_run import run_module
from tests.integration.certificates import Authority
from tests.integration.claim_world import ClaimWorld
from tests.integration.guarded import AUTH, PASSWORD, Guarded, guarded_server
from tests.integration.services import KafkaBroker
from tests.ports import free_ports
from tests.role_settings import role_settings


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, dict[str, str]]:
    """An authority, and what an inventory's holdfast_zookeeper_tls would say of it."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    identity = authority.issue("client").read_text()
    return authority, {"ca_pem": authority.ca_file.read_text(), "identity_pem": identity}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, tls: tuple[Authority, dict[str, str]]) -> Iterator[Guarded]:
    """A server that lets nobody in without a password and, by TLS, without a certificate."""
    server = guarded_server(
        tmp_path_factory.mktemp("guarded") / "1",
        zookeeper_required_auth_schemes=["sasl"],
        zookeeper_tls_identity_pem=tls[0].issue("server").read_text(),
        holdfast_zookeeper_tls=tls[1],
        zookeeper_tls_client_auth="need",
    )
    try:
        server.server.start()
        yield server
    finally:
        server.server.kill()


@pytest.fixture(scope="module")
def broker(
    tmp_path_factory: pytest.TempPathFactory, guarded: Guarded, tls: tuple[Authority, dict[str, str]]
) -> Iterator[KafkaBroker]:
    """A broker whose login, TLS and ACLs are what the role kafka writes."""
    directory = tmp_path_factory.mktemp("broker")
    names = ["__kafka_zookeeper_properties", "__kafka_zookeeper_jvm_options", "__kafka_secret_files"]
    case = {
        "__kafka_configuration_directory": str(directory),
        "holdfast_zookeeper_auth": AUTH,
        "holdfast_zookeeper_tls": tls[1],
        "kafka_zookeeper_set_acl": True,
    }
    made = role_settings("kafka", names, {"broker": case})["broker"]
    for file in made["__kafka_secret_files"]:
        Path(file["path"]).write_text(file["content"])
    lines = to_properties(made["__kafka_zookeeper_properties"]).splitlines()
    lines += ["default.replication.factor=1", "min.insync.replicas=1", "offsets.topic.replication.factor=1"]
    connect = f"{guarded.secure_host}/kafka"
    options = made["__kafka_zookeeper_jvm_options"]
    member = KafkaBroker(1, free_ports(1)[0], "a", connect, directory / "1", lines, options)
    try:
        member.start(120)
        yield member
    finally:
        member.kill()


def asked(guarded: Guarded, tls: dict[str, str], **more: Any) -> dict[str, Any]:
    """Ask as a node does whether broker 1 is known, with all that Ansible can print."""
    arguments = {
        "zookeeper_hosts": [guarded.secure_host],
        "broker_id": 1,
        "zookeeper_auth": AUTH,
        "zookeeper_tls": tls,
        **more,
    }
    return run_module("holdfast.kafka.kafka_id_info", arguments, verbosity=3)


def test_a_broker_logs_in_and_keeps_what_it_writes_to_its_user(
    broker: KafkaBroker, guarded: Guarded, tls: tuple[Authority, dict[str, str]]
) -> None:
    login = {"mechanism": "DIGEST-MD5", "username": AUTH["username"], "password": PASSWORD}
    client = KazooClient(hosts=guarded.host, sasl_options=login)
    client.start()
    try:
        for path in ("/kafka/brokers/ids", "/kafka/brokers/topics", "/kafka/cluster/id", "/kafka/controller"):
            acl = {(one.id.scheme, one.id.id): one.perms for one in client.get_acls(path)[0]}
            # Kafka's own ACLs are by C(auth:), which adds the certificate's name; a claim's are by the user alone.
            assert acl == {("sasl", "holdfast"): 31, ("x509", "CN=client"): 31, ("world", "anyone"): 1}, path
    finally:
        client.stop()
        client.close()
    answer = asked(guarded, tls[1])
    assert (answer["failed"], answer["known"], answer["registered"]) == (False, True, True)
    for secret in (PASSWORD, tls[1]["identity_pem"].splitlines()[1]):
        assert secret not in answer["stdout_text"]


def test_a_node_with_a_wrong_password_is_told_and_kept(guarded: Guarded, tls: tuple[Authority, dict[str, str]]) -> None:
    wrong = {**AUTH, "password": "a-wrong-password"}
    for required in (True, False):
        answer = asked(guarded, tls[1], zookeeper_auth=wrong, answer_required=required)
        assert (answer["failed"], answer["reason"], answer["give_up"]) == (True, "zookeeper_auth_failed", False)
        assert "a-wrong-password" not in answer["stdout_text"]


def test_a_node_claims_as_a_user_and_says_so_when_it_is_none(
    guarded: Guarded, tls: tuple[Authority, dict[str, str]]
) -> None:
    api = start_strict_ec2(imds=True)
    try:
        world = ClaimWorld(api, [guarded.secure_host])
        world.add_identity("kafka", 7, "a")
        me = world.launch("a")
        nobody = world.claim(me, "a", zookeeper_tls=tls[1], timeout_seconds=600)
        assert (nobody.failed, nobody["reason"], nobody["give_up"]) == (True, "zookeeper_auth_failed", False)
        assert nobody["waited_seconds"] == 0
        guards = {"zookeeper_auth": AUTH, "zookeeper_tls": tls[1], "zookeeper_chroot": "/tenants/orders"}
        predicted = world.claim(me, "a", "--check", **guards)
        assert (predicted["changed"], predicted["outcome"], predicted["acls_closed"]) == (True, "claimed", [])
        claimed = world.claim(me, "a", **guards)
        assert (claimed["changed"], claimed["outcome"], claimed["acls_closed"]) == (True, "claimed", [])
        again = world.claim(me, "a", **guards)
        assert (again["changed"], again["outcome"]) == (False, "already_held")
    finally:
        api.stop()
