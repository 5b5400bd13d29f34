# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection options of the modules that have a session with ZooKeeper."""

from __future__ import annotations


class ModuleDocFragment:
    """Equal to ``zk_security.argument_spec()`` and ``claims_argument_spec()``; a test compares them."""

    CLAIMS = r"""
options:
  zookeeper_port:
    description: The port of servers that are found by the pool; 2181, with O(zookeeper_tls) 2281, unless given.
    type: int
  zookeeper_chroot:
    description:
      - The path in ZooKeeper below which the claims live, for an ensemble that others use too; made when it is missing.
      - Clusters and roles are apart without it, below C(<chroot>/holdfast/<cluster>/<role>).
    type: str
    default: ""
"""

    DOCUMENTATION = r"""
options:
  zookeeper_auth:
    description:
      - Who to be in ZooKeeper. Without it the session is anonymous, and what is written is open to everybody.
      - What Holdfast writes as a user is that user's alone to change; see O(zookeeper_auth.world_readable) for reading.
    type: dict
    suboptions:
      scheme:
        description:
          - V(sasl) is SASL with DIGEST-MD5, which the server checks.
          - V(digest) is ZooKeeper's own C(addauth digest), which no server checks; only an ACL tells a wrong password,
            and the password is part of the identity in every ACL.
        type: str
        default: sasl
      username:
        description: The user's name, of letters, digits, C(_), C(.) and C(-).
        type: str
        required: true
      password:
        description: The user's password, in printable ASCII.
        type: str
        required: true
      world_readable:
        description: Whether everybody may read what is written by this user.
        type: bool
        default: true
  zookeeper_tls:
    description: How to protect the connection; without it there is no TLS. Empty, it trusts the system's authorities.
    type: dict
    suboptions:
      ca_file:
        description: The certificates of the authorities to trust, in PEM; no others are trusted then.
        type: path
      ca_pem:
        description: The same, as text.
        type: str
      certificate_file:
        description: The client's certificate, in PEM, for servers that want one. It may contain the key.
        type: path
      key_file:
        description: The key of the client's certificate, in PEM, if it has a file of its own.
        type: path
      identity_pem:
        description: The client's key and certificate, in PEM, as text.
        type: str
      check_hostname:
        description: Whether a server's certificate must carry the name or address it is reached by.
        type: bool
        default: true
requirements:
  - kazoo
  - pure-sasl (for O(zookeeper_auth.scheme=sasl))
"""
