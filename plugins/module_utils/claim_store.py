# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a task keeps its claims, and what is done there beside claiming."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils import zk_claims, zk_security
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_runner import Runner, zookeeper_hosts


def claims_opener(params: dict[str, Any]) -> Callable[[list[str]], zk_claims.ZkClaims]:
    """Return the function that opens the role's claims when the servers are known."""
    security = zk_security.from_parameters(params)
    chroot = zk_security.checked_chroot(params["zookeeper_chroot"], "zookeeper_chroot")
    return lambda hosts: zk_claims.ZkClaims(hosts, params["cluster"], params["role"], chroot, security)


def close_acls(module: Any, runner: Runner) -> list[str]:
    """Close what was written before authentication was switched on; a claim is held whether that works or not."""
    assert runner.reading is not None
    hosts = zookeeper_hosts(runner.reading, runner.given_hosts, runner.zookeeper_port)
    try:
        with closing(claims_opener(module.params)(hosts)) as store:
            paths = store.loose() if module.check_mode else store.secure()
            if store.foreign:
                module.warn(
                    f"zookeeper_auth is not allowed to change the ACL of {', '.join(store.foreign)}, where it should "
                    f"be closed: compare it with what `zkCli.sh getAcl` shows."
                )
            return paths
    except (zk_claims.ZkUnreachableError, zk_claims.ZkRefusedError, zk_claims.ZkReplyLostError) as error:
        module.warn(f"Whether the ACLs of the claims are closed is not known; a later run looks again: {error}.")
        return []
