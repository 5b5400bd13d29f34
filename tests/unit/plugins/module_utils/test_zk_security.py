# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection options of ZooKeeper's modules, and the ACLs that follow from them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.kafka.plugins.doc_fragments.zookeeper import ModuleDocFragment
from ansible_collections.holdfast.kafka.plugins.module_utils import zk_security as zk
from hypothesis import given
from hypothesis import strategies as st
from kazoo.security import make_digest_acl_credential

ME: dict[str, Any] = {"scheme": "sasl", "username": "holdfast", "password": "secret", "world_readable": True}
NOTHING = {
    "ca_file": None,
    "ca_pem": None,
    "certificate_file": None,
    "key_file": None,
    "identity_pem": None,
    "check_hostname": True,
}
SASL = zk.Security(zk.Auth(**ME))
CLOSED = zk.Security(zk.Auth(**{**ME, "world_readable": False}))
WORLD = zk.Grant(zk.READ, "world", "anyone")
OPEN = zk.Grant(zk.ALL, "world", "anyone")
MINE = zk.Grant(zk.ALL, "sasl", "holdfast")
OPERATOR = zk.Grant(zk.ALL, "sasl", "admin")


def options(spec: dict[str, Any]) -> dict[str, Any]:
    """Return what a fragment documents of a specification."""
    found = {}
    for name, option in spec.items():
        kept = {key: value for key, value in option.items() if key not in ("no_log", "mutually_exclusive", "options")}
        if "options" in option:
            kept["suboptions"] = options(option["options"])
        found[name] = kept
    return found


def documented(tree: dict[str, Any]) -> dict[str, Any]:
    """Return a fragment's options without their descriptions."""
    return {
        name: {
            key: documented(value) if key == "suboptions" else value
            for key, value in option.items()
            if key != "description"
        }
        for name, option in tree.items()
    }


def test_the_fragment_documents_the_options_as_they_are() -> None:
    base, more = (
        yaml.safe_load(text)["options"] for text in (ModuleDocFragment.DOCUMENTATION, ModuleDocFragment.CLAIMS)
    )
    assert documented(base) == options(zk.argument_spec())
    assert documented({**base, **more}) == options(zk.claims_argument_spec())


def test_secrets_are_marked_and_kept_out_of_texts() -> None:
    spec = zk.argument_spec()
    assert spec["zookeeper_auth"]["no_log"] is spec["zookeeper_auth"]["options"]["password"]["no_log"] is True
    assert spec["zookeeper_tls"]["options"]["identity_pem"]["no_log"] is True
    security = zk.from_parameters({"zookeeper_auth": ME, "zookeeper_tls": {**NOTHING, "identity_pem": "secret"}})
    assert "secret" not in repr(security) + security.who + zk.denied(security, "reading", "/x")


