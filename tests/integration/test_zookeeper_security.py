# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Claims in a real ZooKeeper that wants a password, TLS or both, and what nobody else may do to them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import kafka_registry, zk_security, zk_session
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_claims import (
    ClaimLostError,
    ZkAuthError,
    ZkClaims,
    ZkUnreachableError,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_security import OPEN, Auth, Security, Tls
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_session import ZkSession
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.security import ACL, OPEN_ACL_UNSAFE, Id

from tests.integration.certificates import Authority
from tests.integration.guarded import AUTH, OTHER, Guarded, guarded_server
from tests.integration.services import ZooKeeperEnsemble
from tests.ports import free_ports

ME = Auth(world_readable=True, **AUTH)
SASL = Security(ME)
VALUE = b'{"version":1,"node_id":1,"instance_id":"i-1"}'


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority of the servers and of the clients they trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def offering(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Guarded]:
    """A server that offers SASL and TLS and still lets anonymous clients in."""
    yield from running(
        guarded_server(
            tmp_path_factory.mktemp("offering") / "1",
            zookeeper_sasl_users={each["username"]: each["password"] for each in (AUTH, OTHER)},
            zookeeper_tls_identity_pem=authority.issue("offering").read_text(),
        )
    )


@pytest.fixture(scope="module")
def demanding(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Guarded]:
    """A server that demands SASL of everybody and certificates of TLS clients."""
    yield from running(
        guarded_server(
            tmp_path_factory.mktemp("demanding") / "1",
            zookeeper_required_auth_schemes=["sasl"],
            zookeeper_tls_identity_pem=authority.issue("demanding").read_text(),
            zookeeper_tls_ca_pem=authority.ca_file.read_text(),
            zookeeper_tls_client_auth="need",
        )
    )


def running(guarded: Guarded) -> Iterator[Guarded]:
    """Run a server for as long as the module's tests last."""
    try:
        guarded.server.start()
        yield guarded
    finally:
        guarded.server.kill()


@pytest.fixture
def cluster() -> str:
    """A cluster's name of this test's own."""
    return f"c{uuid.uuid4().hex[:8]}"


def written(host: str, cluster: str, security: Security, **more: Any) -> dict[int, Any]:
    """Create a claim, set it, and read all."""
    with ZkClaims([host], cluster, "kafka", security=security, **more) as claims:
        claims.create(1, VALUE)
        assert claims.set(1, VALUE, 0) == 1
        return dict(claims.read_all())


def stranger(host: str, what: Callable[[Any], Any], **options: Any) -> Any:
    """Do something as a client of somebody else's."""
    client = KazooClient(hosts=host, **options)
    client.start()
    try:
        return what(client)
    finally:
        client.stop()
        client.close()


# ---- who gets in -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["sasl", "digest"])
def test_a_user_writes_claims(offering: Guarded, cluster: str, scheme: str) -> None:
    assert written(offering.host, cluster, Security(replace(ME, scheme=scheme)))[1].version == 1


def test_a_user_writes_claims_where_everybody_must_be_one(demanding: Guarded, cluster: str) -> None:
    assert written(demanding.host, cluster, SASL)[1].version == 1


@pytest.mark.parametrize(
    ("server", "security", "told"),
    [
        ("offering", Security(replace(ME, password="wrong")), "does not accept the sasl user holdfast"),
        ("demanding", Security(replace(ME, password="wrong")), "does not accept the sasl user holdfast"),
        ("demanding", OPEN, "requires authentication"),
        ("demanding", Security(replace(ME, scheme="digest")), "does not accept the digest user holdfast"),
    ],
)
def test_who_is_not_accepted_is_told_so_and_soon(
    request: pytest.FixtureRequest, cluster: str, server: str, security: Security, told: str
) -> None:
    began = time.monotonic()
    with ZkClaims([request.getfixturevalue(server).host], cluster, "kafka", security=security) as claims:
        with pytest.raises(ZkAuthError, match=told) as caught:
            claims.read_all()
        with pytest.raises(ZkAuthError):
            claims.create(1, VALUE)
    assert "zookeeper_auth" in str(caught.value)
    assert "wrong" not in str(caught.value)
    assert time.monotonic() - began < 20


def test_a_server_without_sasl_is_no_lost_server(
    zookeeper_server: ZooKeeperEnsemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zk_session, "SASL_SILENCE_SECONDS", 1.0)
    session = ZkSession(zookeeper_server.hosts, SASL, session_timeout_seconds=2)
    with pytest.raises(ZkAuthError, match=r"SASL|does not accept"):
        session.connect(10)
    session.close()


def test_a_lost_server_is_no_refusal(cluster: str) -> None:
    session = ZkSession([f"127.0.0.1:{free_ports(1)[0]}"], SASL)
    with pytest.raises(ZkUnreachableError):
        session.connect(1)
    session.close()


# ---- what nobody else may do -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["sasl", "digest"])
@pytest.mark.parametrize("world_readable", [True, False])
def test_a_claim_is_its_users_alone(offering: Guarded, cluster: str, scheme: str, world_readable: bool) -> None:
    mine = Security(replace(ME, scheme=scheme, world_readable=world_readable))
    written(offering.host, cluster, mine)
    path = f"/holdfast/{cluster}/kafka/claims/1"
    attacks: list[Callable[[Any], Any]] = [
        lambda client: client.set(path, b"{}"),
        lambda client: client.delete(path),
        lambda client: client.delete(f"/holdfast/{cluster}", recursive=True),
        lambda client: client.create(f"/holdfast/{cluster}/kafka/claims/2", b"{}"),
        lambda client: client.create(f"/holdfast/{cluster}/other", b"{}"),
        lambda client: client.set_acls(path, OPEN_ACL_UNSAFE),
        lambda client: client.set_acls("/holdfast", OPEN_ACL_UNSAFE),
    ]
    for attack in attacks:
        for options in ({}, {"auth_data": [("digest", "holdfast:guess")]}):
            with pytest.raises(NoAuthError):
                stranger(offering.host, attack, **options)
    if world_readable:
        assert stranger(offering.host, lambda client: client.get(path)[0]) == VALUE
    else:
        with pytest.raises(NoAuthError):
            stranger(offering.host, lambda client: client.get(path))
    with ZkClaims([offering.host], cluster, "kafka", security=mine) as claims:
        assert claims.read_all()[1].version == 1


@pytest.mark.parametrize("intruder", [OPEN, Security(replace(ME, password="wrong", scheme="digest"))])
def test_what_an_acl_denies_names_the_acl(offering: Guarded, cluster: str, intruder: Security) -> None:
    written(offering.host, cluster, Security(replace(ME, scheme="digest", world_readable=False)))
    with ZkClaims([offering.host], cluster, "kafka", security=intruder) as claims:
        calls: list[Callable[[], Any]] = [
            claims.read_all,
            lambda: claims.create(2, VALUE),
            lambda: claims.set(1, VALUE, 1),
        ]
        for call in calls:
            with pytest.raises(ZkAuthError, match=f"getAcl /holdfast/{cluster}/kafka/claims"):
                call()


def test_an_open_claim_is_closed_when_authentication_is_switched_on(offering: Guarded, cluster: str) -> None:
    before = written(offering.host, cluster, OPEN)
    with ZkClaims([offering.host], cluster, "kafka", security=SASL) as claims:
        open_paths = claims.loose()
        parents = [f"/holdfast/{cluster}{rest}" for rest in ("", "/kafka", "/kafka/claims", "/kafka/claims/1")]
        assert open_paths[-4:] == parents
        assert claims.secure() == open_paths
        assert (claims.loose(), claims.secure()) == ([], [])
        assert claims.read_all() == before
    with pytest.raises(NoAuthError):
        stranger(offering.host, lambda client: client.delete(parents[-1]))


@pytest.mark.parametrize("scheme", ["sasl", "digest"])
def test_two_users_close_what_each_may(offering: Guarded, cluster: str, scheme: str) -> None:
    """The first to come owns the level that both share; the second closes its own all the same."""
    users = [Security(replace(Auth(world_readable=True, **each), scheme=scheme)) for each in (AUTH, OTHER)]
    names = [f"{cluster}-a", f"{cluster}-b"]
    for name in names:
        written(offering.host, name, OPEN, chroot=f"/{cluster}")
    for number, (name, user) in enumerate(zip(names, users, strict=True)):
        with ZkClaims([offering.host], name, "kafka", f"/{cluster}", user) as claims:
            predicted = claims.loose()
            assert len(predicted) == 5 - number
            assert claims.secure() == predicted
            assert (claims.loose(), claims.foreign) == ([], [])
        with pytest.raises(NoAuthError):
            stranger(offering.host, methodcaller("set", f"/{cluster}/holdfast/{name}/kafka/claims/1", b"{}"))


def test_what_is_another_users_is_told_and_the_rest_closed(offering: Guarded, cluster: str) -> None:
    written(offering.host, cluster, OPEN, chroot=f"/{cluster}")
    role = f"/{cluster}/holdfast/{cluster}/kafka"
    acl = [ACL(31, Id("sasl", OTHER["username"])), ACL(3, Id("world", "anyone"))]
    stranger(offering.host, lambda client: client.set_acls(role, acl))
    with ZkClaims([offering.host], cluster, "kafka", f"/{cluster}", SASL) as claims:
        predicted = claims.loose()
        assert claims.foreign == [role]
        assert claims.secure() == predicted
        assert f"{role}/claims/1" in predicted
        assert claims.foreign == [role]


def test_a_name_that_is_no_node_id_is_no_claim(offering: Guarded, cluster: str) -> None:
    before = written(offering.host, cluster, OPEN)
    for name in ("01", "²", "٣", "+1", "1" * 5000):
        stranger(offering.host, methodcaller("create", f"/holdfast/{cluster}/kafka/claims/{name}"))
    with ZkClaims([offering.host], cluster, "kafka") as claims:
        assert claims.read_all() == before


def test_clusters_roles_and_users_of_one_ensemble_do_not_meet(offering: Guarded, cluster: str) -> None:
    other = Security(Auth(world_readable=True, **OTHER))
    owners = [(cluster, "kafka", SASL), (cluster, "zookeeper", SASL), (f"{cluster}-2", "kafka", other)]
    stores = [ZkClaims([offering.host], name, role, security=who) for name, role, who in owners]
    try:
        for number, store in enumerate(stores):
            store.create(1, VALUE.replace(b"i-1", f"i-{number}".encode()))
        assert [store.read_all()[1].instance_id for store in stores] == ["i-0", "i-1", "i-2"]
        stores[0].create(2, VALUE)
        assert [sorted(store.read_all()) for store in stores] == [[1, 2], [1], [1]]
        with ZkClaims([offering.host], cluster, "kafka", security=other) as intruder, pytest.raises(ZkAuthError):
            intruder.set(1, VALUE, 0)
    finally:
        for store in stores:
            store.close()


@pytest.mark.parametrize("security", [OPEN, SASL])
def test_a_chroot_is_made_and_keeps_its_claims_apart(offering: Guarded, cluster: str, security: Security) -> None:
    chroot = f"/tenants/{cluster}"
    assert written(offering.host, cluster, security, chroot=chroot)[1].version == 1
    assert stranger(offering.host, lambda client: client.exists(f"{chroot}/holdfast/{cluster}/kafka/claims/1"))
    with ZkClaims([offering.host], cluster, "kafka", security=security) as outside:
        assert outside.read_all() == {}
    with ZkClaims([offering.host], cluster, "kafka", chroot, security) as inside:
        with pytest.raises(ClaimLostError):
            inside.create(1, VALUE)
        assert inside.secure() == []


# ---- TLS -------------------------------------------------------------------------------------------------------------


def test_tls_by_files_and_by_text(offering: Guarded, demanding: Guarded, authority: Authority, cluster: str) -> None:
    identity = authority.issue("client")
    by_file = Tls(ca_file=str(authority.ca_file), certificate_file=str(identity))
    by_text = Tls(ca_pem=authority.ca_file.read_text(), identity_pem=identity.read_text())
    assert written(offering.secure_host, cluster, Security(tls=Tls(ca_file=str(authority.ca_file))))
    assert written(demanding.secure_host, cluster, Security(ME, by_file))
    assert written(demanding.secure_host, f"{cluster}-2", Security(ME, by_text))


@pytest.mark.parametrize("case", ["another authority", "another name", "no certificate", "no such file", "no key"])
def test_tls_that_is_refused_names_its_variable(
    offering: Guarded, demanding: Guarded, authority: Authority, tmp_path: Path, cluster: str, case: str
) -> None:
    foreign = Authority(tmp_path, "somebody else")
    ca_file = str(authority.ca_file)
    host, tls = {
        "another authority": (offering.secure_host, Tls(ca_file=str(foreign.ca_file))),
        "another name": (offering.secure_host.replace("127.0.0.1", "localhost"), Tls(ca_file=ca_file)),
        "no certificate": (demanding.secure_host, Tls(ca_file=ca_file)),
        "no such file": (offering.secure_host, Tls(ca_file=str(tmp_path / "missing.pem"))),
        "no key": (offering.secure_host, Tls(ca_file=ca_file, identity_pem=authority.ca_file.read_text())),
    }[case]
    began = time.monotonic()
    with (
        ZkClaims([host], cluster, "kafka", security=Security(ME, tls)) as claims,
        pytest.raises(ZkAuthError, match="zookeeper_tls"),
    ):
        claims.read_all()
    assert time.monotonic() - began < 20


def test_a_name_need_not_be_checked(offering: Guarded, authority: Authority, cluster: str) -> None:
    tls = Tls(ca_file=str(authority.ca_file), check_hostname=False)
    assert written(offering.secure_host.replace("127.0.0.1", "localhost"), cluster, Security(ME, tls))


def test_tls_on_a_plain_port_says_so(offering: Guarded, authority: Authority, cluster: str) -> None:
    session = ZkSession([offering.host], Security(tls=Tls(ca_file=str(authority.ca_file))))
    with pytest.raises((ZkUnreachableError, ZkAuthError), match="TLS"):
        session.connect(2)
    session.close()


# ---- the registry ----------------------------------------------------------------------------------------------------


def test_the_registry_is_read_as_a_user(demanding: Guarded) -> None:
    assert kafka_registry.read([demanding.host], "/kafka", 5, SASL) == ([], None)
    for security in (OPEN, Security(replace(ME, password="wrong"))):
        with pytest.raises(kafka_registry.RegistryError) as caught:
            kafka_registry.read([demanding.host], "/kafka", 5, security)
        assert caught.value.reason == "zookeeper_auth_failed"
    assert zk_security.denied(OPEN, "reading", "/x").startswith("ZooKeeper denies a client without authentication")
