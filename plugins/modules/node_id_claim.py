#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: node_id_claim
version_added: 0.1.0
short_description: Claim a free node identity of a pool for this instance
description:
  - Finds the identity (node id, ENI, data volumes) that this instance holds, or claims a free one of its Availability
    Zone.
  - The claim is a compare-and-set that happens before anything is attached. A holder that lives never loses its
    identity, a stopped instance is a holder too, and an API error never counts as free.
  - Running it again on the same instance gives the same identity and changes nothing.
  - Nothing is ever detached or created on EC2 by this module. Attach with M(holdfast.kafka.ec2_eni_attach) and
    M(holdfast.kafka.ec2_volume_attach).
options:
  cluster:
    description: Name of the cluster.
    type: str
    required: true
  role:
    description: Role of the pool, for example V(kafka) or V(zookeeper).
    type: str
    required: true
  state:
    description:
      - V(claimed) makes sure that this instance holds an identity.
      - V(released) gives the claim back, but only when no part of the identity is attached to this instance; otherwise
        the claim is true and stays (RV(outcome=kept)). The claim's record stays in ZooKeeper without a holder.
    type: str
    choices: [claimed, released]
    default: claimed
  strategy:
    description:
      - V(zookeeper) claims by compare-and-set in ZooKeeper.
      - V(attachment) lets EC2 arbitrate by attaching the ENI itself; for ZooKeeper's own nodes and clusters without it.
      - V(instance) derives the id from the instance id, above O(reserved_broker_max_id), without any pool. Among n
        instances two get the same id with a probability of about n²/2³². That is not checked here, so it is for large
        disposable clusters only, and the broker needs C(broker.id.generation.enable=false).
    type: str
    choices: [zookeeper, attachment, instance]
    default: zookeeper
  zookeeper_hosts:
    description:
      - ZooKeeper servers as C(host:port), for O(strategy=zookeeper).
      - By default the fixed addresses of the cluster's C(zookeeper) pool, with O(zookeeper_port).
    type: list
    elements: str
  instance_id:
    description: The instance to claim for; by default this one, from the instance metadata service.
    type: str
  availability_zone:
    description: The instance's Availability Zone; by default from the instance metadata service.
    type: str
  expected_pools:
    description:
      - The pools as the inventory declares them (C(holdfast_pools)), by role a list of C(node_id),
        C(availability_zone), C(private_ip) and C(volumes).
      - A whole identity that EC2's tags tell otherwise than this, or that is not in it, ends the task with
        RV(reason=configuration_mismatch) before anything is written. One that only the inventory has is a warning.
      - The number of C(volumes) of each identity then counts instead of O(expected_volumes).
    type: dict
    default: {}
  expected_volumes:
    description: How many volumes make an identity of O(role) whole, if O(expected_pools) does not say.
    type: int
    default: 1
  grace_period_seconds:
    description:
      - A holder that EC2 does not know counts as alive until EC2 has denied it for this long, by this instance's clock.
    type: int
    default: 60
  timeout_seconds:
    description: How long to wait for an identity that may come free, and for ZooKeeper and EC2 to answer.
    type: int
    default: 1200
  held_wait_seconds:
    description:
      - How long to wait for ZooKeeper when the ENI of an identity is attached to this instance already. After that the
        identity is RV(outcome=already_held) with RV(claim_pending=true), because a lost ZooKeeper takes no identity.
    type: int
    default: 30
  poll_seconds:
    description: Pause between two readings while waiting; up to a fifth longer, by chance, so that a herd spreads.
    type: float
    default: 5
  wait_for:
    description:
      - V(leaving) waits only for an identity whose holder is on its way out, and otherwise fails at once.
      - V(any) waits for any identity of the Availability Zone, for groups that launch the new instance before they
        terminate the old one.
    type: str
    choices: [leaving, any]
    default: leaving
  wanted_node_id:
    description: Claim this identity and no other, as an instance launched for it does; what it holds stays the answer.
    type: int
  device_index:
    description: Device index of the ENI, for O(strategy=attachment).
    type: int
    default: 1
  reserved_broker_max_id:
    description: Highest id that O(strategy=instance) leaves alone.
    type: int
    default: 1000
extends_documentation_fragment:
  - holdfast.kafka.attributes
  - holdfast.kafka.pool
  - holdfast.kafka.zookeeper
  - holdfast.kafka.zookeeper.claims
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    details: Reads as the real run does and predicts the claim; where the real run would wait, RV(outcome=waiting).
  diff_mode:
    support: full
seealso:
  - module: holdfast.kafka.identity_pool_info
  - module: holdfast.kafka.ec2_eni_attach
  - module: holdfast.kafka.ec2_volume_attach
