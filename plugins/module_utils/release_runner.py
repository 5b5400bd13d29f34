# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries out the giving back of a claim; every error becomes a reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from ansible_collections.holdfast.kafka.plugins.module_utils import zk_claims, zk_security
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_api import AwsError
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_ec2 import Ec2
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import encode
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_release import Release, judge_release
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_runner import expected_of, zookeeper_hosts
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.host_devices import find_interface, find_volume
from ansible_collections.holdfast.kafka.plugins.module_utils.imds import Imds, ImdsError
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import PoolReading
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_declared import parse_declared
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme


def seen_on_host(reading: PoolReading, role: str, imds: Imds) -> frozenset[str]:
    """Return the ids of pool parts that this instance itself sees.

    EC2's describe and its metadata service may both be a moment behind an attachment; the kernel is asked as well.
    """
    seen = set()
    for identity in reading.of_role(role):
        if imds.interface_id(identity.eni.mac) == identity.eni.id or find_interface(identity.eni.mac):
            seen.add(identity.eni.id)
        seen.update(volume.id for volume in identity.volumes if find_volume(volume.id))
    return frozenset(seen)


def release(
    params: dict[str, Any],
    me: str,
    scheme: TagScheme,
    ec2: Ec2,
    imds: Imds | None,
    open_claims: Callable[[list[str]], zk_claims.ZkClaims],
    check_mode: bool,
) -> Release:
    """Give the claim back if it names me and nothing of the identity is attached; raise HoldfastError.

    C(imds) is this instance's own metadata service, C(None) when somebody asks for another instance.
    """
    cluster, role = params["cluster"], params["role"]
    try:
        expected = expected_of(role, parse_declared(params["expected_pools"]), params["expected_volumes"])
        reading = ec2.read_pools(cluster, scheme, expected)
        hosts = zookeeper_hosts(reading, params["zookeeper_hosts"], zk_security.port_of(params))
        if not hosts:
            raise HoldfastError("zookeeper_unreachable", f"The pool of {cluster} has no ZooKeeper identity.")
        with closing(open_claims(hosts)) as store:
            seen = seen_on_host(reading, role, imds) if imds is not None else frozenset()
            verdict = judge_release(reading, role, store.read_all(), me, seen)
            if verdict.outcome == "released" and not check_mode:
                assert verdict.identity is not None
                assert verdict.version is not None
                store.set(verdict.identity.node_id, encode(verdict.identity, None, time.time()), verdict.version)
    except AwsError as error:
        raise HoldfastError(error.reason, f"{error}.") from error
    except ImdsError as error:
        raise HoldfastError("imds_unreachable", f"{error}.") from error
    except (zk_claims.ZkUnreachableError, zk_claims.ZkReplyLostError) as error:
        message = f"Whether the claim of {me} was given back is not known: {error}. Run this again."
        raise HoldfastError("zookeeper_unreachable", message) from error
    except zk_claims.ZkRefusedError as error:
        raise HoldfastError(error.reason, f"{error}.") from error
    except zk_claims.ClaimLostError as error:
        raise HoldfastError(
            "lost_race", f"The claim of {me} changed while it was given back; run this again."
        ) from error
    return verdict
