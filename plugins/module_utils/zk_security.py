# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to talk to a guarded ZooKeeper: the options, checked, and the ACLs that follow from them. No I/O.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from ansible_collections.holdfast.kafka.plugins.module_utils import addresses

READ, WRITE, CREATE, DELETE, ADMIN = 1, 2, 4, 8, 16
ALL = READ | WRITE | CREATE | DELETE | ADMIN
# The inventory's variables behind the options, for messages.
AUTH_VARIABLE = "zookeeper_auth (holdfast_zookeeper_auth)"
TLS_VARIABLE = "zookeeper_tls (holdfast_zookeeper_tls)"
SCHEMES = ("sasl", "digest")
USERNAME = re.compile(r"[A-Za-z0-9_.-]+")
PORT, TLS_PORT = 2181, 2281
CHROOT = re.compile(r"(/[^/\s]+)*")


class Grant(NamedTuple):
    """One entry of an ACL."""

    permissions: int
    scheme: str
    id: str


@dataclass(frozen=True)
class Auth:
    """Who the client is."""

    scheme: str
    username: str
    password: str = field(repr=False)
    world_readable: bool = True

    @property
    def identity(self) -> tuple[str, str]:
        """Return the scheme and id under which ZooKeeper knows this client in ACLs."""
        if self.scheme == "sasl":
            return "sasl", self.username
        # ZooKeeper's own definition of a digest id, not a way to keep a password.
        digest = hashlib.sha1(f"{self.username}:{self.password}".encode()).digest()  # noqa: S324 - ZooKeeper's definition
        return "digest", f"{self.username}:{base64.b64encode(digest).decode()}"


@dataclass(frozen=True)
class Tls:
    """How the connection is protected; authorities of one's own replace the system's."""

    ca_file: str | None = None
    ca_pem: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    identity_pem: str | None = field(default=None, repr=False)
    check_hostname: bool = True


@dataclass(frozen=True)
class Security:
    """Authentication and TLS of one connection; both may be missing."""

    auth: Auth | None = None
    tls: Tls | None = None

    @property
    def who(self) -> str:
        """Name the client for messages, without a secret."""
        return f"the {self.auth.scheme} user {self.auth.username}" if self.auth else "a client without authentication"

    def own_acl(self) -> list[Grant]:
        """Return the ACL of what belongs to one cluster: all for its user, reading for others if they may; or open."""
        return self._acl(READ)

    def shared_acl(self) -> list[Grant]:
        """Return the ACL of a level that several clusters share: others may also begin a tree of their own."""
        return self._acl(READ | CREATE, CREATE)

    def _acl(self, readable: int, unreadable: int = 0) -> list[Grant]:
        if self.auth is None:
            return [Grant(ALL, "world", "anyone")]
        world = readable if self.auth.world_readable else unreadable
        mine = [Grant(ALL, *self.auth.identity)]
        return [*mine, Grant(world, "world", "anyone")] if world else mine


OPEN = Security()


def argument_spec() -> dict[str, dict[str, Any]]:
    """Return the connection options, as the fragment ``holdfast.kafka.zookeeper`` documents them."""
    return {
        "zookeeper_auth": {
            "type": "dict",
            # All of it: a password may stand under a mistyped or swapped key. show_who() takes back what is no secret.
            "no_log": True,
            "options": {
                # No choices: Ansible would print what it is instead.
                "scheme": {"type": "str", "default": "sasl"},
                "username": {"type": "str", "required": True},
                "password": {"type": "str", "required": True, "no_log": True},
                "world_readable": {"type": "bool", "default": True},
            },
        },
        "zookeeper_tls": {
            "type": "dict",
            "options": {
                "ca_file": {"type": "path"},
                "ca_pem": {"type": "str"},
                "certificate_file": {"type": "path"},
                "key_file": {"type": "path", "no_log": False},
                "identity_pem": {"type": "str", "no_log": True},
                "check_hostname": {"type": "bool", "default": True},
            },
            "mutually_exclusive": [("ca_file", "ca_pem"), ("certificate_file", "identity_pem")],
        },
    }


def claims_argument_spec() -> dict[str, dict[str, Any]]:
    """Return the options of modules that have to do with claims, as C(holdfast.kafka.zookeeper.claims) adds them."""
    return {
        **argument_spec(),
        "zookeeper_port": {"type": "int"},
        "zookeeper_chroot": {"type": "str", "default": ""},
    }


def from_parameters(parameters: Mapping[str, Any]) -> Security:
    """Read a module's parameters; ValueError says what cannot work, without a secret."""
    auth, tls = parameters.get("zookeeper_auth"), parameters.get("zookeeper_tls")
    return Security(None if auth is None else _auth(auth), None if tls is None else _tls(tls))