def test_without_options_everything_is_open() -> None:
    assert zk.from_parameters({}) == zk.from_parameters({"zookeeper_auth": None, "zookeeper_tls": None}) == zk.OPEN
    assert zk.OPEN.own_acl() == zk.OPEN.shared_acl() == [OPEN]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"zookeeper_auth": {**ME, "username": ""}}, "not empty"),
        ({"zookeeper_auth": {**ME, "password": ""}}, "not empty"),
        ({"zookeeper_auth": {**ME, "username": "the:secret"}}, "username"),
        ({"zookeeper_auth": {**ME, "scheme": "secret"}}, "one of sasl, digest"),
        ({"zookeeper_auth": {**ME, "password": "secret\n"}}, "newline"),
        ({"zookeeper_auth": {**ME, "password": "sécret"}}, "ASCII"),
        ({"zookeeper_tls": {**NOTHING, "key_file": "/key"}}, "certificate_file"),
    ],
)
def test_what_cannot_work_is_refused_without_the_secret(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        zk.from_parameters(wrong)
    assert "cret" not in str(caught.value)


def test_a_user_has_all_rights_and_others_those_that_are_meant() -> None:
    assert SASL.own_acl() == [MINE, WORLD]
    assert SASL.shared_acl() == [MINE, zk.Grant(zk.READ | zk.CREATE, "world", "anyone")]
    assert CLOSED.own_acl() == [MINE]
    assert CLOSED.shared_acl() == [MINE, zk.Grant(zk.CREATE, "world", "anyone")]


@given(st.from_regex(zk.USERNAME, fullmatch=True), st.text(min_size=1))
def test_a_digest_id_is_zookeepers(username: str, password: str) -> None:
    scheme, identity = zk.Auth("digest", username, password).identity
    assert (scheme, identity) == ("digest", make_digest_acl_credential(username, password))


@pytest.mark.parametrize(
    ("current", "wanted", "better"),
    [
        ([OPEN], SASL.own_acl(), [MINE, WORLD]),
        ([OPEN], CLOSED.own_acl(), [MINE]),
        ([OPEN, OPERATOR], SASL.own_acl(), [MINE, WORLD, OPERATOR]),
        ([MINE, WORLD], SASL.own_acl(), None),
        ([MINE], SASL.own_acl(), None),
        ([MINE, WORLD], CLOSED.own_acl(), [MINE]),
        ([WORLD], SASL.own_acl(), [MINE, WORLD]),
        ([zk.Grant(zk.READ, "sasl", "holdfast")], SASL.own_acl(), [MINE, WORLD]),
        ([MINE, OPERATOR], CLOSED.own_acl(), None),
        ([OPEN], zk.OPEN.own_acl(), None),
    ],
)
def test_tightening_takes_from_the_world_only(
    current: list[zk.Grant], wanted: list[zk.Grant], better: list[zk.Grant] | None
) -> None:
    assert zk.tightened(current, wanted) == better
    if better is not None:
        assert zk.tightened(better, wanted) is None


@pytest.mark.parametrize(("given_path", "path"), [("", ""), ("/", ""), ("/a/", "/a"), ("/a/b-c", "/a/b-c")])
def test_a_chroot(given_path: str, path: str) -> None:
    assert zk.checked_chroot(given_path, "chroot") == path


@pytest.mark.parametrize("path", ["a", "//a", "/a//b", "/a b", "/a/../b", "/.", "/a\x00b", "/a\x1bb", "/a\u200bb"])
def test_what_is_no_chroot(path: str) -> None:
    with pytest.raises(ValueError, match="zookeeper_chroot is"):
        zk.checked_chroot(path, "zookeeper_chroot")


@pytest.mark.parametrize(
    ("current", "loose"),
    [
        ([OPEN], True),
        ([OPERATOR, zk.Grant(zk.READ | zk.CREATE, "world", "anyone")], False),
        ([OPERATOR, zk.Grant(zk.READ | zk.CREATE | zk.DELETE, "world", "anyone")], True),
        ([OPERATOR], False),
    ],
)
def test_a_shared_level_may_be_anybodys_but_not_open(current: list[zk.Grant], loose: bool) -> None:
    assert (zk.tightened(current, SASL.shared_acl(), shared=True) is not None) is loose


@pytest.mark.parametrize(
    ("current", "mine"),
    [
        ([OPEN], True),
        ([WORLD, MINE], True),
        ([WORLD, OPERATOR], False),
        ([WORLD, zk.Grant(zk.READ, "sasl", "holdfast")], False),
    ],
)
def test_who_may_change_an_acl(current: list[zk.Grant], mine: bool) -> None:
    assert zk.may_change(current, SASL) is mine


def test_hosts_get_their_port() -> None:
    assert zk.checked_hosts({}) is None
    assert zk.checked_hosts({"zookeeper_hosts": ["a", " b:1 ", "[::1]:2"]}) == ["a:2181", "b:1", "[::1]:2"]
    assert zk.checked_hosts({"zookeeper_hosts": ["a"], "zookeeper_tls": {}}) == ["a:2281"]


@pytest.mark.parametrize(
    "entry", ["10.0.0.1:abc", "", "  ", "h:99999", "h:0", "h:2181/other", "h/other", "a,b", "a b", "a\x00", "h:²"]
)
def test_what_is_no_host_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match=r"zookeeper_hosts\[1\]") as caught:
        zk.checked_hosts({"zookeeper_hosts": ["a:2181", entry]})
    assert repr(entry) in str(caught.value)


@pytest.mark.parametrize("port", [0, -1, 99999])
def test_what_is_no_port(port: int) -> None:
    with pytest.raises(ValueError, match=f"zookeeper_port is {port}"):
        zk.checked_hosts({"zookeeper_port": port})


def test_levels_and_ports() -> None:
    assert zk.levels("/a/b/c") == ["/a", "/a/b", "/a/b/c"]
    assert zk.port_of({}) == zk.port_of({"zookeeper_tls": None}) == 2181
    assert zk.port_of({"zookeeper_tls": {}}) == 2281
    assert zk.port_of({"zookeeper_tls": {}, "zookeeper_port": 2282}) == 2282
