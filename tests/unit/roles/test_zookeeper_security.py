# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles make of holdfast_zookeeper_auth and holdfast_zookeeper_tls, and that without them nothing changes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.role_settings import role_settings, run

ROLES = Path(__file__).parents[3] / "roles"
SECRET = 'a"b\\c'
AUTH = {"username": "holdfast", "password": SECRET}
TLS = {"ca_pem": "authority\n", "identity_pem": "-----BEGIN PRIVATE KEY-----\n"}
NODES: dict[str, dict[str, Any]] = {
    "zookeeper": {"zookeeper_node_id": 1, "zookeeper_servers": {"1": "10.0.0.1"}},
    "kafka": {
        "kafka_node_id": 1,
        "kafka_address": "10.0.0.2",
        "kafka_rack": "a",
        "kafka_zookeeper_servers": {"1": "10.0.0.1"},
        "kafka_volume_paths": ["/var/lib/kafka/0"],
        "kafka_brokers": {"1": "10.0.0.2"},
    },
}
OPTIONS = {"zookeeper": "__zookeeper_security_jvm_options", "kafka": "__kafka_zookeeper_jvm_options"}
GUARDED = (
    "authProvider.",
    "enforce.",
    "secure",
    "serverCnxn",
    "ssl.",
    "zookeeper.ssl",
    "zookeeper.set",
    "zookeeper.client",
)


DIGEST = {**AUTH, "scheme": "digest"}
CASES: dict[str, dict[str, dict[str, Any]]] = {
    "zookeeper": {
        "nothing": {},
        "user": {"holdfast_zookeeper_auth": AUTH},
        "digest": {"holdfast_zookeeper_auth": DIGEST},
        "tls": {
            "zookeeper_tls_identity_pem": TLS["identity_pem"],
            "holdfast_zookeeper_tls": TLS,
            "zookeeper_tls_client_auth": "need",
        },
        "tls-without-authority": {"zookeeper_tls_identity_pem": TLS["identity_pem"]},
    },
    "kafka": {
        "nothing": {},
        "user": {"holdfast_zookeeper_auth": AUTH, "kafka_zookeeper_set_acl": True},
        "digest": {"holdfast_zookeeper_auth": DIGEST},
        "tls": {"holdfast_zookeeper_tls": TLS},
        "tls-by-file": {"holdfast_zookeeper_tls": {"ca_file": "/ca.pem", "check_hostname": False}},
    },
}


class Made:
    """What a role makes of one case: the guarding properties, the JVM's options, the secret files by name."""

    def __init__(self, role: str, found: dict[str, Any]) -> None:
        self.properties = found[f"__{role}_all_properties"]
        self.guards = {key: value for key, value in self.properties.items() if key.startswith(GUARDED)}
        self.options = found[OPTIONS[role]]
        self.files = {Path(each["path"]).name: each["content"] for each in found[f"__{role}_secret_files"]}
        self.files = {name: content for name, content in self.files.items() if content}


@pytest.fixture(scope="module")
def made() -> dict[tuple[str, str], Made]:
    """What the roles make of all cases."""
    result = {}
    for role, cases in CASES.items():
        names = [f"__{role}_all_properties", OPTIONS[role], f"__{role}_secret_files"]
        facts = {name: {**NODES[role], **case} for name, case in cases.items()}
        for name, found in role_settings(role, names, facts).items():
            result[role, name] = Made(role, found)
    return result


@pytest.mark.parametrize("case", ["nothing", "digest"])
@pytest.mark.parametrize("role", ["zookeeper", "kafka"])
def test_without_the_variable_or_with_one_for_claims_only_nothing_changes(
    made: dict[tuple[str, str], Made], role: str, case: str
) -> None:
    assert (made[role, case].guards, made[role, case].options, made[role, case].files) == ({}, [], {})