def _auth(options: Mapping[str, Any]) -> Auth:
    found = Auth(**{name: options[name] for name in ("scheme", "username", "password", "world_readable")})
    # What was given is not shown: it may be the password, under the wrong key.
    if found.scheme not in SCHEMES:
        raise ValueError(f"zookeeper_auth.scheme must be one of {', '.join(SCHEMES)}, and is none of them.")
    if not found.username or not found.password:
        raise ValueError("zookeeper_auth needs a username and a password that are not empty.")
    if not USERNAME.fullmatch(found.username):
        raise ValueError("zookeeper_auth.username has other characters than letters, digits, '_', '.' and '-'.")
    if not (found.password.isascii() and found.password.isprintable()):
        raise ValueError("zookeeper_auth.password must be printable ASCII; perhaps it has a newline at its end.")
    return found


def show_who(module: Any) -> None:
    """Let messages show scheme and user again if they are such; first of all in a module.

    A user is often called as the role or the tree in ZooKeeper is, and these would be blotted out in every result.
    """
    auth = module.params["zookeeper_auth"]
    if auth and auth["scheme"] in SCHEMES and USERNAME.fullmatch(auth["username"]):
        masked = getattr(module, "_module", module).no_log_values  # AnsibleAWSModule wraps the one that prints
        masked.difference_update({auth["scheme"], auth["username"]} - {auth["password"]})


def _tls(options: Mapping[str, Any]) -> Tls:
    found = Tls(**{each.name: options[each.name] for each in fields(Tls)})
    if found.key_file and not found.certificate_file:
        raise ValueError("zookeeper_tls has a key_file without a certificate_file.")
    return found


def port_of(parameters: Mapping[str, Any]) -> int:
    """Return the port of servers that are only known by their address."""
    return int(parameters.get("zookeeper_port") or (TLS_PORT if parameters.get("zookeeper_tls") is not None else PORT))


def checked_hosts(parameters: Mapping[str, Any]) -> list[str] | None:
    """Return C(zookeeper_hosts) as C(host:port), None when not given; ValueError names the entry that is none.

    kazoo would take what follows a slash for a chroot, in which there are other claims.
    """
    given = parameters.get("zookeeper_port")
    if given is not None and not 0 < given < 65536:
        raise ValueError(f"zookeeper_port is {given}; it must be between 1 and 65535.")
    hosts = parameters.get("zookeeper_hosts")
    if hosts is None:
        return None
    found = []
    for number, text in enumerate(hosts):
        try:
            found.append(str(addresses.parse(text, default_port=port_of(parameters))))
        except ValueError as error:
            raise ValueError(f"zookeeper_hosts[{number}]: {error}.") from error
    return found


def checked_chroot(chroot: str, option: str) -> str:
    """Return a chroot without its last slash; ValueError when it cannot be a path."""
    path = chroot.rstrip("/")
    if not CHROOT.fullmatch(path) or not path.isprintable() or {".", ".."} & set(path.split("/")):
        raise ValueError(
            f"{option} is {chroot!r}; it must be empty or a path that begins with a slash, of printable text."
        )
    return path


def levels(path: str) -> list[str]:
    """Return a path and all above it, the highest first, without the root."""
    parts = path.strip("/").split("/")
    return ["/" + "/".join(parts[: number + 1]) for number in range(len(parts))]


def tightened(current: Sequence[Grant], wanted: Sequence[Grant], shared: bool = False) -> list[Grant] | None:
    """Return the ACL that takes from everybody what they should not have and gives the owner all; None if it is so.

    What somebody else was granted by name stays: an operator did that. A C(shared) level is whose it is: it only must
    not be open.
    """
    world = sum(grant.permissions for grant in wanted if grant.scheme == "world")
    owners = {(grant.scheme, grant.id) for grant in wanted}
    loose = bool(world_rights(current) & ~world)
    owned = shared or all(
        any(grant.permissions & each.permissions == each.permissions and grant[1:] == each[1:] for grant in current)
        for each in wanted
        if each.scheme != "world"
    )
    if owned and not loose:
        return None
    return [*wanted, *(grant for grant in current if (grant.scheme, grant.id) not in owners | {("world", "anyone")})]


def world_rights(current: Sequence[Grant]) -> int:
    """Return what an ACL lets everybody do."""
    return reduce(or_, (grant.permissions for grant in current if grant.scheme == "world"), 0)


def may_change(current: Sequence[Grant], security: Security) -> bool:
    """Whether this ACL lets the client change it."""
    me = {("world", "anyone"), *([security.auth.identity] if security.auth else [])}
    return any(grant.permissions & ADMIN for grant in current if grant[1:] in me)


def denied(security: Security, doing: str, path: str) -> str:
    """Say that an ACL is in the way and where to look."""
    return (
        f"ZooKeeper denies {security.who} {doing} {path}: compare {AUTH_VARIABLE} with the ACL, "
        f"which `zkCli.sh getAcl {path}` shows"
    )
