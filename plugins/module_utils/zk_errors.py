# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a ZooKeeper session or a request in it fails.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations


class ZkUnreachableError(Exception):
    """No ZooKeeper server answered in time; nothing is known to have been written."""


class ZkReplyLostError(Exception):
    """A write was sent and its reply was lost: it may have happened."""


class ZkRefusedError(Exception):
    """ZooKeeper refused for good; C(reason) is for plays to branch on."""

    reason = "zookeeper_refused"


class ZkAuthError(ZkRefusedError):
    """The server or the client was not accepted, or an ACL is in the way; asking again changes nothing."""

    reason = "zookeeper_auth_failed"