author:
  - Holdfast contributors
"""

EXAMPLES = r"""
- name: Claim a broker's identity
  holdfast.kafka.node_id_claim:
    cluster: orders
    role: kafka
  register: claim

- name: Claim a ZooKeeper node's identity, arbitrated by EC2 itself
  holdfast.kafka.node_id_claim:
    cluster: orders
    role: zookeeper
    strategy: attachment

- name: Claim from a pool that is only named KAFKA-0, KAFKA-1, ...
  holdfast.kafka.node_id_claim:
    cluster: orders
    role: kafka
    zookeeper_hosts: ["10.0.1.11:2181", "10.0.2.11:2181", "10.0.3.11:2181"]
    name_patterns:
      kafka: "KAFKA-{node_id}"

- name: Claim in an ensemble that wants a password and TLS
  holdfast.kafka.node_id_claim:
    cluster: orders
    role: kafka
    zookeeper_auth:
      username: holdfast
      password: "{{ vaulted_password }}"
    zookeeper_tls:
      ca_file: /etc/holdfast/zookeeper/ca.pem

- name: Give the claim back after a boot that failed before anything was attached
  holdfast.kafka.node_id_claim:
    cluster: orders
    role: kafka
    state: released
"""

RETURN = r"""
outcome:
  description:
    - V(already_held), V(claimed), V(taken_over) (the holder before is terminated) or V(restored) (the identity was this
      instance's, but its claim was missing).
    - V(released), V(kept) or V(not_held) with O(state=released).
    - V(waiting) in check mode when the real run would wait.
  returned: success
  type: str
node_id:
  description: The node id.
  returned: when an identity is held
  type: int
identity:
  description: The identity as last read, in the shape of RV(holdfast.kafka.identity_pool_info#module:pools); its C(eni)
    is null and C(volumes) empty with O(strategy=instance).
  returned: when an identity is held
  type: dict
claim_pending:
  description: Whether ZooKeeper could not be asked, so that the claim has to be looked after by a later run.
  returned: with O(strategy=zookeeper), when an identity is held
  type: bool
previous_holder:
  description: The dead instance that held the identity before.
  returned: when RV(outcome=taken_over)
  type: str
instance_id:
  description: The instance that was claimed for.
  returned: success
  type: str
pools:
  description: All whole identities of the cluster by role, as read, so that configuration needs no further EC2 call.
  returned: when a pool was read
  type: dict
faults:
  description: What is not whole in the cluster's pools.
  returned: when a pool was read
  type: list
  elements: dict
attempts:
  description: Every write that was tried, with its result.
  returned: always, except with O(strategy=instance)
  type: list
  elements: dict
  sample: [{node_id: 2, action: create, result: lost}, {node_id: 0, action: create, result: won}]
waits:
  description: What was waited for, for whom and how long.
  returned: always, except with O(strategy=instance)
  type: list
  elements: dict
waited_seconds:
  description: Seconds spent waiting.
  returned: always, except with O(strategy=instance)
  type: float
acls_closed:
  description:
    - Claims of the role and their parents that were open to everybody and are O(zookeeper_auth)'s now, as after
      authentication was switched on. In check mode those that would be.
  returned: with O(zookeeper_auth), when an identity is held and ZooKeeper answered
  type: list
  elements: str
zookeeper_version:
  description: Version of the claim's znode.
  returned: with O(strategy=zookeeper), when an identity is held
  type: int
api_calls:
  description: Number of EC2 requests.
  returned: always
  type: int
api_requests:
  description: The EC2 requests by operation.
  returned: always
  type: list
  elements: str
give_up:
  description:
    - V(false) when another instance would meet the same, as a wrong value, another cluster's inventory, or a ZooKeeper
      that does not accept this client.
  returned:
    failure with RV(reason=bad_parameter), RV(reason=configuration_mismatch), RV(reason=zookeeper_refused) or
    RV(reason=zookeeper_auth_failed)
  type: bool
reason:
  description:
    - V(no_candidate), V(conflict), V(pool_fault), V(configuration_mismatch), V(lost_race), V(timeout),
      V(zookeeper_unreachable), V(zookeeper_refused), V(auth), V(api_error), V(not_found), V(imds_unreachable),
      V(bad_parameter) or V(missing_library).
    - V(zookeeper_auth_failed) says that ZooKeeper does not accept O(zookeeper_auth) or O(zookeeper_tls), or that an ACL
      is in the way. It is not waited for.
  returned: failure
  type: str
"""

from collections.abc import Sequence
from typing import Any, NoReturn

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.holdfast.kafka.plugins.module_utils import zk_security
from ansible_collections.holdfast.kafka.plugins.module_utils.aws_ec2 import Ec2
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_machine import Settings
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import claims_path
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_report import derived_identity, holder_diff, report
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_runner import Runner
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_steps import Wait
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_store import claims_opener, close_acls
from ansible_collections.holdfast.kafka.plugins.module_utils.herd import derived_node_id
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.imds import Imds, Myself
from ansible_collections.holdfast.kafka.plugins.module_utils.module_support import (
    POOL_OPTIONS,
    default_region,
    fail,
    make_imds,
    whoami,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.number_bounds import require_numbers
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_declared import (
    VARIABLE,
    lacking,
    parse_declared,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import (
    PatternError,
    TagScheme,
    scheme_from_options,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.release_runner import release
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_errors import ZkAuthError, ZkRefusedError
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_session import missing_library

#: What the next instance would meet just the same: it is kept, or Auto Scaling would replace it without end.
KEPT = ("bad_parameter", "configuration_mismatch", ZkRefusedError.reason, ZkAuthError.reason)
POLL_JITTER = 0.2
NUMBERS = (
    "expected_volumes",
    "grace_period_seconds",
    "timeout_seconds",
    "held_wait_seconds",
    "poll_seconds",
)


def refuse(module: Any, reason: str, message: str, requests: Sequence[str] = (), **extra: Any) -> NoReturn:
    """Fail, and say so if another instance would do no better."""
    fail(module, reason, message, requests, **({"give_up": False} if reason in KEPT else {}), **extra)


def check_parameters(module: Any) -> TagScheme:
    """Refuse what can never work, before anything is asked of anybody."""
    params = module.params
    zk_security.show_who(module)
    try:
        claims_path(params["cluster"], params["role"])
        scheme = scheme_from_options(params)
        parse_declared(params["expected_pools"])
        derived_node_id("", params["reserved_broker_max_id"])
        zk_security.from_parameters(params)
        zk_security.checked_chroot(params["zookeeper_chroot"], "zookeeper_chroot")
        params["zookeeper_hosts"] = zk_security.checked_hosts(params)
        require_numbers(params, NUMBERS, 0)
        require_numbers(params, ["device_index"], 1)
    except (PatternError, ValueError) as error:
        refuse(module, "bad_parameter", str(error))
    library = missing_library(params["zookeeper_auth"]) if params["strategy"] == "zookeeper" else None
    if library:
        fail(module, "missing_library", missing_required_lib(library))
    if params["state"] == "released" and params["strategy"] != "zookeeper":
        refuse(module, "bad_parameter", f"strategy {params['strategy']} has no claim that could be released.")
    return scheme


def require_own_region(module: Any, me: Myself) -> None:
    """Refuse another region than the one that the metadata service says this instance is in."""
    if not module.params["instance_id"] and module.region and me.region and module.region != me.region:
        message = (
            f"The region is {module.region} by the task (holdfast_region), and {me.instance_id} runs in {me.region}: "
            f"the inventory is not the one of this node, so nothing was claimed."
        )
        refuse(module, "configuration_mismatch", message)


def claim_by_instance(module: Any, me: Myself) -> None:
    """Derive the id from the instance id; nothing is written anywhere."""
    params = module.params
    identity = derived_identity(params, me)
    module.exit_json(
        changed=False,
        outcome="already_held",
        node_id=identity["node_id"],
        identity=identity,
        instance_id=me.instance_id,
        api_calls=0,
        api_requests=[],
    )


def make_runner(module: Any, me: Myself, scheme: TagScheme, ec2: Ec2) -> Runner:
    """Put the claim's run together from the task's parameters."""
    params = module.params
    settings = Settings(
        instance_id=me.instance_id,
        availability_zone=me.availability_zone,
        cluster=params["cluster"],
        role=params["role"],
        strategy=params["strategy"],
        grace_seconds=params["grace_period_seconds"],
        timeout_seconds=params["timeout_seconds"],
        poll_seconds=params["poll_seconds"],
        held_wait_seconds=params["held_wait_seconds"],
        wait_for=params["wait_for"],
        device_index=params["device_index"],
        wanted=params["wanted_node_id"],
    )
    return Runner(
        settings,
        ec2,
        scheme,
        claims_opener(params),
        expected_volumes=params["expected_volumes"],
        given_hosts=params["zookeeper_hosts"],
        zookeeper_port=zk_security.port_of(params),
        declared=parse_declared(params["expected_pools"]),
        check_mode=module.check_mode,
        poll_jitter=POLL_JITTER,
        progress=module.log,
    )


def claim(module: Any, me: Myself, scheme: TagScheme) -> None:
    """Claim by ZooKeeper or by attachment."""
    params = module.params
    ec2 = Ec2(module)
    runner = make_runner(module, me, scheme, ec2)
    try:
        done = runner.run()
    except HoldfastError as failure:
        refuse(module, failure.reason, failure.message, ec2.requests, **report(runner, me), **failure.extra)
    if runner.reading is not None and runner.declared:
        for name in lacking(runner.reading, runner.declared):
            module.warn(f"{VARIABLE} names {name}, of which the pool of {params['cluster']} holds no whole identity.")
    result = report(runner, me)
    result.update(api_calls=len(ec2.requests), api_requests=ec2.requests)
    if isinstance(done, Wait):
        result.update(changed=True, outcome="waiting", waiting_for=list(done.whom), wait_reason=done.reason)
    else:
        result.update(changed=done.changed, outcome=done.outcome)
        result.update(node_id=done.identity.node_id, identity=done.identity.as_dict())
        if params["strategy"] == "zookeeper":
            result["claim_pending"] = done.claim_pending
        if done.claim_pending:
            module.warn(
                f"{done.identity.name} is attached to {me.instance_id} and kept, though ZooKeeper cannot be asked; "
                f"a later run restores the claim if it is missing."
            )
        if done.version is not None:
            result["zookeeper_version"] = done.version
        if done.previous:
            result["previous_holder"] = done.previous
        if params["strategy"] == "zookeeper" and params["zookeeper_auth"] and not done.claim_pending:
            result["acls_closed"] = close_acls(module, runner)
            result["changed"] = done.changed or bool(result["acls_closed"])
        if done.changed:
            result["diff"] = holder_diff(done.identity.name, done.previous, me.instance_id)
    module.exit_json(**result)


def give_back(module: Any, me: Myself, scheme: TagScheme, imds: Imds) -> None:
    """Give the claim back if it names me and nothing of the identity is attached."""
    params = module.params
    ec2 = Ec2(module)
    here = None if params["instance_id"] else imds
    try:
        verdict = release(params, me.instance_id, scheme, ec2, here, claims_opener(params), module.check_mode)
    except HoldfastError as error:
        refuse(module, error.reason, error.message, ec2.requests)
    changed = verdict.outcome == "released"
    result: dict[str, Any] = {"changed": changed, "outcome": verdict.outcome, "msg": verdict.message}
    if verdict.identity is not None:
        result.update(node_id=verdict.identity.node_id, identity=verdict.identity.as_dict())
        if changed:
            result["diff"] = holder_diff(verdict.identity.name, me.instance_id, None)
    module.exit_json(instance_id=me.instance_id, api_calls=len(ec2.requests), api_requests=ec2.requests, **result)


def main() -> None:
    """Entry point."""
    module = AnsibleAWSModule(
        argument_spec={
            "cluster": {"type": "str", "required": True},
            "role": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["claimed", "released"], "default": "claimed"},
            "strategy": {"type": "str", "choices": ["zookeeper", "attachment", "instance"], "default": "zookeeper"},
            "zookeeper_hosts": {"type": "list", "elements": "str"},
            "instance_id": {"type": "str"},
            "availability_zone": {"type": "str"},
            "expected_pools": {"type": "dict", "default": {}},
            "expected_volumes": {"type": "int", "default": 1},
            "grace_period_seconds": {"type": "int", "default": 60},
            "timeout_seconds": {"type": "int", "default": 1200},
            "held_wait_seconds": {"type": "int", "default": 30},
            "poll_seconds": {"type": "float", "default": 5},
            "wait_for": {"type": "str", "choices": ["leaving", "any"], "default": "leaving"},
            "wanted_node_id": {"type": "int"},
            "device_index": {"type": "int", "default": 1},
            "reserved_broker_max_id": {"type": "int", "default": 1000},
            **POOL_OPTIONS,
            **zk_security.claims_argument_spec(),
        },
        supports_check_mode=True,
    )
    scheme = check_parameters(module)
    needed = {"instance_id": module.params["instance_id"], "availability_zone": module.params["availability_zone"]}
    imds = make_imds(module, give_up=False)
    me = whoami(module, imds, needed)
    if module.params["state"] == "claimed":
        require_own_region(module, me)
    default_region(module, me.region)
    if module.params["strategy"] == "instance":
        claim_by_instance(module, me)
    if module.params["state"] == "released":
        give_back(module, me, scheme, imds)
    claim(module, me, scheme)


if __name__ == "__main__":
    main()