def test_one_variable_gives_the_ensemble_its_user_and_the_broker_its_login(made: dict[tuple[str, str], Made]) -> None:
    server, broker = made["zookeeper", "user"], made["kafka", "user"]
    assert server.guards == {"authProvider.sasl": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"}
    assert server.options == ["-Djava.security.auth.login.config=/etc/zookeeper/jaas.conf"]
    assert 'user_holdfast="a\\"b\\\\c"' in server.files["jaas.conf"]
    assert broker.guards == {"zookeeper.set.acl": True}
    assert broker.options == ["-Djava.security.auth.login.config=/etc/kafka/zookeeper-jaas.conf"]
    assert broker.files["zookeeper-jaas.conf"].startswith("Client {")


def test_tls_of_the_servers(made: dict[tuple[str, str], Made]) -> None:
    server = made["zookeeper", "tls"]
    assert (server.guards["secureClientPort"], server.guards["ssl.clientAuth"]) == (2281, "need")
    assert server.files == {"tls-identity.pem": TLS["identity_pem"], "tls-ca.pem": TLS["ca_pem"]}
    assert made["zookeeper", "tls-without-authority"].guards["ssl.trustStore.location"] is None


def test_tls_of_a_broker_takes_the_port_for_it(made: dict[tuple[str, str], Made]) -> None:
    by_text, by_file = made["kafka", "tls"], made["kafka", "tls-by-file"]
    assert by_text.properties["zookeeper.connect"] == "10.0.0.1:2281/kafka"
    assert by_text.guards["zookeeper.ssl.keystore.location"] == "/etc/kafka/zookeeper-identity.pem"
    assert by_file.files == {}
    assert by_file.guards["zookeeper.ssl.truststore.location"] == "/ca.pem"
    assert by_file.guards["zookeeper.ssl.keystore.location"] is None
    assert by_file.guards["zookeeper.ssl.endpoint.identification.algorithm"] == ""


def test_the_volumes_question_goes_to_the_same_port() -> None:
    claim = {"role": "kafka", "node_id": 1, "pools": {"zookeeper": [{"node_id": 1, "private_ip": "10.0.0.1"}]}}
    cases: dict[str, dict[str, Any]] = {"plain": {}, "tls": {"holdfast_zookeeper_tls": TLS}}
    cases = {name: {"node_identity_claim": claim, **case} for name, case in cases.items()}
    found = role_settings("data_volume", ["data_volume_zookeeper_hosts"], cases, ["defaults"])
    asked = {name: values["data_volume_zookeeper_hosts"] for name, values in found.items()}
    assert asked == {"plain": ["10.0.0.1:2181"], "tls": ["10.0.0.1:2281"]}


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("zookeeper", {"zookeeper_required_auth_schemes": ["sasl"]}),
    ("zookeeper", {"zookeeper_required_auth_schemes": ["kerberos"]}),
    ("zookeeper", {"zookeeper_tls_identity_pem": "a certificate without its key"}),
    ("zookeeper", {"zookeeper_tls_identity_pem": TLS["identity_pem"], "zookeeper_tls_client_auth": "need"}),
    (
        "zookeeper",
        {"holdfast_zookeeper_auth": AUTH, "zookeeper_jvm_options": ["-Djava.security.auth.login.config=/x"]},
    ),
    ("kafka", {"kafka_zookeeper_set_acl": True}),
    ("kafka", {"holdfast_zookeeper_auth": AUTH, "kafka_jvm_options": ["-Djava.security.auth.login.config=/x"]}),
    ("kafka", {"holdfast_zookeeper_tls": {"check_hostname": True}}),
    ("kafka", {"holdfast_zookeeper_tls": {"ca_pem": "x", "certificate_file": "/c", "key_file": "/k"}}),
]


@pytest.mark.parametrize("role", ["zookeeper", "kafka"])
def test_a_guard_that_would_not_hold_is_refused_before_anything_is_written(role: str) -> None:
    cases = {f"case{number}": {**NODES[role], **case} for number, (of, case) in enumerate(REFUSED) if of == role}
    done = run([{"include_role": {"name": f"holdfast.kafka.{role}", "tasks_from": "configure"}}], cases, "--check")
    for name in cases:
        recap = re.search(rf"^{name} .* changed=(\d+) .* failed=(\d+) ", done.stdout, re.MULTILINE)
        assert recap, done.stdout
        assert recap.groups() == ("0", "1"), done.stdout
    refusals = re.findall(r"fatal: \[(case\d+)\]", done.stdout.partition("Refuse a")[2])
    assert sorted(refusals) == sorted(cases)
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("role", ["zookeeper", "kafka"])
def test_secrets_are_for_the_service_alone_and_in_no_log_or_diff(role: str) -> None:
    tasks = yaml.safe_load((ROLES / role / "tasks" / "secrets.yml").read_text())
    (write,) = [task for task in tasks if "ansible.builtin.copy" in task]
    assert (write["no_log"], write["diff"], write["ansible.builtin.copy"]["mode"]) == (True, False, "0600")
    pending = yaml.safe_load((ROLES / role / "tasks" / "service.yml").read_text())[2]
    assert f"__{role}_secrets is changed" in str(pending)
